package report

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"inferbench/harness/batch"
	"inferbench/harness/stats"
)

// Sessions are a cell's sessions as the charts draw them.
type Sessions struct {
	ByTurn []stats.TurnFigures `json:"by_turn"`

	// Over the slices of time of [Series]: the sessions live, and of the requests
	// whose first token came in it the share of the prompt that came from the server's
	// cache, and that an infinite one would hold; null where no figure is known.
	Live        []float64  `json:"live"`
	Hits        []*float64 `json:"hits"`
	Theoretical []*float64 `json:"theoretical"`

	Rows []SessionRow `json:"rows"` // the first sessions, each stream a row
}

// SessionRow is a stream's turns on the timeline: a session's root, or one of its
// sub-agents in the rows below it.
type SessionRow struct {
	Name  string `json:"name"`
	Turns []Span `json:"turns"`
}

// The timeline has room for so many rows, and is fast to draw up to so many turns.
const (
	maxRows  = 48
	maxTurns = 2000
)

// newSessions draws what a cell's requests say of sessions; nil where they are of
// none.
func newSessions(kept *batch.Requests, s *Series, sum *stats.Summary) *Sessions {
	if sum == nil || sum.Sessions == nil || s.Step == 0 {
		return nil
	}
	out := &Sessions{ByTurn: sum.ByTurn}
	step := time.Duration(s.Step * float64(time.Second))
	slot := func(at time.Duration) int { return min(timeSlices-1, max(0, int(at/step))) }
	var cached, input, hits, blocks [timeSlices]int
	for i := range kept.Timings {
		t := &kept.Timings[i]
		if t.Turn == nil || t.Err != "" {
			continue
		}
		at := slot(t.First)
		if t.Prompt.CachedTold {
			cached[at], input[at] = cached[at]+t.Prompt.Cached, input[at]+t.InputTokens
		}
		hits[at], blocks[at] = hits[at]+t.Turn.Hits, blocks[at]+t.Turn.Blocks
	}
	out.Live = make([]float64, timeSlices)
	for _, v := range sum.BySession {
		began, ended := time.Duration(v.BeganS*float64(time.Second)), time.Duration(v.EndedS*float64(time.Second))
		for i := slot(began); i <= slot(ended); i++ {
			from, to := max(began, time.Duration(i)*step), min(ended, time.Duration(i+1)*step)
			out.Live[i] = round(out.Live[i] + max(0, (to-from).Seconds())/s.Step)
		}
	}
	for i := range timeSlices {
		out.Hits = append(out.Hits, part(cached[i], input[i]))
		out.Theoretical = append(out.Theoretical, part(hits[i], blocks[i]))
	}
	out.Rows = rows(kept.Timings, sum.BySession)
	return out
}

func part(of, all int) *float64 {
	if all == 0 {
		return nil
	}
	v := round(float64(of) / float64(all))
	return &v
}

// rows puts each stream's turns into a row, those of a session one below the other,
// sessions in order of their begin.
func rows(ts []stats.Timing, sessions []stats.SessionFigures) (out []SessionRow) {
	of := func(t stats.Timing) [2]int { return [2]int{t.Turn.Session, t.Turn.Stream} }
	ts = slices.DeleteFunc(slices.Clone(ts), func(t stats.Timing) bool {
		return t.Turn == nil || t.Turn.Session >= len(sessions)
	})
	slices.SortStableFunc(ts, func(a, b stats.Timing) int {
		x, y := of(a), of(b)
		return cmp.Or(slices.Compare(x[:], y[:]), cmp.Compare(a.Sent, b.Sent))
	})
	var last [2]int
	for i, t := range ts[:min(len(ts), maxTurns)] {
		if i == 0 || of(t) != last {
			if last = of(t); len(out) == maxRows {
				break
			}
			name := sessions[t.Turn.Session].Trace
			if t.Turn.Stream > 0 {
				name = fmt.Sprintf("↳ agent %d", t.Turn.Stream)
			}
			out = append(out, SessionRow{Name: name})
		}
		row := &out[len(out)-1]
		row.Turns = append(row.Turns, span(t))
	}
	return out
}
