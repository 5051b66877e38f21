// Command inferbench is the suite as one program: it runs sweeps on a machine
// without Go, reads and compares the batches they leave, and serves the
// leaderboard. See inferbench -h.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"inferbench/harness/hint"
	"inferbench/harness/sweep"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl+C ends the process at once
	code := execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// Exit codes, besides those of run and compare.
const (
	failed  = 1 // it could not be done
	misused = 2 // the command line is wrong
)

// exit is the error of a command that has said all that there is to say.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// usageError is a command line that cannot be right.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// couldNot is an error with an exit code of its own.
type couldNot struct {
	error
	code int
}

func (e couldNot) Unwrap() error { return e.error }

// execute runs a command line and returns the exit code.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := commands()
	root.SetArgs(doubled(args))
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	var code exit
	var usage usageError
	var undone couldNot
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &usage) || cmd == root: // the latter: no such command
		fmt.Fprintf(stderr, "%s: %v (%s -h has examples)\n", cmd.CommandPath(), err, cmd.CommandPath())
		return misused
	}
	code = failed
	if errors.As(err, &undone) {
		code = exit(undone.code)
	}
	fmt.Fprintf(stderr, "%s: %s\n", cmd.CommandPath(), hint.Line(err))
	return int(code)
}

// commands is the whole program.
func commands() *cobra.Command {
	root := &cobra.Command{
		Use:   "inferbench",
		Short: "Benchmark LLM inference servers: accuracy first, then speed",
		Long: `Inferbench measures a server that speaks OpenAI's HTTP API: is it still right,
how fast is it, and how does that compare with the reference hardware. A sweep
leaves a batch folder, which the other commands read.`,
		Example: `  inferbench run -conc 4                          one cell of each pair on the embedded engine: no server needed
  inferbench run -base-url http://host:8888 -isl 1024 -osl 1024
  inferbench compare batch_before batch_after     what changed, and is it more than noise
  inferbench settings                             every setting, its default and its meaning
  source <(inferbench completion bash)            completion; zsh, fish and powershell likewise`,
		Version: sweep.Version, SilenceErrors: true, SilenceUsage: true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddGroup(&cobra.Group{ID: "measure", Title: "Measure:"}, &cobra.Group{ID: "read",
		Title: "Read what was measured:"},
		&cobra.Group{ID: "other", Title: "Further:"})
	for group, cmds := range map[string][]*cobra.Command{
		"measure": {runCommand(), estimateCommand(), searchCommand(), abCommand(), tuneCommand(),
			fetchCommand(), settingsCommand()},
		"read": {compareCommand(), reportCommand(), historyCommand(),
			exportCommand(), importCommand(), baselineCommand(), boardCommand()},
		"other": {engineCommand(), clientCommand()},
	} {
		for _, c := range cmds {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	root.AddCommand(keepCommand())
	root.SetHelpCommandGroupID("other")
	root.SetCompletionCommandGroupID("other")
	return root
}

// doubled lets flags be written with one dash, as `go test` and most tools of
// the field have them: -isl becomes --isl. What follows -- stays.
func doubled(args []string) []string {
	out := make([]string, 0, len(args))
	for i, a := range args {
		if a == "--" {
			return append(out, args[i:]...)
		}
		if name, ok := strings.CutPrefix(a, "-"); ok && len(name) > 1 && name[0] >= 'a' && name[0] <= 'z' {
			a = "--" + name
		}
		out = append(out, a)
	}
	return out
}

// group makes c a command that has others below it and does nothing itself.
func group(c *cobra.Command, below ...*cobra.Command) *cobra.Command {
	c.AddCommand(below...)
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usageError{fmt.Errorf("there is no command %q", args[0])}
		}
		if err := c.Help(); err != nil {
			return err
		}
		return exit(misused)
	}
	return c
}

// want is a check of the words of a command line: what says what is wanted,
// with an example.
func want(least, most int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		empty := 0
		for _, a := range args {
			if a == "" {
				empty++
			}
		}
		if n := len(args); n < least || most >= 0 && n > most || empty > 0 {
			return usageError{errors.New("want " + what)}
		}
		return nil
	}
}
