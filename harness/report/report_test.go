package report

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/baselines"
	"inferbench/harness/batch"
	"inferbench/harness/matrix"
	"inferbench/harness/pareto"
	"inferbench/harness/stats"
	"inferbench/harness/testdata/browsertest"
)

// sample writes a batch as a sweep leaves it: three cells that passed, one
// that failed, one that never ran. The figures are made up, the shapes are a
// server's: latency grows with concurrency, throughput too, ever slower.
func sample(t *testing.T) string {
	t.Helper()
	combo := matrix.Combination{ISL: 1024, OSL: 1024}
	cells := matrix.Selection{}.Cells(combo)
	for i := range cells {
		cells[i].NumPrompts = cells[i].Conc * 8 // few, for the test's speed
	}
	b, err := batch.Create(t.TempDir(), batch.Header{Combination: combo, Mode: "perf", Time: time.Date(2026, 11, 24, 15, 0, 0, 0, time.Local), Cells: cells})
	require.NoError(t, err)
	hw, err := baselines.LoadHardware(baselines.DefaultHardware)
	require.NoError(t, err)
	for i, c := range cells[:4] {
		ts, duration := requests(c, uint64(i))
		sum := stats.Run{Timings: ts, Duration: duration, GPUs: 8}.Summary()
		sum.Power = &stats.Power{Valid: true, Throttled: "1 of 8 GPUs throttled"}
		sum.Power.Spend(6600*duration.Seconds(), 8, &sum)
		cmp := hw.Compare(baselines.Run{ISL: c.ISL, OSL: c.OSL, Conc: c.Conc, RandomRangeRatio: 1, GPUs: 8, MedianE2E: *sum.E2EL.Median, TputPerGPU: *sum.TputPerGPU})
		r := batch.Result{
			Status: batch.Passed, Performance: &sum, Baseline: &cmp,
			Args: batch.Args{Model: "amd/DeepSeek-R1-0528-MXFP4-Preview", Backend: "sglang", BackendVersion: "0.5.5", RandomInputLen: 1024, RandomOutputLen: 1024,
				RandomRangeRatio: 1, MaxConcurrency: c.Conc, NumPrompts: c.NumPrompts, TP: 8, Seed: 1, Mode: "perf", Settings: map[string]string{"TEAM": "<b>x</b>"}},
			Accuracy: []byte(`{"bits_per_byte":0.4501,"byte_perplexity":1.3661,"word_perplexity":3.2612}`),
			Validation: []byte(`{"status":"PASSED","reason":"all three within ±3 %","baseline":"deepseek-r1-0528-mxfp4","limits":{
				"bits_per_byte":{"value":0.4501,"baseline":0.4485,"lower":0.43505,"upper":0.461955,"ok":true},
				"byte_perplexity":{"value":1.3661,"baseline":1.3646,"lower":1.323662,"upper":1.405538,"ok":true},
				"word_perplexity":{"value":3.2612,"baseline":3.2522,"lower":3.154634,"upper":3.349766,"ok":true}}}`),
			ServerMetrics: []byte(`{"max_running":16,"max_waiting":16,"mean_waiting":15.2,"mean_kv_cache":0.8,"max_kv_cache":0.99,"preemptions":12,"prefix_hits":0,"server_mean_ttft_ms":80,"server_median_ttft_ms":70,"server_p99_ttft_ms":190,"sampled_every_s":1}`),
			Slowest:       []byte(`{"requests":5,"of":256,"times":3.1,"sentence":"The slowest 5 of 256 requests took 3.1 times as long as others of their length. All of them met preemption (2 % of the others)."}`),
			ClientAudit:   []byte(`{"client_limited":false,"cpu_share":0.0312,"timer_lateness_p99_ms":0.4,"gc_pause_max_ms":0.21}`),
			Notes:         []string{"lengths are fixed; the baseline's were drawn from [0.8 L, L]"},
		}
		status := batch.Passed
		if i == 3 {
			status, r.Status, r.Reason, r.ClientLimited = batch.Failed, batch.Failed, "1 of 256 requests failed: stream ended after 17 of 1024 tokens", true
		}
		require.NoError(t, b.WriteResult("", c, r))
		require.NoError(t, b.WriteRequests(c, ts, duration))
		require.NoError(t, b.WriteFile(batch.ServerFileName(c), []byte(`[{"at_s":-1,"running":0,"waiting":0,"kv_cache":0},{"at_s":1,"running":3,"waiting":1,"kv_cache":0.4},{"at_s":40,"running":4,"waiting":0,"kv_cache":0.9,"ranks":[{"endpoint":"http://h/metrics","rank":"0","running":3},{"endpoint":"http://h/metrics","rank":"1","running":1}]},{"at_s":80,"running":4,"waiting":0,"kv_cache":0.7}]`)))
		require.NoError(t, b.WriteFile(batch.PowerFileName(c), []byte(`[{"at_s":1,"power_w":6400,"temperature_c":61,"sm_clock_mhz":1980,"utilization":0.98},{"at_s":80,"power_w":6900,"temperature_c":87,"sm_clock_mhz":1410,"utilization":0.97}]`)))
		require.NoError(t, b.Record(c, status, duration))
	}
	require.NoError(t, b.Close())
	return b.Dir
}

