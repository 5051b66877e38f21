package rules_test

import (
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/baselines"
	"inferbench/harness/rules"
)

var now = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func hardware(t *testing.T) *baselines.Hardware {
	t.Helper()
	hw, err := baselines.LoadHardware(baselines.DefaultHardware)
	require.NoError(t, err)
	return hw
}

// result is a result file that the suite wrote, of the embedded engine, made out
// to be of the competition's model on another, with some keys changed: a.b is b of a. A nil takes one away.
func result(t *testing.T, change map[string]any) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/result.json")
	require.NoError(t, err)
	var r map[string]any
	require.NoError(t, json.Unmarshal(b, &r))
	set := func(key string, v any) {
		at, path := r, strings.Split(key, ".")
		if key == "p99.9_e2el_ms" {
			path = []string{key}
		}
		for ; len(path) > 1; path = path[1:] {
			next, ok := at[path[0]].(map[string]any)
			if !ok {
				next = map[string]any{}
				at[path[0]] = next
			}
			at = next
		}
		if at[path[0]] = v; v == nil {
			delete(at, path[0])
		}
	}
	for key, v := range map[string]any{"benchmark_args.backend": "sglang", "benchmark_args.model": "amd/DeepSeek-R1-0528-MXFP4",
		"benchmark_args.engine_profile": nil, "client_audit.cpu_includes_the_engine": nil,
		"accuracy.bits_per_byte": 0.4485, "accuracy.byte_perplexity": 1.3646, "accuracy.word_perplexity": 3.2522,
		"accuracy.text":                text(t, "deepseek-r1-0528-mxfp4"),
		"accuracy_validation.baseline": "deepseek-r1-0528-mxfp4",
		"accuracy_validation.limits":   map[string]any{"bits_per_byte": map[string]any{"value": 0.4485, "lower": 0.435, "upper": 0.462, "ok": true}}} {
		set(key, v)
	}
	for key, v := range change {
		set(key, v)
	}
	b, err = json.Marshal(r)
	require.NoError(t, err)
	return b
}

// text is the text of a baseline, with as many bytes a word as make its
// word_perplexity.
func text(t *testing.T, baseline string) map[string]any {
	t.Helper()
	b, err := baselines.LoadAccuracy(baseline)
	require.NoError(t, err)
	return map[string]any{"sha256": b.CorpusSHA256, "bytes": math.Round(1e6 * math.Log2(b.WordPerplexity) / b.BitsPerByte), "words": 1000000}
}

func TestTheSuitesOwnFileIsLegal(t *testing.T) {
	r, err := rules.Check(result(t, nil), rules.Claim{}, hardware(t), now)
	require.NoError(t, err)
	require.NoError(t, r.Err())
	assert.Empty(t, r.Marks)
	assert.Equal(t, []string{"RANDOM_RANGE_RATIO is 1, the baseline's is 0.8"}, r.Unlike)
	assert.Equal(t, "wikitext", r.Task)
	for _, l := range r.Report {
		assert.Regexp(t, `^[^:]+: legal`, l.String())
	}
	assert.Contains(t, r.Report, rules.Line{Rule: "accuracy", Why: "gated by wikitext, baseline deepseek-r1-0528-mxfp4", OK: true})

	b, err := os.ReadFile("testdata/result.json")
	require.NoError(t, err)
	own, err := rules.Check(b, rules.Claim{}, hardware(t), now)
	require.NoError(t, err)
	assert.Equal(t, []string{rules.Embedded}, own.Marks)
	require.NoError(t, own.Broken())
	assert.ErrorContains(t, own.Err(), "engine: measured on the embedded engine")
}

