// Package estimate says how long cells will take on a server, from short
// requests to that server, and whether they fit the time that there is.
package estimate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"text/tabwriter"
	"time"

	"inferbench/harness/load"
	"inferbench/harness/matrix"
	"inferbench/harness/server"
	"inferbench/harness/settings"
	"inferbench/harness/stats"
	"inferbench/harness/workload"
)

// Passes sends the server a short request for each ISL and says what one pass
// over each of the cells should take. Of a scenario that is its duration, 0 where it
// has none: how long sessions take is theirs and the server's to say.
func Passes(ctx context.Context, t *server.Server, s settings.Settings,
	cells []matrix.Cell) map[matrix.Cell]time.Duration {
	out := map[matrix.Cell]time.Duration{}
	probed := map[int]probe{}                // by ISL
	recorded := map[matrix.Combination]int{} // prompts of canaries
	for _, c := range cells {
		if c.Scenario != "" {
			rules, _ := s.Rules(c.Conc)
			out[c] = rules.Duration
			continue
		}
		p, ok := probed[c.ISL]
		if !ok {
			p = ask(ctx, t, c.ISL, s.Workload.Seed)
			probed[c.ISL] = p
		}
		out[c] = p.cell(c, s.Shape, s.Endless())
		if n := canaries(c, s) - recorded[c.Combination]; n > 0 {
			recorded[c.Combination] += n
			out[c] += time.Duration(2*n) * p.request(min(c.OSL, workload.CanaryTokens))
		}
	}
	return out
}

// canaries is how many prompts are recorded for the cell's canaries, one after
// another and twice each; other cells of the combination share them.
func canaries(c matrix.Cell, s settings.Settings) int {
	if s.Accuracy.CanaryShare == 0 || s.Server.Synthetic || s.Replay.Kind != nil {
		return 0
	}
	all := workload.Placing{Requests: c.NumPrompts, Share: s.Accuracy.CanaryShare, Least: workload.LeastCanaries}.Count()
	return min(all, workload.CanaryPrompts)
}

// Accuracy sends the server a request and says what an accuracy run over so many
// bytes of data should take, rather too long than too short: a token is three bytes
// or more, none is read beside another one, and half of the time goes elsewhere.
func Accuracy(ctx context.Context, t *server.Server, s settings.Settings, bytes int64) time.Duration {
	if bytes == 0 {
		return 0
	}
	const isl = 1024
	tokens := float64(bytes) / 3
	return time.Duration(2 * tokens / isl * float64(ask(ctx, t, isl, s.Workload.Seed).ttft))
}

// Write writes what each cell's benchmark should take on the server, and what
// all should: see [Passes]. Accuracy comes on top: how long that takes is known
// once it has run.
func Write(ctx context.Context, w io.Writer, t *server.Server, s settings.Settings, cells []matrix.Cell) error {
	if len(cells) == 0 {
		return errors.New("nothing to estimate: mode acc measures no speed")
	}
	if c := cells[0]; c.Scenario != "" {
		return writeScenario(w, s, cells)
	}
	expected := Passes(ctx, t, s, cells)
	if err := ctx.Err(); err != nil {
		return err
	}
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(tab, "ISL\tOSL\tCONC\trequests\tabout\t\n")
	var all, least time.Duration
	for _, cell := range cells {
		d := expected[cell]
		all += d
		least += min(d, time.Duration(float64(d)*(warmUpRounds+rounds(stats.LeastRequests(cell.Conc), cell.Conc))/
			(warmUpRounds+rounds(cell.NumPrompts, cell.Conc))))
		requests := fmt.Sprint(cell.NumPrompts)
		if s.Endless() {
			requests = "for " + s.Shape.Duration.String()
		}
		fmt.Fprintf(tab, "%d\t%d\t%d\t%s\t%s\t\n", cell.ISL, cell.OSL, cell.Conc, requests, d.Round(time.Second))
	}
	if err := tab.Flush(); err != nil {
		return err
	}
	accuracy := "accuracy not asked for"
	if s.Accuracy.Task != "none" {
		times := "once"
		if n := len(s.Accuracy.At.Scores(cells)); n != 1 {
			times = fmt.Sprintf("%d times", n)
		}
		accuracy = fmt.Sprintf("accuracy not counted: it is scored %s (ACC_AT)", times)
	}
	if _, err := fmt.Fprintf(w, "In all about %s on %s, %s.\n", all.Round(time.Second), t.Model, accuracy); err != nil {
		return err
	}
	if s.Shape.Precision > 0 {
		_, err := fmt.Fprintf(w, "PRECISION=%g%% may end cells sooner: at the soonest after about %s in all.\n",
			100*s.Shape.Precision, least.Round(time.Second))
		return err
	}
	return nil
}