func requests(c matrix.Cell, seed uint64) ([]stats.Timing, time.Duration) {
	rng := rand.New(rand.NewPCG(seed, 5))
	step := 8 * math.Pow(float64(c.Conc)/4, 0.35) // ms a token
	slots := make([]time.Duration, c.Conc)
	var ts []stats.Timing
	var end time.Duration
	for i := range c.NumPrompts {
		s := i % c.Conc
		t := stats.Timing{Index: i, Sent: slots[s], InputTokens: 1024, OutputTokens: 1024, Chunks: 1024}
		t.First = t.Sent + time.Duration((60+40*rng.ExpFloat64())*1e6)
		t.Last = t.First
		t.ITL.Reserve(1023)
		for range 1023 {
			gap := time.Duration(step * (0.9 + 0.2*rng.Float64()) * 1e6)
			if rng.IntN(200) == 0 {
				gap *= 4
			}
			t.ITL.Append(gap)
			t.Last += gap
		}
		if c.Conc == 32 && i == 77 {
			t.Err, t.Last = "stream ended after 17 of 1024 tokens", t.First
		}
		t.Done = t.Last
		slots[s], end = t.Done, max(end, t.Done)
		ts = append(ts, t)
	}
	return ts, end
}

func TestReportOfABatch(t *testing.T) {
	dir := sample(t)
	require.NoError(t, Write(dir, Options{GPUHourUSD: 3.6, GPUWatts: 1000}))
	r, err := Read(dir, Options{GPUHourUSD: 3.6, GPUWatts: 1000})
	require.NoError(t, err)

	assert.Equal(t, []string{"3 PASSED", "1 FAILED", "1 INCOMPLETE"}, r.Counts)
	require.Len(t, r.Cells, 5)
	require.Len(t, r.Baseline.Points, 5)
	assert.Equal(t, []string{"RANDOM_RANGE_RATIO is 1, the baseline's is 0.8"}, r.Baseline.Differences)
	require.Len(t, r.Accuracy, 1, "equal verdicts are told once")
	assert.Equal(t, []string{"4", "8", "16", "32"}, r.Accuracy[0].Cells)
	assert.Equal(t, 0.461955, *r.Accuracy[0].Metrics[0].Upper)
	assert.Nil(t, r.Cells[4].Figure("tput_per_gpu"), "a cell that never ran has no figures")

	c := r.Cells[0]
	// 3.60 USD an hour is 0.001 USD a second: a million tokens take 1e6/tput s.
	tput := *c.Figure("tput_per_gpu")
	assert.InDelta(t, 1000/tput, *c.USDPerMillion, 1e-9)
	assert.InDelta(t, 2**c.USDPerMillion, *c.USDPerMillionOut, 1e-9, "half the tokens are output")
	assert.InDelta(t, tput/1000, *c.TokensPerJoule, 1e-12)

	assert.InDelta(t, 825, *c.Figure("power.avg_power_w"), 1e-6)
	html, err := r.HTML()
	require.NoError(t, err)
	assert.Contains(t, string(html), "CONC 4: 1 of 8 GPUs throttled.")

	md, err := os.ReadFile(filepath.Join(dir, MarkdownName))
	require.NoError(t, err)
	assert.Contains(t, string(md), "3 PASSED, 1 FAILED, 1 INCOMPLETE")
	assert.Contains(t, string(md), "bits_per_byte 0.4501 (limits 0.4350 to 0.4620)")
	assert.Contains(t, string(md), "* CONC 32: 1 of 256 requests failed: stream ended")
	assert.Contains(t, string(md), "CONC 32: client-limited: the client, not the server")
}

