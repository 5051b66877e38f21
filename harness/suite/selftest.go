package suite

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"inferbench/harness/settings"
)

// A bare `go test` (or ./..., -short, -v, -bench .) is what people type who want
// to know whether the checkout works. It runs a small sweep of the whole way on
// the embedded engine, in a folder that is gone afterwards, whatever server the
// environment names.

// asksForASweep reports whether the command line, the environment or .env ask
// for a sweep of their own.
func asksForASweep(flags *flag.FlagSet, line commandLine) (bool, error) {
	for _, pattern := range []string{line.run, line.bench} {
		if strings.Contains(pattern, "Accuracy") || strings.Contains(pattern, "Serving") {
			return true, nil
		}
	}
	return settings.Asks(flags, os.Environ(), ".env")
}

// selfTest runs the small sweep and returns the exit code.
func selfTest(ctx context.Context, p plan, line commandLine, begin time.Time, m Runner) int {
	dir, err := os.MkdirTemp("", "inferbench")
	if err != nil {
		return refuse(ctx, err)
	}
	defer os.RemoveAll(dir)
	set, err := settings.Load(flag.NewFlagSet("", flag.ContinueOnError), []string{"BASE_URL=embedded", "ISL=64", "OSL=16",
		"CONC=1,2", "NUM_PROMPTS=20", "RESULTS_DIR=" + dir, "PROGRESS=none"}, "")
	if err != nil {
		return refuse(ctx, err)
	}
	sel := choose(set, p)
	if len(sel.cells) == 0 {
		return m.Run()
	}
	code, err := run(ctx, set, sel, line, begin, m)
	if err != nil {
		return refuseWith(ctx, set, err)
	}
	const says = "This was a small sweep to test the suite, and its batch is deleted. A real one: make bench " +
		"(embedded engine), " +
		"make perf BASE_URL=http://host:port, or go test -timeout 0 -run 'TestAccuracy|TestServing' -isl 1024 -osl 1024."
	fmt.Println(says)
	return code
}
