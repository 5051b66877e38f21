package schedule

import (
	"sort"
	"time"
)

// Cost says how long a step of the engine takes:
//
//	step = f(decoding requests) + PerContextToken · (their context tokens)
//	     + prefill tokens / PrefillRate + PerPrefillPair · (tokens they attend to)
//	     + PrefillOverhead, where there is any prefill
//	     + tokens loaded back from the host tier / HostRate
//
// f is interpolated linearly between the points of DecodeStep, and carried on
// beyond them along the last pair: the step of a mixture-of-experts model grows
// concavely with the batch, as more experts' weights must be read, and no
// straight line fits that.
type Cost struct {
	DecodeStep      []Point       // by batch, ascending; at least one
	PerContextToken float64       // ns; attention reads the KV cache of every context token
	PrefillRate     float64       // tokens a second
	PrefillOverhead time.Duration // launching a step that prefills
	PerPrefillPair  float64       // ns for each token of the prompt that a prefilled token attends to
	HostRate        float64       // tokens a second from the host tier of the prefix cache; 0: at no cost
}

// Point is a step time at a batch size.
type Point struct {
	Batch int
	Step  time.Duration
}

// Load is what one step computes.
type Load struct {
	Decoding int // requests that decode
	Context  int // tokens of context that they hold
	Rounds   int // decode steps run as one (num-continuous-decode-steps); 0 counts as 1
	Prefill  int // prompt tokens
	Pairs    int // prompt tokens that these attend to, summed
	Loaded   int // prompt tokens that come from the host tier of the prefix cache
}

// Step returns how long a step with this load takes.
func (c *Cost) Step(l Load) time.Duration {
	var d time.Duration
	if l.Decoding > 0 {
		d = c.decode(l.Decoding) + time.Duration(c.PerContextToken*float64(l.Context))
		d *= time.Duration(max(l.Rounds, 1))
	}
	if l.Prefill > 0 {
		d += c.PrefillOverhead
		d += time.Duration(float64(l.Prefill)/c.PrefillRate*1e9 + float64(l.Pairs)*c.PerPrefillPair)
	}
	if l.Loaded > 0 && c.HostRate > 0 {
		d += time.Duration(float64(l.Loaded) / c.HostRate * 1e9)
	}
	return d
}

func (c *Cost) decode(batch int) time.Duration {
	p := c.DecodeStep
	i := sort.Search(len(p), func(i int) bool { return p[i].Batch >= batch })
	switch {
	case i == 0 || len(p) == 1:
		return p[0].Step
	case i == len(p):
		i-- // beyond the last: along the last pair
	}
	a, b := p[i-1], p[i]
	slope := float64(b.Step-a.Step) / float64(b.Batch-a.Batch)
	return a.Step + time.Duration(slope*float64(batch-a.Batch))
}
