package sweep

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"inferbench/harness/batch"
	"inferbench/harness/capacity"
	"inferbench/harness/load"
	"inferbench/harness/matrix"
	"inferbench/harness/stats"
)

// confidence is that of every judgement of a limit.
const confidence = 0.95

// judgeLimits notes in a result how the limits of SLO were kept. The error says which
// were missed by the figures; in a probe, where a miss is an answer, it is nil.
func (sw *Sweep) judgeLimits(c matrix.Cell, r *batch.Result, rec *load.Recording) error {
	shape := sw.Settings.Shape
	if len(shape.Limits) == 0 {
		return nil
	}
	if p := sw.probing; p != nil && p.cell == c {
		if sw.Settings.Replay.Kind != nil { // sessions go on to their end, and are looked at once
			p.requests = len(rec.Timings)
			p.verdict, p.judgements = capacity.JudgeAll(shape.Limits, stats.Timed(rec.Timings), shape.SLO, confidence)
		}
		r.SLO = p.judgements
		return nil
	}
	var missed []string
	_, r.SLO = capacity.JudgeAll(shape.Limits, stats.Timed(rec.Timings), shape.SLO, confidence)
	for _, j := range r.SLO {
		switch {
		case j.Missed():
			missed = append(missed, j.Figure())
		case j.Verdict == capacity.Unresolved:
			r.Notes = append(r.Notes, j.InDoubt())
		}
	}
	if missed == nil {
		return nil
	}
	return errors.New(capacity.MissedReason + strings.Join(missed, ", "))
}

// probe is a cell that is measured until its limits are decided.
type probe struct {
	cell       matrix.Cell
	looks      []capacity.Look
	verdict    capacity.Verdict
	judgements []capacity.Judgement
	requests   int // that were judged
}

// enough judges the requests at each look, and says whether that decides.
func (p *probe) enough(limits []capacity.Limit, slo stats.SLO) func(int, func() []stats.Timing) bool {
	left := p.looks
	return func(ended int, timings func() []stats.Timing) bool {
		if len(left) == 0 || ended < left[0].Requests {
			return false
		}
		look := left[0]
		left = left[1:]
		p.requests = ended
		judge := capacity.JudgeAll
		if p.cell.Rate > 0 {
			judge = capacity.JudgeOpen
		}
		p.verdict, p.judgements = judge(limits, stats.Timed(timings()), slo, look.Confidence)
		return look.Decides(p.verdict) || len(left) == 0
	}
}

// Probe measures one more cell until the limits of SLO are decided or the last look
// at them has been taken; NUM_PROMPTS is the most it sends. A cell that FAILED misses
// the limits. The error is one for which a search cannot go on: an interrupt, a server
// that has gone, a result that cannot be written.
func (sw *Sweep) Probe(ctx context.Context, c matrix.Cell) (capacity.Probe, error) {
	c, looks := ProbeCell(c, sw.Settings.Selection.NumPrompts, sw.Settings.Shape.Limits)
	out := capacity.Probe{Verdict: capacity.Missed}
	if err := sw.Add(c); err != nil {
		return out, err
	}
	p := &probe{cell: c, looks: looks, verdict: capacity.Unresolved}
	sw.probing = p
	defer func() { sw.probing = nil }()
	r, err := sw.Serve(ctx, c)
	var failed *AccuracyFailed
	out.ClientLimited = r != nil && r.Marked(batch.ClientLimited)
	switch {
	case errors.As(err, &failed):
		out.Reason = failed.Reason
		return out, nil
	case err != nil:
		return out, err
	case r.RunAgain:
		return out, fmt.Errorf("%s: %s", c.Name(), r.Reason)
	case r.Status != batch.Passed:
		out.Reason = r.Reason
		return out, nil
	}
	out.Verdict, out.Judgements, out.Requests = p.verdict, p.judgements, p.requests
	return out, nil
}

// ProbeCell is the cell of a probe, which sends at most as many requests as prompts
// has for it where that is given, else as many as its looks take, and the looks at
// it.
func ProbeCell(c matrix.Cell, prompts matrix.Prompts, limits []capacity.Limit) (matrix.Cell, []capacity.Look) {
	looks := capacity.Looks(limits, c.Conc, confidence)
	if c.Rate > 0 {
		looks = capacity.LooksOpen(limits, confidence)
	}
	if prompts.Given() {
		numPrompts := prompts.Of(c.OSL, c.Conc)
		for len(looks) > 1 && looks[len(looks)-1].Requests > numPrompts {
			looks = looks[:len(looks)-1]
		}
		last := &looks[len(looks)-1]
		last.Requests, last.Early = min(last.Requests, numPrompts), false
	}
	c.NumPrompts = looks[len(looks)-1].Requests
	return c, looks
}
