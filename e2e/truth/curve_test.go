package truth

import (
	"context"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/engine"
	"inferbench/harness/load"
	"inferbench/harness/server"
	"inferbench/harness/session"
	"inferbench/harness/stats"
)

// size is how much the engine's prefix cache holds, in tokens.
type size struct{ kv, host int }

// point is what a run of sessions gives at a size.
type point struct {
	size
	stats.Summary
	infinite int // tokens that an infinite cache would have found
	cached   int // tokens that this one found, and of these in the host tier
	fromHost int
}

// The sizes of the page, largest first: the device's cache alone, then a small one
// with a host tier behind it.
var sizes = []size{{262144, 0}, {98304, 0}, {65536, 0}, {49152, 0}, {32768, 0}, {24576, 0}, {16384, 0},
	{16384, 32768}, {16384, 65536}, {16384, 262144}}

// curveSessions is the load of the curve; full is as the page has it.
func curveSessions(full bool) (traces []session.Trace, lanes int) {
	s := session.Synthetic{Seed: 1, Turns: session.Dist{Shape: "normal", Mean: 8, SD: 3}, System: 2048,
		Input: session.Dist{Shape: "lognormal", Mean: 500, SD: 400}, Output: session.Dist{Shape: "lognormal", Mean: 60, SD: 40},
		Delay: session.Dist{Shape: "lognormal", Mean: 0.3, SD: 0.3}, SubAgents: session.Dist{Mean: 1},
		SubAgentTurns: session.Dist{Mean: 3}, Compact: 8000, Keep: 4000}
	n := 24
	if !full {
		n, s.Output, s.Delay = 8, session.Dist{Mean: 3}, session.Dist{Mean: 0.02}
	}
	for i := range n {
		traces = append(traces, s.Trace(i))
	}
	return traces, 8
}

// As the cache shrinks, what is found in it does; a host tier makes up for it. With
// -update it writes docs/agents-cache.md.
func TestCacheCurve(t *testing.T) {
	some := []size{sizes[0], sizes[6], sizes[9]}
	if *update {
		some = sizes
	}
	var points []point
	for _, s := range some {
		points = append(points, curvePoint(t, s, *update))
	}
	first, last := points[0], points[len(points)-1]
	assert.Equal(t, first.infinite, first.cached, "a cache that holds everything")
	assert.Equal(t, last.infinite, last.cached, "both tiers hold everything")
	assert.Positive(t, last.fromHost)
	for _, p := range points[1:] {
		if p.kv == sizes[6].kv && p.host == 0 {
			assert.Less(t, p.cached, first.cached)
		}
	}
	if *update && !t.Failed() {
		require.NoError(t, os.WriteFile("../../docs/agents-cache.md", []byte(curvePage(points)), 0o644))
		require.NoError(t, os.WriteFile("../../docs/agents-cache.svg", []byte(curvePicture(points)), 0o644))
	}
}

func curvePoint(t *testing.T, s size, full bool) point {
	t.Helper()
	e, err := engine.Start(engine.Config{Profile: "agents", KVTokens: s.kv, HostTokens: s.host})
	require.NoError(t, err)
	defer func() { assert.NoError(t, e.Close()) }()
	traces, lanes := curveSessions(full)
	r, err := session.NewReplay(traces, session.Rules{Lanes: lanes, Seed: 1, Mark: true, Run: "curve"})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	tg := server.New(e.URL(), "", "", nil)
	rec, err := load.Replay(ctx, tg, r, session.IDs{Seed: 1, Low: 0, High: 256}, load.Options{Conc: lanes})
	require.NoError(t, err)
	p := point{size: s, Summary: rec.Summary(1)}
	for _, x := range rec.Timings {
		require.Empty(t, x.Err)
		p.infinite += min(64*x.Turn.Hits, (x.InputTokens-1)/16*16)
		p.cached += x.Prompt.Cached
	}
	var answer struct {
		Requests []struct {
			HostTokens int `json:"host_tokens"`
		}
	}
	require.NoError(t, tg.Get(ctx, "/inferbench/trace", &answer))
	for _, x := range answer.Requests {
		p.fromHost += x.HostTokens
	}
	return p
}

// share of the input tokens, in percent.
func (p point) share(tokens int) float64 { return 100 * float64(tokens) / float64(*p.InputTokens) }