// What no board takes.
func TestBrokenRules(t *testing.T) {
	for name, c := range map[string]struct {
		change map[string]any
		want   string
	}{
		"failed":                         {map[string]any{"status": "FAILED", "reason": "it fell over"}, `status: the result's status is "FAILED" (it fell over)`},
		"no status":                      {map[string]any{"status": nil}, `status is ""`},
		"failed requests":                {map[string]any{"failed_requests": 9999}, "requests: 9999 requests failed"},
		"fewer requests":                 {map[string]any{"successful_requests": 10}, "10 requests succeeded of the 200"},
		"no requests":                    {map[string]any{"successful_requests": 0, "benchmark_args.num_prompts": nil}, "no successful requests"},
		"half a request":                 {map[string]any{"successful_requests": 199.5}, "values: successful_requests is 199.5"},
		"no figures":                     {map[string]any{"median_e2el_ms": nil}, "median_e2el_ms is absent"},
		"negative tokens":                {map[string]any{"total_input_tokens": -1000}, "values: total_input_tokens is -1000"},
		"negative latency":               {map[string]any{"mean_ttft_ms": -5}, "values: mean_ttft_ms is -5"},
		"huge":                           {map[string]any{"p99_itl_ms": 1e300}, "values: p99_itl_ms is 1e+300"},
		"a text for a number":            {map[string]any{"median_tpot_ms": "5"}, "values: median_tpot_ms is string, not a number"},
		"more per GPU than in all":       {map[string]any{"tput_per_gpu": 2.5e6}, "figures: tput_per_gpu is 2.5e+06, but total_token_throughput / tp is"},
		"more per GPU, no tp":            {map[string]any{"tput_per_gpu": 2.5e6, "benchmark_args.tp": nil}, "more than the"},
		"other request throughput":       {map[string]any{"request_throughput": 1}, "figures: request_throughput is 1"},
		"other output throughput":        {map[string]any{"output_throughput": 1}, "figures: output_throughput is 1"},
		"other interactivity":            {map[string]any{"interactivity": 1e4 + 1e3}, "figures: interactivity is 11000"},
		"TPOT of nothing":                {map[string]any{"median_tpot_ms": 1e-300, "interactivity": 1e303}, "values: interactivity is 1e+303"},
		"TPOT of next to nothing":        {map[string]any{"median_tpot_ms": 1e-6, "interactivity": 1e9, "std_tpot_ms": 1}, "tokens in time: median_e2el_ms is"},
		"mean TPOT of other requests":    {map[string]any{"mean_tpot_ms": 0.05, "std_tpot_ms": 1}, "tokens in time: mean_e2el_ms less mean_ttft_ms"},
		"p90 below the median":           {map[string]any{"p90_e2el_ms": 1}, "p90_e2el_ms is 1, below median_e2el_ms"},
		"mean above the max":             {map[string]any{"mean_itl_ms": 1e6, "median_itl_ms": nil}, ""},
		"mean and median too far apart":  {map[string]any{"median_ttft_ms": 0.2, "std_ttft_ms": 0.1}, "further apart than the standard deviation"},
		"first token after the last":     {map[string]any{"p99_ttft_ms": 1e5, "p99.9_ttft_ms": 1e5, "max_ttft_ms": 1e5}, ""},
		"more tokens than asked for":     {map[string]any{"benchmark_args.random_output_len": 512}, "tokens: total_generated_tokens is 1024 a request"},
		"prompts that are outputs":       {map[string]any{"total_input_tokens": 1, "total_generated_tokens": 200*2048 - 1}, "tokens: total_generated_tokens"},
		"ratio above 1":                  {map[string]any{"benchmark_args.random_range_ratio": 2}, "random_range_ratio is 2: at most 1"},
		"too many in flight":             {map[string]any{"benchmark_args.max_concurrency": 2, "benchmark_args.num_prompts": nil}, "requests in flight: implausible: the requests were in flight"},
		"too few in flight":              {map[string]any{"benchmark_args.max_concurrency": 16, "benchmark_args.num_prompts": nil}, "in flight only"},
		"GPUs otherwise than said":       {map[string]any{"benchmark_args.server.gpus": 16}, "GPUs: throughput is divided by TP=8, and the server says that it runs on 16 GPUs"},
		"fewer GPUs than a layer has":    {map[string]any{"benchmark_args.server.tp": 16}, "the server splits each layer over 16 GPUs"},
		"a ratio of one's own":           {map[string]any{"hardware_baseline.tput_per_gpu_ratio": 3}, "baseline: hardware_baseline.tput_per_gpu_ratio is 3"},
		"a baseline of one's own":        {map[string]any{"hardware_baseline.tput_per_gpu_tok_s": 1, "hardware_baseline.tput_per_gpu_ratio": nil}, "and that of b200-nv1126 is 131.424"},
		"a match that is none":           {map[string]any{"hardware_baseline.baseline_workload_match": true}, "baseline_workload_match is true, but RANDOM_RANGE_RATIO is 1"},
		"accuracy failed":                {map[string]any{"accuracy_validation.status": "FAILED"}, `accuracy_validation.status is "FAILED"`},
		"perplexities differ":            {map[string]any{"accuracy.byte_perplexity": 9, "accuracy_validation.limits": nil}, "contradict each other"},
		"validated as something else":    {map[string]any{"accuracy_validation.limits.bits_per_byte.value": 2.05}, "it was validated as 2.05"},
		"outside its limits":             {map[string]any{"accuracy_validation.limits.bits_per_byte.upper": 0.44}, "which is not from"},
		"a tolerance of one's own":       {map[string]any{"accuracy.bits_per_byte": 0.5, "accuracy.byte_perplexity": 1.41421, "accuracy.word_perplexity": nil, "accuracy_validation.limits": nil}, "asks for 0.4485"},
		"gsm8k below what it says":       {map[string]any{"accuracy": map[string]any{"gsm8k_metric": 0.9}, "accuracy_validation": map[string]any{"status": "PASSED", "minimum_accepted": 0.93}}, "below the accepted 0.93"},
		"decode audit":                   {map[string]any{"decode_audit.status": "FAILED"}, "the decode audit FAILED"},
		"canaries":                       {map[string]any{"canaries.status": "FAILED"}, "the canaries FAILED"},
		"damaged under load":             {map[string]any{"canaries": map[string]any{"exact_share": 0.2, "baseline_exact_share": 0.9}}, "canaries: 20 % of the canaries' answers"},
		"warm cache":                     {map[string]any{"cache_hit_rate": 0.3}, "warm cache: 30 % of the prompt tokens"},
		"warm cache, counted":            {map[string]any{"cached_tokens": 20480}, "warm cache: 10 % of"},
		"warm cache by metrics":          {map[string]any{"server_metrics.prefix_hits": 0.5}, "warm cache: 50 % of"},
		"warm cache as it says":          {map[string]any{"marks": []string{"warm_cache"}}, "warm_cache"},
		"a mark that is none":            {map[string]any{"marks": []string{"<b>fine</b>"}}, "marks: <b>fine</b> is no mark"},
		"a start that is yet to come":    {map[string]any{"benchmark_args.started_at": "2031-01-01T00:00:00Z"}, `started_at is "2031-01-01T00:00:00Z", and a run of 8 s from then on is not over`},
		"no cell":                        {map[string]any{"benchmark_args.max_concurrency": nil}, "cell: benchmark_args names no cell"},
		"a run that is not over":         {map[string]any{"benchmark_args.started_at": now.Add(24 * time.Hour).Format(time.RFC3339)}, "and a run of 8 s from then on is not over"},
		"a ratio under the guide's key":  {map[string]any{"tput_per_gpu_ratio_vs_b200_1126": 70}, "ratios: tput_per_gpu_ratio_vs_b200_1126 is 70, and its figures and the baseline's make 51.5"},
		"a ratio under the later key":    {map[string]any{"interactivity_ratio_vs_baseline_1126": 2}, "ratios: interactivity_ratio_vs_baseline_1126 is 2"},
		"B200 figures of one's own":      {map[string]any{"b200_baseline_nv1126.b200_tput_pergpu_1126": 10}, "b200_baseline_nv1126.b200_tput_pergpu_1126 is 10"},
		"later figures of one's own":     {map[string]any{"baseline_nv1126": map[string]any{"baseline_median_intvty_1126": 1}}, "baseline_nv1126.baseline_median_intvty_1126 is 1"},
		"gaps of other tokens":           {map[string]any{"mean_itl_ms": 0.05, "median_itl_ms": 0.05, "std_itl_ms": 1}, "gaps between tokens: mean_itl_ms is 0.05, and 1023 tokens after the first took 145.9"},
		"steady per GPU":                 {map[string]any{"steady_state.tput_per_gpu": 1e4}, "steady state: tput_per_gpu is 10000, but total_token_throughput / tp is 6781"},
		"steady for longer than the run": {map[string]any{"steady_state.duration_s": 100}, "steady state: duration_s is 100, and the whole run took 7.56"},
		"steady with more requests":      {map[string]any{"steady_state.requests": 201}, "201 requests ended in it, and 200 in the whole run"},
		"steady with more tokens":        {map[string]any{"steady_state.total_token_throughput": 6e4, "steady_state.tput_per_gpu": 7500}, "is more than the 409600 tokens of the whole run"},
		"steady p90 below the median":    {map[string]any{"steady_state.p90_tpot_ms": 0.01}, "steady state: p90_tpot_ms is 0.01, below median_tpot_ms"},
		"a share above 1":                {map[string]any{"spec_decode": map[string]any{"acceptance_rate": 1.2}}, "shares: spec_decode.acceptance_rate is 1.2"},
		"words of another text":          {map[string]any{"accuracy.word_perplexity": 2.5}, "accuracy: word_perplexity is 2.5, and bits_per_byte over the text's bytes and words makes 3.25"},
		"an easier text":                 {map[string]any{"accuracy.text.sha256": "easy"}, "accuracy: the text that was scored (SHA-256 easy…) is not that of deepseek-r1-0528-mxfp4"},
		"another window":                 {map[string]any{"accuracy.max_length": 8192}, "the windows were of max_length 8192, those of deepseek-r1-0528-mxfp4 of 2048"},
		"decoded below the floor":        {map[string]any{"decode_audit.argmax_share": 0.5}, "the decode audit's argmax_share is 0.5, below its floor of 0.99"},
		"a baseline section of one text": {map[string]any{"hardware_baseline": "b200"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := rules.Check(result(t, c.change), rules.Claim{}, hardware(t), now)
			require.NoError(t, err)
			if c.want == "" {
				return // it must not panic
			}
			require.ErrorContains(t, r.Broken(), c.want)
			assert.NotContains(t, r.Broken().Error(), "\n")
			assert.Error(t, r.Err(), "no board takes it, so no public one does")
		})
	}
}

