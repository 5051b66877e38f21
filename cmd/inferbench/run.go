package main

import (
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"inferbench/harness/settings"
	"inferbench/harness/suite"
)

func runCommand() *cobra.Command {
	c := sweepCommand("run", nil)
	c.Short = "Run a sweep: accuracy, then speed, of every selected cell"
	c.Long = `Run measures the cells that the settings select, one after another, and leaves a
batch folder for each pair of ISL and OSL: what "go test -run
'TestAccuracy|TestServing'" does, without Go. Settings come from flags, then the
environment, then .env. With neither BASE_URL nor PORT the embedded engine is
measured. The exit code is 0 when every cell passed, 1 when one did not, 2 when
nothing could be run.`
	c.Example = `  inferbench run -conc 4
  inferbench run -base-url http://host:8888 -isl 1024 -osl 1024 -conc 16,32
  inferbench run -mode acc -isl 1024 -osl 1024            accuracy alone
  inferbench run -run TestServing/isl=1024/osl=1024/conc=16
  inferbench run -resume batch_isl1024_osl1024_20251125_150000
  MODE=submit TEAM=x inferbench run                       all fifteen cells, then the leaderboard`
	return c
}

func estimateCommand() *cobra.Command {
	c := sweepCommand("estimate", map[string]string{"estimate": "true"})
	c.Short = "Say how long the selected cells would take, and run nothing"
	c.Long = `Estimate sends the server one short request for each ISL and says how long the
selected cells would take on it. It takes the settings of run.`
	c.Example = `  inferbench estimate -base-url http://host:8888 -isl 1024 -osl 1024`
	return c
}

func searchCommand() *cobra.Command {
	c := settingsOf("search", nil, func(flags *flag.FlagSet, w io.Writer) int { return suite.Search(flags, w) })
	c.Short = "Find the most load that keeps limits on latency"
	c.Long = `Search doubles CONC, from the one that is given or 4, until the limits of SLO are
missed, and bisects until the load that keeps them and the one that does not are
within a tenth. With a REQUEST_RATE it varies that instead, from the one that is given. A limit on a percentile is judged as the binomial test that it is,
at 95 % confidence: requests are sent until it is decided. Every probe is a cell of
one batch. The exit code is 0 when the load was found, 1 when it was not, 2 when
nothing could be run.`
	c.Example = `  inferbench search -slo "ttft:p99<500 tpot:p99<50" -base-url http://host:8888 -isl 1024 -osl 1024
  inferbench search -slo "e2el:p90<9s" -request-rate 2 -isl 1024 -osl 1024
  inferbench search -slo "goodput>95%" -goodput "ttft:500 tpot:50" -isl 1024 -osl 1024 -conc 32
  inferbench search -resume batch_isl1024_osl1024_20251125_150000`
	return c
}

func abCommand() *cobra.Command {
	c := settingsOf("ab", nil, func(flags *flag.FlagSet, w io.Writer) int { return suite.CompareServers(flags, w) })
	c.Use = "ab [-SETTING value ...] A B"
	c.Short = "Compare two servers by blocks of requests in turn"
	c.Long = `Ab sends the same requests to two servers, in blocks: one on A, one on B, the first
of each pair by chance. What changes slowly (heat, other load) is the same in both
blocks of a pair, so that a small difference shows that two runs one after the other
would miss. It ends in a table of ratios with their intervals, and leaves a batch of
each server. The exit code is 0 when they were compared, 1 when that was cut short or
the client was the limit, 2 when nothing could be run.`
	c.Example = `  inferbench ab -isl 1024 -osl 1024 -conc 16 http://host1:8888 http://host2:8888
  inferbench ab -pairs 20 -isl 1024 -osl 1024 -conc 16 http://host1:8888 http://host2:8888
  inferbench ab -resume batch_isl1024_osl1024_20251125_150000`
	return c
}

// sweepCommand is a command that takes the settings of a sweep; given are those
// that it gives itself.
func sweepCommand(name string, given map[string]string) *cobra.Command {
	return settingsOf(name, given, func(flags *flag.FlagSet, w io.Writer) int {
		return suite.Main(flags,
			suite.Tests{Out: w})
	})
}

// settingsOf is a command that takes settings, given are those that it gives
// itself, and does what do does with them.
func settingsOf(name string, given map[string]string, do func(*flag.FlagSet, io.Writer) int) *cobra.Command {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.String("run", "", "tests and cells to run, a pattern as of go test: TestAccuracy, "+
		"TestServing/isl=1024/osl=1024/conc=4")
	flags.String("skip", "", "tests and cells to leave out, likewise")
	flags.Int("count", 1, "passes over each cell")
	own := pflag.NewFlagSet(name, pflag.ContinueOnError)
	own.AddGoFlagSet(flags)
	suite.Register(flags)
	c := &cobra.Command{Use: name + " [-SETTING value ...]", RunE: func(c *cobra.Command, args []string) error {
		for name, value := range given {
			if err := flags.Set(name, value); err != nil {
				return err
			}
		}
		var err error
		c.Flags().Visit(func(f *pflag.Flag) {
			if flags.Lookup(f.Name) != nil && err == nil {
				err = flags.Set(f.Name, f.Value.String()) // so that the settings see that it was given
			}
		})
		if err != nil {
			return usageError{err}
		}
		if err := flags.Parse(append([]string{"--"}, args...)); err != nil {
			return usageError{err}
		}
		if code := do(flags, c.OutOrStdout()); code != 0 {
			return exit(code)
		}
		return nil
	}}
	c.Flags().AddGoFlagSet(flags)
	c.SetHelpFunc(func(c *cobra.Command, _ []string) {
		var table strings.Builder
		if err := settings.WriteHelp(&table); err != nil {
			return
		}
		fmt.Fprintf(c.OutOrStdout(), "%s\n\nUsage:\n  inferbench %s\n\nExamples:\n%s\n\nFlags:\n%s\nSettings: "+
			"name, flag, default, meaning\n%s",
			c.Long, c.Use, c.Example, own.FlagUsages(), table.String())
	})
	return c
}

func settingsCommand() *cobra.Command {
	var example bool
	c := &cobra.Command{
		Use: "settings", Short: "List every setting, its default and its meaning",
		Example: `  inferbench settings
  inferbench settings -example > .env`,
		Args: want(0, 0, "no words: flags only"),
		RunE: func(c *cobra.Command, _ []string) error {
			if example {
				return settings.WriteExample(c.OutOrStdout())
			}
			return settings.WriteHelp(c.OutOrStdout())
		},
	}
	c.Flags().BoolVar(&example, "example", false, "print them as the text of .env.example")
	return c
}
