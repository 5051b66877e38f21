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
	"inferbench/harness/matrix"
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
// throughput, latency and interactivity times the factors. With an
// interactivity of 0 it is the figures alone, else it has a result file that
// agrees with itself, measured on the baseline's workload.
func entry(t *testing.T, team string, isl, osl, conc int, tput, e2e, interactivity float64) Entry {
	t.Helper()
	hw, err := baselines.LoadHardware(baselines.DefaultHardware)
	require.NoError(t, err)
	p, ok := hw.Point(isl, osl, conc)
	require.True(t, ok)
	e := Entry{Team: team, ISL: isl, OSL: osl, Conc: conc, E2EMs: p.MedianE2E * e2e, TputPerGPU: p.TputPerGPU * tput,
		BitsPerByte: 0.4485, BytePerplexity: 1.3646, WordPerplexity: 3.2522}
	if isl == 1024 && osl == 1024 && conc == 8 {
		e.E2EMs *= 0.8 // the baseline's own point is none of 8 GPUs'
	}
	if interactivity == 0 {
		return e
	}
	n, tpot := matrix.NumPrompts(osl, conc), 1000/(p.Interactivity*interactivity)
	// As many tokens as keep CONC requests in flight, as far as lengths that are drawn from [0.8 L, L] allow.
	drawn, off := 0.9*float64(isl+osl), 0.3/math.Sqrt(float64(n))
	each := min(max(e.TputPerGPU*8*e.E2EMs/1000/float64(conc), drawn*(1-off)+2), drawn*(1+off))
	mean := 0.99 * min(e.E2EMs, 1000*float64(conc)*each/(e.TputPerGPU*8)) // no more than CONC in flight
	tokens := int(each * float64(n))
	duration := float64(tokens) / (e.TputPerGPU * 8)
	output := tokens * osl / (isl + osl)
	ttft := max(20, mean-tpot*0.9*float64(osl))
	meanTPOT := (mean - ttft) / (float64(output)/float64(n) - 1)
	total := float64(tokens) / duration
	e.TputPerGPU = total / 8
	result := map[string]any{
		"status": "PASSED", "successful_requests": n, "failed_requests": 0, "benchmark_duration": duration,
		"total_input_tokens": tokens - output, "total_generated_tokens": output,
		"request_throughput": float64(n) / duration, "output_throughput": float64(output) / duration, "total_token_throughput": total,
		"tput_per_gpu": e.TputPerGPU, "interactivity": 1000 / tpot,
		"mean_ttft_ms": ttft, "median_ttft_ms": ttft,
		"mean_tpot_ms": meanTPOT, "median_tpot_ms": tpot, "std_tpot_ms": math.Abs(meanTPOT-tpot) + 1,
		"mean_e2el_ms": mean, "median_e2el_ms": e.E2EMs, "std_e2el_ms": e.E2EMs*1.02 - mean, "p99_e2el_ms": e.E2EMs * 1.03,
		"benchmark_args": map[string]any{"model": "amd/DeepSeek-R1-0528-MXFP4", "backend": "sglang", "dataset_name": "random", "request_rate": nil,
			"random_input_len": isl, "random_output_len": osl, "max_concurrency": conc, "num_prompts": n, "random_range_ratio": 0.8, "tp": 8},
		"accuracy":            map[string]any{"task": "wikitext", "bits_per_byte": e.BitsPerByte, "byte_perplexity": e.BytePerplexity, "word_perplexity": e.WordPerplexity},
		"accuracy_validation": map[string]any{"status": "PASSED"},
	}
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
	hw, err := baselines.LoadHardware(baselines.DefaultHardware)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		e    Entry
		want string // of the refusal; empty: taken
	}{
		"whole result":         {good, ""},
		"figures alone":        {bare, ""},
		"a pair of one's own":  {change(bare, func(e *Entry) { e.ISL, e.OSL, e.Conc, e.E2EMs, e.TputPerGPU = 100, 50, 1, 100, 150 }), ""},
		"no team":              {change(bare, func(e *Entry) { e.Team = " " }), "team name"},
		"two lines":            {change(bare, func(e *Entry) { e.Team = "a\nb" }), "team name"},
		"long name":            {change(bare, func(e *Entry) { e.Team = strings.Repeat("x", 65) }), "team name"},
		"a blank symbol":       {change(bare, func(e *Entry) { e.Team = "x\u2800" }), "blank symbols"},
		"right to left":        {change(bare, func(e *Entry) { e.Team = "x\u202ey" }), "team name"},
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
		"result too long":      {change(good, func(e *Entry) { e.Result += strings.Repeat(" ", maxResult) }), "at most"},
		"result not JSON":      {change(good, func(e *Entry) { e.Result = "{" }), "cannot be read"},
		"result of other cell": {with(t, good, "benchmark_args.max_concurrency", 32), "is of isl=1024/osl=1024/conc=32"},
		"a broken rule":        {with(t, good, "status", "FAILED"), `status is "FAILED"`},
		"other E2E":            {change(good, func(e *Entry) { e.E2EMs++ }), "e2e_ms and the result's median_e2el_ms differ"},
		"other accuracy":       {with(t, good, "accuracy.word_perplexity", 4), "word_perplexity and the result's accuracy.word_perplexity differ"},
		"gsm8k alone":          {change(bare, func(e *Entry) { e.BitsPerByte, e.BytePerplexity, e.WordPerplexity, e.GSM8K = 0, 0, 0, ptr(0.94) }), ""},
		"gsm8k above 1":        {change(bare, func(e *Entry) { e.GSM8K = ptr(94.0) }), "share from 0 to 1"},
		"gsm8k not the file's": {change(good, func(e *Entry) { e.GSM8K = ptr(0.94) }), "the result has no accuracy.gsm8k_metric"},
		"no accuracy":          {change(bare, func(e *Entry) { e.BitsPerByte, e.BytePerplexity, e.WordPerplexity = 0, 0, 0 }), "bits_per_byte is 0"},
		"invented speed":       {change(bare, func(e *Entry) { e.Interactivity = ptr(1e9) }), "implausible"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := nameOf(c.e.Team)
			var d details
			if err == nil {
				d, err = check(c.e, hw)
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

func ptr[T any](v T) *T { return &v }

// A name that looks like another is the other: in the standings, and for whoever
// holds no token of it.
func TestNamesThatAreTheSame(t *testing.T) {
	const token = "token-of-the-blue-whale"
	server, _ := serve(t, Config{})
	submitOK(t, server.URL, entry(t, "Blue Whale", 1024, 1024, 4, 1.1, 0.9, 1.1), "Authorization", "Bearer "+token)
	submitOK(t, server.URL, entry(t, "Blue Shale", 1024, 1024, 4, 1.1, 0.9, 1.2))
	for i, other := range []string{"blue whale", " Blue  Whale ", "ＢＬＵＥ Whale", "Blue Whаle", "Вlue Whale", "Blue Wһale", "BIue Whale", "Βlue whale", "𝐁lue Whale", "Blue-Whale",
		"blue_whale.", "BlueWhale", "Blüe Whalé", "Blue Whale\u0323", "ʙʟᴜᴇ ᴡʜᴀʟᴇ", "Blue Whaleʹ"} {
		status, answer := call(t, "POST", server.URL+"/api/v1/submissions", entry(t, other, 1024, 1024, 4, 1.2, 0.8, 1.3))
		assert.Equal(t, http.StatusForbidden, status, "%q: %s", other, answer)
		submitOK(t, server.URL, entry(t, other, 1024, 1024, 4, 1.1+float64(i+1)/1e4, 0.9, 1.1), "Authorization", "Bearer "+token)
	}
	v := get[View](t, server.URL+"/api/v1/boards/1024/1024")
	require.Len(t, v.Teams, 2)
	assert.ElementsMatch(t, []string{"Blue Whale", "Blue Shale"}, []string{v.Teams[0].Team, v.Teams[1].Team}, "under the name that came first")
}

// What only looks a little alike is two names.
func TestNamesThatAreNotTheSame(t *testing.T) {
	seen := map[string]string{}
	for _, team := range []string{"team 1", "team 2", "team 11", "C", "C++", "深圳推理", "深圳推里", "की टीम", "का टीम", "がく", "かく", "กา", "กำ", "-", "--", "!?"} {
		n, err := nameOf(team)
		require.NoError(t, err)
		for _, looks := range []string{n.looks, n.looksShown} {
			if other, ok := seen[looks]; ok && other != team {
				t.Errorf("%q is taken for %q", team, other)
			}
			seen[looks] = team
		}
	}
}

func TestBoardOfACombination(t *testing.T) {
	server, _ := serve(t, Config{})
	// a: three points above the curve, one under it, one not submitted. b: the
	// figures alone.
	submitOK(t, server.URL, entry(t, "a", 1024, 1024, 4, 1.2, 0.9, 1.1))
	submitOK(t, server.URL, entry(t, "a", 1024, 1024, 8, 1.2, 0.9, 1.1))
	submitOK(t, server.URL, entry(t, "a", 1024, 1024, 16, 0.7, 1.5, 0.66))
	submitOK(t, server.URL, entry(t, "a", 1024, 1024, 16, 0.8, 1.4, 0.7)) // the better one
	submitOK(t, server.URL, entry(t, "a", 1024, 1024, 16, 0.75, 1.4, 0.75))
	submitOK(t, server.URL, entry(t, "a", 1024, 1024, 32, 1.1, 0.95, 1.05))
	submitOK(t, server.URL, entry(t, "b", 1024, 1024, 16, 0.9, 1.2, 0))
	v := get[View](t, server.URL+"/api/v1/boards/1024/1024")
	require.Len(t, v.Rows, 5, "best per team and CONC")
	assert.Equal(t, []int{4, 8, 16, 32, 16}, []int{v.Rows[0].Conc, v.Rows[1].Conc, v.Rows[2].Conc, v.Rows[3].Conc, v.Rows[4].Conc}, "by standings, then CONC")
	assert.InDelta(t, 0.8, *v.Rows[2].TputRatio, 1e-4)
	assert.InDelta(t, 1.4, *v.Rows[2].E2ERatio, 1e-9)
	require.Len(t, v.Teams, 1)
	assert.Equal(t, Standing{Team: "a", Interactivity: Share{3, 5}, E2E: Share{3, 5}, BestTput: v.Rows[3].TputPerGPU, BestTputRatio: v.Teams[0].BestTputRatio}, v.Teams[0])
	assert.True(t, v.Teams[0].Interactivity.Qualifies())
	require.Len(t, v.Others, 1)
	assert.Equal(t, unchecked, v.Others[0].Apart)
	assert.Equal(t, Share{0, 5}, v.Others[0].Teams[0].Interactivity, "the eleven figures do not say it")
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

// A CONC that a team has not submitted is one that it has not beaten, and CONCs
// of its own do not count.
func TestStandingsCountEveryCONCOfTheBaseline(t *testing.T) {
	server, _ := serve(t, Config{})
	submitOK(t, server.URL, entry(t, "one", 1024, 1024, 4, 1.3, 0.8, 1.25))
	standing := func() Standing {
		v := get[View](t, server.URL+"/api/v1/boards/1024/1024")
		require.Len(t, v.Teams, 1)
		return v.Teams[0]
	}
	assert.Equal(t, Share{1, 5}, standing().Interactivity)
	assert.False(t, standing().Interactivity.Qualifies())
	submitOK(t, server.URL, entry(t, "one", 1024, 1024, 32, 1.3, 0.75, 1.3))
	submitOK(t, server.URL, entry(t, "one", 1024, 1024, 64, 1.3, 0.75, 1.3))
	assert.Equal(t, Share{3, 5}, standing().E2E)
	assert.True(t, standing().E2E.Qualifies())
}

// What is not comparable stands apart from the competition's standings, and its
// row says why.
func TestWhatStandsApart(t *testing.T) {
	good := entry(t, "good", 1024, 1024, 4, 1.1, 0.9, 1.1)
	as := func(team string, e Entry) Entry { e.Team = team; return e }
	other := func(tput float64) Entry { return entry(t, "x", 1024, 1024, 4, tput, 0.9, 1.1) }
	server, _ := serve(t, Config{})
	submitOK(t, server.URL, good)
	for apart, e := range map[string][]Entry{
		otherWorkload: {as("full lengths", with(t, fullLengths(t, other(1.11)), "benchmark_args.random_range_ratio", 1)),
			as("another model", with(t, other(1.105), "benchmark_args.model", "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"))},
		marked: {as("limited", with(t, other(1.12), "client_limited", true)), as("synthetic", with(t, other(1.13), "spec_decode", map[string]any{"synthetic": true})),
			as("early", with(t, other(1.14), "precision", map[string]any{"asked": 0.02})), as("not judged", with(t, other(1.15), "accuracy_validation.status", "NOT_RUN"))},
		unchecked: {as("eleven", entry(t, "x", 1024, 1024, 4, 1.1, 0.9, 0))},
		embedded: {as("laptop", with(t, other(1.16), "benchmark_args.backend", "embedded")), as("disguised", with(t, other(1.17), "benchmark_args.engine_profile", "fast")),
			as("self-confessed", with(t, other(1.18), "marks", []string{"embedded"}))},
	} {
		for _, e := range e {
			submitOK(t, server.URL, e)
			v := get[View](t, server.URL+"/api/v1/boards/1024/1024")
			require.Len(t, v.Teams, 1)
			assert.Equal(t, "good", v.Teams[0].Team)
			found := false
			for _, g := range v.Others {
				for _, s := range g.Teams {
					if s.Team == e.Team {
						found = true
						assert.Equal(t, apart, g.Apart, e.Team)
					}
				}
			}
			assert.True(t, found, e.Team)
			for _, row := range v.Rows {
				if row.Team == e.Team {
					assert.Equal(t, apart, row.Apart)
					assert.True(t, len(row.Marks) > 0 || row.Unlike != "" || row.ResultSHA256 == "", "%s: its row says why", e.Team)
				}
			}
		}
	}
}

// fullLengths makes each request of an entry's run as long as it can be.
func fullLengths(t *testing.T, e Entry) Entry {
	t.Helper()
	var r map[string]any
	require.NoError(t, json.Unmarshal([]byte(e.Result), &r))
	n := r["successful_requests"].(float64)
	duration := n * float64(e.ISL+e.OSL) / r["total_token_throughput"].(float64)
	for key, v := range map[string]float64{"total_input_tokens": n * float64(e.ISL), "total_generated_tokens": n * float64(e.OSL), "benchmark_duration": duration,
		"request_throughput": n / duration, "output_throughput": n * float64(e.OSL) / duration,
		"mean_tpot_ms": (r["mean_e2el_ms"].(float64) - r["mean_ttft_ms"].(float64)) / float64(e.OSL-1)} {
		e = with(t, e, key, v)
	}
	return with(t, e, "std_tpot_ms", 5.0)
}

// A result file can be downloaded by anybody; it is not thereby theirs.
func TestOthersRunsAreRefused(t *testing.T) {
	server, _ := serve(t, Config{})
	mine := entry(t, "mine", 1024, 1024, 4, 1.1, 0.9, 1.1)
	submitOK(t, server.URL, mine)
	theirs := with(t, mine, "notes", []string{"not a copy"})
	theirs.Team = "theirs"
	status, answer := call(t, "POST", server.URL+"/api/v1/submissions", theirs)
	assert.Equal(t, http.StatusConflict, status)
	assert.Contains(t, answer, `a run that was submitted before: \"mine\"`)
	status, answer = call(t, "POST", server.URL+"/api/v1/submissions", with(t, theirs, "mean_ttft_ms", 20*(1+1e-9)))
	assert.Equal(t, http.StatusConflict, status, "an edit of the last digits makes no other run")
	assert.Contains(t, answer, `a run that was submitted before: \"mine\"`)
	again := with(t, with(t, mine, "benchmark_args.random_input_len", 1030), "benchmark_args.random_range_ratio", 0.79)
	again.ISL = 1030
	status, answer = call(t, "POST", server.URL+"/api/v1/submissions", again)
	assert.Equal(t, http.StatusConflict, status, "one run is of one cell")
	assert.Contains(t, answer, "yours, of isl=1024/osl=1024/conc=4")
	mine.Result = theirs.Result
	submitOK(t, server.URL, mine)
}