// warmUpRounds are those before the clock starts.
const warmUpRounds = 2

// rounds is how often all slots are filled.
func rounds(prompts, conc int) float64 { return math.Ceil(float64(prompts) / float64(conc)) }

// writeScenario writes what the cells of a scenario should take.
func writeScenario(w io.Writer, s settings.Settings, cells []matrix.Cell) error {
	rules, _ := s.Rules(cells[0].Conc)
	if rules.Duration == 0 {
		return errors.New("nothing to estimate: how long sessions take is theirs and the server's to say, unless DURATION " +
			"ends a cell")
	}
	_, err := fmt.Fprintf(w, "%d cells of %s each, warm-up and accuracy not counted: about %s.\n", len(cells),
		rules.Duration, time.Duration(len(cells))*rules.Duration)
	return err
}

// probeTokens is the output length of the probe: long enough for a mean time a
// token, short enough to cost next to nothing.
const probeTokens = 32

// probe is what one request showed of the server's speed at CONC 1.
type probe struct{ ttft, tpot time.Duration }

// ask sends one short request. A failure is not an error here: the cell's own
// requests meet it again, and its result says what it was.
func ask(ctx context.Context, t *server.Server, isl int, seed int64) probe {
	if load.FindVocab(ctx, t, time.Minute) != nil {
		return probe{}
	}
	src := workload.Random{N: 1, ISL: isl, OSL: probeTokens, RangeRatio: 1, Vocab: t.Vocab, Seed: seed}
	rec, err := load.Run(ctx, t, src, load.Options{Conc: 1, RequestTimeout: time.Minute})
	if err != nil || len(rec.Timings) != 1 || rec.Timings[0].Err != "" {
		return probe{}
	}
	timing := rec.Timings[0]
	return probe{ttft: timing.TTFT(), tpot: timing.TPOT()}
}

// request is what a request of so many output tokens takes at CONC 1.
func (p probe) request(osl int) time.Duration { return p.ttft + time.Duration(osl)*p.tpot }

// batchGrowth is how much slower a request gets as CONC grows: E2E ∝ CONC^0.32,
// the slope of the B200's (1024,1024) points between CONC 4 and 64 (baselines:
// 1000/135.46 ms to 1000/55.476 ms a token).
const batchGrowth = 0.32

// cell is what the cell's benchmark should take: two rounds of warm-up, then
// NUM_PROMPTS/CONC rounds, or as long as sending them takes where they have a
// rate. DURATION ends the sending, and what is in flight then takes a round.
func (p probe) cell(c matrix.Cell, t settings.Shape, endless bool) time.Duration {
	one := p.request(c.OSL)
	round := time.Duration(float64(one) * math.Pow(float64(c.Conc), batchGrowth))
	all := round * time.Duration(rounds(c.NumPrompts, c.Conc))
	if t.Rate > 0 {
		all = max(all, time.Duration(float64(c.NumPrompts)/t.Rate*float64(time.Second)))
	}
	if t.Duration > 0 && (endless || all > t.Duration) {
		all = t.Duration + round
	}
	return warmUpRounds*round + all
}
