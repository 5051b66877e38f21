// Package suite is what an invocation of the suite does, for `go test` and for
// the command inferbench alike: [Main] reads the settings, connects to the
// server, opens a sweep, lets a [Runner] run its cells through [Accuracy],
// [Serving] and [Bench], and ends it with tables, reports and submissions.
package suite

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"inferbench/harness/accuracy"
	"inferbench/harness/estimate"
	"inferbench/harness/figures"
	"inferbench/harness/hint"
	"inferbench/harness/report"
	"inferbench/harness/server"
	"inferbench/harness/settings"
	"inferbench/harness/sweep"
)

// Runner runs the tests of an open sweep and returns the exit code: *testing.M
// is one.
type Runner interface{ Run() int }

// Main runs what the parsed flags, the environment and .env ask for, and returns
// the exit code: 0 when every cell passed, 1 when one did not, 2 when nothing
// could be run.
func Main(flags *flag.FlagSet, m Runner) int {
	begin := time.Now()
	keepWriting()
	ctx, stop := stopped()
	defer stop()
	line, err := readCommandLine(flags)
	if err != nil {
		return refuse(ctx, err)
	}
	plan, err := newPlan(line.run, line.bench, line.skip)
	if err != nil {
		return m.Run() // which says what is wrong with the pattern
	}
	if line.goTest && line.list == "" {
		asked, err := asksForASweep(flags, line)
		if err != nil {
			return refuse(ctx, err)
		}
		if !asked {
			return selfTest(ctx, plan, line, begin, m)
		}
	}
	set, err := settings.Load(flags, os.Environ(), ".env")
	if _, plain := progressOutput(); line.list == "" { // go test drops what a run that passes writes to standard error
		for _, note := range set.Notes {
			fmt.Fprintln(plain, "inferbench:", note)
		}
	}
	if err == nil {
		set, err = resume(os.Stderr, set)
	}
	if errors.Is(err, errNothingLeft) {
		fmt.Println("inferbench:", err)
		return 0
	}
	sel := choose(set, plan)
	if err == nil && line.list == "" {
		err = sel.misses(set, line)
	}
	if err != nil {
		return refuseWith(ctx, set, err)
	}
	if len(sel.cells) == 0 || line.list != "" {
		return m.Run()
	}
	code, err := run(ctx, set, sel, line, begin, m)
	if err != nil {
		return refuseWith(ctx, set, err)
	}
	return code
}

// run connects to the server, has the selected cells run on it and returns the exit
// code. The error is why nothing could be run.
func run(ctx context.Context, set settings.Settings, sel selection, line commandLine, begin time.Time,
	m Runner) (int, error) {
	tty, plain := progressOutput()
	if err := accuracyReady(ctx, set); err != nil {
		return 0, err
	}
	t, disconnect, err := connect(ctx, &set, plain)
	if err != nil {
		return 0, err
	}
	defer disconnect()
	shards, err := sweep.JoinShards(ctx, set)
	if err != nil {
		return 0, err
	}
	watch, unwatch, err := watcher(ctx, set, t, tty, plain, sel.cells, line)
	if err != nil {
		return 0, err
	}
	defer unwatch()
	config := sweep.Config{Settings: set, Target: t, Shards: shards, Watch: watch, Begin: begin,
		Mode: sel.mode, Cells: sel.cells, AccuracyOnly: sel.accuracyOnly()}
	if shards != nil {
		defer shards.Leave()
		if !shards.Place().Leads() {
			return follow(ctx, config), nil
		}
	}
	if set.Estimate {
		if err := estimate.Write(ctx, os.Stdout, t, set, sel.measured()); err != nil {
			return 0, err
		}
		if o, err := sweep.AccuracyOptions(set); err == nil {
			for _, f := range accuracy.Missing(o, t.Loopback) {
				fmt.Printf("Accuracy will fetch %s (%d bytes), which is not in CACHE_DIR: without network, make "+
					"fetch on a machine that has some.\n", f.Base, f.Size)
			}
		}
		return 0, nil
	}
	budget := budget(ctx, t, set, sel, line, begin)
	if err := budget.Fits(); err != nil {
		return 0, err
	}
	sw, err := sweep.Open(ctx, config)
	if err != nil {
		return 0, err
	}
	board, err := openSubmissions(ctx, sel.mode, set)
	if err != nil {
		return 0, errors.Join(err, sw.Close())
	}
	current = &session{ctx: ctx, sweep: sw, plan: sel.plan, budget: budget, count: line.count, board: board}
	if line.bench != "" {
		fmt.Print(figures.Units())
	}
	return finish(ctx, sw, line, m.Run()), nil
}

