package main

import (
	"bytes"
	"context"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
)

// line runs a command line.
func line(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = execute(ctx, args, &out, &err)
	return code, out.String(), err.String()
}

func TestOneDashIsAsGoodAsTwo(t *testing.T) {
	assert.Equal(t, []string{"run", "--isl", "1024", "--osl=8", "--conc", "4", "-h", "-1", "-", "--", "-isl"},
		doubled([]string{"run", "-isl", "1024", "--osl=8", "-conc", "4", "-h", "-1", "-", "--", "-isl"}))
}

// Every command teaches: what it does, and those that do something by themselves
// an example, or their parent has it.
func TestHelpTeaches(t *testing.T) {
	var walk func(c *cobra.Command, taught bool)
	walk = func(c *cobra.Command, taught bool) {
		if c.Hidden {
			return
		}
		taught = taught || c.Example != ""
		assert.NotEmpty(t, c.Short, c.CommandPath())
		assert.True(t, taught, "%s: no example", c.CommandPath())
		for _, sub := range c.Commands() {
			walk(sub, taught && c.HasParent())
		}
	}
	walk(commands(), false)
	code, out, _ := line(t.Context(), "run", "-h")
	assert.Zero(t, code)
	for _, says := range []string{"Examples:", "--count", "NUM_PROMPTS", "-num-prompts"} {
		assert.Contains(t, out, says)
	}
}

func TestWhatIsWrongWithTheLine(t *testing.T) {
	t.Chdir(t.TempDir())
	for want, args := range map[string][]string{
		`unknown command "fly"`:                             {"fly"},
		"want two batch folders, as in make compare":        {"compare", "a", ""},
		`-max-regress "3": want a share such as 3% or 0.03`: {"compare", "a", "b", "-max-regress", "3"},
		"-confidence 95: want between 0.5 and 1, as 0.95":   {"compare", "-confidence", "95", "a", "b"},
		"nowhere: there is no such folder":                  {"compare", "nowhere", "b", "-max-regress", "3%"},
		"unknown flag: --ilsl":                              {"run", "-ilsl", "8"},
		"want a batch folder, as in make report":            {"report"},
		"want a batch folder, as in make csv":               {"export"},
		"want a result file, as in make import":             {"import"},
		"want the path of a .json file":                     {"baseline", "check"},
		"want a batch and a name, as in make baseline":      {"baseline", "add"},
		`inferbench baseline: there is no command "fly"`:    {"baseline", "fly"},
		`inferbench board: there is no command "fly"`:       {"board", "fly"},
		"want one team name":                                {"board", "issue"},
		"want no words: flags only":                         {"engine", "8888"},
	} {
		code, _, stderr := line(t.Context(), args...)
		assert.Equal(t, misused, code, "%v: %s", args, stderr)
		assert.Contains(t, stderr, want)
	}
	code, _, stderr := line(t.Context(), "export", "nowhere")
	assert.Equal(t, failed, code)
	assert.Equal(t, "inferbench export: nowhere: there is no such folder\n", stderr)
}
