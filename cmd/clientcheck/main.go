// Command clientcheck measures the suite's own client on the embedded engine,
// each part in a process of its own:
//
//	go build -o bin/ ./cmd/engine ./cmd/clientcheck
//	bin/clientcheck cost     processor time a token, beside a bare loop and the Python clients
//	bin/clientcheck timing   its TTFT and ITL beside the engine's own trace
//	bin/clientcheck streams  throughput and memory with many streams and long prompts
//
// docs/client.md holds what they printed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"inferbench/harness/engine/process"
)

const usage = `usage:
  clientcheck cost     processor time a token, beside a bare loop and the Python clients
  clientcheck timing   its TTFT and ITL beside the engine's own trace
  clientcheck streams  throughput and memory with many streams and long prompts
clientcheck cost -h lists the flags`

func main() {
	flag.Usage = func() { fmt.Fprintln(os.Stderr, usage) }
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "clientcheck:", err)
		os.Exit(1)
	}
}

// job is the load that a client puts on.
type job struct {
	url      string
	conc, n  int
	isl, osl int
	dir      string // for what a client writes
	ids      bool   // send an X-Request-Id with each request, and print each timing
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("want cost, timing or streams")
	}
	verb := args[0]
	var j job
	flags := flag.NewFlagSet(verb, flag.ExitOnError)
	flags.StringVar(&j.url, "url", "", "server, for the clients bare and ours")
	flags.IntVar(&j.conc, "conc", 64, "requests in flight")
	flags.IntVar(&j.n, "n", 64, "requests")
	flags.IntVar(&j.isl, "isl", 128, "input tokens")
	flags.IntVar(&j.osl, "osl", 128, "output tokens")
	step := flags.Duration("step", 20*time.Millisecond, "cost: time between the tokens of a stream; 0 is as fast as the engine can, several to a read")
	only := flags.String("only", "", "cost: clients to measure, with commas between; none means all that are installed")
	flags.BoolVar(&j.ids, "ids", false, "ours: name each request, and print its timing")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	switch verb {
	case "bare":
		return bare(ctx, j)
	case "ours":
		return ours(ctx, j)
	case "cost":
		return cost(ctx, j, *step, *only)
	case "timing":
		return timing(ctx)
	case "streams":
		return streams(ctx)
	}
	return fmt.Errorf("%s: want cost, timing or streams", verb)
}

// engineProcess is an engine in a process of its own, and a folder for files until it ends.
type engineProcess struct {
	*process.Engine
	self string // this command's own path
	dir  string
}

func (s *engineProcess) stop() {
	_ = s.Stop() // how it ends is not what is measured
	os.RemoveAll(s.dir)
}

// startEngine starts the engine's binary, which lies beside this one. Its
// decode step takes as long as step, whatever the batch; zero means as fast as
// it can.
func startEngine(ctx context.Context, step time.Duration) (*engineProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "clientcheck")
	if err != nil {
		return nil, err
	}
	profile := filepath.Join(dir, "steady.json")
	err = os.WriteFile(profile, steady(step), 0o600)
	var e *process.Engine
	if err == nil {
		e, err = process.Start(ctx, filepath.Join(filepath.Dir(self), "engine"), "-profile", profile)
	}
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	return &engineProcess{e, self, dir}, nil
}

func pace(step time.Duration) string {
	if step == 0 {
		return "as fast as the engine can"
	}
	return fmt.Sprintf("a token every %v", step)
}

// steady is an engine profile whose every decode step takes as long.
func steady(step time.Duration) []byte {
	if step == 0 {
		step = 10 * time.Microsecond
	}
	return fmt.Appendf(nil, `{"name":"steady","about":"A token of every stream a step.","source":"Chosen.",
"max_model_len":262144,"max_running_requests":4096,"max_tokens_per_step":1048576,"kv_cache_tokens":67108864,"kv_block_tokens":16,
"prefix_caching":false,"decode_step_ms_by_batch":[[1,%g]],"decode_us_per_1k_context_tokens":0,
"prefill_tokens_per_s":100000000,"prefill_overhead_ms":0}`, step.Seconds()*1e3)
}
