package leaderboard

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/baselines"
)

// serve opens a board in a file of its own and serves it as on loopback.
func serve(t *testing.T, c Config) (*httptest.Server, *Board) {
	t.Helper()
	if c.DB == "" {
		c.DB = filepath.Join(t.TempDir(), "board.db")
	}
	b, err := Open(t.Context(), c)
	require.NoError(t, err)
	server := httptest.NewServer(b.Handler(true))
	t.Cleanup(func() {
		server.Close()
		assert.NoError(t, b.Close())
	})
	return server, b
}

// entry is a plausible submission: the baseline's point of the cell, with its
// throughput, latency and interactivity times the factors.
func entry(t *testing.T, team string, isl, osl, conc int, tput, e2e, interactivity float64) Entry {
	t.Helper()
	hw, err := baselines.LoadHardware(baselines.DefaultHardware)
	require.NoError(t, err)
	p, ok := hw.Point(isl, osl, conc)
	require.True(t, ok)
	e := Entry{Team: team, ISL: isl, OSL: osl, Conc: conc, E2EMs: p.MedianE2E * e2e, TputPerGPU: p.TputPerGPU * tput,
		BitsPerByte: 0.4485, BytePerplexity: 1.3646, WordPerplexity: 3.2522}
	if interactivity == 0 {
		return e // the figures alone
	}
	n := conc * 50
	duration := float64(n) * e.E2EMs / 1000 / float64(conc)
	total := int(e.TputPerGPU * 8 * duration)
	result := map[string]any{
		"successful_requests": n, "benchmark_duration": duration, "total_input_tokens": total / 2, "total_generated_tokens": total - total/2,
		"total_token_throughput": float64(total) / duration, "tput_per_gpu": float64(total) / duration / 8,
		"median_tpot_ms": 1000 / (p.Interactivity * interactivity), "median_e2el_ms": e.E2EMs, "mean_e2el_ms": e.E2EMs * 0.99,
		"benchmark_args":      map[string]any{"model": "amd/DeepSeek-R1-0528-MXFP4", "backend": "sglang", "random_input_len": isl, "random_output_len": osl, "max_concurrency": conc, "random_range_ratio": 0.8},
		"accuracy":            map[string]any{"bits_per_byte": e.BitsPerByte, "byte_perplexity": e.BytePerplexity, "word_perplexity": e.WordPerplexity},
		"accuracy_validation": map[string]any{"status": "PASSED"},
	}
	e.TputPerGPU = result["tput_per_gpu"].(float64)
	text, err := json.MarshalIndent(result, "", "  ")
	require.NoError(t, err)
	e.Result = string(text)
	return e
}

// with is an entry's result file with one key changed: a.b is b of a.
func with(t *testing.T, e Entry, key string, value any) Entry {
	t.Helper()
	var r map[string]any
	require.NoError(t, json.Unmarshal([]byte(e.Result), &r))
	at := r
	if section, name, ok := strings.Cut(key, "."); ok {
		at, key = r[section].(map[string]any), name
	}
	at[key] = value
	b, err := json.Marshal(r)
	require.NoError(t, err)
	e.Result = string(b)
	return e
}

