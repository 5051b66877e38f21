package load

import (
	"fmt"
	"runtime"
	"runtime/metrics"
	"slices"
	"syscall"
	"time"

	"inferbench/harness/stats"
)

// The limits past which the client may have set the figures.
const (
	maxCPUShare = 0.80                  // of all cores: above it, requests queue for the client's own CPU
	maxLateness = 20 * time.Millisecond // p99 of a timer's lateness: the scale of a token gap
	maxGCPause  = 10 * time.Millisecond
)

// watch observes the client while it runs.
type watch struct {
	begin    time.Time
	cpu      time.Duration
	pauses   *metrics.Float64Histogram
	done     chan struct{}
	finished chan []time.Duration
}

const watchEvery = 10 * time.Millisecond

func startWatch() *watch {
	w := &watch{begin: time.Now(), cpu: cpuTime(), pauses: gcPauses(), done: make(chan struct{}), finished: make(chan []time.Duration, 1)}
	go w.timers()
	return w
}

// timers measures how late timers fire: what any goroutine that became ready
// had to wait for a core.
func (w *watch) timers() {
	var late []time.Duration
	timer := time.NewTimer(watchEvery)
	defer timer.Stop()
	for {
		due := time.Now().Add(watchEvery)
		timer.Reset(watchEvery)
		select {
		case <-timer.C:
			late = append(late, max(time.Since(due), 0))
		case <-w.done:
			w.finished <- late
			return
		}
	}
}

// stop ends the watch and judges what it saw.
func (w *watch) stop(p *phase, loopback bool) stats.Audit {
	close(w.done)
	late := <-w.finished
	wall := time.Since(w.begin)
	cpu := cpuTime() - w.cpu
	a := stats.Audit{WithEngine: loopback, CPUShare: cpu.Seconds() / wall.Seconds() / float64(runtime.GOMAXPROCS(0))}
	if len(late) > 0 {
		slices.Sort(late)
		a.LatenessP99Ms = late[(len(late)-1)*99/100].Seconds() * 1e3
	}
	var chunks int64
	for _, s := range p.slots {
		a.Dials += s.dials
		a.Retries += s.retries
		a.DialMaxMs = max(a.DialMaxMs, s.dialMax.Seconds()*1e3)
		a.TLSMaxMs = max(a.TLSMaxMs, s.tlsMax.Seconds()*1e3)
		a.BundledChunks += s.bundled
		chunks += s.chunks
	}
	if chunks > 0 {
		a.BundledShare = float64(a.BundledChunks) / float64(chunks)
		a.CPUPerTokenUs = cpu.Seconds() * 1e6 / float64(chunks)
	}
	a.GCPauseP99Ms, a.GCPauseMaxMs = pausesSince(w.pauses, gcPauses())

	limit := func(over bool, format string, args ...any) {
		if over {
			a.ClientLimited = true
			a.Reasons = append(a.Reasons, fmt.Sprintf(format, args...))
		}
	}
	limit(a.CPUShare > maxCPUShare && !loopback, "the client used %.0f %% of all cores (limit %.0f %%)", a.CPUShare*100, maxCPUShare*100)
	limit(a.LatenessP99Ms > maxLateness.Seconds()*1e3, "the client's timers fired %.1f ms late at the 99th percentile (limit %v)", a.LatenessP99Ms, maxLateness)
	limit(a.GCPauseP99Ms > maxGCPause.Seconds()*1e3, "garbage collection stopped the client for %.1f ms at the 99th percentile (limit %v)", a.GCPauseP99Ms, maxGCPause)
	return a
}

// cpuTime is what the process has used, user and system.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func gcPauses() *metrics.Float64Histogram {
	s := []metrics.Sample{{Name: "/sched/pauses/total/gc:seconds"}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindFloat64Histogram {
		return nil
	}
	return s[0].Value.Float64Histogram()
}

// pausesSince is the 99th percentile and the maximum, in ms, of the pauses
// that are in b but not in a: the upper ends of their buckets.
func pausesSince(a, b *metrics.Float64Histogram) (p99, most float64) {
	if a == nil || b == nil {
		return 0, 0
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
		if upper > 1e9 { // the last bucket ends in infinity
			upper = b.Buckets[i]
		}
		seen += d
		most = upper * 1e3
		if p99 == 0 && seen*100 >= total*99 {
			p99 = most
		}
	}
	return p99, most
}