// A report that is made anew keeps the price that the batch was run with.
func TestRecordedPrice(t *testing.T) {
	args := batch.Args{Model: "m", Settings: map[string]string{"GPU_HOUR_USD": "2.5"}}
	var r Report
	r.head(&batch.Result{Args: args})
	assert.Equal(t, Options{GPUHourUSD: 2.5}, r.Options)
	r = Report{Options: Options{GPUHourUSD: 3, GPUWatts: 700}}
	r.head(&batch.Result{Args: args})
	assert.Equal(t, Options{GPUHourUSD: 3, GPUWatts: 700}, r.Options)
}

func TestAccuracyOfWordProblems(t *testing.T) {
	var r Report
	r.accuracy(matrix.Cell{Conc: 8}, &batch.Result{
		Accuracy:   []byte(`{"task":"gsm8k","exact_match_strict":0.95,"exact_match_flexible":0.96}`),
		Validation: []byte(`{"status":"PASSED","reason":"enough","baseline":"b","limits":{"exact_match,strict-match":{"value":0.95,"baseline":0.93,"lower":0.93,"upper":1,"ok":true}}}`),
	})
	require.Len(t, r.Accuracy, 1)
	m := r.Accuracy[0].Metrics
	require.Len(t, m, 2)
	assert.Equal(t, "exact_match_strict", m[0].Name)
	assert.Equal(t, 0.93, *m[0].Lower)
	assert.Equal(t, 0.96, m[1].Value)
	assert.Nil(t, m[1].Lower, "the baseline is of the other extraction")
}

func TestSeriesAddUp(t *testing.T) {
	dir := sample(t)
	r, err := Read(dir, Options{})
	require.NoError(t, err)
	s := r.Cells[3].Series // CONC 32, with one failed request
	var tokens, inFlight float64
	failures := 0
	for i := range s.Tokens {
		tokens += s.Tokens[i] * s.Step
		inFlight += s.InFlight[i]
		failures += s.Failures[i]
	}
	assert.InDelta(t, 255*1024, tokens, 300, "every output token of the successful requests is somewhere")
	assert.Equal(t, 1, failures)
	assert.InDelta(t, 32, inFlight/float64(len(s.InFlight)), 1)
	assert.Equal(t, 1.0, s.E2EL[len(s.E2EL)-1].Y)
	for i := 1; i < len(s.ITL); i++ {
		assert.GreaterOrEqual(t, s.ITL[i].X, s.ITL[i-1].X)
	}
}

func gaps(each ...time.Duration) (g stats.Gaps) {
	for _, d := range each {
		g.Append(d)
	}
	return g
}

