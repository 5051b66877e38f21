package clientcheck

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Cost measures the processor time of whole client processes, their children
// included, for each token that they stream: a bare loop that reads the same
// bytes off the same sockets and does nothing with them, the suite's own
// client, and the Python clients that are installed, in turn on one engine.
//
// Each client runs twice, with n and with 5·n requests: the difference is what
// tokens cost without the start of an interpreter and the loading of its
// modules, which the first column leaves in.
func Cost(ctx context.Context, j Job, step time.Duration, only string) error {
	e, err := startEngine(ctx, step)
	if err != nil {
		return err
	}
	defer e.stop()
	j.URL, j.dir = e.URL, e.dir
	fmt.Printf("%d streams, %s, %d input and %d output tokens a request, runs of %d and %d requests\n\n", j.Conc, pace(step), j.ISL, j.OSL, j.N, 5*j.N)
	fmt.Printf("%-22s %14s %14s %12s %12s\n", "client", "µs/token whole", "µs/token", "× bare loop", "× ours")
	var bareCost, oursCost float64
	var best struct {
		name string
		cost float64
	}
	for _, c := range clients(e.self) {
		if only != "" && !strings.Contains(","+only+",", ","+c.name+",") {
			continue
		}
		if c.missing != "" {
			fmt.Printf("%-22s %s\n", c.name, c.missing)
			continue
		}
		short, long := j, j
		long.N = 5 * j.N
		a, err := c.cpu(ctx, short)
		if err != nil {
			fmt.Printf("%-22s did not ruN: %v\n", c.name, err)
			continue
		}
		b, err := c.cpu(ctx, long)
		if err != nil {
			fmt.Printf("%-22s did not ruN: %v\n", c.name, err)
			continue
		}
		whole := us(b) / float64(long.N*j.OSL)
		each := us(b-a) / float64((long.N-short.N)*j.OSL)
		switch c.name {
		case "bare loop":
			bareCost = each
		case "inferbench":
			oursCost = each
		default:
			if best.name == "" || each < best.cost {
				best.name, best.cost = c.name, each
			}
		}
		fmt.Printf("%-22s %14.2f %14.2f %12s %12s\n", c.name, whole, each, times(each, bareCost), times(each, oursCost))
	}
	if best.name != "" && bareCost > 0 && oursCost > 0 {
		fmt.Printf("\nThe cheapest of the Python clients, %s, costs %.1f times ours, and %.1f times the bare loop, which only reads the sockets.\n",
			best.name, best.cost/oursCost, best.cost/bareCost)
	}
	return ctx.Err()
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
			return []string{self, "client", kind, "-url", j.URL, "-conc", strconv.Itoa(j.Conc), "-n", strconv.Itoa(j.N), "-isl", strconv.Itoa(j.ISL), "-osl", strconv.Itoa(j.OSL)}
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
		c := client{name: p.name, command: func(j Job) []string {
			return []string{python, p.script, j.URL, strconv.Itoa(j.Conc), strconv.Itoa(j.N), strconv.Itoa(j.ISL), strconv.Itoa(j.OSL), j.dir}
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

// times is how many times the other's cost a cost is: "-" where the other was
// not measured, or not yet.
func times(cost, other float64) string {
	if other <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", cost/other)
}
