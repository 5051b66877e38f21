package sweep

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/accuracy"
	"inferbench/harness/batch"
	"inferbench/harness/engine"
	"inferbench/harness/matrix"
	"inferbench/harness/server"
	"inferbench/harness/stats"
	"inferbench/harness/workload"
)

// flock is a sweep over an embedded engine that is taken for a server of the
// dialect, and how many completions were asked of it so far.
func flock(t *testing.T, d *server.Dialect, set func(*Sweep)) (*Sweep, func() int) {
	e, err := engine.Start(engine.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { e.Close() })
	tg := server.New(e.URL(), "", "", nil)
	require.NoError(t, tg.Wait(context.Background(), server.WaitOptions{}))
	asked := func() int {
		var trace struct{ Requests []struct{ ID string } }
		require.NoError(t, tg.Get(context.Background(), "/inferbench/trace", &trace))
		return len(trace.Requests)
	}
	tg.Dialect, tg.Vocab = d, 258
	sw := &Sweep{Config: Config{Target: tg, Watch: nobody{}}, known: newCanaryAnswers()}
	sw.Settings.Workload.Dataset, sw.Settings.Workload.RangeRatio = workload.RandomIDs, 1
	sw.Settings.Accuracy.CanaryShare = 0.01
	sw.Settings.Server.RequestTimeout = time.Minute
	if set != nil {
		set(sw)
	}
	return sw, asked
}

// pass puts a pass on and judges its canaries.
func (sw *Sweep) passed(t *testing.T, p pass) (*accuracy.Canaries, *measured, *batch.Result) {
	m, err := sw.measure(context.Background(), p)
	require.NoError(t, err)
	r := &batch.Result{}
	require.NoError(t, sw.judgeCanaries(m, nil, r))
	c := new(accuracy.Canaries)
	require.NoError(t, json.Unmarshal(r.Canaries, c))
	return c, m, r
}

// What keeps canaries from the cache that their recording filled: a salt, where the
// server minds it, else a reset, else nothing.
func TestCanariesAreNotServedFromTheCache(t *testing.T) {
	salted := *server.Embedded
	unminded := salted
	unminded.SaltKey = "some_key"
	bare := server.Dialect{Name: "bare", Resets: []server.Reset{}}
	for by, d := range map[string]*server.Dialect{"salt": &salted, "reset": &unminded, "": &bare} {
		sw, _ := flock(t, d, nil)
		for number := range 2 { // the second pass has the same prompts
			cell := matrix.Cell{Combination: matrix.Combination{ISL: 64, OSL: 16}, Conc: 2, NumPrompts: 40}
			c, m, r := sw.passed(t, pass{Cell: cell, Number: number})
			assert.Equal(t, accuracy.Passed, c.Status, c.Reason)
			assert.Equal(t, 8, c.Asked)
			assert.Equal(t, 8*16, c.Tokens)
			assert.Equal(t, 1.0, *c.ExactShare)
			assert.Equal(t, by, c.Uncached)
			cached := 0
			for _, x := range m.rec.Timings {
				cached += x.Prompt.Cached
			}
			if by != "" {
				assert.Zero(t, cached, "%s: pass %d", by, number)
				assert.Empty(t, r.Notes)
				continue
			}
			assert.Equal(t, 8*48, cached, "all but the last block of each")
			assert.Len(t, stats.Timed(m.rec.Timings), 32)
			assert.Equal(t, []string{"8 canaries are left out of the latencies: nothing kept them from the prefix cache, which their recording filled"}, r.Notes)
		}
	}
}

// Where canaries would have to be left out of the latencies, and with them most of
// the requests, there are none: a small cell keeps its figures.
func TestSmallCellsKeepTheirLatencies(t *testing.T) {
	for _, n := range []int{6, 31, 32} {
		sw, _ := flock(t, &server.Dialect{Name: "bare", Resets: []server.Reset{}}, nil)
		cell := matrix.Cell{Combination: matrix.Combination{ISL: 64, OSL: 16}, Conc: 2, NumPrompts: n}
		c, m, _ := sw.passed(t, pass{Cell: cell})
		if n == 32 {
			assert.Equal(t, 8, c.Asked)
			assert.Len(t, stats.Timed(m.rec.Timings), 24)
			continue
		}
		assert.Zero(t, c.Asked)
		assert.Contains(t, c.Reason, fmt.Sprintf("of %d requests from the prefix cache", n))
		assert.Len(t, stats.Timed(m.rec.Timings), n)
	}
}

