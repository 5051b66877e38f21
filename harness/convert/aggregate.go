package convert

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/google/renameio/v2"

	"inferbench/harness/batch"
	"inferbench/harness/stats"
)

// Identity is what InferenceX's rows say of a run beside its figures. Empty and 0
// are "not given": then what the result says counts, and where that says nothing
// the export is refused.
type Identity struct {
	HW, Image, Model, Prefix, Framework, Precision, SpecDecoding, Recipe string

	Router     string // NAME@VERSION; empty where there is none
	KVTransfer string // how KV blocks go from prefill to decode; likewise

	// Where KV blocks go that find no more room on the GPUs, and how; empty where they
	// are dropped. Rows of sessions have it, and the host's memory for it in GB.
	KVOffloading, KVOffloadBackend string
	CPUDRAM                        int

	Node    Layout // of one node
	Prefill Layout // of several, where prefill and decode have GPUs of their own
	Decode  Layout
	Disagg  bool // Prefill and Decode are given
}

// Layout is how a model lies on GPUs.
type Layout struct {
	TP, PP, DCP, PCP, EP int
	DPAttention          string // "true" or "false"
	Workers              int
	HW                   string
}

// ParseLayout reads a layout as "tp=4,ep=4,dp-attention=true,workers=5,hw=gb200".
func ParseLayout(text string) (l Layout, err error) {
	numbers := map[string]*int{"tp": &l.TP, "pp": &l.PP, "dcp": &l.DCP, "pcp": &l.PCP, "ep": &l.EP, "workers": &l.Workers}
	for _, field := range strings.Split(text, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		into, isNumber := numbers[name]
		switch {
		case isNumber:
			if *into, err = strconv.Atoi(value); err != nil || *into < 1 {
				return l, fmt.Errorf("%s: want a number from 1 on", field)
			}
		case name == "dp-attention" && (value == "true" || value == "false"):
			l.DPAttention = value
		case name == "hw" && value != "":
			l.HW = value
		default:
			return l, fmt.Errorf("%q: want tp, pp, dcp, pcp, ep or workers = a number, dp-attention = true or false, or hw = "+
				"a name", field)
		}
	}
	return l, nil
}

// gpus is how many GPUs one instance takes: decode context parallelism and expert
// parallelism use those of TP again.
func (l Layout) gpus() int { return l.TP * max(1, l.PP) * max(1, l.PCP) * max(1, l.Workers) }

// serverSays is what of a result's benchmark_args.server an identity may be taken from.
type serverSays struct {
	TP, PP, EP    int
	KVCacheTokens int `json:"kv_cache_tokens"`
	Speculation   string
	From          []string
	Flags         map[string]string
}

// complete fills in what the result says of itself, and lists what nobody says.
func (id Identity) complete(r *batch.Result) (Identity, []string) {
	var says serverSays
	_ = json.Unmarshal(r.Args.Server, &says) // absent in older files
	set := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	set(&id.Model, r.Args.Model)
	if r.Args.Backend != "unknown" {
		set(&id.Framework, r.Args.Backend)
	}
	if len(says.From) > 0 && says.Speculation == "" && r.Performance.Speculation == nil {
		set(&id.SpecDecoding, "none")
	}
	if len(says.From) > 0 {
		set(&id.Node.DPAttention, strings.ToLower(says.Flags["enable_dp_attention"]))
	}
	id.Node.PP = first(id.Node.PP, says.PP, 1)
	id.Node.PCP, id.Node.EP = first(id.Node.PCP, 1), first(id.Node.EP, says.EP)
	id.Node.TP = first(id.Node.TP, says.TP)
	if n := id.Node.PP * id.Node.PCP; id.Node.TP == 0 && r.Args.TP%n == 0 {
		id.Node.TP = r.Args.TP / n
	}
	var missing []string
	need := func(known bool, what string) {
		if !known {
			missing = append(missing, what)
		}
	}
	need(id.HW != "", "the hardware (-hw)")
	need(id.Image != "", "the image (-image)")
	need(id.Model != "", "the model (-model)")
	need(id.Prefix != "", "the model's prefix (-model-prefix)")
	need(id.Framework != "", "the framework (-framework)")
	need(id.Precision != "", "the precision (-precision)")
	need(id.SpecDecoding != "", "speculation (-spec-decoding)")
	if id.Disagg {
		for name, l := range map[string]Layout{"-prefill": id.Prefill, "-decode": id.Decode} {
			need(l.TP > 0 && l.EP > 0 && l.DPAttention != "" && l.Workers > 0, name+" with tp, ep, dp-attention and workers")
		}
		need((id.Prefill.HW == "") == (id.Decode.HW == ""), "the hardware of both -prefill and -decode, or of neither")
	} else {
		need(id.Node.EP > 0, "expert parallelism (-ep)")
		need(id.Node.DPAttention != "", "attention's data parallelism (-dp-attention)")
	}
	slices.Sort(missing)
	return id, missing
}