// accuracyReady checks, before the server is waited for, that all is here that
// accuracy will need; what is not is fetched. A following shard, which measures
// none, fetches nothing, and an estimate only says what will be fetched.
func accuracyReady(ctx context.Context, set settings.Settings) error {
	o, err := sweep.AccuracyOptions(set)
	if err != nil || set.Estimate {
		return err
	}
	own := set.Embedded()
	if !own {
		err := askEmbedded(ctx, set)
		var refusal *server.HTTPError
		var untrusted *tls.CertificateVerificationError
		if errors.As(err, &untrusted) || errors.As(err, &refusal) && (refusal.Status == http.StatusUnauthorized ||
			refusal.Status == http.StatusForbidden) {
			return nil // the server will not be measured at all: connecting to it says why
		}
		own = err == nil
	}
	if set.Shard.Index > 0 && len(accuracy.Missing(o, own)) > 0 {
		return nil // the leader fetches them
	}
	return accuracy.Ready(ctx, o, own)
}

// askEmbedded is nil where the embedded engine answers at the settings' address:
// accuracy on it needs no public data.
func askEmbedded(ctx context.Context, set settings.Settings) error {
	client, err := server.Client(set.Server.CAFile)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	t := server.New(set.Server.BaseURL, set.Server.Model, set.Server.APIKey, client)
	t.Headers = set.Workload.Headers
	return t.Get(ctx, "/inferbench/info", nil)
}

// finish ends a sweep whose cells have run, and returns the exit code.
func finish(ctx context.Context, sw *sweep.Sweep, line commandLine, code int) int {
	err := sw.Close()
	for _, b := range sw.Batches() {
		err = errors.Join(err, report.Write(b.Dir, report.Options{GPUHourUSD: sw.Settings.Results.GPUHourUSD,
			GPUWatts: sw.Settings.Results.GPUWatts}))
	}
	err = errors.Join(err, writeJUnit(sw.Settings.Results.JUnit, sw.Begin, junitOfSweep(sw), current.report))
	unsent := current.board.finish(os.Stdout, sw)
	writeTables(os.Stdout, sw, current.board)
	if tty := line.heldBack(code); tty != nil && err == nil {
		writeTables(tty, sw, current.board)
		tty.Close()
	}
	if ctx.Err() == nil {
		err = errors.Join(err, dryRun(ctx, sw))
	}
	err = errors.Join(err, unsent)
	if err != nil {
		fmt.Println("inferbench:", hint.Line(err))
		code = max(code, 1)
	}
	return code
}

// refuseWith is [refuse], and leaves a JUnit report that says the same.
func refuseWith(ctx context.Context, set settings.Settings, err error) int {
	why := &junitReason{Message: hint.Line(err), Text: hint.Line(err)}
	failed := writeJUnit(set.Results.JUnit, time.Now(), nil, []*junitCase{{Class: "inferbench", Name: "start",
		Time: "0.000", Failure: why}})
	return refuse(ctx, errors.Join(err, failed))
}

// refuse says in one line why nothing runs. Whatever was cut short by Ctrl+C has
// no reason but that, if it does not say more of it itself.
func refuse(ctx context.Context, err error) int {
	if ctx.Err() != nil && !strings.HasPrefix(err.Error(), "interrupted") {
		err = errors.New("interrupted")
	}
	fmt.Fprintln(os.Stderr, "inferbench:", hint.Line(err))
	return 2
}
