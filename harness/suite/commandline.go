package suite

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"inferbench/harness/settings"
)

// commandLine is what is asked for besides settings: `go test`'s own flags, or
// those of the same names that the command inferbench has.
type commandLine struct {
	run, bench, skip, list string
	count                  int
	limit                  time.Duration // -timeout, which kills the process; 0 is never
	goTest, verbose        bool
	settings               bool // some are among the flags
}

// Register defines the suite's flags. Parse them before [Main].
func Register(flags *flag.FlagSet) {
	settings.Register(flags)
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "inferbench: `make settings` lists the suite's flags, `go help testflag` those of go test")
	}
}

// readCommandLine refuses what would be ignored after the flags. Under go test a
// benchmark's time, where it was not given, becomes one iteration: that is one
// whole pass.
func readCommandLine(flags *flag.FlagSet) (c commandLine, err error) {
	// A package after flags that go test does not know is handed on to us: it has
	// run this one already.
	if last := flags.NArg() == 1 && strings.HasPrefix(flags.Arg(0), "."); flags.NArg() > 0 && !last {
		return c, fmt.Errorf("%q is no flag, and nothing after it would be read: write a setting as -isl 1024", flags.Arg(0))
	}
	value := func(name string) string {
		for _, name := range []string{"test." + name, name} {
			if f := flags.Lookup(name); f != nil {
				return f.Value.String()
			}
		}
		return ""
	}
	c.run, c.bench, c.skip, c.list = value("run"), value("bench"), value("skip"), value("list")
	c.goTest, c.verbose = flags.Lookup("test.run") != nil, value("v") != "false"
	flags.Visit(func(f *flag.Flag) { c.settings = c.settings || c.goTest && !strings.HasPrefix(f.Name, "test.") })
	c.count, _ = strconv.Atoi(value("count"))
	c.limit, _ = time.ParseDuration(value("timeout"))
	if value("benchtime") == "1s" {
		flags.Set("test.benchtime", "1x")
	}
	// Without the log that go test asks for here, it does not answer the next run
	// with this one's result, "(cached)": what was measured before is not measured.
	if flags.Lookup("test.testlogfile") != nil {
		flags.Set("test.testlogfile", "")
	}
	return c, nil
}

// heldBack is the terminal, where go test holds back what this process prints and
// drops it when the exit code is 0, as it does for a package that it is given by
// name; else nil. Close it.
func (c commandLine) heldBack(code int) *os.File {
	if !c.goTest || c.verbose || c.bench != "" || code != 0 || term.IsTerminal(int(os.Stdout.Fd())) {
		return nil
	}
	tty, _ := progressOutput()
	return tty
}
