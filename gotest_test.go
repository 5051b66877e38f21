package inferbench

import (
	"flag"
	"strconv"
	"time"
)

// goTest is what matters here of `go test`'s own flags.
type goTest struct {
	run, bench, skip, list string
	count                  int
	limit                  time.Duration // -timeout, which kills the process; 0 is never
}

// goTestFlags reads them, after flag.Parse. A benchmark's time, where it was not
// given, becomes one iteration: that is one whole pass.
func goTestFlags() (g goTest) {
	value := func(name string) string { return flag.Lookup("test." + name).Value.String() }
	g.run, g.bench, g.skip, g.list = value("run"), value("bench"), value("skip"), value("list")
	g.count, _ = strconv.Atoi(value("count"))
	g.limit, _ = time.ParseDuration(value("timeout"))
	if value("benchtime") == "1s" {
		flag.Set("test.benchtime", "1x")
	}
	return g
}