// Aggregates writes the cells of batches into a folder as InferenceX's aggregates,
// agg_*.json, and what was scored of accuracy as its eval rows,
// agg_eval_all.json, beside those that an earlier export left there. Nothing is
// written where an identity field is not known. It returns the files, and notes: why
// cells were left out, and marks that a row has no place for.
func Aggregates(dir string, folders []*batch.Folder, id Identity) (files, notes []string, err error) {
	content := map[string]any{}
	var names []string
	evals := []map[string]any{}
	for _, f := range folders {
		for _, c := range f.Cells {
			if c.Result == nil || c.Status == batch.Failed || c.Result.Performance == nil {
				notes = append(notes, fmt.Sprintf("%s %s: left out: it is %s, without figures to publish", f.Dir, c.Name(),
					c.Status))
				continue
			}
			row, eval, err := id.rows(f, c)
			if err != nil {
				return nil, nil, fmt.Errorf("%s: %w", c.File, err)
			}
			if len(c.Result.Marks) > 0 && row["warnings"] == nil {
				notes = append(notes, fmt.Sprintf("%s %s: marked %s, which a row has no place for", f.Dir, c.Name(),
					joined(c.Result.Marks)))
			}
			name := fmt.Sprintf("agg_%s_conc%d.json", filepath.Base(f.Dir), c.Conc)
			if content[name] != nil {
				return nil, nil, fmt.Errorf("%s: another batch of these has that name too, and both would be %s: export them "+
					"into folders of their own", f.Dir, name)
			}
			names, content[name] = append(names, name), row
			if eval != nil {
				evals = append(evals, eval)
			}
		}
	}
	if len(names) == 0 {
		return nil, notes, errors.New("no cell with figures to export")
	}
	if len(evals) > 0 {
		const all = "agg_eval_all.json"
		if evals, err = beside(filepath.Join(dir, all), evals); err != nil {
			return nil, nil, err
		}
		names, content[all] = append(names, all), evals
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, notes, err
	}
	for _, name := range names {
		b, err := json.MarshalIndent(content[name], "", "  ")
		if err != nil {
			return files, notes, fmt.Errorf("%s: %w", name, err)
		}
		file := filepath.Join(dir, name)
		if err := renameio.WriteFile(file, append(b, '\n'), 0o644); err != nil {
			return files, notes, err
		}
		files = append(files, file)
	}
	return files, notes, nil
}

// beside are the eval rows of a file, if there is one, with new ones behind them. A row
// of the same run and task, as InferenceX tells them apart, is replaced.
func beside(file string, rows []map[string]any) (all []map[string]any, err error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return rows, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, fmt.Errorf("%s: no list of eval rows, to which others could be added: %w", file, err)
	}
	same := map[string]bool{}
	for _, row := range rows {
		same[evalKey(row)] = true
	}
	all = slices.DeleteFunc(all, func(row map[string]any) bool { return same[evalKey(row)] })
	return append(all, rows...), nil
}