func TestSeriesOverTime(t *testing.T) {
	const ms = time.Millisecond
	kept := &batch.Requests{Timings: []stats.Timing{
		{Sent: 600 * ms, Err: "x", Done: 1200 * ms},
		{Sent: 0, First: 102 * ms, Last: 114 * ms, Done: 114 * ms, Chunks: 4, OutputTokens: 4, ITL: gaps(4*ms, 4*ms, 4*ms)},
		{Sent: 0, First: 103 * ms, Last: 203 * ms, Done: 203 * ms, Chunks: 2, OutputTokens: 2, ITL: gaps(100 * ms)},
	}}
	s := newSeries(kept, nil) // slices of 10 ms
	assert.Equal(t, 102.5, *s.TTFTs[10], "the median of what came from 100 to 110 ms")
	assert.Nil(t, s.TTFTs[11])
	assert.InEpsilon(t, 4, *s.ITLs[10], 0.011, "two gaps of 4 ms")
	assert.InEpsilon(t, 100, *s.ITLs[20], 0.011)
	assert.Nil(t, s.ITLs[15])
	assert.Equal(t, []Point{{4, 0}, {4, 0.02}}, s.TPOT[:2])

	var n uint32
	for _, row := range s.Heat.Counts {
		for band, count := range row {
			n += count
			if low := s.Heat.Low * math.Pow(s.Heat.Factor, float64(band)); count > 0 {
				assert.True(t, low <= 4 && 4 < low*s.Heat.Factor || low <= 100 && 100 < low*s.Heat.Factor, "a band from %g ms", low)
			}
		}
	}
	assert.EqualValues(t, 4, n, "every gap is in a band")

	require.Len(t, s.Requests, 3)
	assert.Equal(t, 0.102, *s.Requests[0].First)
	assert.Equal(t, Span{Sent: 0.6, End: 1.2, Failed: true}, s.Requests[2])

	none := newSeries(&batch.Requests{Timings: kept.Timings[:1]}, nil)
	assert.Nil(t, none.Heat)
	assert.Nil(t, none.ITLs)
}

func TestTheBestIsNamed(t *testing.T) {
	cell := func(conc int, tput, user, e2e float64) Cell {
		return Cell{Conc: conc, Status: batch.Passed, Result: &batch.Result{Performance: &stats.Summary{TputPerGPU: &tput, Interactivity: &user, E2EL: stats.Dist{Median: &e2e}}}}
	}
	failed := cell(64, 900, 900, 1)
	failed.Status = batch.Failed
	limited := cell(32, 300, 10, 900)
	limited.Result.Mark(batch.ClientLimited)
	r := &Report{Cells: []Cell{cell(4, 100, 50, 700), cell(8, 200, 50, 800), limited, failed, {Conc: 128}}}
	assert.Equal(t, "Most tok/s/GPU: CONC 32 (300.0, client-limited); most tok/s/user: CONC 4 (50.00); lowest E2EL p50: CONC 4 (700.0 ms).", r.bestLine())
	assert.Contains(t, string(r.Markdown()), "* Most tok/s/GPU: CONC 32")
	r.Cells = r.Cells[:1]
	assert.Empty(t, r.bestLine(), "of one there is no best")
}

// What failed is told by kind, with what to do about it.
func TestWhatFailedIsToldByKind(t *testing.T) {
	p := &stats.Summary{Failed: 43, Errors: stats.Failures{{Error: "HTTP 500: <boom>", Requests: 19, Advice: "look at its log"}, {Error: "cut off", Requests: 21}},
		OtherErrors: &stats.OtherErrors{Kinds: 2, Requests: 3}}
	r := &Report{Cells: []Cell{{Conc: 8, Status: batch.Failed, Result: &batch.Result{Performance: p}}}}
	html, err := r.HTML()
	require.NoError(t, err)
	assert.Contains(t, string(html), `<th scope="row">8</th><td>19</td><td>HTTP 500: &lt;boom&gt;<br><small>look at its log</small></td>`)
	assert.Contains(t, string(html), `<td>3</td><td>2 more kinds</td>`)
	html, err = (&Report{Cells: []Cell{{Conc: 8}}}).HTML()
	require.NoError(t, err)
	assert.NotContains(t, string(html), "What failed")
}