// perplexities are changes that pass a gate of one's own.
func perplexities(bits float64, model any) map[string]any {
	out := map[string]any{"accuracy.bits_per_byte": bits, "accuracy.byte_perplexity": math.Exp2(bits), "accuracy.word_perplexity": nil,
		"accuracy_validation.baseline": "mine", "accuracy_validation.limits": nil}
	if model != nil {
		out["benchmark_args.model"] = model
	}
	return out
}

func TestMarks(t *testing.T) {
	for name, c := range map[string]struct {
		change map[string]any
		marks  []string
		want   string
	}{
		"other lengths":        {map[string]any{"dataset": nil, "benchmark_args.dataset_name": "sharegpt"}, []string{rules.Workload}, `workload: the prompts are of "sharegpt"`},
		"open loop":            {map[string]any{"benchmark_args.request_rate": 3}, []string{rules.Workload}, "at a rate of 3/s"},
		"client limited":       {map[string]any{"client_limited": true}, []string{rules.ClientLimited}, "client: the client was the limit"},
		"a client that idles":  {map[string]any{"client_limited": true, "benchmark_args.max_concurrency": 16, "benchmark_args.num_prompts": nil, "hardware_baseline": nil, "b200_baseline_nv1126": nil, "median_e2e_ratio_vs_b200_1126": nil, "tput_per_gpu_ratio_vs_b200_1126": nil}, []string{rules.Workload, rules.ClientLimited}, "client: "},
		"limited by the audit": {map[string]any{"client_audit.client_limited": true}, []string{rules.ClientLimited}, "client: "},
		"synthetic acceptance": {map[string]any{"spec_decode": map[string]any{"synthetic": true}}, []string{rules.SyntheticAcceptance}, "speculation: "},
		"stopped early":        {map[string]any{"precision": map[string]any{"asked": 0.02, "reached": 0.01, "stopped_after": 120}}, []string{rules.Precision}, "length of the run: "},
		"accuracy not run":     {map[string]any{"accuracy_validation.status": "NOT_RUN"}, []string{rules.AccuracyNotRun}, "accuracy: it was not gated"},
		"another's gate":       {perplexities(0.5, nil), []string{rules.AccuracyNotRun}, "the baseline of amd/DeepSeek-R1-0528-MXFP4, asks for 0.4485"},
		"of another name":      {perplexities(0.5, "/models/dsr1"), []string{rules.AccuracyNotRun}, "the baseline of /models/dsr1, asks for 0.4485"},
		"an easy text":         {map[string]any{"accuracy.text.sha256": "easy", "accuracy_validation.baseline": "mine", "accuracy_validation.limits": nil}, []string{rules.AccuracyNotRun}, "the text that was scored (SHA-256 easy…) is not that of deepseek-r1-0528-mxfp4"},
		"gsm8k's own gate":     {map[string]any{"accuracy": map[string]any{"task": "gsm8k", "gsm8k_metric": 0.8}, "accuracy_validation": map[string]any{"status": "PASSED", "baseline": "mine", "minimum_accepted": 0.5}}, []string{rules.AccuracyNotRun}, "gsm8k_metric is 0.8, and deepseek-r1-0528-mxfp4-gsm8k, the baseline of amd/DeepSeek-R1-0528-MXFP4, asks for 0.93 or more"},
		"another model":        {map[string]any{"benchmark_args.model": "Qwen/Qwen3-8B"}, []string{rules.Workload}, `workload: the model is "Qwen/Qwen3-8B", the baseline's is DeepSeek-R1-0528 FP4`},
		"no model":             {map[string]any{"benchmark_args.model": nil}, []string{rules.Workload}, `workload: the model is ""`},
		"prompts not said":     {map[string]any{"benchmark_args.num_prompts": nil, "benchmark_args.max_concurrency": 5}, []string{rules.Workload}, "NUM_PROMPTS is 200, the rule's is 250"},
		"embedded":             {map[string]any{"benchmark_args.backend": " Embedded"}, []string{rules.Embedded}, "engine: "},
		"a mark to come":       {map[string]any{"marks": []string{"power_capped"}}, []string{"power_capped"}, "marks: the result is marked power_capped"},
		"by its own word":      {map[string]any{"marks": []string{"precision", "embedded"}}, []string{rules.Embedded, rules.Precision}, "engine: "},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := rules.Check(result(t, c.change), rules.Claim{}, hardware(t), now)
			require.NoError(t, err)
			require.NoError(t, r.Broken(), "a board of one's own takes it")
			assert.Equal(t, c.marks, r.Marks)
			assert.ErrorContains(t, r.Err(), c.want)
		})
	}
	infinite, err := rules.Check(result(t, map[string]any{"benchmark_args.request_rate": "inf", "cached_tokens": 0, "spec_decode": nil, "marks": []string{}}), rules.Claim{}, hardware(t), now)
	require.NoError(t, err)
	assert.NoError(t, infinite.Err())
}

