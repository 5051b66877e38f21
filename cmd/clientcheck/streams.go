package main

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// streams measures throughput beside a bare loop's, which is what the engine
// can send, and memory a stream, with many streams and with long prompts.
func streams(ctx context.Context) error {
	idle, err := peak(ctx, job{conc: 1, n: 2, isl: 128, osl: 16}, 0)
	if err != nil {
		return err
	}
	fmt.Printf("%8s %8s %8s %12s %12s %8s %14s\n", "streams", "input", "output", "ours tok/s", "bare tok/s", "ratio", "KiB a stream")
	for _, j := range []job{
		{conc: 64, n: 320, isl: 1024, osl: 512},
		{conc: 1024, n: 2048, isl: 1024, osl: 256},
		{conc: 4096, n: 8192, isl: 128, osl: 128},
		{conc: 4096, n: 4096, isl: 8192, osl: 128},
		{conc: 16, n: 48, isl: 131072, osl: 1024},
	} {
		if err := streamsAt(ctx, j, idle.peakKiB); err != nil {
			return fmt.Errorf("%d streams of %d tokens: %w", j.conc, j.isl, err)
		}
	}
	return nil
}

func streamsAt(ctx context.Context, j job, idleKiB float64) error {
	got, err := peak(ctx, j, 0)
	if err != nil {
		return err
	}
	e, err := startEngine(ctx, 0)
	if err != nil {
		return err
	}
	defer e.stop()
	j.url = e.url
	begin := time.Now()
	if _, err := child(ctx, e.self, "bare", j); err != nil {
		return err
	}
	bare := float64(j.n*j.osl) / time.Since(begin).Seconds()
	fmt.Printf("%8d %8d %8d %12.0f %12.0f %8.2f %14.1f\n", j.conc, j.isl, j.osl, got.rate, bare, got.rate/bare, (got.peakKiB-idleKiB)/float64(j.conc))
	return nil
}

// footprint is what the client said of its run.
type footprint struct{ rate, peakKiB float64 }

var said = regexp.MustCompile(`(\d+) output tok/s, .* (\d+) KiB at most`)

// peak runs our client on an engine of its own.
func peak(ctx context.Context, j job, step time.Duration) (f footprint, err error) {
	e, err := startEngine(ctx, step)
	if err != nil {
		return f, err
	}
	defer e.stop()
	j.url = e.url
	begin := time.Now()
	out, err := child(ctx, e.self, "ours", j)
	if err != nil {
		return f, err
	}
	m := said.FindSubmatch(out)
	if m == nil {
		return f, fmt.Errorf("the client said %q", out)
	}
	f.peakKiB, _ = strconv.ParseFloat(string(m[2]), 64)
	// The process as a whole, as for the bare loop: its start and end included.
	f.rate = float64(j.n*j.osl) / time.Since(begin).Seconds()
	return f, nil
}
