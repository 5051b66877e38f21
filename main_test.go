// Package inferbench is a benchmark suite for LLM inference servers whose
// harness is `go test`: TestAccuracy, TestServing and BenchmarkServing run the
// cells of a sweep, and TestMain prepares and ends it. See README.md.
package inferbench

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"testing"
	"time"

	"inferbench/harness/engine"
	"inferbench/harness/settings"
	"inferbench/harness/sweep"
	"inferbench/harness/target"
	"inferbench/leaderboard/own"
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
	settings.Register(flag.CommandLine)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl+C ends the process at once
	runCtx = ctx

	plan, err := sweep.NewPlan(testFlag("run"), testFlag("bench"), testFlag("skip"))
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
	if err != nil {
		return refuse(err)
	}
	if len(sweep.Selected(set, plan)) == 0 || testFlag("list") != "" {
		return m.Run()
	}
	if testFlag("benchtime") == "1s" { // the default: one iteration is one whole pass
		flag.Set("test.benchtime", "1x")
	}
	progress, terminal := progressOutput()

	if set.Embedded() {
		e, err := engine.Start(engine.Config{Profile: set.EngineProfile, APIKey: set.APIKey})
		if err != nil {
			return refuse(err)
		}
		defer e.Close()
		set.BaseURL = e.URL()
	}
	client, err := target.Client(set.CAFile)
	if err != nil {
		return refuse(err)
	}
	t := target.New(set.BaseURL, set.Model, set.APIKey, client)
	if err := t.Wait(ctx, target.WaitOptions{Timeout: set.ReadyTimeout, OnWait: waiting(progress, set.BaseURL, terminal)}); err != nil {
		return refuse(err)
	}
	limit, _ := time.ParseDuration(testFlag("timeout"))
	count, _ := strconv.Atoi(testFlag("count"))
	run, err = sweep.Open(ctx, sweep.Config{Settings: set, Target: t, Plan: plan,
		Watch: &sweep.Lines{W: progress}, Limit: limit, Begin: begin, Count: count})
	if err != nil {
		return refuse(err)
	}
	if testFlag("bench") != "" {
		fmt.Print(sweep.Units())
	}
	code := m.Run()
	err = run.Close()
	run.WriteTables(os.Stdout)
	if err == nil || ctx.Err() == nil {
		err = errors.Join(err, submit(ctx, set))
	}
	if err != nil {
		fmt.Println("inferbench:", err)
		code = max(code, 1)
	}
	return code
}

// submit sends what passed to the leaderboard, where the mode asks for it.
func submit(ctx context.Context, set settings.Settings) error {
	if run.Mode() != settings.ModeSubmit {
		return nil
	}
	client, err := own.Client(set, os.Stdout)
	if err != nil {
		return err
	}
	defer client.Close()
	return run.Submit(ctx, client)
}

// refuse says in one line why nothing runs.
func refuse(err error) int {
	fmt.Fprintln(os.Stderr, "inferbench:", err)
	return 2
}

// testFlag is the value of one of `go test`'s own flags.
func testFlag(name string) string {
	if f := flag.Lookup("test." + name); f != nil {
		return f.Value.String()
	}
	return ""
}

// progressOutput is where progress goes: the controlling terminal where there
// is one, since `go test` may hold standard output back until the end.
func progressOutput() (w io.Writer, terminal bool) {
	if tty, err := os.OpenFile("/dev/tty", os.O_WRONLY, 0); err == nil {
		return tty, true
	}
	return os.Stderr, false
}

// waiting tells a person, every few seconds, that the server is not up yet.
func waiting(w io.Writer, url string, terminal bool) func(time.Duration, error) {
	var last time.Duration
	return func(waited time.Duration, err error) {
		if every := 10 * time.Second; last != 0 && waited-last < every {
			return
		}
		last = max(waited, 1)
		fmt.Fprintf(w, "waiting for %s, %s so far; last heard: %v\n", url, waited.Round(time.Second), err)
	}
}
