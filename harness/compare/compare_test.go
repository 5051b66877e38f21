package compare_test

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/batch"
	"inferbench/harness/compare"
	"inferbench/harness/figures"
	"inferbench/harness/matrix"
	"inferbench/harness/stats"
)

var cell = matrix.Cell{Combination: matrix.Combination{ISL: 64, OSL: 32}, Conc: 8, NumPrompts: 400}

// run makes up a closed loop's requests: waves of conc requests that share
// their luck, as requests in one batch of a server do. slow scales latency.
func run(seed uint64, slow float64) []stats.Timing {
	rng := rand.New(rand.NewPCG(seed, 7))
	var out []stats.Timing
	var now time.Duration
	for wave := 0; len(out) < cell.NumPrompts; wave++ {
		luck := math.Exp(rng.NormFloat64() * 0.1)
		var longest time.Duration
		for range cell.Conc {
			ttft := time.Duration(slow * luck * (20 + 5*rng.Float64()) * 1e6)
			t := stats.Timing{Index: len(out), Sent: now, First: now + ttft, InputTokens: 64, OutputTokens: 32, Chunks: 32}
			t.Last = t.First
			for range 31 {
				gap := time.Duration(slow * luck * (2 + rng.Float64()) * 1e6)
				t.ITL.Append(gap)
				t.Last += gap
			}
			longest = max(longest, t.E2EL())
			out = append(out, t)
		}
		now += longest
	}
	return out
}

// folder writes a batch with one cell, change applied to its result, and
// reads it back. Without timings only the summary figures are there.
func folder(t *testing.T, ts []stats.Timing, keep bool, change func(*batch.Result)) *batch.Folder {
	t.Helper()
	b, err := batch.Create(t.TempDir(), batch.Header{Combination: cell.Combination, Mode: "perf", Time: time.Now(), Cells: []matrix.Cell{cell}})
	require.NoError(t, err)
	end := ts[len(ts)-1].Last
	sum := stats.Run{Timings: ts, Duration: end, GPUs: 8}.Summary()
	r := batch.Result{Status: batch.Passed, Performance: &sum, Args: batch.Args{Temperature: new(0.0),
		Model: "m", DatasetName: "random", RandomInputLen: 64, RandomOutputLen: 32, RandomRangeRatio: 1, MaxConcurrency: 8, NumPrompts: 400,
	}}
	if change != nil {
		change(&r)
	}
	require.NoError(t, b.WriteResult("", cell, r))
	require.NoError(t, b.Record(cell, batch.Passed, time.Second))
	if keep {
		require.NoError(t, b.WriteRequests(cell, ts, end))
	}
	require.NoError(t, b.Close())
	f, err := batch.Open(b.Dir)
	require.NoError(t, err)
	return f
}

func verdicts(c compare.Cell) map[string]compare.Verdict {
	out := map[string]compare.Verdict{}
	for _, f := range c.Figures {
		out[f.Key] = f.Verdict
	}
	return out
}

func TestARealChangeIsSeen(t *testing.T) {
	a, b := folder(t, run(1, 1), true, nil), folder(t, run(2, 1.2), true, nil)
	c, err := compare.Folders([]*batch.Folder{a}, []*batch.Folder{b}, compare.Options{})
	require.NoError(t, err)
	require.Len(t, c.Cells, 1)
	require.Equal(t, "block bootstrap over 400 and 400 requests", c.Cells[0].Method)
	for _, f := range c.Cells[0].Figures {
		if figures.ByKey(f.Key).Sample == nil {
			assert.Equal(t, compare.Untested, f.Verdict, "%s: requests do not tell it", f.Key)
			continue
		}
		if strings.HasPrefix(f.Key, "p99") {
			assert.Equal(t, compare.Untested, f.Verdict, "fifty waves say nothing of the slowest half wave")
			continue
		}
		require.NotNil(t, f.Low)
		assert.Equal(t, compare.Worse, f.Verdict, f.Key)
		want := 1.2
		if f.Higher {
			want = 1 / 1.2
		}
		assert.Less(t, *f.Low, want, f.Key)
		assert.Greater(t, *f.High, want, f.Key)
	}
	assert.Len(t, c.Check(0.03).Regressions, 5)
	assert.Empty(t, c.Check(0.5).Regressions)
	assert.Empty(t, c.Check(0.5).NotCompared)

	again, err := compare.Folders([]*batch.Folder{a}, []*batch.Folder{b}, compare.Options{})
	require.NoError(t, err)
	assert.Equal(t, c, again, "the same folders give the same table")

	back, err := compare.Folders([]*batch.Folder{b}, []*batch.Folder{a}, compare.Options{})
	require.NoError(t, err)
	assert.Equal(t, compare.Better, verdicts(back.Cells[0])["median_e2el_ms"])
	assert.Equal(t, compare.Better, verdicts(back.Cells[0])["tput_per_gpu"])
	assert.Empty(t, back.Check(0).Regressions)
}