// Prompts are recorded once a combination, twice each; a cell that has more
// canaries records the others, and shares sixteen.
func TestCanariesAreRecordedOnce(t *testing.T) {
	sw, asked := flock(t, server.Embedded, nil)
	for i, c := range []struct {
		isl, requests, recorded, canaries int
	}{{64, 40, 8, 8}, {64, 40, 0, 8}, {64, 1200, 4, 12}, {64, 2000, 4, 20}, {32, 40, 8, 8}} {
		cell := matrix.Cell{Combination: matrix.Combination{ISL: c.isl, OSL: 4}, Conc: 4 + i, NumPrompts: c.requests}
		before := asked()
		got, m, _ := sw.passed(t, pass{Cell: cell})
		assert.Equal(t, c.canaries, got.Asked)
		warm := 2 * cell.Conc
		assert.Equal(t, 2*c.recorded, asked()-before-len(m.rec.Timings)-warm, "%+v", c)
	}
}

// Prompts that share what is the pass's own are canaries as they are: nothing that
// is sent differs from a pass without any.
func TestCanariesThatArePartOfThePass(t *testing.T) {
	sw, _ := flock(t, server.Embedded, func(sw *Sweep) {
		sw.Settings.Workload.SharedPrefix, sw.Settings.Workload.Prefixes = 0.5, 1
	})
	p := pass{Cell: matrix.Cell{Combination: matrix.Combination{ISL: 64, OSL: 16}, Conc: 2, NumPrompts: 40}}
	c, m, _ := sw.passed(t, p)
	assert.Equal(t, accuracy.Passed, c.Status, c.Reason)
	assert.Equal(t, 8, c.Asked)
	assert.Equal(t, "salt", c.Uncached)
	for _, x := range m.rec.Timings {
		assert.Equal(t, 32, x.Prompt.Cached, "the shared half, of canaries too")
	}
}

// Why a pass has no canaries.
func TestPassesWithoutCanaries(t *testing.T) {
	for want, set := range map[string]func(*Sweep){
		"CANARY_SHARE is 0":                       func(sw *Sweep) { sw.Settings.Accuracy.CanaryShare = 0 },
		"accuracy was not asked for":              func(sw *Sweep) { sw.Settings.Accuracy.Task, sw.Settings.Accuracy.CanaryShare = "none", 0 },
		"synthetic acceptance: text not judged":   func(sw *Sweep) { sw.Settings.Server.Synthetic = true },
		"the temperature is left to the server, ": func(sw *Sweep) { sw.Target.Keys.LeftOut = []string{"temperature"} },
	} {
		sw, asked := flock(t, server.Embedded, set)
		cell := matrix.Cell{Combination: matrix.Combination{ISL: 64, OSL: 4}, Conc: 2, NumPrompts: 10}
		c, m, _ := sw.passed(t, pass{Cell: cell})
		assert.Equal(t, accuracy.NotRun, c.Status)
		assert.Contains(t, c.Reason, want)
		assert.Nil(t, c.ExactShare)
		assert.Equal(t, len(m.rec.Timings)+4, asked(), "nothing is asked but the pass and its warm-up")
	}
}

// A pass sends as many tokens with canaries as without.
func TestCanariesChangeNoLength(t *testing.T) {
	var sums [2]stats.Summary
	for i, share := range []float64{0, 0.01} {
		sw, _ := flock(t, server.Embedded, func(sw *Sweep) { sw.Settings.Accuracy.CanaryShare = share })
		cell := matrix.Cell{Combination: matrix.Combination{ISL: 64, OSL: 24}, Conc: 4, NumPrompts: 100}
		_, m, _ := sw.passed(t, pass{Cell: cell})
		sums[i] = m.rec.Summary(1)
	}
	assert.Equal(t, *sums[0].InputTokens, *sums[1].InputTokens)
	assert.Equal(t, sums[0].OutputTokens, sums[1].OutputTokens)
}
