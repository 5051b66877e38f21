// Command engine runs the embedded engine alone, so that any client can be
// pointed at it. With -calibration it prints, instead, how near the B200
// profile comes to its baseline.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"inferbench/baselines"
	"inferbench/harness/engine"
	"inferbench/harness/engine/schedule"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "engine:", err)
		os.Exit(1)
	}
}

func run() error {
	cfg := engine.Config{APIKey: os.Getenv("API_KEY")} // never a flag: those can be read in ps
	host := flag.String("host", "127.0.0.1", "address to listen on; 0.0.0.0 for all")
	port := flag.Int("port", 8888, "port to listen on; 0 for a free one")
	flag.StringVar(&cfg.Profile, "profile", "fast", "speed profile: "+strings.Join(schedule.Profiles(), ", ")+", or the path of a .json file")
	flag.StringVar(&cfg.Model, "model", engine.ModelName, "name to serve the model under")
	flag.StringVar((*string)(&cfg.Dialect), "dialect", "", "whose endpoints to offer: vllm, sglang, or none for both")
	flag.Float64Var(&cfg.Noise, "noise", 0, "standard deviation, in nats, of noise on all logits")
	flag.Float64Var(&cfg.DecodeNoise, "decode-noise", 0, "the same on decode steps alone, on top of -noise")
	flag.StringVar(&cfg.Faults, "faults", "", "what goes wrong on demand, as drop-mid-stream:rate=0.1,500:count=3; GET /inferbench/faults lists what there is")
	flag.DurationVar(&cfg.LoadTime, "load-time", 0, "how long to answer 503 at first, as if loading weights")
	flag.IntVar(&cfg.TraceTokens, "trace-tokens", 1_000_000, "tokens whose hand-over times are kept for GET /inferbench/trace; negative for none")
	tune := tuning()
	calibration := flag.Bool("calibration", false, "print how near the profile b200-dsr1-fp4 comes to its baseline, and end")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("%q: flags only, see -help", flag.Arg(0))
	}
	if *calibration {
		return printCalibration()
	}
	cfg.Addr = fmt.Sprintf("%s:%d", *host, *port)
	cfg.Tune = tune
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	begin := time.Now()
	e, err := engine.Start(cfg)
	if err != nil {
		return err
	}
	fmt.Printf("engine: %s, profile %s, ready on %s after %s\n", cfg.Model, cfg.Profile, e.URL(), time.Since(begin).Round(time.Millisecond))
	<-ctx.Done()
	return e.Close()
}

// tuning defines a flag for each limit of a profile, under the name that vLLM
// gives it, and returns what applies those that were given.
func tuning() func(*schedule.Profile) {
	set := map[string]func(*schedule.Profile){}
	whole := func(name, help string, field func(*schedule.Profile) *int) {
		v := flag.Int(name, 0, help+"; the profile's unless given")
		set[name] = func(p *schedule.Profile) { *field(p) = *v }
	}
	whole("max-model-len", "tokens of prompt and output together", func(p *schedule.Profile) *int { return &p.MaxModelLen })
	whole("max-num-seqs", "requests that run at once", func(p *schedule.Profile) *int { return &p.Limits.MaxRunning })
	whole("max-num-batched-tokens", "tokens that a step may compute", func(p *schedule.Profile) *int { return &p.Limits.TokenBudget })
	whole("kv-cache-tokens", "capacity of the KV cache", func(p *schedule.Profile) *int { return &p.Limits.KVTokens })
	whole("max-queue", "requests that may wait before 429; 0 for any number", func(p *schedule.Profile) *int { return &p.Limits.MaxQueue })
	whole("num-continuous-decode-steps", "decode steps run as one, their tokens sent as one chunk", func(p *schedule.Profile) *int { return &p.Limits.DecodeRounds })
	whole("num-speculative-tokens", "tokens guessed ahead in each decode step", func(p *schedule.Profile) *int { return &p.Limits.SpecTokens })
	accept := flag.Float64("speculative-acceptance", 0, "probability that a guess is right; the profile's unless given")
	set["speculative-acceptance"] = func(p *schedule.Profile) { p.Limits.SpecAccept = *accept }
	caching := flag.Bool("prefix-caching", true, "share the KV cache of equal beginnings; the profile's unless given")
	set["prefix-caching"] = func(p *schedule.Profile) { p.Limits.PrefixCaching = *caching }
	return func(p *schedule.Profile) {
		flag.Visit(func(f *flag.Flag) {
			if apply := set[f.Name]; apply != nil {
				apply(p)
			}
		})
	}
}

func printCalibration() error {
	p, err := schedule.LoadProfile("b200-dsr1-fp4")
	if err != nil {
		return err
	}
	h, err := baselines.LoadHardware("b200-nv1126")
	if err != nil {
		return err
	}
	return writeCalibration(os.Stdout, p, h)
}