// Of tables of two alike runs, about one in twenty may show a difference
// somewhere. The waves' shared luck is what a bootstrap over single requests
// gets wrong: it would take most of these tables for changes.
func TestAlikeRunsShowNoDifference(t *testing.T) {
	const tables = 200
	shown, naive := 0, 0
	for n := range uint64(tables) {
		a, b := run(100+2*n, 1), run(101+2*n, 1)
		count := func(conc int) bool { return compare.Shows(rand.New(rand.NewPCG(n, 3)), a, b, conc, 0.05) }
		if count(cell.Conc) {
			shown++
		}
		if count(1) {
			naive++
		}
	}
	t.Logf("of %d tables %d showed a difference; over single requests %d", tables, shown, naive)
	assert.LessOrEqual(t, shown, 20, "one in twenty is what the confidence promises; twice that leaves room for chance")
	assert.Greater(t, naive, 2*shown)
}

func TestPassesAreJudgedByTheirTest(t *testing.T) {
	side := func(slow float64, seeds ...uint64) (out []*batch.Folder) {
		for _, s := range seeds {
			out = append(out, folder(t, run(s, slow), false, nil))
		}
		return out
	}
	c, err := compare.Folders(side(1, 1, 2, 3, 4, 5), side(1.3, 6, 7, 8, 9), compare.Options{})
	require.NoError(t, err)
	assert.Equal(t, "benchmath over 5 and 4 passes", c.Cells[0].Method)
	assert.Equal(t, compare.Worse, verdicts(c.Cells[0])["median_e2el_ms"])
	c, err = compare.Folders(side(1, 1, 2, 3, 4), side(1, 6, 7, 8, 9), compare.Options{})
	require.NoError(t, err)
	assert.Equal(t, compare.Alike, verdicts(c.Cells[0])["median_e2el_ms"])

	c, err = compare.Folders(side(1, 1, 2, 3, 4), side(1.3, 6, 7, 8, 9), compare.Options{Confidence: 0.99})
	require.NoError(t, err)
	assert.Equal(t, compare.Untested, verdicts(c.Cells[0])["median_e2el_ms"], "four passes cannot be as sure as that")
	assert.NotEmpty(t, c.Check(0.03).NotCompared)
	c, err = compare.Folders(side(1, 1, 2, 3, 4, 5), side(1.3, 6, 7, 8, 9, 10), compare.Options{Confidence: 0.99})
	require.NoError(t, err)
	assert.Equal(t, compare.Worse, verdicts(c.Cells[0])["median_e2el_ms"])
}

