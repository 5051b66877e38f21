package sweep

import (
	"context"
	"fmt"
	"math"
	"time"

	"inferbench/harness/load"
	"inferbench/harness/matrix"
	"inferbench/harness/settings"
	"inferbench/harness/workload"
)

// `go test` kills a test binary when its -timeout has passed (10 minutes unless
// told otherwise), and every figure of the running cell is lost. So a sweep
// that will not fit is refused before it starts, by an estimate from one short
// request to this very server, and stopped when the first cells show that the
// estimate was too hopeful.

// budget compares what a sweep will take with what it has.
type budget struct {
	limit    time.Duration // zero: no limit, and nothing is estimated
	begin    time.Time
	expected map[matrix.Cell]time.Duration // of one pass
	passes   map[matrix.Cell]int           // still to come
	slower   float64                       // measured / expected, of the benchmarks done

	accuracies int           // accuracy runs still to come
	accuracy   time.Duration // what the last one took
}

// probeTokens is the output length of the probe: long enough for a mean time a
// token, short enough to cost next to nothing.
const probeTokens = 32

// newBudget probes the server where there is a limit to keep, and refuses a
// sweep that will not fit.
func (sw *Sweep) newBudget(ctx context.Context) (*budget, error) {
	b := &budget{limit: sw.Limit, begin: sw.Begin, slower: 1,
		expected: map[matrix.Cell]time.Duration{}, passes: map[matrix.Cell]int{}}
	count := max(sw.Count, 1)
	for _, c := range sw.cells {
		switch {
		case sw.Plan.Accuracy(c.Name()):
			b.accuracies += count
		case sw.serves(c):
			b.accuracies++ // once, before the first pass
		}
	}
	if b.limit == 0 {
		return b, nil
	}
	b.expected = sw.expectations(ctx)
	for c := range b.expected {
		b.passes[c] = count
	}
	return b, b.fits()
}

// probe is what one request showed of the server's speed at CONC 1.
type probe struct{ ttft, tpot time.Duration }

// probe sends one short request. A failure is not an error here: the cell will
// meet it again and say it better.
func (sw *Sweep) probe(ctx context.Context, isl int) probe {
	src := workload.Random{N: 1, ISL: isl, OSL: probeTokens, RangeRatio: 1, Vocab: sw.Target.Vocab, Seed: sw.Settings.Workload.Seed}
	rec, err := load.Run(ctx, sw.Target, src, load.Options{Conc: 1, RequestTimeout: time.Minute})
	if err != nil || len(rec.Timings) != 1 || rec.Timings[0].Err != "" {
		return probe{}
	}
	t := rec.Timings[0]
	return probe{ttft: t.TTFT(), tpot: t.TPOT()}
}

// batchGrowth is how much slower a request gets as CONC grows: E2E ∝ CONC^0.32,
// the slope of the B200's (1024,1024) points between CONC 4 and 64 (baselines:
// 1000/135.46 ms to 1000/55.476 ms a token).
const batchGrowth = 0.32

// cell is what the cell's benchmark should take: two rounds of warm-up, then
// NUM_PROMPTS/CONC rounds, or as long as sending them takes where they have a
// rate. DURATION ends the sending, and what is in flight then takes a round.
func (p probe) cell(c matrix.Cell, t settings.Shape, endless bool) time.Duration {
	one := p.ttft + time.Duration(c.OSL)*p.tpot
	round := time.Duration(float64(one) * math.Pow(float64(c.Conc), batchGrowth))
	all := round * time.Duration(math.Ceil(float64(c.NumPrompts)/float64(c.Conc)))
	if t.Rate > 0 {
		all = max(all, time.Duration(float64(c.NumPrompts)/t.Rate*float64(time.Second)))
	}
	if t.Duration > 0 && (endless || all > t.Duration) {
		all = t.Duration + round
	}
	return 2*round + all
}

// fits is nil, or why the rest of the sweep will not end in time.
func (b *budget) fits() error {
	if b.limit == 0 {
		return nil
	}
	var rest time.Duration
	for c, d := range b.expected {
		rest += time.Duration(float64(d) * b.slower * float64(b.passes[c]))
	}
	rest += time.Duration(b.accuracies) * b.accuracy
	elapsed := time.Since(b.begin)
	if elapsed+rest <= b.limit {
		return nil
	}
	return fmt.Errorf("this sweep needs about %s more, but go test would kill it in %s: add -timeout 0 (the make targets do)",
		rest.Round(time.Second), (b.limit - elapsed).Round(time.Second))
}

func (b *budget) accuracyTook(d time.Duration) error {
	b.accuracy = d
	b.accuracies = max(b.accuracies-1, 0)
	return b.fits()
}

func (b *budget) servingTook(c matrix.Cell, d time.Duration) error {
	if e := b.expected[c]; e > 0 {
		b.slower = float64(d) / float64(e)
	}
	b.passes[c] = max(b.passes[c]-1, 0)
	return b.fits()
}

// overrun stops the sweep before its next cell when err says that the time will
// not do.
func (sw *Sweep) overrun(err error) {
	sw.mu.Lock()
	defer sw.mu.Unlock()
	if sw.stop == nil {
		sw.stop = err
	}
}
