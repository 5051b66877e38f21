package leaderboard

import (
	"cmp"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/testdata/browsertest"
)

const hostile = `<script>alert(1)</script>`

// fill puts a board's worth of teams on it.
func fill(t *testing.T, url string) {
	t.Helper()
	for i, conc := range []int{4, 8, 16, 32, 64} {
		f := float64(i)
		submitOK(t, url, entry(t, "Fjord Compute", 1024, 1024, conc, 1.31-0.03*f, 0.86+0.02*f, 1.12))
		submitOK(t, url, entry(t, "kernel-golf", 1024, 1024, conc, 1.02+0.04*f, 1.05-0.02*f, 0.93+0.03*f))
		submitOK(t, url, entry(t, "深圳推理优化实验室性能调优第一小组", 1024, 1024, conc, 0.92+0.03*f, 1.02-0.01*f, 0.99))
		submitOK(t, url, entry(t, "Deutsche Übertragungsratenoptimierungsgesellschaft", 1024, 1024, conc, 0.71+0.02*f, 1.42, 0.66))
		if i%2 == 0 {
			submitOK(t, url, entry(t, hostile, 1024, 1024, conc, 0.9, 1.1, 0))
		}
	}
	submitOK(t, url, with(t, entry(t, "kernel-golf", 1024, 1024, 16, 1.2, 0.95, 1.05), "client_limited", true))
	submitOK(t, url, with(t, entry(t, "my laptop", 1024, 1024, 4, 0.3, 2.5, 0.4), "benchmark_args.backend", "embedded"))
	submitOK(t, url, entry(t, "signed & sealed", 1024, 1024, 4, 1.05, 1, 1.01), "Authorization", "Bearer a-token-of-some-length")
}

func TestPageShowsHTMLAsText(t *testing.T) {
	server, _ := serve(t, Config{})
	fill(t, server.URL)
	for _, path := range []string{"/", "/isl1024_osl1024", "/teams/%3Cscript%3Ealert%281%29%3C%2Fscript%3E/history"} {
		status, html := call(t, "GET", server.URL+path, nil)
		require.Equal(t, http.StatusOK, status, path)
		assert.NotContains(t, html, hostile, path)
		assert.Contains(t, html, "&lt;script&gt;alert(1)&lt;/script&gt;", path)
	}
	for _, path := range []string{"/nowhere", "/isl0_osl1", "/teams/nobody/history", "/a/b/c"} {
		status, html := call(t, "GET", server.URL+path, nil)
		assert.Equal(t, http.StatusNotFound, status, path)
		assert.Contains(t, html, "There is no such page", path)
	}
}

// The page in a real browser: both schemes, wide and on a phone.
func TestPageInABrowser(t *testing.T) {
	server, _ := serve(t, Config{})
	fill(t, server.URL)
	for _, c := range []struct {
		name, path string
		width      int
		dark       bool
	}{
		{"board", "/isl1024_osl1024", 1280, false}, {"board", "/isl1024_osl1024", 1280, true},
		{"board", "/isl1024_osl1024", 390, false}, {"board", "/isl1024_osl1024", 390, true},
		{"team", "/teams/kernel-golf/history", 1280, true}, {"team", "/teams/kernel-golf/history", 390, false},
		{"empty", "/isl8192_osl1024", 390, true}, {"own", "/isl100_osl50", 1280, false}, {"missing", "/nowhere", 390, false},
	} {
		name := fmt.Sprintf("%s-%d-%s", c.name, c.width, map[bool]string{false: "light", true: "dark"}[c.dark])
		t.Run(name, func(t *testing.T) {
			p := browsertest.Open(t, server.URL+c.path, c.width, c.dark)
			assert.Zero(t, p.Overflow(), "pixels wider than the window")
			assert.Empty(t, p.Axe())
			p.Screenshot(name)
			for _, complaint := range p.Errors() {
				if !strings.Contains(complaint, "status of 404") || c.path != "/nowhere" {
					t.Error("the page complained:", complaint)
				}
			}
		})
	}
}