// Two readers must not see two files in one.
func TestFilesThatSayTwoThings(t *testing.T) {
	whole := string(result(t, nil))
	for name, text := range map[string]string{
		"a key twice":           strings.Replace(whole, `"status":"PASSED"`, `"status":"PASSED","status":"FAILED"`, 1),
		"a key within twice":    strings.Replace(whole, `"tp":8`, `"tp":8,"tp":4`, 1),
		"not JSON":              whole[:len(whole)-1],
		"two values":            whole + "{}",
		"no object":             `[1]`,
		"null":                  `null`,
		"not UTF-8":             strings.Replace(whole, "sglang", "sg\xffang", 1),
		"a number out of range": strings.Replace(whole, `"tp":8`, `"tp":1e999`, 1),
	} {
		_, err := rules.Check([]byte(text), rules.Claim{}, hardware(t), now)
		assert.ErrorContains(t, err, "the result file cannot be read", name)
	}
	other := strings.Replace(whole, `"status":"PASSED"`, `"Status":"PASSED","status":"FAILED"`, 1)
	r, err := rules.Check([]byte(other), rules.Claim{}, hardware(t), now)
	require.NoError(t, err)
	assert.ErrorContains(t, r.Broken(), `"FAILED"`, "the case of a key counts")
}

// The mean length of a drawing is held to that of its distribution, so that
// nobody has all requests be of the shortest length.
func TestLengthsAreDrawnAsTheySay(t *testing.T) {
	n := 200
	check := func(input, output float64) error {
		in, out := int(input*float64(n)), int(output*float64(n))
		base := result(t, map[string]any{"benchmark_args.random_range_ratio": 0.8, "hardware_baseline": nil})
		var was struct {
			Duration float64 `json:"benchmark_duration"`
		}
		require.NoError(t, json.Unmarshal(base, &was))
		total := float64(in+out) / was.Duration
		r, err := rules.Check(result(t, map[string]any{"benchmark_args.random_range_ratio": 0.8, "hardware_baseline": nil,
			"steady_state": nil, "tput_per_gpu_ratio_vs_b200_1126": nil, "mean_itl_ms": nil, "total_input_tokens": in, "total_generated_tokens": out, "output_throughput": float64(out) / was.Duration,
			"total_token_throughput": total, "tput_per_gpu": total / 8}), rules.Claim{}, hardware(t), now)
		require.NoError(t, err)
		return r.Broken()
	}
	mean := (819. + 1024) / 2 // of lengths from 819 to 1024; a standard error is 4.2
	assert.NoError(t, check(mean, mean))
	assert.NoError(t, check(mean-15, mean-15))
	assert.NoError(t, check(mean+80, mean+15), "a template adds to a prompt")
	assert.ErrorContains(t, check(mean, 819), "total_generated_tokens is 819 a request: the mean of 200 lengths uniform from 819 to 1024 is 921.5 ±21")
	assert.ErrorContains(t, check(819, mean), "total_input_tokens is 819 a request: the mean of")
	assert.ErrorContains(t, check(mean, mean+25), "total_generated_tokens is 946.5 a request")
}

