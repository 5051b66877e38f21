package history

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/batch"
	"inferbench/harness/figures"
	"inferbench/harness/matrix"
	"inferbench/harness/stats"
	"inferbench/harness/testdata/browsertest"
)

// made is a batch to be written: what tells it from others.
type made struct {
	day   int
	label string
	tput  float64 // of CONC 4; it grows with CONC
	flags string  // JSON
	isl   int
	fail  bool // the last cell
}

// write writes a batch of five cells below root, as a sweep leaves it.
func write(t testing.TB, root string, m made) string {
	t.Helper()
	combo := matrix.Combination{ISL: m.isl, OSL: 1024}
	at := time.Date(2026, 1, 1, 12, 0, 0, 0, time.Local).AddDate(0, 0, m.day)
	cells := matrix.Selection{}.Cells(combo)
	b, err := batch.Create(root, batch.Header{Combination: combo, Mode: "perf", Time: at, Cells: cells})
	require.NoError(t, err)
	require.NoError(t, b.WritePlan(batch.Server{Model: "m", Backend: "vllm"}, nil, nil))
	for i, c := range cells {
		f := m.tput * (1 + float64(i))
		user, e2e, ttft := 100-10*float64(i), 1000+500*float64(i), 100+20*float64(i)
		sum := stats.Summary{Successful: 10, TputPerGPU: &f, Interactivity: &user}
		sum.E2EL.Median, sum.TTFT.P99 = &e2e, &ttft
		r := batch.Result{Status: batch.Passed, Performance: &sum, Args: batch.Args{Model: "deepseek", Backend: "vllm", BackendVersion: "0.32.0",
			Label: m.label, RandomInputLen: m.isl, RandomOutputLen: 1024, MaxConcurrency: c.Conc, NumPrompts: c.NumPrompts, TP: 8,
			Server: []byte(`{"engine":"vllm","version":"0.32.0","dtype":"bfloat16","flags":` + m.flags + `}`)}}
		if m.fail && i == len(cells)-1 {
			r.Status, r.Reason = batch.Failed, "it failed"
		}
		require.NoError(t, b.WriteResult("", c, r))
		require.NoError(t, b.Record(c, r.Status, time.Second))
	}
	require.NoError(t, b.Close())
	return b.Dir
}

// thousand copies a batch with real result files' size a thousand times.
func thousand(t testing.TB) string {
	t.Helper()
	root := t.TempDir()
	for n := range 4 {
		dir := write(t, root, made{day: n, label: fmt.Sprint("run ", n), tput: 100 + float64(n), flags: `{"max_num_seqs":"` + fmt.Sprint(64*n) + `"}`, isl: 1024})
		files, err := os.ReadDir(dir)
		require.NoError(t, err)
		for i := range 249 {
			to := filepath.Join(root, fmt.Sprintf("batch_isl1024_osl1024_%d_%d", n, i))
			require.NoError(t, os.Mkdir(to, 0o755))
			for _, f := range files {
				b, err := os.ReadFile(filepath.Join(dir, f.Name()))
				require.NoError(t, err)
				if strings.HasPrefix(f.Name(), "result_") { // as large as one with an audit and the server's metrics
					b = []byte(strings.Replace(string(b), `"accuracy": null`, `"client_audit": {"x": "`+strings.Repeat("y", 4000)+`"}, "accuracy": null`, 1))
				}
				require.NoError(t, os.WriteFile(filepath.Join(to, f.Name()), b, 0o644))
			}
		}
	}
	return root
}

// several is a folder of results: batches of two weeks, one of them deep down, and
// what is none.
func several(t testing.TB) string {
	root := t.TempDir()
	write(t, root, made{day: 0, label: "first", tput: 100, flags: `{"max_num_seqs":"64","block_size":"16"}`, isl: 1024})
	write(t, filepath.Join(root, "tune_x", "01_a"), made{day: 1, label: "second", tput: 110, flags: `{"max_num_seqs":"128","block_size":"16"}`, isl: 1024, fail: true})
	write(t, root, made{day: 14, tput: 99, flags: `{"max_num_seqs":"128","block_size":"16"}`, isl: 8192})
	for dir, file := range map[string]string{"cut": "plan.json", "foreign": "summary.txt", ".hidden/batch": "plan.json", "empty": "note.txt", "node_modules/x": "plan.json"} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(root, dir, file), []byte("{"), 0o644))
	}
	return root
}

const rows = "../convert/testdata/inferencex-api.json"

func TestRead(t *testing.T) {
	root := several(t)
	h, err := Read([]string{root, root + "/../" + filepath.Base(root), rows})
	require.NoError(t, err)
	require.Len(t, h.Skipped, 2, "of what looks like a batch, each once")
	assert.Contains(t, errors.Join(h.Skipped...).Error(), "foreign")
	var names []string
	for _, e := range h.Entries {
		names = append(names, strings.Join([]string{e.date(), e.Status(), e.What(), e.On()}, "; "))
	}
	assert.Equal(t, []string{
		"2026-01-01 12:00; 5/5; first · max_num_seqs=64; deepseek · vllm 0.32.0",
		"2026-01-02 12:00; 4/5 1 FAILED; second · max_num_seqs=128; deepseek · vllm 0.32.0",
		"2026-01-15 12:00; 5/5; ; deepseek · vllm 0.32.0",
		"2026-06-01; 1 imported; InferenceX fp8; qwen3-coder · vllm vllm/vllm-tpu:nightly · tpu7x",
	}, names, "in order of time, with the flags that are not the same for all of one kind")

	before := h.Before()
	assert.Nil(t, before[0])
	assert.InDelta(t, 1.1, *before[1], 1e-9)
	assert.Nil(t, before[2], "of other lengths")
	bests := h.Bests()
	require.Len(t, bests, 10, "the file's rows are nobody's run")
	assert.Equal(t, 110.0, *bests[0].Tput.Point.Tput)
	assert.Equal(t, "second", bests[0].Tput.Entry.Label)
	assert.Equal(t, "first", bests[0].E2E.Entry.Label, "of equals the first")
	assert.Equal(t, "first", bests[4].Tput.Entry.Label, "a cell that FAILED is not best")

	_, err = Read([]string{filepath.Join(root, "there-is-none")})
	assert.ErrorIs(t, err, fs.ErrNotExist)
	_, err = Read([]string{filepath.Join(root, "empty")})
	assert.ErrorContains(t, err, "no batch in ")
}

