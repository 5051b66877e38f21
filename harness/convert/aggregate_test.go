package convert

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/batch"
	"inferbench/harness/stats"
)

var known = Identity{HW: "b200", Image: "img", Prefix: "ngram", Precision: "fp8", SpecDecoding: "none",
	Node: Layout{EP: 1, DPAttention: "false"}}

func exportOne(t *testing.T, id Identity, change func(*batch.Result)) (row map[string]any, evals []map[string]any, err error) {
	t.Helper()
	run := readAgain(t)[0]
	change(&run.Result)
	dirs, err := Write(t.TempDir(), []Imported{run})
	require.NoError(t, err)
	f, err := batch.Open(dirs[0])
	require.NoError(t, err)
	out := filepath.Join(t.TempDir(), "made")
	files, _, err := Aggregates(out, []*batch.Folder{f}, id)
	if err != nil {
		assert.NoDirExists(t, out, "nothing is written where something is not known")
		return nil, nil, err
	}
	b, err := os.ReadFile(files[0])
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &row))
	if len(files) > 1 {
		b, err = os.ReadFile(files[1])
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(b, &evals))
	}
	return row, evals, nil
}

// A row is what InferenceX makes of the same file: see testdata/README.md.
func TestAggregate(t *testing.T) {
	row, evals, err := exportOne(t, known, func(r *batch.Result) {})
	require.NoError(t, err)
	assert.Empty(t, evals, "nothing was scored")
	theirs := jsonOf(t, "testdata/agg_inferencex.json")
	checked := 0
	for key, want := range theirs {
		v, isNumber := want.(float64)
		if !isNumber || strings.HasPrefix(key, "p50_") {
			continue
		}
		if got, ok := row[key].(float64); assert.True(t, ok, key) {
			assert.InEpsilon(t, v, got, 1e-9, key)
			checked++
		}
	}
	assert.Greater(t, checked, 30)
	want := []string{"conc", "disagg", "dp_attention", "dcp_size", "ep", "framework", "hw", "image", "infmax_model_prefix", "is_multinode",
		"isl", "model", "osl", "pcp_size", "pp", "precision", "recipe_fingerprint", "spec_decoding", "tp"}
	for _, key := range want {
		assert.Contains(t, row, key)
	}
	assert.Equal(t, "false", row["dp_attention"], "a text, as there")
	assert.Equal(t, 0.0, row["power_valid"])
	assert.NotContains(t, row, "avg_power_w")
}

// What was exported is imported as what it was.
func TestAggregateOfSeveralNodes(t *testing.T) {
	id := known
	id.Disagg = true
	var err error
	id.Prefill, err = ParseLayout("tp=2,ep=2,dp-attention=true,workers=2,hw=gb200")
	require.NoError(t, err)
	id.Decode, err = ParseLayout("tp=4,ep=4,dp-attention=true,workers=1,hw=h100")
	require.NoError(t, err)
	row, evals, err := exportOne(t, id, func(r *batch.Result) {
		r.Accuracy = []byte(`{"task":"gsm8k","exact_match_strict":0.95,"exact_match_flexible":0.96,"exact_match_strict_stderr":0.01,"text":{"documents":1319}}`)
		r.Performance.Power = &stats.Power{Valid: true, AvgPowerW: new(700.0), JoulesPerTotalToken: new(0.5)}
	})
	require.NoError(t, err)
	p := readAgain(t)[0].Result.Performance
	assert.InEpsilon(t, *p.TotalThroughput/8, row["tput_per_gpu"], 1e-12)
	assert.InEpsilon(t, p.OutputThroughput/4, row["output_tput_per_gpu"], 1e-12)
	assert.InEpsilon(t, (*p.TotalThroughput-p.OutputThroughput)/4, row["input_tput_per_gpu"], 1e-12)
	assert.Equal(t, []any{true, true, 4.0, 4.0, 2.0, "gb200", "h100", 1.0, 700.0}, []any{row["disagg"], row["is_multinode"], row["num_prefill_gpu"],
		row["num_decode_gpu"], row["prefill_num_workers"], row["prefill_hw"], row["decode_hw"], row["power_valid"], row["avg_power_w"]})
	assert.NotContains(t, row, "tp")
	require.Len(t, evals, 1)
	e := evals[0]
	assert.Equal(t, []any{"gsm8k", 0.95, "em_strict", 0.01, 0.96, nil, 1319.0, "B200", 4.0, "true"}, []any{e["task"], e["score"], e["score_name"],
		e["score_se"], e["em_flexible"], e["em_flexible_se"], e["n_eff"], e["hw"], e["decode_tp"], e["prefill_dp_attention"]})

	b, err := json.Marshal(row)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "agg.json")
	require.NoError(t, os.WriteFile(file, b, 0o644))
	back := read(t, file, Hints{})[0].Result
	assert.InEpsilon(t, *p.TotalThroughput, *back.Performance.TotalThroughput, 1e-12)
	assert.InEpsilon(t, p.OutputThroughput, back.Performance.OutputThroughput, 1e-12)
	assert.InEpsilon(t, *p.TTFT.P99, *back.Performance.TTFT.P99, 1e-12)
	assert.InEpsilon(t, *p.Interactivity, *back.Performance.Interactivity, 1e-12)
	assert.Equal(t, 700.0, *back.Performance.Power.AvgPowerW)
	assert.Equal(t, 8, back.Args.TP)
}

