package clientcheck

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
)

// rounds is how often each load is put on, by our client and the bare loop in
// turN: the best of each counts, since everything else on the machine can only
// slow one down.
const rounds = 3

// Streams measures throughput beside a bare loop's, which is what the engine
// can send, and memory a stream, with many streams and with long prompts.
func Streams(ctx context.Context) error {
	idle, err := streamed(ctx, "ours", Job{Conc: 1, N: 2, ISL: 128, OSL: 16})
	if err != nil {
		return err
	}
	fmt.Printf("%8s %8s %8s %12s %12s %8s %14s\n", "streams", "input", "output", "ours tok/s", "bare tok/s", "ratio",
		"KiB a stream")
	for _, j := range []Job{
		{Conc: 64, N: 64, ISL: 1024, OSL: 1024},
		{Conc: 1024, N: 1024, ISL: 1024, OSL: 256},
		{Conc: 4096, N: 4096, ISL: 128, OSL: 64},
		{Conc: 4096, N: 4096, ISL: 8192, OSL: 64},
		{Conc: 16384, N: 16384, ISL: 128, OSL: 16},
		{Conc: 16, N: 16, ISL: 131072, OSL: 8192},
	} {
		var ours, bare, kib float64
		for range rounds {
			a, err := streamed(ctx, "ours", j)
			if err != nil {
				return fmt.Errorf("%d streams of %d tokens: %w", j.Conc, j.ISL, err)
			}
			b, err := streamed(ctx, "bare", j)
			if err != nil {
				return fmt.Errorf("%d streams of %d tokens: %w", j.Conc, j.ISL, err)
			}
			ours, bare, kib = max(ours, a.rate), max(bare, b.rate), max(kib, a.peakKiB-idle.peakKiB)
		}
		fmt.Printf("%8d %8d %8d %12.0f %12.0f %8.2f %14.1f\n", j.Conc, j.ISL, j.OSL, ours, bare, ours/bare,
			kib/float64(j.Conc))
	}
	return nil
}

// footprint is what a client said of its run.
type footprint struct{ rate, peakKiB float64 }

var said = regexp.MustCompile(`(\d+) output tok/s, .*\b(\d+) KiB at most`)

// streamed runs a client on an engine of its own.
func streamed(ctx context.Context, kind string, j Job) (f footprint, err error) {
	e, err := startEngine(ctx, 0)
	if err != nil {
		return f, err
	}
	defer e.stop()
	j.URL = e.URL
	out, err := child(ctx, e.self, kind, j)
	if err != nil {
		return f, err
	}
	m := said.FindSubmatch(out)
	if m == nil {
		return f, fmt.Errorf("client %s said %q", kind, out)
	}
	f.rate, _ = strconv.ParseFloat(string(m[1]), 64)
	f.peakKiB, _ = strconv.ParseFloat(string(m[2]), 64)
	return f, nil
}