// evalKey is what a row is of: all that it says but what was scored, and where.
func evalKey(row map[string]any) string {
	key := maps.Clone(row)
	maps.DeleteFunc(key, func(name string, _ any) bool {
		return name == "source" || name == "n_eff" || strings.HasPrefix(name, "score") || strings.HasPrefix(name, "em_")
	})
	b, _ := json.Marshal(key) // in order of name; what was read as JSON, or will be written so
	return string(b)
}

func joined(marks []batch.Mark) string {
	var words []string
	for _, m := range marks {
		words = append(words, string(m))
	}
	return strings.Join(words, ", ")
}

// rows are a cell's aggregate and, where one was scored that InferenceX knows, its
// eval row.
func (id Identity) rows(f *batch.Folder, c batch.ReadCell) (row, eval map[string]any, err error) {
	r := c.Result
	id, missing := id.complete(r)
	if len(missing) > 0 {
		return nil, nil, fmt.Errorf("not known, so not exported: %s", strings.Join(missing, ", "))
	}
	p, a := r.Performance, r.Args
	if p.TotalThroughput == nil || *p.TotalThroughput <= 0 || p.OutputThroughput <= 0 {
		return nil, nil, errors.New("it has no total_token_throughput or no output_throughput")
	}
	row = map[string]any{
		"hw": id.HW, "conc": c.Conc, "image": id.Image, "model": id.Model, "infmax_model_prefix": id.Prefix,
		"framework": id.Framework, "precision": id.Precision, "spec_decoding": id.SpecDecoding, "disagg": id.Disagg,
		"recipe_fingerprint": id.Recipe, "is_multinode": id.Disagg,
	}
	if id.Router != "" {
		row["router"] = component(id.Router)
	}
	if id.KVTransfer != "" {
		row["kv_p2p_transfer"] = id.KVTransfer
	}
	gpus, prefill, decode := id.place(row)
	if gpus != a.TP {
		return nil, nil, fmt.Errorf("its figures are of %d GPUs (TP), but this layout has %d", a.TP, gpus)
	}
	powerOf(row, p.Power)
	if p.Sessions != nil {
		if err := id.agentic(row, f, c, gpus, prefill, decode); err != nil {
			return nil, nil, err
		}
		return row, id.eval(c), nil
	}
	row["isl"], row["osl"] = c.ISL, c.OSL
	row["tput_per_gpu"] = *p.TotalThroughput / float64(gpus)
	row["output_tput_per_gpu"] = p.OutputThroughput / float64(decode)
	row["input_tput_per_gpu"] = (*p.TotalThroughput - p.OutputThroughput) / float64(prefill)
	if err := perSecond(row, p); err != nil {
		return nil, nil, err
	}
	return row, id.eval(c), nil
}

// place adds the layout to a row, and returns how many GPUs there are, and how many
// of them prefill and decode.
func (id Identity) place(row map[string]any) (gpus, prefill, decode int) {
	put := func(prefix string, l Layout) {
		row[prefix+"tp"], row[prefix+"pp"], row[prefix+"ep"] = l.TP, max(1, l.PP), l.EP
		row[prefix+"dcp_size"], row[prefix+"pcp_size"] = max(1, l.DCP), max(1, l.PCP)
		row[prefix+"dp_attention"] = l.DPAttention
	}
	if !id.Disagg {
		put("", id.Node)
		n := id.Node.gpus()
		return n, n, n
	}
	put("prefill_", id.Prefill)
	put("decode_", id.Decode)
	prefill, decode = id.Prefill.gpus(), id.Decode.gpus()
	row["prefill_num_workers"], row["decode_num_workers"] = id.Prefill.Workers, id.Decode.Workers
	row["num_prefill_gpu"], row["num_decode_gpu"] = prefill, decode
	if id.Prefill.HW != "" {
		row["prefill_hw"], row["decode_hw"] = id.Prefill.HW, id.Decode.HW
	}
	return prefill + decode, prefill, decode
}

