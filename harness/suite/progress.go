package suite

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"inferbench/harness/matrix"
	"inferbench/harness/metrics"
	"inferbench/harness/progress"
	"inferbench/harness/server"
	"inferbench/harness/settings"
	"inferbench/harness/sweep"
)

// watcher is who is told what happens: whoever shows progress and, where
// METRICS_LISTEN or METRICS_PUSH asks for it, the exporter of metrics. Call stop at
// the end; it lets the metrics stay up for METRICS_LINGER, or until ctx ends.
func watcher(ctx context.Context, set settings.Settings, t *server.Server, tty *os.File, plain io.Writer,
	cells []matrix.Cell, line commandLine) (w sweep.Watcher, stop func(), err error) {
	if tty == nil && line.bench != "" {
		// go test sends a test's standard error to its own output, where a line
		// between a benchmark's name and its figures would spoil both.
		plain = io.Discard
	}
	shown := progress.Choose(progress.Options{Way: set.Results.Progress, TTY: tty, Plain: plain, Cells: cells,
		Count: line.count, Bench: line.bench != "",
		Title: fmt.Sprintf("%s on %s, %s", t.Model, t.Engine(), t.Redact(t.BaseURL))})
	m := set.Results.Metrics
	if !m.Asked() {
		return shown, func() {}, nil
	}
	client, err := server.Client(set.Server.CAFile)
	if err != nil {
		return nil, nil, err
	}
	say := func(line string) { fmt.Fprintln(os.Stderr, "inferbench:", line) }
	e, err := metrics.Start(metrics.Options{Listen: m.Listen, Linger: m.Linger, PushURL: m.PushURL, PushToken: m.PushToken,
		Client: client, Warn: say})
	if err != nil {
		return nil, nil, err
	}
	return progress.All{shown, e}, func() {
		if d := e.Lingers(); d > 0 && ctx.Err() == nil {
			say(fmt.Sprintf("%s stays up for %s (METRICS_LINGER); Ctrl+C ends that", e.URL(), d))
		}
		e.Close(ctx)
	}, nil
}

// progressOutput is where progress goes: the controlling terminal where there
// is one (else tty is nil), since `go test` may hold standard output back until
// the end. plain takes lines in either case.
func progressOutput() (tty *os.File, plain io.Writer) {
	if tty, err := os.OpenFile("/dev/tty", os.O_WRONLY, 0); err == nil {
		return tty, tty
	}
	return nil, os.Stderr
}

// terminalWidth is the width of the controlling terminal in columns; 80 where
// there is none.
func terminalWidth() int {
	if tty, _ := progressOutput(); tty != nil {
		defer tty.Close()
		if width, _, err := term.GetSize(int(tty.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return 80
}

// waiting tells a person, every few seconds, that the server is not up yet.
func waiting(w io.Writer, url string) func(time.Duration, error) {
	var last time.Duration
	return func(waited time.Duration, err error) {
		if every := 10 * time.Second; last != 0 && waited-last < every {
			return
		}
		last = max(waited, 1)
		fmt.Fprintf(w, "waiting for %s, %s so far; last heard: %v\n", url, waited.Round(time.Second), err)
	}
}
