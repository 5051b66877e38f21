package figures_test

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/batch"
	"inferbench/harness/compare"
	"inferbench/harness/convert"
	"inferbench/harness/figures"
	"inferbench/harness/matrix"
	"inferbench/harness/metrics"
	"inferbench/harness/report"
)

var cell = matrix.Cell{Combination: matrix.Combination{ISL: 64, OSL: 32}, Conc: 8, NumPrompts: 400}

// result has every figure of the table under its key, each with a value that no
// other has; from tells two results apart.
func result(t *testing.T, from int) *batch.Result {
	t.Helper()
	file := map[string]any{"status": "PASSED", "successful_requests": 3,
		"benchmark_args": map[string]any{"model": "m", "dataset_name": "random", "tp": 8, "random_input_len": 64, "random_output_len": 32, "random_range_ratio": 1,
			"max_concurrency": 8, "num_prompts": 400}}
	for i, f := range figures.Table {
		set(file, f.Key, distinct(from, i))
	}
	b, err := json.Marshal(file)
	require.NoError(t, err)
	r := new(batch.Result)
	require.NoError(t, json.Unmarshal(b, r))
	return r
}

func distinct(from, i int) float64 { return float64(from + 7*i) }

// set puts a value under a key, which may be that of a section's.
func set(file map[string]any, key string, v float64) {
	section, inner, nested := strings.Cut(key, ".")
	if !nested {
		file[key] = v
		return
	}
	if file[section] == nil {
		file[section] = map[string]any{}
	}
	set(file[section].(map[string]any), inner, v)
}

func folder(t *testing.T, r *batch.Result) *batch.Folder {
	t.Helper()
	b, err := batch.Create(t.TempDir(), batch.Header{Combination: cell.Combination, Mode: "perf", Time: time.Now(), Cells: []matrix.Cell{cell}})
	require.NoError(t, err)
	require.NoError(t, b.WriteResult("", cell, *r))
	require.NoError(t, b.Record(cell, r.Status, time.Second))
	require.NoError(t, b.Close())
	f, err := batch.Open(b.Dir)
	require.NoError(t, err)
	return f
}

// output is a place that shows figures: which of them, its text for a result,
// and what that has of a figure with a value.
type output struct {
	name   string
	shows  func(figures.Figure) bool
	render func(*testing.T, *batch.Result) string
	finds  func(text string, f figures.Figure, v float64) bool
}

func in(o figures.Outputs) func(figures.Figure) bool {
	return func(f figures.Figure) bool { return f.In(o) }
}

func every(figures.Figure) bool { return true }

// printed finds the value as the figure prints it, and the figure's name.
func printed(text string, f figures.Figure, v float64) bool {
	return strings.Contains(text, f.Print(&v)) && strings.Contains(text, f.Name) && strings.Contains(text, f.Unit)
}

var outputs = []output{
	{"the benchmark line and JUnit", func(f figures.Figure) bool { return f.Bench != "" }, benchmarkLine,
		func(text string, f figures.Figure, v float64) bool {
			return strings.Contains(text, fmt.Sprintf(" %.0f %s\t", v, f.Bench))
		}},
	{"the benchmark units", func(f figures.Figure) bool { return f.Bench != "" },
		func(*testing.T, *batch.Result) string { return figures.Units() },
		func(text string, f figures.Figure, _ float64) bool {
			return strings.Contains(text, fmt.Sprintf("Unit %s better=%s\n", f.Bench, f.Better))
		}},
	{"the table on the terminal", in(figures.Terminal | figures.Wide | figures.Agents), terminal, func(text string, f figures.Figure, v float64) bool {
		for _, word := range strings.Fields(f.Label() + " " + f.Unit + " " + f.Print(&v)) { // a head has two lines
			if !strings.Contains(text, word) {
				return false
			}
		}
		return true
	}},
	{"make compare", in(figures.Compare), compared, printed},
	{"the CSV table", every, csvTable, func(text string, f figures.Figure, v float64) bool {
		return strings.Contains(text, fmt.Sprintf("%s=%g\n", f.Key, v))
	}},
	{"the exporter", every, exported, func(text string, f figures.Figure, v float64) bool {
		return strings.Contains(text, fmt.Sprintf(`key="%s",osl="32",scenario=""} %g`+"\n", f.Key, v))
	}},
	{report.HTMLName, in(figures.Report), page(report.HTMLName), func(text string, f figures.Figure, v float64) bool {
		_, table, _ := strings.Cut(text, `<table id="configurations">`)
		table, _, _ = strings.Cut(table, "</table>")
		return printed(strings.NewReplacer("\u00ad", "", "<wbr>", "").Replace(table), f, v)
	}},
	{report.MarkdownName, in(figures.Report), page(report.MarkdownName), printed},
	{"the table of figures in docs/reading-results.md", every, func(t *testing.T, _ *batch.Result) string {
		b, err := os.ReadFile("../../docs/reading-results.md")
		require.NoError(t, err)
		return string(b)
	}, func(text string, f figures.Figure, _ float64) bool { return strings.Contains(text, docsRow(f)) }},
}

// docsRow is the figure's row in the documentation.
func docsRow(f figures.Figure) string {
	unit := "–"
	if f.Bench != "" {
		unit = "`" + f.Bench + "`"
	}
	return fmt.Sprintf("\n| `%s` | %s | %s | %s | %s |\n", f.Key, f.LabelUnit(), unit, cmp.Or(f.Better, "–"), f.Means)
}

