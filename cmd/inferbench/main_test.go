package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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

// Import makes its folders in RESULTS_DIR and says what it skipped; export refuses in
// one line what it does not know.
func TestImportAndExport(t *testing.T) {
	row, err := os.ReadFile("../../harness/convert/testdata/agg_inferencex.json")
	require.NoError(t, err)
	t.Chdir(t.TempDir())
	t.Setenv("RESULTS_DIR", "there")
	require.NoError(t, os.WriteFile("agg_bmk.json", []byte("["+string(row)+`,{"hello":1}]`), 0o644))
	code, out, stderr := line(t.Context(), "import", "agg_bmk.json")
	require.Zero(t, code, stderr)
	dir := strings.TrimSpace(out)
	assert.True(t, strings.HasPrefix(dir, "there/batch_isl64_osl16_"), dir)
	assert.Contains(t, stderr, "agg_bmk.json: 1 of 2 rows skipped: line 1, element 2: not a result that is known here")

	export := []string{"export", dir, "-format", "inferencex", "-hw", "x", "-image", "i", "-model-prefix", "p", "-precision", "fp8", "-spec-decoding", "none"}
	code, out, stderr = line(t.Context(), export...)
	assert.Equal(t, 1, code)
	assert.Empty(t, out)
	assert.Equal(t, 1, strings.Count(stderr, "\n"))
	assert.Contains(t, stderr, "not known, so not exported: attention's data parallelism (-dp-attention), expert parallelism (-ep)")
	code, out, stderr = line(t.Context(), append(export, "-ep", "8", "-dp-attention", "false")...)
	assert.Zero(t, code, stderr)
	assert.FileExists(t, strings.TrimSpace(out))
	for want, args := range map[string][]string{
		`-format "xml": want csv or inferencex`: {"-format", "xml"},
		"-prefill and -decode go together":      {"-prefill", "tp=1"},
		`-dp-attention "yes": want true or`:     {"-dp-attention", "yes"},
		`-router "r": want NAME@VERSION`:        {"-router", "r"},
	} {
		code, _, stderr := line(t.Context(), append(export, args...)...)
		assert.Equal(t, 1, code)
		assert.Contains(t, stderr, want)
	}
	_, _, stderr = line(t.Context(), "export", "-format", "xml", ".")
	assert.Contains(t, stderr, `-format "xml": want csv`, "before the folder, which is no batch, is looked at")
}
