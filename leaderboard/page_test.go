package leaderboard

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/browsertest"
)

const hostile = `<script>alert(1)</script>`

// fill puts a board's worth of teams on it.
func fill(t *testing.T, url string) {
	t.Helper()
	for i, conc := range []int{4, 8, 16, 32, 64} {
		f := float64(i)
		submitOK(t, url, entry(t, "Fjord Compute", 1024, 1024, conc, 1.31-0.03*f, 0.86+0.02*f, 1.12))
		submitOK(t, url, entry(t, "kernel-golf", 1024, 1024, conc, 1.02+0.04*f, 1.05-0.02*f, 0.93+0.03*f))
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
	assert.Contains(t, left, series{hostile, 0}, "the figures alone do not say the interactivity")
	right := browsertest.Eval[[]series](p, `boardCharts[1].data.datasets.map(d => ({Label: d.label, Count: d.data.length}))`)
	assert.Contains(t, right, series{hostile, 3})
	assert.Equal(t, "Pareto front of all teams", right[0].Label)

	// The keyboard walks the points, and what it stops at is said.
	p.Do(chromedp.Focus(chromedp.CSS("#plot-e")), chromedp.KeyEvent(kb.ArrowRight), chromedp.KeyEvent(kb.ArrowRight))
	said := browsertest.Eval[string](p, `document.getElementById("say-e").textContent`)
	assert.Regexp(t, `^.+, CONC 4: [0-9.]+ tok/s/GPU.*; E2E [0-9.]+ s`, said)
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