// TestEveryFigureReachesEveryOutput renders each output from a result in which
// each figure has a value of its own, and looks for it there.
func TestEveryFigureReachesEveryOutput(t *testing.T) {
	const from = 1001
	r := result(t, from)
	for i, f := range figures.Table {
		v := f.Of(r)
		if assert.NotNil(t, v, "%s is not taken from its key in the result file", f.Key) {
			assert.Equal(t, distinct(from, i), *v, "%s is taken from another key's value", f.Key)
		}
	}
	for _, o := range outputs {
		text := o.render(t, r)
		for i, f := range figures.Table {
			if o.shows(f) {
				assert.True(t, o.finds(text, f, distinct(from, i)),
					"%s does not show %s (%s); its row in the docs is %s", o.name, f.Key, f.LabelUnit(), docsRow(f))
			}
		}
	}
}

// A figure that was not measured is left out: it is nowhere, not even as a column
// of dashes.
func TestAFigureThatWasNotMeasuredIsLeftOut(t *testing.T) {
	for i, f := range figures.Table {
		r := result(t, 1001)
		b, err := json.Marshal(r)
		require.NoError(t, err)
		var file map[string]any
		require.NoError(t, json.Unmarshal(b, &file))
		section, key := file, f.Key
		if outer, inner, nested := strings.Cut(f.Key, "."); nested {
			section, key = file[outer].(map[string]any), inner
		}
		section[key] = nil
		b, err = json.Marshal(file)
		require.NoError(t, err)
		without := new(batch.Result)
		require.NoError(t, json.Unmarshal(b, without))
		if f.Of(without) != nil { // a part of a section that is there whole or not at all
			without.Performance.Goodput, without.Performance.Sessions = nil, nil
		}
		require.Nil(t, f.Of(without), f.Key)
		for _, o := range outputs {
			if strings.HasPrefix(o.name, "the benchmark line") || o.name == "the CSV table" || o.name == "the exporter" {
				text := o.render(t, without)
				assert.NotContains(t, text, f.Key+"=0", o.name)
				assert.False(t, o.finds(text, f, 0) || o.finds(text, f, distinct(1001, i)), "%s shows %s, which was not measured", o.name, f.Key)
			}
		}
	}
	empty := &batch.Result{Status: batch.Failed}
	assert.NotContains(t, terminal(t, empty), "TTFT")
	assert.NotContains(t, page(report.MarkdownName)(t, empty), "TTFT")
	assert.Empty(t, figures.Measured(empty))
}

func TestTheTableIsWhole(t *testing.T) {
	seen := map[string]string{}
	for _, f := range figures.Table {
		assert.NotEmpty(t, f.Name, f.Key)
		assert.NotEmpty(t, f.Means, f.Key)
		if f.Better == "" {
			assert.False(t, f.In(figures.Compare) || f.Bench != "", "%s is judged, and nobody knows which way", f.Key)
		} else {
			assert.Contains(t, []figures.Better{figures.Higher, figures.Lower}, f.Better, f.Key)
		}
		for _, name := range []string{f.Key, f.LabelUnit(), f.Bench} {
			if name != "" {
				assert.Empty(t, seen[name], "%s has a name of %s", f.Key, seen[name])
			}
		}
		for _, name := range []string{f.Key, f.LabelUnit(), f.Bench} {
			seen[name] = f.Key
		}
	}
	assert.PanicsWithValue(t, `figures: no figure has the key "tok"`, func() { figures.ByKey("tok") })
}

func benchmarkLine(_ *testing.T, r *batch.Result) string {
	return testing.Benchmark(func(b *testing.B) { figures.Bench(b, []*batch.Result{r, r}) }).String() + "\t"
}

func terminal(t *testing.T, r *batch.Result) string {
	var b strings.Builder
	require.NoError(t, report.WriteTable(&b, []report.Row{{Conc: 8, Accuracy: "-", Result: r}, {Conc: 16, Accuracy: "-"}}, "B200", 1000))
	return b.String()
}

func compared(t *testing.T, r *batch.Result) string {
	c, err := compare.Folders([]*batch.Folder{folder(t, r)}, []*batch.Folder{folder(t, result(t, 5005))}, compare.Options{})
	require.NoError(t, err)
	var b strings.Builder
	require.NoError(t, c.WriteText(&b))
	return b.String()
}

// csvTable is the table's only row, a line a field.
func csvTable(t *testing.T, r *batch.Result) string {
	var b bytes.Buffer
	require.NoError(t, convert.WriteCSV(&b, []*batch.Folder{folder(t, r)}))
	rows, err := csv.NewReader(&b).ReadAll()
	require.NoError(t, err)
	text := ""
	for i, key := range rows[0] {
		text += key + "=" + rows[1][i] + "\n"
	}
	return text
}

func exported(t *testing.T, r *batch.Result) string {
	e, err := metrics.Start(metrics.Options{Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	defer e.Close(t.Context())
	e.Ended(cell, r)
	resp, err := http.Get(e.URL())
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(b)
}

func page(name string) func(*testing.T, *batch.Result) string {
	return func(t *testing.T, r *batch.Result) string {
		dir := folder(t, r).Dir
		require.NoError(t, report.Write(dir, report.Options{}))
		b, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		return string(b)
	}
}
