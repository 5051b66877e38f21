package inferbench

import (
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// goTest is what matters here of `go test`'s own flags.
type goTest struct {
	run, bench, skip, list string
	count                  int
	limit                  time.Duration // -timeout, which kills the process; 0 is never
}

// parseCommandLine reads the flags, and refuses what would be ignored after
// them. A benchmark's time, where it was not given, becomes one iteration: that
// is one whole pass.
func parseCommandLine() (g goTest, err error) {
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "inferbench: `make settings` lists the suite's flags, `go help testflag` those of go test")
	}
	flag.Parse()
	// A package after flags that go test does not know is handed on to us: it has
	// run this one already.
	if last := flag.NArg() == 1 && strings.HasPrefix(flag.Arg(0), "."); flag.NArg() > 0 && !last {
		return g, fmt.Errorf("%q is no flag, and nothing after it would be read: write a setting as -isl 1024", flag.Arg(0))
	}
	value := func(name string) string { return flag.Lookup("test." + name).Value.String() }
	g.run, g.bench, g.skip, g.list = value("run"), value("bench"), value("skip"), value("list")
	g.count, _ = strconv.Atoi(value("count"))
	g.limit, _ = time.ParseDuration(value("timeout"))
	if value("benchtime") == "1s" {
		flag.Set("test.benchtime", "1x")
	}
	// A measurement is of now. Without the log that go test asks for here, it
	// does not answer the next run with this one's result, "(cached)".
	flag.Set("test.testlogfile", "")
	return g, nil
}