func TestClaims(t *testing.T) {
	c := rules.Claim{ISL: 1024, OSL: 1024, Conc: 4, BitsPerByte: 0.45}
	r, err := rules.Check(result(t, nil), c, hardware(t), now)
	require.NoError(t, err)
	assert.ErrorContains(t, r.Broken(), "bits_per_byte and the result's accuracy.bits_per_byte differ: 0.45 and 0.4485")
	c.Conc = 8
	r, err = rules.Check(result(t, nil), c, nil, now)
	require.NoError(t, err)
	assert.ErrorContains(t, r.Broken(), "the submission of isl=1024/osl=1024/conc=8")
}

// The run is what was measured, not what stands around it.
func TestRunsAreToldApart(t *testing.T) {
	name := func(change map[string]any) string {
		r, err := rules.Check(result(t, change), rules.Claim{}, nil, now)
		require.NoError(t, err)
		return r.Run
	}
	assert.Equal(t, name(nil), name(map[string]any{"notes": "mine", "benchmark_args.backend": "vllm"}))
	assert.Equal(t, name(nil), name(map[string]any{"mean_ttft_ms": 2.780744}), "the last digits of 2.78074398")
	assert.NotEqual(t, name(nil), name(map[string]any{"benchmark_duration": 5.25}))
}

func FuzzCheck(f *testing.F) {
	b, err := os.ReadFile("testdata/result.json")
	if err != nil {
		f.Fatal(err)
	}
	var r map[string]any
	if err := json.Unmarshal(b, &r); err != nil {
		f.Fatal(err)
	}
	for _, section := range []string{"steady_state", "client_audit", "decode_audit", "server_metrics", "notes"} {
		delete(r, section) // a small input is varied sooner
	}
	small, err := json.Marshal(r)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(small)
	f.Add([]byte(`{"benchmark_args":{"random_range_ratio":1e-9},"mean_e2el_ms":0}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := rules.Check(b, rules.Claim{}, nil, now)
		if err != nil {
			return
		}
		if r.Broken() == nil && (r.Interactivity == nil || !(*r.Interactivity > 0 && *r.Interactivity < 1e12)) && strings.Contains(string(b), "median_tpot_ms") {
			t.Fatalf("taken: %s", b)
		}
	})
}