func TestFrontLeavesOutWhatIsBeaten(t *testing.T) {
	cell := func(x, tput float64) Cell {
		return Cell{Result: &batch.Result{Performance: &stats.Summary{TputPerGPU: &tput, Interactivity: &x}}}
	}
	failed := cell(200, 200)
	failed.Status = batch.Failed
	cells := []Cell{cell(100, 10), cell(80, 20), cell(79, 15), {}, cell(80, 20)}
	assert.Equal(t, []bool{true, true, false, false, true, false}, front(append(cells, failed), "interactivity", pareto.High))
}

// A name from a server is text, wherever it stands.
func TestNamesAreText(t *testing.T) {
	r := &Report{Head: Head{Model: `</script><script>alert(1)</script>|x`}, Cells: []Cell{{Notes: []string{"<img src=x onerror=alert(1)>"}}}}
	html, err := r.HTML()
	require.NoError(t, err)
	assert.NotContains(t, string(html), "<script>alert(1)")
	assert.NotContains(t, string(html), "<img src=x")
	assert.NotContains(t, string(r.Markdown()), "<script")
	assert.NotContains(t, string(r.Markdown()), "|x")
	for name, want := range map[string]string{
		`[a](http://e)`: `\[a\](http://e)`, `\*b\*`: `\\\*b\\\*`, "&lt;b>": "&amp;lt;b>", "$x$": `\$x\$`, "a\r\nb": "a  b", "~~c~~": `\~\~c\~\~`,
	} {
		assert.Contains(t, string((&Report{Head: Head{Model: name, Dir: name}}).Markdown()), "### "+want+", ISL")
	}
}

// What lies beside the results and is damaged costs its own charts, no more.
func TestDamagedFilesBesideTheResults(t *testing.T) {
	dir := sample(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "requests_isl1024_osl1024_conc4.jsonl.gz"), []byte("x"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "server_isl1024_osl1024_conc8.json"), []byte(`{"at_s":1}`), 0o644))
	r, err := Read(dir, Options{})
	require.NoError(t, err)
	assert.Nil(t, r.Cells[0].Series)
	assert.Contains(t, r.Cells[0].Notes[1], "its requests cannot be drawn: read "+dir)
	assert.NotNil(t, r.Cells[1].Series)
	assert.Empty(t, r.Cells[1].Server)
	assert.Len(t, r.Cells[2].Server, 4)
	assert.Len(t, r.Cells[2].Power, 2)
}

// A baseline that is named by a path is on no list: its points are the results'.
func TestCurveOfABaselineOfOnesOwn(t *testing.T) {
	e2e, user, tput := 100.0, 50.0, 300.0
	r := &Report{Head: Head{Combination: matrix.Combination{ISL: 64, OSL: 32}}}
	for _, conc := range []int{4, 8, 4} {
		r.baseline(matrix.Cell{Combination: matrix.Combination{ISL: 64, OSL: 32}, Conc: conc},
			&baselines.Comparison{Name: "mine", Hardware: "Mine", MedianE2E: &e2e, Interactivity: &user, TputPerGPU: &tput, Differences: []string{"d"}})
	}
	r.baseline(matrix.Cell{Conc: 16}, &baselines.Comparison{Name: "mine"})
	require.NotNil(t, r.Baseline)
	assert.Equal(t, []string{"d"}, r.Baseline.Differences)
	assert.Equal(t, []baselines.Point{{ISL: 64, OSL: 32, Conc: 4, MedianE2E: 100, Interactivity: 50, TputPerGPU: 300}, {ISL: 64, OSL: 32, Conc: 8, MedianE2E: 100, Interactivity: 50, TputPerGPU: 300}}, r.Baseline.Points)
}

func TestNumbers(t *testing.T) {
	for want, v := range map[string]float64{"0": 0, "344.6": 344.564, "10407": 10407, "10408": 10407.6, "0.001234": 0.00123412, "1.500": 1.5, "99.99": 99.99} {
		assert.Equal(t, want, number(v))
	}
	assert.Equal(t, "–", figure(nil))
}