func curvePage(points []point) string {
	traces, lanes := curveSessions(true)
	turns, in := 0, 0
	for i := range traces {
		n, _ := traces[i].Total()
		turns, in = turns+len(traces[i].Turns), in+n
	}
	var b strings.Builder
	fmt.Fprintf(&b, `# What the figures do as the cache shrinks

Written by `+"`make agents-cache`"+` on %s. %d made-up sessions, %d at a time, with %d turns and %d input tokens in all, run on the embedded engine with its profile `+"`agents`"+` ([the engine](engine.md)), which stands for no hardware: it takes 20 ms to compute 1,000 tokens of a prompt, and 1 ms to load them back from the host tier. Only the size of its prefix cache differs from row to row (`+"`ENGINE_KV_TOKENS`, `ENGINE_HOST_TOKENS`"+`). The sessions are the same ones, so an infinite cache would find the same in every row. Times are those of the machine that it was run on, shares are not.

![Hits and TTFT as the cache shrinks](agents-cache.svg)

| KV cache (tokens) | host tier | infinite cache (%%) | found (%%) | of it in the host tier (%%) | TTFT p50 (ms) | TTFT p99 (ms) | E2E tok/s/user p90 | session p50 (s) | sessions/h/GPU | computed input tok/s |
| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
`, time.Now().UTC().Format("2006-01-02"), len(traces), lanes, turns, in)
	for _, p := range points {
		host := "–"
		if p.host > 0 {
			host = fmt.Sprint(p.host)
		}
		fmt.Fprintf(&b, "| %d | %s | %.1f | %.1f | %.1f | %.1f | %.1f | %.1f | %.2f | %.0f | %.0f |\n", p.kv, host, p.share(p.infinite),
			p.share(p.cached), p.share(p.fromHost), *p.TTFT.Median, *p.TTFT.P99, *p.E2ENormIntvty.P90, *p.Times.P50, *p.PerHour, *p.Uncached)
	}
	b.WriteString(`
Shares are of the input tokens, and the infinite cache's is cut to whole blocks of the engine, 16 tokens, and to all but the last token of each prompt, which every server computes anew: so a cache that holds everything finds exactly as much, which the test behind this page demands.

* While all that is live fits, size changes little. Below that, blocks go before their session comes back to them: the server computes more input tokens a second than before, and yet users see slower answers and sessions take longer.
* A host tier behind a small cache finds what the device has lost, and costs the time to load it back.
`)
	return b.String()
}

// curvePicture draws hits and TTFT over the size of the device's cache.
func curvePicture(points []point) string {
	const left, top, width, height = 60.0, 20.0, 560.0, 240.0
	var alone []point
	for _, p := range points {
		if p.host == 0 {
			alone = append(alone, p)
		}
	}
	most, low, high := 0.0, math.Log2(float64(alone[len(alone)-1].kv)), math.Log2(float64(alone[0].kv))
	for _, p := range alone {
		most = max(most, *p.TTFT.Median)
	}
	x := func(p point) float64 { return left + width*(math.Log2(float64(p.kv))-low)/(high-low) }
	line := func(color string, y func(point) float64) string {
		var at []string
		for _, p := range alone {
			at = append(at, fmt.Sprintf("%.1f,%.1f", x(p), top+height*(1-y(p))))
		}
		return fmt.Sprintf(`<polyline fill="none" stroke="%s" stroke-width="2" points="%s"/>`+"\n", color, strings.Join(at, " "))
	}
	text := func(x, y float64, anchor, color, s string) string {
		return fmt.Sprintf(`<text x="%.1f" y="%.1f" text-anchor="%s" fill="%s">%s</text>`+"\n", x, y, anchor, color, s)
	}
	var b strings.Builder
	b.WriteString(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 700 320" font-family="system-ui, sans-serif" font-size="12" role="img" aria-label="Share of input tokens found in the cache, and median time to first token, over the size of the cache">
<rect width="700" height="320" fill="#fff"/>
`)
	for i := range 5 {
		y := top + height*(1-float64(i)/4)
		fmt.Fprintf(&b, `<line x1="%.0f" x2="%.0f" y1="%.1f" y2="%.1f" stroke="#ddd"/>`+"\n", left, left+width, y, y)
		b.WriteString(text(left-6, y+4, "end", "#1a56b0", fmt.Sprintf("%d %%", 25*i)))
		b.WriteString(text(left+width+6, y+4, "start", "#b3471d", fmt.Sprintf("%.0f ms", most*float64(i)/4)))
	}
	for _, p := range alone {
		b.WriteString(text(x(p), top+height+18, "middle", "#555", fmt.Sprintf("%dK", p.kv/1024)))
	}
	b.WriteString(line("#9db8dc", func(p point) float64 { return p.share(p.infinite) / 100 }))
	b.WriteString(line("#1a56b0", func(p point) float64 { return p.share(p.cached) / 100 }))
	b.WriteString(line("#b3471d", func(p point) float64 { return *p.TTFT.Median / most }))
	b.WriteString(text(left, top+height+48, "start", "#1a56b0", "found in the cache (light: by an infinite one), % of input tokens"))
	b.WriteString(text(left+width, top+height+48, "end", "#b3471d", "TTFT p50"))
	b.WriteString(text(left+width/2, top+height+34, "middle", "#555", "KV cache, tokens"))
	b.WriteString("</svg>\n")
	return b.String()
}