func TestWhatIsNotKnownIsNotExported(t *testing.T) {
	for want, change := range map[string]func(*Identity){
		"the hardware (-hw)":           func(id *Identity) { id.HW = "" },
		"the image (-image)":           func(id *Identity) { id.Image = "" },
		"prefix (-model-prefix)":       func(id *Identity) { id.Prefix = "" },
		"the precision (-precision)":   func(id *Identity) { id.Precision = "" },
		"speculation (-spec-decoding)": func(id *Identity) { id.SpecDecoding = "" },
		"expert parallelism (-ep)":     func(id *Identity) { id.Node.EP = 0 },
		"parallelism (-dp-attention)":  func(id *Identity) { id.Node.DPAttention = "" },
		"8 GPUs (TP), but this layout": func(id *Identity) { id.Node.TP = 4 },
		"-prefill with tp, ep,":        func(id *Identity) { id.Disagg, id.Decode = true, Layout{TP: 1, EP: 1, DPAttention: "true", Workers: 1} },
		"of both -prefill and -decode": func(id *Identity) { id.Disagg, id.Prefill.HW = true, "x" },
		"layout has 12":                func(id *Identity) { id.Node.TP, id.Node.PP = 4, 3 },
	} {
		id := known
		change(&id)
		_, _, err := exportOne(t, id, func(*batch.Result) {})
		require.ErrorContains(t, err, want)
		assert.NotContains(t, err.Error(), "\n")
	}
	// What the server says of itself is known.
	id := known
	id.Node, id.SpecDecoding = Layout{}, ""
	row, _, err := exportOne(t, id, func(r *batch.Result) {
		r.Args.Server = []byte(`{"tp":4,"pp":2,"ep":4,"from":["/server_info"],"flags":{"enable_dp_attention":"False"}}`)
	})
	require.NoError(t, err)
	assert.Equal(t, []any{4.0, 2.0, 4.0, "false", "none"}, []any{row["tp"], row["pp"], row["ep"], row["dp_attention"], row["spec_decoding"]})

	_, _, err = exportOne(t, known, func(r *batch.Result) { r.Status, r.Reason, r.Performance.Failed = batch.Failed, "3 failed", 3 })
	assert.ErrorContains(t, err, "no cell with figures to export")
	for _, text := range []string{"tp", "tp=0", "tp=x", "dp-attention=yes", "hw=", "size=4", ""} {
		_, err := ParseLayout(text)
		assert.Error(t, err, text)
	}
}

// The top of our own files has all that InferenceX's process_result.py reads.
func TestOurFilesHaveWhatInferenceXReads(t *testing.T) {
	dirs, err := Write(t.TempDir(), readAgain(t))
	require.NoError(t, err)
	files, err := filepath.Glob(filepath.Join(dirs[0], "result_*.json"))
	require.NoError(t, err)
	o := jsonOf(t, files[0])
	assert.Equal(t, []any{4.0, "inferbench-ngram"}, []any{o["max_concurrency"], o["model_id"]})
	for _, key := range []string{"total_token_throughput", "output_throughput"} {
		assert.Positive(t, o[key], key)
	}
	ms := slices.DeleteFunc(slices.Sorted(maps.Keys(o)), func(key string) bool { return !strings.HasSuffix(key, "ms") })
	assert.GreaterOrEqual(t, len(ms), 28)
}

// A second export adds its eval rows to the first's, and takes its own again.
func TestEvalRowsAreAddedToThoseThatAreThere(t *testing.T) {
	out := t.TempDir()
	export := func(id Identity, score string) (rows []map[string]any, err error) {
		run := readAgain(t)[0]
		run.Result.Accuracy = []byte(`{"task":"gsm8k","exact_match_strict":` + score + `,"text":{"documents":1319}}`)
		dirs, err := Write(t.TempDir(), []Imported{run})
		require.NoError(t, err)
		f, err := batch.Open(dirs[0])
		require.NoError(t, err)
		if _, _, err = Aggregates(out, []*batch.Folder{f}, id); err != nil {
			return nil, err
		}
		b, err := os.ReadFile(filepath.Join(out, "agg_eval_all.json"))
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(b, &rows))
		return rows, nil
	}
	other := known
	other.HW = "h100"
	for _, c := range []struct {
		id    Identity
		score string
		want  []any
	}{
		{known, "0.9", []any{"B200", 0.9}}, {other, "0.8", []any{"B200", 0.9, "H100", 0.8}},
		{known, "0.95", []any{"H100", 0.8, "B200", 0.95}},
	} {
		rows, err := export(c.id, c.score)
		require.NoError(t, err)
		var got []any
		for _, r := range rows {
			got = append(got, r["hw"], r["score"])
		}
		assert.Equal(t, c.want, got)
	}
	require.NoError(t, os.WriteFile(filepath.Join(out, "agg_eval_all.json"), []byte("{}"), 0o600))
	_, err := export(known, "1")
	assert.ErrorContains(t, err, "no list of eval rows")
	b, _ := os.ReadFile(filepath.Join(out, "agg_eval_all.json"))
	assert.Equal(t, "{}", string(b), "what is there stays")

	run := readAgain(t)[:1]
	var twins []*batch.Folder
	for range 2 {
		dirs, err := Write(t.TempDir(), run)
		require.NoError(t, err)
		f, err := batch.Open(dirs[0])
		require.NoError(t, err)
		twins = append(twins, f)
	}
	_, _, err = Aggregates(t.TempDir(), twins, known)
	assert.ErrorContains(t, err, "another batch of these has that name too")
}