// call sends v as JSON and gives the status and the answer.
func call(t *testing.T, method, url string, v any, header ...string) (int, string) {
	t.Helper()
	var body io.Reader
	if text, ok := v.(string); ok {
		body = strings.NewReader(text)
	} else if v != nil {
		b, err := json.Marshal(v)
		require.NoError(t, err)
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(answer)
}

func submitOK(t *testing.T, url string, e Entry, header ...string) int64 {
	t.Helper()
	status, answer := call(t, "POST", url+"/api/v1/submissions", e, header...)
	require.Equal(t, http.StatusCreated, status, answer)
	var r receiptJSON
	require.NoError(t, json.Unmarshal([]byte(answer), &r))
	return r.ID
}

func get[T any](t *testing.T, url string) T {
	t.Helper()
	var v T
	status, answer := call(t, "GET", url, nil)
	require.Equal(t, http.StatusOK, status, answer)
	require.NoError(t, json.Unmarshal([]byte(answer), &v))
	return v
}

func TestRules(t *testing.T) {
	good := entry(t, "x", 1024, 1024, 16, 1.1, 0.9, 1.2)
	bare := entry(t, "x", 1024, 1024, 16, 1.1, 0.9, 0)
	change := func(e Entry, f func(*Entry)) Entry { f(&e); return e }
	for name, c := range map[string]struct {
		e    Entry
		want string // of the refusal; empty: taken
	}{
		"whole result":         {good, ""},
		"figures alone":        {bare, ""},
		"B200's odd point":     {entry(t, "x", 8192, 1024, 64, 1, 1, 1), ""},
		"a pair of one's own":  {change(bare, func(e *Entry) { e.ISL, e.OSL, e.Conc, e.E2EMs, e.TputPerGPU = 100, 50, 1, 100, 150 }), ""},
		"no team":              {change(bare, func(e *Entry) { e.Team = " " }), "team name"},
		"two lines":            {change(bare, func(e *Entry) { e.Team = "a\nb" }), "team name"},
		"long name":            {change(bare, func(e *Entry) { e.Team = strings.Repeat("x", 65) }), "team name"},
		"a path":               {change(bare, func(e *Entry) { e.Team = ".." }), "team name"},
		"isl 0":                {change(bare, func(e *Entry) { e.ISL = 0 }), "isl and osl"},
		"huge osl":             {change(bare, func(e *Entry) { e.OSL = 1 << 40 }), "isl and osl"},
		"conc 0":               {change(bare, func(e *Entry) { e.Conc = 0 }), "conc must"},
		"negative":             {change(bare, func(e *Entry) { e.E2EMs = -1 }), "e2e_ms is -1"},
		"zero":                 {change(bare, func(e *Entry) { e.TputPerGPU = 0 }), "tput_per_gpu is 0"},
		"not a number":         {change(bare, func(e *Entry) { e.BitsPerByte = math.NaN() }), "bits_per_byte is NaN"},
		"infinite":             {change(bare, func(e *Entry) { e.TputPerGPU = math.Inf(1) }), "tput_per_gpu is +Inf"},
		"perplexities differ":  {change(bare, func(e *Entry) { e.BytePerplexity = 1.5 }), "contradict each other"},
		"word below byte":      {change(bare, func(e *Entry) { e.WordPerplexity = 1.2 }), "which no text allows"},
		"too many tokens":      {change(bare, func(e *Entry) { e.TputPerGPU = 1e5 }), "more tokens than CONC 16 requests"},
		"seconds for ms":       {change(bare, func(e *Entry) { e.E2EMs /= 1000 }), "e2e_ms is in milliseconds"},
		"result not JSON":      {change(good, func(e *Entry) { e.Result = "{" }), "cannot be read"},
		"result too long":      {change(good, func(e *Entry) { e.Result += strings.Repeat(" ", maxResult) }), "at most"},
		"result of other cell": {with(t, good, "benchmark_args.max_concurrency", 32), "is of isl=1024/osl=1024/conc=32"},
		"accuracy failed":      {with(t, good, "accuracy_validation.status", "FAILED"), `is "FAILED"`},
		"other E2E":            {with(t, good, "median_e2el_ms", 1.0), "e2e_ms and the file's median_e2el_ms differ"},
		"other throughput":     {with(t, good, "tput_per_gpu", 1e4), "tput_per_gpu and the file's differ"},
		"other accuracy":       {with(t, good, "accuracy.word_perplexity", 4), "word_perplexity and the file's differ"},
		"tokens do not fit":    {with(t, good, "total_input_tokens", 1), "tokens/duration differ"},
		"too many in flight":   {with(t, good, "mean_e2el_ms", good.E2EMs*2), "in flight"},
		"no requests":          {with(t, good, "successful_requests", 0), "no successful requests"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := nameOf(c.e.Team)
			var d details
			if err == nil {
				d, err = check(c.e)
			}
			if c.want == "" {
				require.NoError(t, err)
				if c.e.Result != "" {
					require.NotNil(t, d.interactivity)
					assert.Equal(t, 8, *d.gpus)
				}
				return
			}
			require.ErrorContains(t, err, c.want)
			assert.NotContains(t, err.Error(), "\n")
			var rule *RuleError
			assert.ErrorAs(t, err, &rule)
		})
	}
}

