package load

import (
	"math"
	"runtime"
	"runtime/metrics"
	"slices"
	"time"

	"inferbench/harness/stats"
)

// watch observes the client while it runs.
type watch struct {
	begin  time.Time
	cpu    time.Duration
	before histograms
	done   chan struct{}
	late   chan lateness
}

// lateness is how late timers were.
type lateness struct {
	by     []time.Duration
	spells [][2]time.Time // in which none fired that should have: the client stood still
}

// stoodStill is from which lateness on a timer tells of a spell.
const stoodStill = 5 * time.Millisecond

// watchEvery is how long the timers are whose lateness is measured: in a run of some
// seconds 50 ms, since each wakes an idle process, which costs as much as many tokens
// do. A shorter run has shorter ones, so that there are enough of them.
func watchEvery(run time.Duration) time.Duration {
	return min(max(run/20, 10*time.Millisecond), 50*time.Millisecond)
}

func startWatch() *watch {
	w := &watch{begin: time.Now(), cpu: cpuTime(), before: readHistograms(), done: make(chan struct{}),
		late: make(chan lateness, 1)}
	go w.timers()
	return w
}

// timers measures how late timers fire. A run of an hour sets 72,000 of them.
func (w *watch) timers() {
	var late lateness
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		now := time.Now()
		every := watchEvery(now.Sub(w.begin))
		due := now.Add(every)
		timer.Reset(every)
		select {
		case <-timer.C:
			now := time.Now()
			late.by = append(late.by, max(now.Sub(due), 0))
			if now.Sub(due) >= stoodStill {
				late.spells = append(late.spells, [2]time.Time{due, now})
			}
		case <-w.done:
			w.late <- late
			return
		}
	}
}

// stop ends the watch and judges what it saw of the phase. It returns the spells in
// which the client stood still, from the phase's start on.
func (w *watch) stop(p *phase, withEngine bool) (stats.Audit, [][2]time.Duration) {
	close(w.done)
	seen := <-w.late
	late := seen.by
	var still [][2]time.Duration
	for _, s := range seen.spells {
		still = append(still, [2]time.Duration{s[0].Sub(p.base), s[1].Sub(p.base)})
	}
	wall := time.Since(w.begin)
	cpu := cpuTime() - w.cpu
	after := readHistograms()

	a := stats.Audit{WithEngine: withEngine, CPUShare: cpu.Seconds() / wall.Seconds() / float64(runtime.GOMAXPROCS(0))}
	if len(late) > 0 {
		slices.Sort(late)
		a.LatenessP50Ms, a.LatenessP99Ms, a.LatenessMaxMs = ms(late[len(late)/2]), ms(late[(len(late)-1)*99/100]),
			ms(late[len(late)-1])
	}
	var paused float64
	a.GCPauseP99Ms, a.GCPauseMaxMs, paused = between(w.before.pauses, after.pauses)
	a.GCPauseShare = paused / ms(wall)
	a.SchedulingP99Ms, _, _ = between(w.before.scheduling, after.scheduling)

	var chunks int64
	var answers int
	var e2el time.Duration
	var tokens int64
	var idle, waited time.Duration
	for _, s := range p.slots {
		a.Dials += s.dials
		a.Retries += s.retries
		a.DialMaxMs = max(a.DialMaxMs, ms(s.dialMax))
		a.TLSMaxMs = max(a.TLSMaxMs, ms(s.tlsMax))
		a.BundledChunks += s.bundled
		chunks += s.chunks
		idle += s.idle
		e2el, tokens = e2el+s.e2el, tokens+s.outputTokens
		answers += s.answers
		a.FirstBundled += s.firstBundled
		a.LateEnds += s.lingered
		waited += s.waited
		a.EndWaitMaxMs = max(a.EndWaitMaxMs, ms(s.most))
	}
	if chunks > 0 {
		a.BundledShare = float64(a.BundledChunks) / float64(chunks)
		a.CPUPerTokenUs = cpu.Seconds() * 1e6 / float64(chunks)
	}
	if tokens > 0 {
		a.TokenEveryMs = ms(e2el) / float64(tokens)
	}
	if answers > 0 {
		a.FirstBundledShare = float64(a.FirstBundled) / float64(answers)
	}
	a.ReadTickMs = ms(p.end.tick())
	width := min(len(p.slots), p.supply.total)
	if p.turns != nil {
		width = p.opts.Conc
		a.LaneIdleShare, idle = p.turns.idle(p.duration)
	}
	if all := p.duration * time.Duration(width); all > 0 {
		a.IdleShare, a.EndWaitShare = idle.Seconds()/all.Seconds(), waited.Seconds()/all.Seconds()
	}
	a.Judge()
	return a, still
}

func ms(d time.Duration) float64 { return d.Seconds() * 1e3 }

// histograms are what Go's runtime keeps of itself, from its start.
type histograms struct{ pauses, scheduling *metrics.Float64Histogram }

func readHistograms() histograms {
	s := []metrics.Sample{{Name: "/sched/pauses/total/gc:seconds"}, {Name: "/sched/latencies:seconds"}}
	metrics.Read(s)
	get := func(v metrics.Value) *metrics.Float64Histogram {
		if v.Kind() != metrics.KindFloat64Histogram {
			return nil // a later Go may drop a metric
		}
		return v.Float64Histogram()
	}
	return histograms{get(s[0].Value), get(s[1].Value)}
}

// between is the 99th percentile, the maximum and the sum, in ms, of what is in
// b but not yet in a, each at the upper end of its bucket.
func between(a, b *metrics.Float64Histogram) (p99, most, sum float64) {
	if a == nil || b == nil || len(a.Counts) != len(b.Counts) {
		return 0, 0, 0
	}
	var total uint64
	for i, n := range b.Counts {
		total += n - a.Counts[i]
	}
	var seen uint64
	for i, n := range b.Counts {
		d := n - a.Counts[i]
		if d == 0 {
			continue
		}
		upper := b.Buckets[i+1]
		if math.IsInf(upper, 1) {
			upper = b.Buckets[i]
		}
		before := seen
		seen += d
		most = upper * 1e3
		sum += most * float64(d)
		if before*100 < total*99 && seen*100 >= total*99 {
			p99 = most
		}
	}
	return p99, most, sum
}