func TestTable(t *testing.T) {
	h, err := Read([]string{several(t), rows})
	require.NoError(t, err)
	var b strings.Builder
	require.NoError(t, h.WriteTable(&b, 80, 30))
	assert.Contains(t, b.String(), `
deepseek (1024,1024) on vllm 0.32.0
date               cells  tok/s/GPU  E2EL p50  tok/s vs
                  passed       most    lowest    before  what
2026-01-01 12:00     5/5      500.0   1000 ms         -  first · max_num_seqs=64
2026-01-02 12:00     4/5      440.0   1000 ms   +10.0 %  second · max_num_seqs=…
`)
	assert.Contains(t, b.String(), `
Best so far
cell                       tok/s/GPU  E2EL p50  of
isl=1024/osl=1024/conc=4       110.0   1000 ms  2026-01-02 12:00 second · max_n…
`)
	assert.Contains(t, b.String(), "\n2 skipped, as they cannot be read. The first: ")

	chinese := t.TempDir()
	write(t, chinese, made{label: "第一次测试，用八张显卡，长上下文", tput: 100, flags: "{}", isl: 1024})
	c, err := Read([]string{chinese})
	require.NoError(t, err)
	b.Reset()
	require.NoError(t, c.WriteTable(&b, 64, 30))
	for line := range strings.Lines(b.String()) {
		if strings.Contains(line, "第一次") {
			assert.LessOrEqual(t, figures.Width(strings.TrimSpace(line)), 64, line)
			assert.Contains(t, line, "…")
		}
	}

	b.Reset()
	require.NoError(t, h.WriteTable(&b, 300, 1))
	assert.NotContains(t, b.String(), "deepseek")
	assert.Contains(t, b.String(), "\n1 of 4 batches are shown: the page has all, or -last 0.\n")
}

func TestPageInABrowser(t *testing.T) {
	h, err := Read([]string{several(t), rows})
	require.NoError(t, err)
	page, err := h.HTML()
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), HTMLName)
	require.NoError(t, os.WriteFile(file, page, 0o644))
	for _, look := range []struct {
		name  string
		width int
		dark  bool
	}{{"history", 1440, false}, {"history-phone-dark", 390, true}} {
		t.Run(look.name, func(t *testing.T) {
			p := browsertest.Open(t, "file://"+file, look.width, look.dark)
			p.Screenshot(look.name)
			assert.Zero(t, p.Overflow(), browsertest.Eval[string](p, `[...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > innerWidth && !e.closest(".scroll")).map((e) => e.tagName + "#" + e.id + "." + e.className).join(" ")`))
			assert.Empty(t, p.Axe())
			count := func() string { return browsertest.Eval[string](p, `document.getElementById("count").textContent`) }
			assert.Equal(t, "1", count(), "of the last batch's lengths")
			choose := func(id, value string) {
				browsertest.Eval[bool](p, fmt.Sprintf(`(() => { const e = document.getElementById(%q); e.value = %q; e.dispatchEvent(new Event(e.tagName === "INPUT" ? "input" : "change")); return true })()`, id, value))
			}
			choose("f-lengths", "(1024,1024)")
			assert.Equal(t, "3", count(), "with the row of the file")
			assert.Equal(t, "2026-01-01 12:00 first · max_num_seqs=64|2026-01-02 12:00 second · max_num_seqs=128|2026-06-01 InferenceX fp8|Pareto front of all|failed",
				browsertest.Eval[string](p, `Chart.getChart("c-user").data.datasets.map((d) => d.label).join("|")`)+"", "curves")
			assert.Equal(t, "CONC 4 CONC 8 CONC 16 CONC 32 CONC 64", browsertest.Eval[string](p, `Chart.getChart("c-trend").data.datasets.map((d) => d.label).join(" ")`))
			p.Screenshot(look.name + "-curves")
			choose("f-words", "SECOND seqs=128")
			assert.Equal(t, "1", count())
			assert.Equal(t, 1, browsertest.Eval[int](p, `document.querySelectorAll("#batches tbody tr:not([hidden])").length`))
			assert.True(t, browsertest.Eval[bool](p, `document.getElementById("c-trend").closest("section").hidden`), "one batch has no trend")
			choose("f-words", "no such thing")
			assert.Equal(t, "0", count())
			assert.True(t, browsertest.Eval[bool](p, `document.getElementById("c-user").closest("section").hidden`))
			assert.Empty(t, p.Errors())
		})
	}
}

// A thousand batches of five cells, read and made a page of; want under 3 s.
func BenchmarkThousandBatches(b *testing.B) {
	root := thousand(b)
	var before, after syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &before))
	defer func() {
		require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &after))
		b.ReportMetric(float64(after.Utime.Nano()+after.Stime.Nano()-before.Utime.Nano()-before.Stime.Nano())/1e9/float64(b.N), "cpu-s/op")
	}()
	for b.Loop() {
		h, err := Read([]string{root})
		require.NoError(b, err)
		require.Len(b, h.Entries, 1000)
		page, err := h.HTML()
		require.NoError(b, err)
		require.Less(b, 100_000, len(page))
	}
}