func TestNamesThatAreTheSame(t *testing.T) {
	_, want, err := nameOf("Blue Whale")
	require.NoError(t, err)
	for _, other := range []string{"blue whale", " Blue  Whale ", "ＢＬＵＥ Whale"} {
		_, key, err := nameOf(other)
		require.NoError(t, err)
		assert.Equal(t, want, key, other)
	}
}

func TestBoardOfACombination(t *testing.T) {
	server, _ := serve(t, Config{})
	// a: three points above the curve, one under it. b: the figures alone.
	submitOK(t, server.URL, entry(t, "a", 1024, 1024, 4, 1.2, 0.9, 1.1))
	submitOK(t, server.URL, entry(t, "a", 1024, 1024, 8, 1.2, 0.9, 1.1))
	submitOK(t, server.URL, entry(t, "a", 1024, 1024, 16, 0.5, 1.5, 0.6))
	submitOK(t, server.URL, entry(t, "a", 1024, 1024, 16, 0.7, 1.4, 0.7)) // the better one
	submitOK(t, server.URL, entry(t, "a", 1024, 1024, 16, 0.6, 1.2, 0.8))
	submitOK(t, server.URL, entry(t, "a", 1024, 1024, 32, 1.1, 0.95, 1.05))
	submitOK(t, server.URL, entry(t, "b", 1024, 1024, 16, 0.9, 1.2, 0))
	v := get[View](t, server.URL+"/api/v1/boards/1024/1024")
	require.Len(t, v.Rows, 5, "best per team and CONC")
	assert.Equal(t, []int{4, 8, 16, 16, 32}, []int{v.Rows[0].Conc, v.Rows[1].Conc, v.Rows[2].Conc, v.Rows[3].Conc, v.Rows[4].Conc})
	assert.Equal(t, "b", v.Rows[2].Team, "by throughput within a CONC")
	assert.InDelta(t, 0.7, *v.Rows[3].TputRatio, 1e-4)
	assert.InDelta(t, 1.4, *v.Rows[3].E2ERatio, 1e-9)
	require.Len(t, v.Teams, 2)
	assert.Equal(t, Standing{Team: "a", Interactivity: Share{3, 4}, E2E: Share{3, 4}, BestTput: v.Rows[4].TputPerGPU, BestTputRatio: v.Teams[0].BestTputRatio}, v.Teams[0])
	assert.True(t, v.Teams[0].Interactivity.Qualifies())
	assert.Equal(t, Share{0, 0}, v.Teams[1].Interactivity, "the eleven figures do not say it")
	assert.Equal(t, 1, v.Teams[1].E2E.Of)
	assert.Len(t, v.Baseline, 5)

	history := get[map[string][]Submission](t, server.URL+"/api/v1/teams/A/submissions")["submissions"]
	assert.Len(t, history, 6, "all of a team's, by its name in any case")
	assert.Greater(t, history[0].ID, history[5].ID)
	page := get[map[string][]Submission](t, server.URL+fmt.Sprintf("/api/v1/teams/a/submissions?limit=2&before=%d", history[1].ID))["submissions"]
	assert.Equal(t, history[2:4], page)

	empty := get[View](t, server.URL+"/api/v1/boards/8192/1024")
	assert.Empty(t, empty.Rows)
	assert.Len(t, empty.Baseline, 5)
}

// Bounds of waits in tests, none of which is a condition to pass.
const (
	limitOfTests = 10 * time.Second
	tick         = 20 * time.Millisecond
)
