package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"inferbench/harness/clientcheck"
)

func clientCommand() *cobra.Command {
	c := group(&cobra.Command{
		Use: "client", Short: "Measure the suite's own client on the embedded engine (for maintainers)",
		Example: `  inferbench client cost -conc 64 -step 20ms
  inferbench client timing
  inferbench client streams`,
	})
	part := func(name, short string, do func(context.Context, clientcheck.Job) error) *cobra.Command {
		var j clientcheck.Job
		p := &cobra.Command{Use: name, Short: short, Args: want(0, 0, "no words: flags only"),
			RunE: func(c *cobra.Command, _ []string) error { return do(c.Context(), j) }}
		f := p.Flags()
		f.StringVar(&j.URL, "url", "", "server")
		f.IntVar(&j.Conc, "conc", 64, "requests in flight")
		f.IntVarP(&j.N, "n", "n", 64, "requests")
		f.IntVar(&j.ISL, "isl", 128, "input tokens")
		f.IntVar(&j.OSL, "osl", 128, "output tokens")
		f.BoolVar(&j.IDs, "ids", false, "name each request, and print its timing")
		c.AddCommand(p)
		return p
	}
	var step time.Duration
	var only string
	var rounds int
	cost := part("cost", "Processor time a token, beside a bare loop and the clients of others",
		func(ctx context.Context, j clientcheck.Job) error {
			return clientcheck.Cost(ctx, j, step, rounds, only)
		})
	cost.Flags().DurationVar(&step, "step", 20*time.Millisecond,
		"time between the tokens of a stream; 0 is as fast as the engine can, several to a read")
	cost.Flags().IntVar(&rounds, "rounds", 4, "times that each client runs, in turn with the others")
	cost.Flags().StringVar(&only, "only", "", "clients to measure, with commas between; none means all that are installed")
	part("bare", "", clientcheck.Bare).Hidden = true // the processes that cost and the others start
	part("ours", "", clientcheck.Ours).Hidden = true
	for name, p := range map[string]struct {
		short string
		do    func(context.Context) error
	}{
		"timing":  {"Its TTFT and ITL beside the engine's own trace", clientcheck.Timing},
		"streams": {"Throughput and memory with many streams and long prompts", clientcheck.Streams},
	} {
		c.AddCommand(&cobra.Command{Use: name, Short: p.short, Args: want(0, 0, "no words"),
			RunE: func(c *cobra.Command, _ []string) error { return p.do(c.Context()) }})
	}
	return c
}