func TestReportInABrowser(t *testing.T) {
	dir := sample(t)
	require.NoError(t, Write(dir, Options{GPUHourUSD: 3.6, GPUWatts: 1000}))
	file, err := filepath.Abs(filepath.Join(dir, HTMLName))
	require.NoError(t, err)
	r, err := Read(dir, Options{})
	require.NoError(t, err)
	look := func(name string, width int, dark bool, more func(*browsertest.Page)) {
		p := browsertest.Open(t, "file://"+file, width, dark)
		more(p)
		p.Screenshot(name)
		assert.Zero(t, p.Overflow(), "%s: wider than its window", name)
		assert.Equal(t, 0, browsertest.Eval[int](p, `performance.getEntriesByType("resource").length`), "the page asks for nothing beside itself")
		assert.Empty(t, p.Axe())
		assert.Empty(t, p.Errors())
	}
	look("report-light", 1280, false, func(p *browsertest.Page) {
		assert.Equal(t, "19", browsertest.Eval[string](p, `document.documentElement.dataset.drawn`), "charts of CONC 4")
		assert.True(t, browsertest.Eval[bool](p, `document.getElementById("c-fail").closest("figure").hidden`), "nothing of CONC 4 failed")
		assert.Equal(t, 4, browsertest.Eval[int](p, `document.getElementById("cell").options.length`), "cells with requests")
		browsertest.Eval[bool](p, `(() => { const s = document.getElementById("stat"); s.value = "P99"; return s.dispatchEvent(new Event("change")) })()`)
		assert.Equal(t, 4, browsertest.Eval[int](p, `Chart.getChart("c-load").data.datasets.length`), "TTFT, TPOT, ITL and E2EL")
		assert.InDelta(t, *r.Cells[2].Result.Performance.E2EL.P99, browsertest.Eval[float64](p, `Chart.getChart("c-load").data.datasets[3].data[2]`), 1e-6)
		browsertest.Eval[bool](p, `(() => { const s = document.getElementById("cell"); s.value = "32"; return s.dispatchEvent(new Event("change")) })()`)
		for _, id := range []string{"c-intvty", "c-e2e", "c-load", "c-ttft", "c-tpot", "c-itl", "c-e2el", "c-flight", "c-tokens", "c-ttfts", "c-itls",
			"c-heat", "c-spans", "c-fail", "c-kv", "c-ranks", "c-power", "c-clock", "c-heatc", "c-busy"} {
			assert.True(t, browsertest.Eval[bool](p, `(() => { const c = document.getElementById("`+id+`");
				return c.getContext("2d").getImageData(0, 0, c.width, c.height).data.some((v) => v > 0) })()`), "%s is painted", id)
		}
	})
	fits := func(p *browsertest.Page) {
		assert.LessOrEqual(t, browsertest.Eval[int](p, `(() => { const s = document.getElementById("configurations").parentElement; return s.scrollWidth - s.clientWidth })()`), 0,
			"the table of configurations, with every column it can have, needs no scrolling")
	}
	look("report-dark", 1280, true, fits)
	look("report-narrow", 800, false, fits)
	look("report-narrow-dark", 800, true, fits)
	look("report-phone", 390, false, func(*browsertest.Page) {})
	look("report-phone-dark", 390, true, func(*browsertest.Page) {})
	look("report-wide", 1440, false, fits)
	look("report-wide-dark", 1440, true, fits)
}

// Both pages say of each cell what its slowest requests had in common.
func TestTheSlowestAreExplained(t *testing.T) {
	r, err := Read(sample(t), Options{})
	require.NoError(t, err)
	const sentence = "CONC 4: The slowest 5 of 256 requests took 3.1 times as long as others of their length."
	html, err := r.HTML()
	require.NoError(t, err)
	assert.Contains(t, string(html), "The slowest requests</h2>")
	assert.Contains(t, string(html), "<li>"+sentence)
	assert.Contains(t, string(r.Markdown()), "* "+sentence)
}
