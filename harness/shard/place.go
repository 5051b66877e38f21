// Package shard runs one load from several processes, on one machine or many,
// where a single client cannot load the target: the same binary as tasks of a
// scheduler (Slurm's srun, a Kubernetes Indexed Job).
//
// Every shard sends its share of the same workload and holds its share of the
// requests in flight. The shards meet in a folder that all of them see, start
// their clocks at one agreed instant, and leave their recordings there; shard 0
// leads, and merges them into the recording that one client would have made. A
// shard that does not come, fails, or stops giving signs of life makes the run
// an error, never a smaller figure.
package shard

import (
	"fmt"

	"inferbench/harness/load"
	"inferbench/harness/workload"
)

// Place is which of the shards a process is.
type Place struct {
	Index, Count int    // 0 leads; a Count below 2 is no sharding
	Dir          string // seen by all shards, and of this run alone
}

// Alone reports whether there is nobody to share with.
func (p Place) Alone() bool { return p.Count < 2 }

// Leads reports whether this shard merges and writes the results.
func (p Place) Leads() bool { return p.Index == 0 }

// share returns this shard's part of n things dealt out one by one.
func (p Place) share(n int) int { return (n + p.Count - 1 - p.Index) / p.Count }

// global returns the index in the whole workload of this shard's request i, and
// likewise of its warm-up requests -1, -2, …
func (p Place) global(i int) int {
	if i < 0 {
		return -1 - p.global(-1-i)
	}
	return i*p.Count + p.Index
}

// Options returns the shard's part of the whole load's options.
func (p Place) Options(o load.Options) (load.Options, error) {
	if o.Conc < p.Count {
		return o, fmt.Errorf("CONC %d cannot be shared out among %d shards: use at most %d", o.Conc, p.Count, o.Conc)
	}
	if o.WarmUp < 0 {
		o.WarmUp = 2 * o.Conc
	}
	o.WarmUp = p.share(o.WarmUp)
	o.Conc = p.share(o.Conc)
	o.Share, o.Shares = p.Index, p.Count
	return o, nil
}

// Source returns the shard's part of a workload: every Count-th request from Index
// on.
func (p Place) Source(src workload.Source) workload.Source { return part{p, src} }

type part struct {
	place Place
	whole workload.Source
}

func (s part) Len() int {
	if s.whole.Len() == workload.Endless {
		return workload.Endless
	}
	return s.place.share(s.whole.Len())
}

func (s part) Request(i int) (workload.Request, error) { return s.whole.Request(s.place.global(i)) }

// RequestInto passes on that a source can write into a slice.
func (s part) RequestInto(tokens []int32, i int) (workload.Request, error) {
	return workload.RequestInto(s.whole, tokens, s.place.global(i))
}

// Check passes on a source's own check of itself.
func (s part) Check() error { return workload.Check(s.whole) }
