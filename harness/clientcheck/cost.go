package clientcheck

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Cost measures the processor time of whole client processes, their children
// included, for each token that they stream: a bare loop that reads the same
// bytes off the same sockets and does nothing with them, the suite's own
// client, and the clients of others that are installed, on one engine.
//
// They run in turn, round by round, and every ratio is of two runs of one round:
// what else the machine does then falls on both. Each client runs twice a round,
// with n and with 5·n requests: the difference is what tokens cost without the
// start of an interpreter and the loading of its modules.
func Cost(ctx context.Context, j Job, step time.Duration, rounds int, only string) error {
	e, err := startEngine(ctx, step)
	if err != nil {
		return err
	}
	defer e.stop()
	j.URL, j.dir = e.URL, e.dir
	fmt.Printf("%d streams, %s, %d input and %d output tokens a request, runs of %d and %d requests, %d rounds in "+
		"turn\n\n",
		j.Conc, pace(step), j.ISL, j.OSL, j.N, 5*j.N, rounds)
	costs := measured{}
	var names []string
	for _, c := range clients(e.self) {
		if only == "" || strings.Contains(","+only+",", ","+c.name+",") {
			names = append(names, c.name)
		}
	}
	failed := map[string]string{}
	for round := range rounds {
		for _, c := range inTurn(clients(e.self), round) {
			if !slices.Contains(names, c.name) || failed[c.name] != "" {
				continue
			}
			cost, err := c.cost(ctx, j)
			if ctx.Err() != nil {
				costs.print(os.Stdout, names, failed, round)
				return fmt.Errorf("interrupted: %d of %d rounds were finished", round, rounds)
			}
			if err != nil {
				failed[c.name] = err.Error()
				continue
			}
			costs[c.name] = append(costs[c.name], cost)
		}
	}
	costs.print(os.Stdout, names, failed, rounds)
	return nil
}

// inTurn is the clients in the order of a round: forwards, then backwards.
func inTurn(list []client, round int) []client {
	if round%2 == 1 {
		slices.Reverse(list)
	}
	return list
}

// cost is the µs of processor time a token of one client in one round.
func (c client) cost(ctx context.Context, j Job) (float64, error) {
	if c.missing != "" {
		return 0, errors.New(c.missing)
	}
	short, long := j, j
	long.N = 5 * j.N
	a, err := c.cpu(ctx, short)
	if err != nil {
		return 0, fmt.Errorf("did not run: %w", err)
	}
	b, err := c.cpu(ctx, long)
	if err != nil {
		return 0, fmt.Errorf("did not run: %w", err)
	}
	return us(b-a) / float64((long.N-short.N)*j.OSL), nil
}

// measured is what each client cost, µs a token, a round.
type measured map[string][]float64

// print writes a line a client, of so many rounds: median, least and most, and the
// median of its ratios to the bare loop and to ours, round by round. It writes
// nothing where no round was finished.
func (m measured) print(w io.Writer, names []string, failed map[string]string, rounds int) {
	if rounds == 0 {
		return
	}
	for name, costs := range m {
		m[name] = costs[:min(rounds, len(costs))]
	}
	fmt.Fprintf(w, "%-22s %10s %17s %12s %12s\n", "client", "µs/token", "least to most", "× bare loop", "× ours")
	for _, name := range names {
		if why := failed[name]; why != "" || len(m[name]) == 0 {
			fmt.Fprintf(w, "%-22s %s\n", name, why)
			continue
		}
		own := slices.Sorted(slices.Values(m[name]))
		spread := fmt.Sprintf("%.2f to %.2f", own[0], own[len(own)-1])
		fmt.Fprintf(w, "%-22s %10.2f %17s %12s %12s\n", name, median(own), spread, m.ratio(name, "bare loop"),
			m.ratio(name, "inferbench"))
	}
}

// ratio is the median of one client's cost over another's, round by round.
func (m measured) ratio(name, other string) string {
	var all []float64
	for i, v := range m[name] {
		if i < len(m[other]) && m[other][i] > 0 {
			all = append(all, v/m[other][i])
		}
	}
	if len(all) == 0 {
		return "-"
	}
	slices.Sort(all)
	return fmt.Sprintf("%.2f", median(all))
}

// median is that of sorted values.
func median(sorted []float64) float64 {
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

func us(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// client is a program that puts on a load.
type client struct {
	name    string
	missing string // why it cannot be measured
	command func(j Job) []string
}

func clients(self string) []client {
	own := func(kind string) func(Job) []string {
		return func(j Job) []string {
			return []string{self, "client", kind, "-url", j.URL, "-conc", strconv.Itoa(j.Conc), "-n",
				strconv.Itoa(j.N), "-isl", strconv.Itoa(j.ISL), "-osl", strconv.Itoa(j.OSL)}
		}
	}
	list := []client{{name: "bare loop", command: own("bare")}, {name: "inferbench", command: own("ours")}}
	for _, p := range []struct{ name, venv, script string }{
		{"SGLang bench (Rust)", ".venv-peers", "scripts/peers/sglang_rust_client.py"},
		{"SGLang bench_serving", ".venv-peers", "scripts/peers/sglang_client.py"},
		{"vLLM bench serve", ".venv-peers", "scripts/peers/vllm_client.py"},
		{"GuideLLM", ".venv-guidellm", "scripts/peers/guidellm_client.py"},
		{"AIPerf", ".venv-aiperf", "scripts/peers/aiperf_client.py"},
	} {
		python := filepath.Join(p.venv, "bin", "python")
		c := client{name: p.name, command: func(j Job) []string {
			return []string{python, p.script, j.URL, strconv.Itoa(j.Conc), strconv.Itoa(j.N), strconv.Itoa(j.ISL),
				strconv.Itoa(j.OSL), j.dir}
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
func (c client) cpu(ctx context.Context, j Job) (time.Duration, error) {
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