func TestChartsWithMouseAndKeyboard(t *testing.T) {
	server, _ := serve(t, Config{})
	fill(t, server.URL)
	p := browsertest.Open(t, server.URL+"/isl1024_osl1024", 1280, false)

	type series struct {
		Label string
		Count int
	}
	left := browsertest.Eval[[]series](p, `boardCharts[0].data.datasets.map(d => ({Label: d.label, Count: d.data.length}))`)
	assert.Contains(t, left, series{"NVIDIA B200", 5})
	assert.Contains(t, left, series{"kernel-golf", 5})
	right := browsertest.Eval[[]series](p, `boardCharts[1].data.datasets.map(d => ({Label: d.label, Count: d.data.length}))`)
	assert.Equal(t, "Pareto front, NVIDIA B200 included", right[0].Label)
	for _, s := range append(left, right...) {
		assert.NotContains(t, []string{hostile, "my laptop"}, s.Label, "what stands apart is not among them")
	}
	assert.Positive(t, browsertest.Eval[int](p, `boardCharts[1].concLabels`), "points are labelled with their CONC")

	// The figures alone, on a chart of their own.
	p.Do(chromedp.SetValue(chromedp.CSS("#group"), "unchecked"))
	browsertest.Eval[bool](p, `document.getElementById("group").dispatchEvent(new Event("change"))`)
	apart := `boardCharts.map(c => c.data.datasets.find(d => d.label === ` + fmt.Sprintf("%q", hostile) + `)?.data.length ?? -1)`
	assert.Equal(t, []int{0, 3}, browsertest.Eval[[]int](p, apart), "which do not say the interactivity")
	p.Do(chromedp.SetValue(chromedp.CSS("#group"), ""))
	browsertest.Eval[bool](p, `document.getElementById("group").dispatchEvent(new Event("change"))`)

	// The keyboard walks the points, and what it stops at is said.
	p.Do(chromedp.Focus(chromedp.CSS("#plot-e")), chromedp.KeyEvent(kb.ArrowRight), chromedp.KeyEvent(kb.ArrowRight))
	said := browsertest.Eval[string](p, `document.getElementById("say-e").textContent`)
	assert.Regexp(t, `^.+, CONC [0-9]+: [0-9.]+ tok/s/GPU.*; E2E [0-9.]+ s`, said)
	assert.Equal(t, 1, browsertest.Eval[int](p, `boardCharts[1].tooltip.getActiveElements().length`))
	p.Screenshot("keyboard")
	p.Do(chromedp.KeyEvent(kb.Escape))
	assert.Empty(t, browsertest.Eval[string](p, `document.getElementById("say-e").textContent`))

	// The mouse: the figures of the dot that it points at.
	type where struct{ X, Y float64 }
	at := browsertest.Eval[where](p, `(() => { document.getElementById("plot-i").scrollIntoView({block: "center"}); const c = boardCharts[0],
		n = c.data.datasets.findIndex(d => d.label === "Fjord Compute"), e = c.getDatasetMeta(n).data[0], r = c.canvas.getBoundingClientRect();
		return {X: r.x + e.x, Y: r.y + e.y}; })()`)
	p.Do(chromedp.MouseEvent("mouseMoved", at.X, at.Y))
	require.Eventually(t, func() bool {
		return browsertest.Eval[int](p, `boardCharts[0].tooltip.opacity`) == 1
	}, limitOfTests, tick)
	tip := browsertest.Eval[string](p, `boardCharts[0].tooltip.title + " " + boardCharts[0].tooltip.body.map(b => b.lines).join()`)
	assert.Regexp(t, `^Fjord Compute, CONC 64 .*tok/s/GPU, 1\.190 × NVIDIA B200.*tok/s/user.*E2E`, tip)

	// The legend takes a line away.
	p.Do(chromedp.Click(chromedp.CSS(`#legend button[aria-pressed="true"]`)))
	assert.False(t, browsertest.Eval[bool](p, `boardCharts[0].isDatasetVisible(boardCharts[0].data.datasets.findIndex(d => d.label === "NVIDIA B200"))`))
	assert.Equal(t, "false", browsertest.Eval[string](p, `document.querySelector("#legend button").getAttribute("aria-pressed")`))
	assert.Empty(t, p.Errors())
}

// A page must not ask anybody but the board for anything.
func TestPageNeedsNoNetwork(t *testing.T) {
	entries, err := web.ReadDir("web")
	require.NoError(t, err)
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join("web", e.Name()))
		require.NoError(t, err)
		text := strings.ReplaceAll(string(b), "http://www.w3.org/2000/svg", "") // a name, not an address
		for _, word := range []string{"http://", "https://", `"//`, "@import", "url("} {
			assert.NotContains(t, text, word, e.Name())
		}
	}
}

