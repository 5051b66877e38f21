// Package inferbench is a benchmark suite for LLM inference servers whose
// harness is `go test`: TestAccuracy, TestServing and BenchmarkServing run the
// cells of a sweep, and TestMain prepares and ends it. See README.md.
package inferbench

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"inferbench/harness/hint"
	"inferbench/harness/settings"
	"inferbench/harness/sweep"
)

// The sweep of this process, and the context that Ctrl+C ends. run is nil where
// the command line selects none of our cells.
var (
	run    *sweep.Sweep
	runCtx context.Context
)

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	begin := time.Now()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl+C ends the process at once
	runCtx = ctx
	settings.Register(flag.CommandLine)
	gotest, err := parseCommandLine()
	if err != nil {
		return refuse(err)
	}
	plan, err := sweep.NewPlan(gotest.run, gotest.bench, gotest.skip)
	if err != nil {
		return m.Run() // which says what is wrong with the pattern
	}
	set, err := settings.Load(flag.CommandLine, os.Getenv, ".env")
	if err == nil {
		set, err = sweep.Resume(set)
	}
	if errors.Is(err, sweep.ErrNothingLeft) {
		fmt.Println("inferbench:", err)
		return 0
	}
	if err == nil && gotest.list == "" {
		err = sweep.Misses(set, plan)
	}
	if err != nil {
		return refuse(err)
	}
	if len(sweep.Selected(set, plan)) == 0 || gotest.list != "" {
		return m.Run()
	}
	tty, plain := progressOutput()
	t, disconnect, err := connect(ctx, &set, plain)
	if err != nil {
		return refuse(err)
	}
	defer disconnect()
	shards, err := sweep.JoinShards(ctx, set)
	if err != nil {
		return refuse(err)
	}
	watch, unwatch, err := watcher(set, tty, plain, sweep.Selected(set, plan), gotest)
	if err != nil {
		return refuse(err)
	}
	defer unwatch()
	config := sweep.Config{Settings: set, Target: t, Plan: plan, Shards: shards,
		Watch: watch, Limit: gotest.limit, Begin: begin, Count: gotest.count}
	if shards != nil {
		defer shards.Leave()
		if !shards.Place().Leads() {
			return follow(ctx, config)
		}
	}
	if set.Estimate {
		if err := sweep.Estimate(ctx, config, os.Stdout); err != nil {
			return refuse(err)
		}
		return 0
	}
	run, err = sweep.Open(ctx, config)
	if err != nil {
		return refuse(err)
	}
	if gotest.bench != "" {
		fmt.Print(sweep.Units())
	}
	code := m.Run()
	err = run.Close()
	run.WriteTables(os.Stdout)
	if err == nil || ctx.Err() == nil {
		err = errors.Join(err, submit(ctx, set))
	}
	if err != nil {
		fmt.Println("inferbench:", hint.Err(err))
		code = max(code, 1)
	}
	return code
}

// refuse says in one line why nothing runs. Whatever was cut short by Ctrl+C has
// no reason but that, if it does not say more of it itself.
func refuse(err error) int {
	if runCtx != nil && runCtx.Err() != nil && !strings.HasPrefix(err.Error(), "interrupted") {
		err = errors.New("interrupted")
	}
	fmt.Fprintln(os.Stderr, "inferbench:", hint.Err(err))
	return 2
}
