// Command clientcost measures what a client costs: the processor time of its
// whole process, its children included, for each token that it streams from the
// embedded engine. It runs, one after another, a bare loop that reads the same
// bytes off the same sockets and does nothing with them, the suite's own
// client, and the Python clients that are installed; and prints each one's
// ratio to the bare loop and to our own.
//
//	go build -o bin/ ./cmd/engine ./cmd/clientcost && bin/clientcost
//
// Each client runs twice, with N and with 5·N requests: the difference is what
// tokens cost without the start of an interpreter and the loading of its
// modules, which the first column leaves in.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "clientcost:", err)
		os.Exit(1)
	}
}

// job is the load that every client puts on.
type job struct {
	url              string
	conc, n          int
	isl, osl         int
	vocab            int
	promptsFile, dir string
}

func run(ctx context.Context) error {
	var j job
	client := flag.String("client", "", "be the client bare or ours, and nothing else")
	flag.StringVar(&j.url, "url", "", "server, for -client")
	flag.IntVar(&j.conc, "conc", 64, "requests in flight")
	flag.IntVar(&j.n, "n", 64, "requests of the short run; the long one has five times as many")
	flag.IntVar(&j.isl, "isl", 128, "input tokens")
	flag.IntVar(&j.osl, "osl", 128, "output tokens")
	step := flag.Duration("step", 20*time.Millisecond, "time between the tokens of a stream; 0 is as fast as the engine can, several to a read")
	only := flag.String("only", "", "clients to measure, with commas between; none means all that are installed")
	flag.Parse()
	switch *client {
	case "bare":
		return bare(ctx, j)
	case "ours":
		return ours(ctx, j)
	case "":
		return compare(ctx, j, *only, *step)
	}
	return fmt.Errorf("-client %s: want bare or ours", *client)
}

// compare starts an engine, measures every client and prints the table.
func compare(ctx context.Context, j job, only string, step time.Duration) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if j.dir, err = os.MkdirTemp("", "clientcost"); err != nil {
		return err
	}
	defer os.RemoveAll(j.dir)
	profile, pace := "fast", "as fast as the engine can"
	if step > 0 {
		profile, pace = filepath.Join(j.dir, "steady.json"), fmt.Sprintf("a token every %v", step)
		if err := os.WriteFile(profile, steady(step), 0o600); err != nil {
			return err
		}
	}
	url, stop, err := startEngine(ctx, filepath.Join(filepath.Dir(self), "engine"), profile)
	if err != nil {
		return err
	}
	defer stop()
	j.url = url

	fmt.Printf("%d streams, %s, %d input and %d output tokens a request, runs of %d and %d requests\n\n", j.conc, pace, j.isl, j.osl, j.n, 5*j.n)
	fmt.Printf("%-22s %14s %14s %12s %12s\n", "client", "µs/token whole", "µs/token", "× bare loop", "× ours")
	var bareCost, oursCost float64
	for _, c := range clients(self) {
		if only != "" && !strings.Contains(","+only+",", ","+c.name+",") {
			continue
		}
		if c.missing != "" {
			fmt.Printf("%-22s %s\n", c.name, c.missing)
			continue
		}
		short, long := j, j
		long.n = 5 * j.n
		a, err := c.cpu(ctx, short)
		if err != nil {
			fmt.Printf("%-22s did not run: %v\n", c.name, err)
			continue
		}
		b, err := c.cpu(ctx, long)
		if err != nil {
			fmt.Printf("%-22s did not run: %v\n", c.name, err)
			continue
		}
		whole := us(b) / float64(long.n*j.osl)
		each := us(b-a) / float64((long.n-short.n)*j.osl)
		switch c.name {
		case "bare loop":
			bareCost = each
		case "inferbench":
			oursCost = each
		}
		fmt.Printf("%-22s %14.2f %14.2f %12.2f %12.2f\n", c.name, whole, each, each/bareCost, each/oursCost)
	}
	return ctx.Err()
}

func us(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// startEngine starts the engine's binary on a free port.
func startEngine(ctx context.Context, binary, profile string) (url string, stop func(), err error) {
	cmd := exec.CommandContext(ctx, binary, "-port", "0", "-profile", profile)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, fmt.Errorf("start the engine: %w", err)
	}
	stop = func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	i := strings.LastIndex(line, "http://")
	if err != nil || i < 0 {
		stop()
		return "", nil, errors.New("the engine did not say where it listens")
	}
	return strings.TrimSpace(line[i:]), stop, nil
}

// steady is an engine profile whose every decode step takes as long.
func steady(step time.Duration) []byte {
	return fmt.Appendf(nil, `{"name":"steady","about":"A token of every stream a step.","source":"Chosen.",
"max_model_len":262144,"max_running_requests":4096,"max_tokens_per_step":65536,"kv_cache_tokens":8388608,"kv_block_tokens":16,
"prefix_caching":true,"decode_step_ms_by_batch":[[1,%g]],"decode_us_per_1k_context_tokens":0,
"prefill_tokens_per_s":100000000,"prefill_overhead_ms":0}`, step.Seconds()*1e3)
}

// client is a program that puts on a load.
type client struct {
	name    string
	missing string // why it cannot be measured
	command func(j job) []string
}

func clients(self string) []client {
	own := func(kind string) func(job) []string {
		return func(j job) []string {
			return []string{self, "-client", kind, "-url", j.url, "-conc", strconv.Itoa(j.conc), "-n", strconv.Itoa(j.n), "-isl", strconv.Itoa(j.isl), "-osl", strconv.Itoa(j.osl)}
		}
	}
	list := []client{{name: "bare loop", command: own("bare")}, {name: "inferbench", command: own("ours")}}
	for _, p := range []struct{ name, venv, script string }{
		{"SGLang bench_serving", ".venv-peers", "scripts/peers/sglang_client.py"},
		{"vLLM bench serve", ".venv-peers", "scripts/peers/vllm_client.py"},
		{"GuideLLM", ".venv-guidellm", "scripts/peers/guidellm_client.py"},
		{"AIPerf", ".venv-aiperf", "scripts/peers/aiperf_client.py"},
	} {
		python := filepath.Join(p.venv, "bin", "python")
		c := client{name: p.name, command: func(j job) []string {
			return []string{python, p.script, j.url, strconv.Itoa(j.conc), strconv.Itoa(j.n), strconv.Itoa(j.isl), strconv.Itoa(j.osl), j.dir}
		}}
		if _, err := os.Stat(python); err != nil {
			c.missing = "is not installed: make cost-deps"
		}
		list = append(list, c)
	}
	return list
}

// cpu runs the client and returns the processor time, user and system, of its
// process and all that it waited for.
func (c client) cpu(ctx context.Context, j job) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	args := c.command(j)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		lines := strings.Split(strings.TrimSpace(said.String()), "\n")
		return 0, fmt.Errorf("%w: %s", err, lines[len(lines)-1])
	}
	u := cmd.ProcessState
	return u.UserTime() + u.SystemTime(), nil
}