func TestWhatMayNotBeCompared(t *testing.T) {
	ts := run(1, 1)
	a := folder(t, ts, true, nil)
	rate := 3.0
	for want, change := range map[string]func(*batch.Result){
		"model: m against n":                    func(r *batch.Result) { r.Args.Model = "n" },
		"temperature: 0 against 0.7":            func(r *batch.Result) { r.Args.Temperature = new(0.7) },
		"random_range_ratio: 1 against 0.8":     func(r *batch.Result) { r.Args.RandomRangeRatio = 0.8 },
		"num_prompts: 400 against 40":           func(r *batch.Result) { r.Args.NumPrompts = 40 },
		"request_rate: unlimited against 3":     func(r *batch.Result) { r.Args.RequestRate = batch.Rate(rate) },
		"dataset_name: random against sharegpt": func(r *batch.Result) { r.Args.DatasetName = "sharegpt" },
		"BURSTINESS: default against 0.5":       func(r *batch.Result) { r.Args.Settings = map[string]string{"BURSTINESS": "0.5"} },
		"FAILED: 3 of 400 requests failed":      func(r *batch.Result) { r.Status, r.Reason = batch.Failed, "3 of 400 requests failed" },
		"has no performance figures":            func(r *batch.Result) { r.Performance = nil },
		"only one side has it: not in B":        func(r *batch.Result) { r.Args.RandomOutputLen = 99 },
	} {
		c, err := compare.Folders([]*batch.Folder{a}, []*batch.Folder{folder(t, ts, true, change)}, compare.Options{})
		require.NoError(t, err)
		if want == "only one side has it: not in B" {
			require.Len(t, c.Cells, 2)
			assert.Contains(t, c.Cells[1].Refused, "not in A")
			c.Cells = c.Cells[:1]
			want = "has no result file"
		}
		assert.Contains(t, c.Cells[0].Refused, want)
		assert.Empty(t, c.Cells[0].Figures)
		assert.NotEmpty(t, c.Check(0.03).NotCompared)
	}
	c, err := compare.Folders([]*batch.Folder{a}, []*batch.Folder{folder(t, ts, true, func(r *batch.Result) { r.Args.Endpoint, r.Args.TP = "/v1/completions", 4 })}, compare.Options{})
	require.NoError(t, err)
	assert.Equal(t, []string{"not told by A, so not checked: endpoint, tp"}, c.Cells[0].Notes)
}

// What the client limited shows its ratios under the mark and gets no verdict,
// however many passes there are.
func TestWhatTheClientLimitedGetsNoVerdict(t *testing.T) {
	ts := run(1, 1)
	limit := func(r *batch.Result) { r.Mark(batch.ClientLimited) }
	var four []*batch.Folder
	for range 4 {
		four = append(four, folder(t, ts, true, nil))
	}
	for name, sides := range map[string][2][]*batch.Folder{
		"A":              {{folder(t, ts, true, limit)}, {folder(t, run(2, 1.5), true, nil)}},
		"B":              {{folder(t, ts, true, nil)}, {folder(t, run(2, 1.5), true, limit)}},
		"B, four passes": {four, {folder(t, run(2, 1.5), true, nil), folder(t, run(3, 1.5), true, nil), folder(t, run(4, 1.5), true, nil), folder(t, run(5, 1.5), true, limit)}},
	} {
		c, err := compare.Folders(sides[0], sides[1], compare.Options{})
		require.NoError(t, err)
		require.NotEmpty(t, c.Cells[0].Figures, name)
		for _, f := range c.Cells[0].Figures {
			assert.Equal(t, compare.Untested, f.Verdict, "%s: %s", name, f.Key)
			assert.Nil(t, f.Low, "%s: %s", name, f.Key)
			assert.Positive(t, f.Ratio)
		}
		var text strings.Builder
		require.NoError(t, c.WriteText(&text))
		assert.Contains(t, text.String(), "conc=8 (client-limited)\n  ratio only: "+name[:1])
		assert.Empty(t, c.Check(0.03).Regressions)
		assert.NotEmpty(t, c.Check(0.03).NotCompared, "a gate that says nothing has not been passed")
	}
}

func TestABatchIsNotComparedWithItself(t *testing.T) {
	a, b := folder(t, run(1, 1), true, nil), folder(t, run(2, 1), true, nil)
	again, err := batch.Open(a.Dir + "/")
	require.NoError(t, err)
	_, err = compare.Folders([]*batch.Folder{a}, []*batch.Folder{b, again}, compare.Options{})
	assert.EqualError(t, err, a.Dir+" is on both sides: a batch does not differ from itself")
}

func TestSummariesAloneGetNoVerdict(t *testing.T) {
	a, b := folder(t, run(1, 1), false, nil), folder(t, run(2, 1.2), true, nil)
	c, err := compare.Folders([]*batch.Folder{a}, []*batch.Folder{b}, compare.Options{})
	require.NoError(t, err)
	assert.Contains(t, c.Cells[0].Method, "ratio only")
	assert.Equal(t, compare.Untested, verdicts(c.Cells[0])["median_e2el_ms"])
	assert.Empty(t, c.Check(0.03).Regressions)
	assert.NotEmpty(t, c.Check(0.03).NotCompared)
	var text strings.Builder
	require.NoError(t, c.WriteText(&text))
	assert.Contains(t, text.String(), "untested")
	assert.Contains(t, text.String(), filepath.Base(a.Dir))
}