// The tools sort, filter and search, with the mouse and with the keyboard alone.
func TestTablesSortFilterAndSearch(t *testing.T) {
	server, b := serve(t, Config{})
	fill(t, server.URL)
	p := browsertest.Open(t, server.URL+"/isl1024_osl1024", 1280, false)
	column := func(n int) []string {
		return browsertest.Eval[[]string](p, fmt.Sprintf(`[...document.querySelectorAll("table.board tbody tr:not([hidden]):not(.reference)")].map(r => r.cells[%d].dataset.value)`, n))
	}
	all := column(0)
	press := func(head string) {
		browsertest.Eval[bool](p, fmt.Sprintf(`[...document.querySelectorAll("table.board thead button")].find(b => b.textContent === %q).focus() || true`, head))
		p.Do(chromedp.KeyEvent(kb.Enter))
	}
	press("tok/s/GPU")
	values := column(2)
	require.NotEmpty(t, values)
	assert.True(t, slices.IsSortedFunc(values, func(a, b string) int { return cmp.Compare(number(t, b), number(t, a)) }), "the most first: %v", values)
	press("tok/s/GPU")
	assert.Equal(t, "ascending", browsertest.Eval[string](p, `document.querySelector("table.board th[aria-sort]").ariaSort`))
	press("Team")
	assert.ElementsMatch(t, all, column(0))

	p.Do(chromedp.SetValue(chromedp.CSS("#f-conc"), "16"))
	browsertest.Eval[bool](p, `document.getElementById("f-conc").dispatchEvent(new Event("input"))`)
	for _, conc := range column(1) {
		assert.Equal(t, "16", conc)
	}
	p.Do(chromedp.SetValue(chromedp.CSS("#f-conc"), ""), chromedp.SendKeys(chromedp.CSS("#q"), "推理"))
	require.NotEmpty(t, column(0))
	for _, team := range column(0) {
		assert.Equal(t, "深圳推理优化实验室性能调优第一小组", team)
	}
	assert.Regexp(t, `^5 of the \d+ rows match\.$`, browsertest.Eval[string](p, `document.getElementById("shown").textContent`))
	p.Screenshot("filtered")

	// A team that is not among the first is found by the server.
	manyTeams(t, b, 300)
	status, html := call(t, "GET", server.URL+"/isl1024_osl1024?q=team+0", nil)
	require.Equal(t, http.StatusOK, status)
	assert.Contains(t, html, ">team 0</a>")
	assert.NotContains(t, html, "Fjord")
	assert.Empty(t, p.Errors())
}

func number(t *testing.T, s string) float64 {
	v, err := strconv.ParseFloat(s, 64)
	require.NoError(t, err)
	return v
}

// What is submitted shows without reloading, and the tools stay as they were.
func TestPageRenewsItself(t *testing.T) {
	server, _ := serve(t, Config{})
	fill(t, server.URL)
	p := browsertest.Open(t, server.URL+"/isl1024_osl1024", 1280, false)
	p.Do(chromedp.SendKeys(chromedp.CSS("#q"), "new"))
	browsertest.Eval[bool](p, `(window.before = true)`)
	browsertest.Eval[bool](p, `renewBoard().then(() => true)`)
	submitOK(t, server.URL, entry(t, "a new team", 1024, 1024, 4, 1.4, 0.8, 1.2))
	browsertest.Eval[bool](p, `renewBoard().then(() => true)`)
	rows := browsertest.Eval[[]string](p, `[...document.querySelectorAll("table.board tbody tr:not([hidden]):not(.reference)")].map(r => r.dataset.team)`)
	assert.Equal(t, []string{"a new team"}, rows)
	assert.True(t, browsertest.Eval[bool](p, `window.before === true`), "without reloading")
	assert.Contains(t, browsertest.Eval[string](p, `document.getElementById("live").textContent`), "Updated at")
	assert.True(t, browsertest.Eval[bool](p, `boardCharts[1].data.datasets.some(d => d.label === "a new team")`))
	assert.Empty(t, p.Axe())
	assert.Empty(t, p.Errors())
}

// Every column can be reached on a phone.
func TestEveryColumnOnAPhone(t *testing.T) {
	server, _ := serve(t, Config{})
	fill(t, server.URL)
	p := browsertest.Open(t, server.URL+"/isl1024_osl1024", 390, false)
	assert.Zero(t, browsertest.Eval[int](p, `[...document.querySelectorAll("table.board th, table.board td")].filter(c => getComputedStyle(c).display === "none").length`))
	last := browsertest.Eval[bool](p, `(() => { const table = document.querySelector("table.board"), box = table.parentElement; box.scrollLeft = box.scrollWidth;
		const cell = table.rows[1].cells[table.rows[1].cells.length - 1].getBoundingClientRect(); return cell.right <= innerWidth && cell.left >= 0; })()`)
	assert.True(t, last, "the last column scrolls into view")
	browsertest.Eval[bool](p, `(document.getElementById("rows").scrollIntoView(), true)`)
	p.Screenshot("phone-scrolled")
}

func TestTeamsProgress(t *testing.T) {
	server, _ := serve(t, Config{})
	fill(t, server.URL)
	p := browsertest.Open(t, server.URL+"/teams/kernel-golf/history", 1280, false)
	assert.Equal(t, []int{1, 1, 2, 1, 1}, browsertest.Eval[[]int](p, `teamChart.data.datasets.map(d => d.data.length)`))
	assert.Equal(t, "CONC 16", browsertest.Eval[string](p, `teamChart.data.datasets[2].label`))
}

func TestLatencies(t *testing.T) {
	for ms, want := range map[float64]string{0.5: "0.50 ms", 9.876: "9.88 ms", 104.28: "104.3 ms", 999.94: "999.9 ms", 1000: "1.00 s", 15979.59: "15.98 s"} {
		assert.Equal(t, want, span(ms))
	}
}