// perSecond adds every latency in seconds, and of every one of TPOT the tokens a second
// that one user sees.
func perSecond(row map[string]any, p *stats.Summary) error {
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	var own map[string]json.RawMessage
	if err := json.Unmarshal(b, &own); err != nil {
		return err
	}
	for key, raw := range own {
		var ms *float64
		if !strings.HasSuffix(key, "_ms") || json.Unmarshal(raw, &ms) != nil || ms == nil {
			continue
		}
		name := strings.ReplaceAll(key, "_ms", "")
		row[name] = *ms / 1000
		if strings.Contains(name, "tpot") && *ms > 0 {
			row[strings.ReplaceAll(name, "tpot", "intvty")] = 1000 / *ms
		}
	}
	return nil
}

// powerOf adds what was measured of power; nil is nothing.
func powerOf(row map[string]any, power *stats.Power) {
	row["power_metric_schema_version"], row["power_valid"] = stats.PowerSchema, 0
	if power == nil || !power.Valid {
		return
	}
	row["power_valid"] = 1
	for key, v := range map[string]*float64{
		"avg_power_w": power.AvgPowerW, "avg_total_gpu_power_w": power.AvgTotalPowerW,
		"total_gpu_energy_j": power.TotalEnergyJ, "joules_per_successful_query": power.JoulesPerQuery,
		"joules_per_input_token": power.JoulesPerInputToken, "joules_per_output_token": power.JoulesPerOutputToken,
		"joules_per_total_token": power.JoulesPerTotalToken,
		"prefill_gpu_energy_j":   power.PrefillEnergyJ, "decode_gpu_energy_j": power.DecodeEnergyJ,
		"prefill_avg_power_w": power.PrefillPowerW, "decode_avg_power_w": power.DecodePowerW,
		"prefill_joules_per_input_token": power.PrefillJoulesPerInput,
		"decode_joules_per_output_token": power.DecodeJoulesPerOutput,
	} {
		if v != nil {
			row[key] = *v
		}
	}
}

// evalTasks are the tasks of accuracy that InferenceX collects, by our names.
var evalTasks = map[string]string{"gsm8k": "gsm8k", "gsm8k_chat": "gsm8k", "gpqa_diamond": "gpqa_diamond_cot_n_shot"}

// eval is the eval row of what a cell scored itself; nil where it did not, or
// InferenceX has no such task.
func (id Identity) eval(c batch.ReadCell) map[string]any {
	var scored struct {
		Task         string   `json:"task"`
		Strict       *float64 `json:"exact_match_strict"`
		Flexible     *float64 `json:"exact_match_flexible"`
		StrictStdErr *float64 `json:"exact_match_strict_stderr"`
		FlexStdErr   *float64 `json:"exact_match_flexible_stderr"`
		Text         struct {
			Documents int `json:"documents"`
		} `json:"text"`
	}
	var verdict struct {
		ScoredAt int `json:"scored_at"`
	}
	_ = json.Unmarshal(c.Result.Validation, &verdict) // absent in older files
	if json.Unmarshal(c.Result.Accuracy, &scored) != nil || evalTasks[scored.Task] == "" || scored.Strict == nil ||
		verdict.ScoredAt != 0 && verdict.ScoredAt != c.Conc {
		return nil
	}
	row := map[string]any{
		"is_multinode": id.Disagg, "model_prefix": id.Prefix, "model": id.Model, "hw": strings.ToUpper(id.HW),
		"framework": strings.ToLower(id.Framework), "precision": strings.ToLower(id.Precision),
		"spec_decoding": id.SpecDecoding, "isl": c.ISL, "osl": c.OSL, "conc": c.Conc, "task": evalTasks[scored.Task],
		"score": *scored.Strict, "score_name": "em_strict", "score_se": scored.StrictStdErr, "em_strict": *scored.Strict,
		"em_strict_se": scored.StrictStdErr, "em_flexible": scored.Flexible, "em_flexible_se": scored.FlexStdErr,
		"n_eff": scored.Text.Documents, "source": filepath.Base(c.File),
	}
	layout := map[string]any{}
	id.place(layout)
	for key, v := range layout {
		if strings.HasSuffix(key, "tp") || strings.HasSuffix(key, "ep") || strings.HasSuffix(key, "dp_attention") ||
			strings.HasSuffix(key, "num_workers") {
			row[key] = v
		}
	}
	return row
}
