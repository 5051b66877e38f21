package workload

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"
)

// dataset is requests that are kept: those of a file, or texts that were made.
type dataset struct {
	requests []Request
	n        int       // how many the run asks for; past the end they repeat
	warm     []Request // to warm up with, the last of them first; where there are none, the last of requests
}

func (d *dataset) Len() int { return d.n }

func (d *dataset) Request(i int) (Request, error) {
	var r Request
	switch {
	case i >= 0:
		r = d.requests[i%len(d.requests)]
	case len(d.warm) > 0:
		r = d.warm[len(d.warm)-1-(-1-i)%len(d.warm)]
	default:
		r = d.requests[len(d.requests)-1-(-1-i)%len(d.requests)]
	}
	r.Index = i
	return r, nil
}

// repeats says so where a run asks for more requests than there are prompts,
// those included that it warms up with.
func (d *dataset) repeats(warmUp int) []string {
	switch have := len(d.requests); {
	case d.n == Endless:
		return []string{fmt.Sprintf("the data set has %d prompts, which repeat until the run's time is over: a "+
			"prefix cache may answer the repeats", have)}
	case d.n > have:
		return []string{fmt.Sprintf("the data set has %d prompts for %d requests: they repeat, and a prefix cache "+
			"may answer the repeats", have, d.n)}
	case d.n+warmUp > have:
		return []string{fmt.Sprintf("the data set has %d prompts for %d requests and %d to warm up with: prompts "+
			"of the warm-up are measured too, and a prefix cache may answer them", have, d.n, warmUp)}
	}
	return nil
}

var errNoPrompt = errors.New("no prompt in it can be used")

// parallel calls do for 0 to n-1, several at once, and returns the first error.
func parallel(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	const atOnce = 8
	group, work := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i := 0; i < n && work.Err() == nil; i++ {
		group.Go(func() error { return do(work, i) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}
