// Package suite is what an invocation of the suite does, for `go test` and for
// the command inferbench alike: [Main] reads the settings, connects to the
// server, opens a sweep, lets a [Runner] run its cells through [Accuracy],
// [Serving] and [Bench], and ends it with tables, reports and submissions.
package suite

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"inferbench/harness/figures"
	"inferbench/harness/hint"
	"inferbench/harness/settings"
	"inferbench/harness/sweep"
)

// Runner runs the tests of an open sweep and returns the exit code: *testing.M
// is one.
type Runner interface{ Run() int }

// session is the sweep of this process, and the context that ends it.
type session struct {
	ctx   context.Context
	sweep *sweep.Sweep
}

// current is what the tests run, which package testing hands nothing to. It is
// nil where the command line selects none of the suite's cells.
var current *session

// stopped is a context that ends with Ctrl+C, SIGTERM or a closed terminal.
// A second such signal ends the process at once.
func stopped() (context.Context, context.CancelFunc) {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup has it ignored
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// Main runs what the parsed flags, the environment and .env ask for, and returns
// the exit code: 0 when every cell passed, 1 when one did not, 2 when nothing
// could be run.
func Main(flags *flag.FlagSet, m Runner) int {
	begin := time.Now()
	ctx, stop := stopped()
	defer stop()
	line, err := readCommandLine(flags)
	if err != nil {
		return refuse(ctx, err)
	}
	plan, err := sweep.NewPlan(line.run, line.bench, line.skip)
	if err != nil {
		return m.Run() // which says what is wrong with the pattern
	}
	set, err := settings.Load(flags, os.Getenv, ".env")
	if err == nil {
		set, err = sweep.Resume(set)
	}
	if errors.Is(err, sweep.ErrNothingLeft) {
		fmt.Println("inferbench:", err)
		return 0
	}
	if err == nil && line.list == "" {
		err = sweep.Misses(set, plan)
	}
	if err != nil {
		return refuse(ctx, err)
	}
	if len(sweep.Selected(set, plan)) == 0 || line.list != "" {
		return m.Run()
	}
	tty, plain := progressOutput()
	t, disconnect, err := connect(ctx, &set, plain)
	if err != nil {
		return refuse(ctx, err)
	}
	defer disconnect()
	shards, err := sweep.JoinShards(ctx, set)
	if err != nil {
		return refuse(ctx, err)
	}
	watch, unwatch, err := watcher(set, tty, plain, sweep.Selected(set, plan), line)
	if err != nil {
		return refuse(ctx, err)
	}
	defer unwatch()
	config := sweep.Config{Settings: set, Target: t, Plan: plan, Shards: shards,
		Watch: watch, Limit: line.limit, Begin: begin, Count: line.count}
	if shards != nil {
		defer shards.Leave()
		if !shards.Place().Leads() {
			return follow(ctx, config)
		}
	}
	if set.Estimate {
		if err := sweep.Estimate(ctx, config, os.Stdout); err != nil {
			return refuse(ctx, err)
		}
		return 0
	}
	return sweepCells(ctx, config, line.bench != "", m)
}

// sweepCells opens the sweep, has its cells run, and ends it.
func sweepCells(ctx context.Context, config sweep.Config, units bool, m Runner) int {
	sw, err := sweep.Open(ctx, config)
	if err != nil {
		return refuse(ctx, err)
	}
	current = &session{ctx, sw}
	if units {
		fmt.Print(figures.Units())
	}
	code := m.Run()
	err = sw.Close()
	sw.WriteTables(os.Stdout)
	if err == nil || ctx.Err() == nil {
		err = errors.Join(err, submit(ctx, sw))
	}
	if err != nil {
		fmt.Println("inferbench:", hint.Err(err))
		code = max(code, 1)
	}
	return code
}

// refuse says in one line why nothing runs. Whatever was cut short by Ctrl+C has
// no reason but that, if it does not say more of it itself.
func refuse(ctx context.Context, err error) int {
	if ctx.Err() != nil && !strings.HasPrefix(err.Error(), "interrupted") {
		err = errors.New("interrupted")
	}
	fmt.Fprintln(os.Stderr, "inferbench:", hint.Err(err))
	return 2
}
