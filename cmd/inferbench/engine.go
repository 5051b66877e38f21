package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"inferbench/harness/engine"
	"inferbench/harness/engine/calibration"
	"inferbench/harness/engine/schedule"
)

func engineCommand() *cobra.Command {
	cfg := engine.Config{APIKey: os.Getenv("API_KEY")} // never a flag: those can be read in ps
	var host string
	var port int
	var calibrate bool
	c := &cobra.Command{
		Use: "engine", Short: "Run the embedded engine alone, for any client",
		Example: `  inferbench engine -port 8888
  inferbench engine -profile b200-dsr1-fp4 -dialect vllm
  inferbench engine -faults drop-mid-stream:rate=0.1`,
		Args: want(0, 0, "no words: flags only"),
	}
	f := c.Flags()
	f.StringVar(&host, "host", "127.0.0.1", "address to listen on; 0.0.0.0 for all")
	f.IntVar(&port, "port", 8888, "port to listen on; 0 for a free one")
	f.StringVar(&cfg.Profile, "profile", "fast", "speed profile: "+strings.Join(schedule.Profiles(),
		", ")+", or the path of a .json file")
	f.StringVar(&cfg.Model, "model", engine.ModelName, "name to serve the model under")
	f.StringVar((*string)(&cfg.Dialect), "dialect", "", "whose endpoints to offer: vllm, sglang, or none for both")
	f.IntVar(&cfg.GPUs, "tp", 0, "GPUs that it says it runs on; 0 says nothing")
	f.IntVar(&cfg.Ranks, "ranks", 1, "data-parallel ranks, each with a KV cache of its own, which share the GPUs")
	f.Float64Var(&cfg.Noise, "noise", 0, "standard deviation, in nats, of noise on all logits")
	f.Float64Var(&cfg.DecodeNoise, "decode-noise", 0, "the same on decode steps alone, on top of -noise")
	f.StringVar(&cfg.Faults, "faults", "", "what goes wrong on demand, as drop-mid-stream:rate=0.1,500:count=3; "+
		"GET /inferbench/faults lists what there is")
	f.DurationVar(&cfg.LoadTime, "load-time", 0, "how long to answer 503 at first, as if loading weights")
	f.IntVar(&cfg.TraceTokens, "trace-tokens", 1_000_000,
		"tokens whose hand-over times are kept for GET /inferbench/trace; negative for none")
	f.IntVar(&cfg.KVTokens, "kv-cache-tokens", 0, "capacity of the KV cache; the profile's unless given")
	f.IntVar(&cfg.HostTokens, "host-cache-tokens", 0,
		"capacity of the prefix cache's host tier, for what leaves the KV cache; the profile's unless given")
	cfg.Tune = tuning(f)
	f.BoolVar(&calibrate, "calibration", false, "print how near the profile b200-dsr1-fp4 comes to its baseline, and end")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if calibrate {
			return calibration.Write(c.OutOrStdout())
		}
		cfg.Addr = fmt.Sprintf("%s:%d", host, port)
		begin := time.Now()
		e, err := engine.Start(cfg)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.OutOrStdout(), "engine: %s, profile %s, ready on %s after %s\n", cfg.Model, cfg.Profile,
			e.URL(), time.Since(begin).Round(time.Millisecond))
		<-c.Context().Done()
		return e.Close()
	}
	return c
}

// tuning defines a flag for each limit of a profile, under the name that vLLM
// gives it, and returns what applies those that were given.
func tuning(flags *pflag.FlagSet) func(*schedule.Profile) {
	set := map[string]func(*schedule.Profile){}
	whole := func(name, help string, field func(*schedule.Profile) *int) {
		v := flags.Int(name, 0, help+"; the profile's unless given")
		set[name] = func(p *schedule.Profile) { *field(p) = *v }
	}
	whole("max-model-len", "tokens of prompt and output together",
		func(p *schedule.Profile) *int { return &p.MaxModelLen })
	whole("max-num-seqs", "requests that run at once", func(p *schedule.Profile) *int { return &p.Limits.MaxRunning })
	whole("max-num-batched-tokens", "tokens that a step may compute",
		func(p *schedule.Profile) *int { return &p.Limits.TokenBudget })
	whole("max-queue", "requests that may wait before 429; 0 for any number",
		func(p *schedule.Profile) *int { return &p.Limits.MaxQueue })
	whole("num-continuous-decode-steps", "decode steps run as one, their tokens sent as one chunk",
		func(p *schedule.Profile) *int { return &p.Limits.DecodeRounds })
	whole("num-speculative-tokens", "tokens guessed ahead in each decode step",
		func(p *schedule.Profile) *int { return &p.Limits.SpecTokens })
	caching := flags.Bool("prefix-caching", true, "share the KV cache of equal beginnings; the profile's unless given")
	set["prefix-caching"] = func(p *schedule.Profile) { p.Limits.PrefixCaching = *caching }
	return func(p *schedule.Profile) {
		flags.Visit(func(f *pflag.Flag) {
			if apply := set[f.Name]; apply != nil {
				apply(p)
			}
		})
	}
}
