package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"inferbench/baselines"
)

// checker is a result file with what the rules ask of it.
type checker struct {
	file     *file
	claim    Claim
	hardware *baselines.Hardware
	now      time.Time
	perf     performance
	args     arguments
	models   []string // of [modelNames]
	same     bool     // the model is the hardware baseline's
}

// table is every rule, in the order in which they are printed. A rule that is
// broken says why; one that is kept may still mark the result, or say what it
// found.
var table = []struct {
	name   string
	broken func(*checker) string
	marks  func(*checker) (mark, why string)
}{
	{"cell", (*checker).cell, nil},
	{"status", (*checker).status, nil},
	{"requests", (*checker).requests, nil},
	{"figures", (*checker).figures, nil},
	{"submitted figures", (*checker).claimed, nil},
	{"ratios", (*checker).ratios, nil},
	{"latencies", (*checker).latencies, nil},
	{"gaps between tokens", (*checker).gaps, nil},
	{"steady state", (*checker).steady, nil},
	{"shares", (*checker).shares, nil},
	{"tokens", (*checker).tokens, nil},
	{"tokens in time", (*checker).tokensInTime, nil},
	{"requests in flight", (*checker).inFlight, nil},
	{"GPUs", (*checker).gpus, nil},
	{"baseline", (*checker).baseline, nil},
	{"accuracy", (*checker).accuracy, (*checker).accuracyTask},
	{"canaries", (*checker).canaries, nil},
	{"warm cache", (*checker).warmCache, nil},
	{"workload", none, (*checker).workload},
	{"engine", none, (*checker).engine},
	{"client", none, (*checker).clientLimited},
	{"tokens held back", none, (*checker).heldBack},
	{"speculation", none, (*checker).synthetic},
	{"length of the run", none, (*checker).precision},
	{"marks", (*checker).badMarks, (*checker).otherMarks},
}

func none(*checker) string { return "" }

// arguments is what the run was, of benchmark_args.
type arguments struct {
	isl, osl, conc int
	prompts, tp    *int
	ratio          *float64
	dataset, rate  string // rate: "" where it is absent, "inf", or requests a second
}

func readArgs(f *file) arguments {
	whole := func(key string) *int {
		v, ok := f.count("benchmark_args", key)
		if !ok {
			return nil
		}
		n := int(v)
		return &n
	}
	or0 := func(p *int) int {
		if p == nil {
			return 0
		}
		return *p
	}
	a := arguments{isl: or0(whole("random_input_len")), osl: or0(whole("random_output_len")),
		conc:    or0(whole("max_concurrency")),
		prompts: whole("num_prompts"), tp: whole("tp"), dataset: f.text("benchmark_args", "dataset_name")}
	if v, ok := f.num("benchmark_args", "random_range_ratio"); ok {
		a.ratio = &v
	}
	switch v := f.at("benchmark_args", "request_rate").(type) { // null and "inf" are a closed loop
	case nil:
	case string:
		a.rate = v
	default:
		if v, ok := f.num("benchmark_args", "request_rate"); ok {
			a.rate = strconv.FormatFloat(v, 'g', -1, 64)
		}
	}
	return a
}

// performance is the figures that the rules set against each other.
type performance struct {
	successful, failed, duration, input, output float64
	requestTput, outputTput, totalTput, perGPU  float64
	interactivity                               *float64
	latency                                     map[string]latency // ttft, tpot, itl, e2el
	missing                                     string             // the first key that no result is without
}

// latency is one latency's statistics, in ms, by name; absent ones are not
// there.
type latency map[string]float64

var (
	quantiles  = []string{"median", "p90", "p95", "p99", "p99.9", "max"} // ascending
	statistics = append([]string{"mean", "std"}, quantiles...)
)

func readPerformance(f *file) performance {
	var p performance
	need := func(v float64, ok bool, key string) float64 {
		if !ok && p.missing == "" {
			p.missing = key
		}
		return v
	}
	number := func(key string) float64 { v, ok := f.num(key); return need(v, ok, key) }
	whole := func(key string) float64 { v, ok := f.count(key); return need(v, ok, key) }
	p.successful, p.duration = whole("successful_requests"), number("benchmark_duration")
	p.input, p.output = whole("total_input_tokens"), whole("total_generated_tokens")
	p.totalTput, p.perGPU = number("total_token_throughput"), number("tput_per_gpu")
	number("median_e2el_ms")
	number("mean_e2el_ms")
	p.failed, _ = f.count("failed_requests")
	p.requestTput, _ = f.num("request_throughput")
	p.outputTput, _ = f.num("output_throughput")
	if v, ok := f.num("interactivity"); ok {
		p.interactivity = &v
	}
	p.latency = readLatencies(f)
	return p
}

// readLatencies reads the latencies of a section, or of the file itself.
func readLatencies(f *file, section ...string) map[string]latency {
	out := map[string]latency{}
	for _, of := range []string{"ttft", "tpot", "itl", "e2el"} {
		l := latency{}
		for _, s := range statistics {
			if v, ok := f.num(append(slices.Clone(section), s+"_"+of+"_ms")...); ok {
				l[s] = v
			}
		}
		out[of] = l
	}
	return out
}

// near reports whether two figures are the same but for rounding.
func near(a, b, within float64) bool {
	return math.Abs(a-b) <= within*math.Max(math.Abs(a), math.Abs(b))
}

func (k *checker) cell() string {
	a, c := k.args, k.claim
	switch {
	case a.isl < 1 || a.osl < 1 || a.conc < 1:
		return "benchmark_args names no cell: random_input_len, random_output_len and max_concurrency are 1 or more"
	case c.Conc != 0 && (a.isl != c.ISL || a.osl != c.OSL || a.conc != c.Conc):
		return fmt.Sprintf("the result file is of isl=%d/osl=%d/conc=%d, the submission of isl=%d/osl=%d/conc=%d",
			a.isl, a.osl, a.conc, c.ISL, c.OSL, c.Conc)
	}
	return ""
}

func (k *checker) status() string {
	if s := k.file.text("status"); s != "PASSED" {
		why := fmt.Sprintf("the result's status is %q", clip(s))
		if reason := k.file.text("reason"); reason != "" {
			why += " (" + clip(reason) + ")"
		}
		return why + ": only PASSED is listed"
	}
	if at := k.file.text("benchmark_args", "started_at"); at != "" {
		when, err := time.Parse(time.RFC3339, at)
		took := time.Duration(min(k.perf.duration, 1e9) * float64(time.Second)) // a duration holds 9e9 s
		if err != nil || when.Add(took).After(k.now.Add(24*time.Hour)) {
			return fmt.Sprintf("started_at is %q, and a run of %.0f s from then on is not over", clip(at), k.perf.duration)
		}
	}
	return ""
}

func (k *checker) requests() string {
	p := k.perf
	switch {
	case p.missing != "":
		return p.missing + " is absent: a result holds the run's figures"
	case p.successful < 1 || !(p.duration > 0) || !(p.totalTput > 0) || !(p.perGPU > 0):
		return "the result has no successful requests, duration or throughput"
	case p.failed > 0:
		return fmt.Sprintf("%.0f requests failed", p.failed)
	case k.args.prompts != nil && float64(*k.args.prompts) != p.successful:
		return fmt.Sprintf("%.0f requests succeeded of the %d that were asked for", p.successful, *k.args.prompts)
	}
	return ""
}

// figures works every derived figure out again.
func (k *checker) figures() string {
	p, f := k.perf, k.file
	if p.duration <= 0 {
		return ""
	}
	gpus, told := 0.0, k.args.tp != nil && *k.args.tp > 0
	if told {
		gpus = float64(*k.args.tp)
	}
	tpot := p.latency["tpot"]["median"]
	for _, d := range []struct {
		key  []string
		want float64
		of   string
	}{
		{[]string{"request_throughput"}, p.successful / p.duration, "successful_requests / benchmark_duration"},
		{[]string{"output_throughput"}, p.output / p.duration, "total_generated_tokens / benchmark_duration"},
		{[]string{"total_token_throughput"}, (p.input + p.output) / p.duration, "its tokens / benchmark_duration"},
		{[]string{"tput_per_gpu"}, p.totalTput / gpus, "total_token_throughput / tp"},
		{[]string{"interactivity"}, 1000 / tpot, "1000 / median_tpot_ms"},
	} {
		got, ok := f.num(d.key...)
		if !ok || math.IsInf(d.want, 0) || math.IsNaN(d.want) {
			continue
		}
		if !near(got, d.want, 1e-3) {
			return fmt.Sprintf("%s is %g, but %s is %g", d.key[0], got, d.of, d.want)
		}
	}
	if !told && p.perGPU > p.totalTput*(1+1e-3) {
		return fmt.Sprintf("tput_per_gpu is %g, more than the %g of all GPUs", p.perGPU, p.totalTput)
	}
	if p.interactivity != nil && tpot <= 0 {
		return "interactivity is given without a median_tpot_ms"
	}
	return ""
}

// claimed holds the submission's own figures to the file's.
func (k *checker) claimed() string {
	for _, c := range k.claim.figures() {
		got, ok := k.file.num(c.key...)
		if key := strings.Join(c.key, "."); !ok {
			return fmt.Sprintf("%s is %g, and the result has no %s", c.name, c.value, key)
		} else if !near(c.value, got, 1e-6) {
			return fmt.Sprintf("%s and the result's %s differ: %g and %g", c.name, key, c.value, got)
		}
	}
	return ""
}

func (k *checker) latencies() string { return latencies(k.perf.latency) }

// latencies asks what holds for the statistics of any positive numbers.
func latencies(all map[string]latency) string {
	for _, of := range []string{"ttft", "tpot", "itl", "e2el"} {
		l := all[of]
		before, last := "", 0.0
		for _, q := range quantiles {
			v, ok := l[q]
			if !ok {
				continue
			}
			if before != "" && v < last*(1-1e-9) {
				return fmt.Sprintf("%s_%s_ms is %g, below %s_%s_ms, which is %g", q, of, v, before, of, last)
			}
			before, last = q, v
		}
		mean, known := l["mean"]
		median, alsoKnown := l["median"]
		if !known || !alsoKnown {
			continue
		}
		// Half of the values are at least the median, and none is negative.
		if median > 2.01*mean {
			return fmt.Sprintf("median_%s_ms is %g, more than twice the mean of %g", of, median, mean)
		}
		if most, ok := l["max"]; ok && mean > most*(1+1e-9) {
			return fmt.Sprintf("mean_%s_ms is %g, above the max of %g", of, mean, most)
		}
		// Mean and median are never further apart than the standard deviation.
		if std, ok := l["std"]; ok && math.Abs(mean-median) > std*1.01+1e-6*mean {
			return fmt.Sprintf("mean_%s_ms and median_%s_ms are %g and %g, further apart than the standard "+
				"deviation of %g", of, of, mean, median, std)
		}
	}
	e, t := all["e2el"], all["ttft"]
	for _, s := range []string{"mean", "median", "p90", "p99", "max"} {
		if first, ok := t[s]; ok && first > e[s]*(1+1e-9) && e[s] > 0 {
			return fmt.Sprintf("%s_ttft_ms is %g, above %s_e2el_ms, which is %g", s, first, s, e[s])
		}
	}
	return ""
}

// lengths are the shortest and the longest output and input that the workload
// has; false where it is not one of random lengths.
func (k *checker) lengths(of int) (shortest, longest float64, known bool) {
	ratio := 1.0
	if k.args.ratio != nil {
		ratio = *k.args.ratio
	}
	random := k.args.dataset == "" || k.args.dataset == "random"
	return math.Floor(ratio * float64(of)), float64(of), random && of > 0 && ratio <= 1
}

func (k *checker) tokens() string {
	p := k.perf
	if k.args.ratio != nil && *k.args.ratio > 1 {
		return fmt.Sprintf("random_range_ratio is %g: at most 1", *k.args.ratio)
	}
	if p.successful < 1 {
		return ""
	}
	for _, t := range []struct {
		key         string
		sum         float64
		of          int
		lost, added float64 // relative: what a tokenizer loses, and what a template adds
	}{{"total_generated_tokens", p.output, k.args.osl, 0, 0}, {"total_input_tokens", p.input, k.args.isl, 0.02, 0.1}} {
		shortest, longest, ok := k.lengths(t.of)
		each := t.sum / p.successful
		if ok && (each < shortest*(1-t.lost)-1e-9 || each > longest*(1+t.added)+t.added*640+1e-9) {
			return fmt.Sprintf("%s is %g a request, and the workload's are from %g to %g", t.key, each, shortest, longest)
		}
		mean, off := meanOf(shortest, longest, p.successful)
		if ok && (each < mean*(1-t.lost)-off || each > mean*(1+t.added)+t.added*640+off) {
			return fmt.Sprintf("%s is %.6g a request: the mean of %.0f lengths uniform from %g to %g is %g ±%.3g", t.key,
				each, p.successful, shortest, longest, mean, off)
		}
	}
	return ""
}

// meanOf is the mean of n whole numbers uniform from least to most, and how far
// that of a drawing may be off: five standard errors, which one honest run in
// two million exceeds.
func meanOf(least, most, n float64) (mean, off float64) {
	width := most - least + 1
	return (least + most) / 2, 5*math.Sqrt((width*width-1)/12/n) + 1e-9
}

// tokensInTime asks whether TTFT, TPOT and E2EL can be of the same requests.
// E2EL − TTFT = TPOT·(tokens − 1) for each, and is 0 for one whose tokens came at
// once and which has no TPOT; so of the means the left is at most the mean TPOT
// times the longest output. Medians of sums are not sums of medians: they are
// given half as much again of room.
func (k *checker) tokensInTime() string {
	e, t, g := k.perf.latency["e2el"], k.perf.latency["ttft"], k.perf.latency["tpot"]
	_, longest, ok := k.lengths(k.args.osl)
	if !ok || k.args.osl < 2 || len(g) == 0 || len(t) == 0 {
		return ""
	}
	if g["mean"] > 0 {
		decode, most := e["mean"]-t["mean"], g["mean"]*(longest-1)
		if decode > most*1.02 {
			return fmt.Sprintf("mean_e2el_ms less mean_ttft_ms is %.4g, and %g tokens at mean_tpot_ms %.4g take %.4g",
				decode, longest, g["mean"], most)
		}
	}
	median := g["median"]
	if median <= 0 {
		return "median_tpot_ms is 0: no token comes in no time"
	}
	if most := t["median"] + median*(longest-1); e["median"] > most*1.5 {
		return fmt.Sprintf("median_e2el_ms is %.4g, and median_ttft_ms with %g tokens at median_tpot_ms %.4g makes "+
			"%.4g", e["median"], longest, median, most)
	}
	return ""
}

// inFlight is Little's law on the file's own means: requests · mean E2EL /
// duration are the requests in flight. There cannot be more than CONC, and in a
// closed loop of many rounds there are not far fewer.
func (k *checker) inFlight() string {
	p := k.perf
	mean := p.latency["e2el"]["mean"]
	if p.duration <= 0 || k.args.conc < 1 {
		return ""
	}
	n, conc := p.successful*mean/1000/p.duration, float64(k.args.conc)
	if n > 1.05*conc {
		return fmt.Sprintf("implausible: the requests were in flight %.1f at a time, with CONC %g", n, conc)
	}
	closed := k.args.rate == "" || k.args.rate == "inf"
	limited, _ := k.clientLimited() // whose slots stand idle
	if closed && limited == "" && p.successful >= 10*conc && n < 0.5*conc {
		return fmt.Sprintf("implausible: the requests were in flight only %.2g at a time, with CONC %g and a new "+
			"one as soon as one ends", n, conc)
	}
	return ""
}

// gpus holds the count that throughput is divided by to the server's own word,
// where it gave one.
func (k *checker) gpus() string {
	tp := k.args.tp
	if tp != nil && *tp < 1 {
		return fmt.Sprintf("tp is %d: 1 or more", *tp)
	}
	if said, ok := k.file.count("benchmark_args", "server", "gpus"); ok && said > 0 && tp != nil && said != float64(*tp) {
		return fmt.Sprintf("throughput is divided by TP=%d, and the server says that it runs on %.0f GPUs", *tp, said)
	}
	// The GPUs of one layer are the least that there are.
	if said, ok := k.file.count("benchmark_args", "server", "tp"); ok && tp != nil && said > float64(*tp) {
		return fmt.Sprintf("throughput is divided by TP=%d, and the server splits each layer over %.0f GPUs", *tp, said)
	}
	return ""
}

// baseline works the file's ratios out again from the baseline beside them.
func (k *checker) baseline() string {
	for _, r := range []struct{ ratio, base, ours string }{
		{"median_e2e_ratio", "median_e2e_ms", "median_e2el_ms"}, {"tput_per_gpu_ratio", "tput_per_gpu_tok_s", "tput_per_gpu"},
	} {
		ratio, has := k.file.num("hardware_baseline", r.ratio)
		base, also := k.file.num("hardware_baseline", r.base)
		ours, _ := k.file.num(r.ours)
		if has && also && base > 0 && !near(ratio, ours/base, 1e-3) {
			return fmt.Sprintf("hardware_baseline.%s is %g, but %s / %s is %g", r.ratio, ratio, r.ours, r.base, ours/base)
		}
	}
	h := k.hardware
	if h == nil || k.file.text("hardware_baseline", "name") != h.Name {
		return ""
	}
	if p, ok := h.Point(k.args.isl, k.args.osl, k.args.conc); ok {
		wants := map[string]float64{"median_e2e_ms": p.MedianE2E, "tput_per_gpu_tok_s": p.TputPerGPU}
		for _, key := range slices.Sorted(maps.Keys(wants)) {
			want := wants[key]
			if got, has := k.file.num("hardware_baseline", key); has && !near(got, want, 1e-6) {
				return fmt.Sprintf("hardware_baseline.%s is %g, and that of %s is %g", key, got, h.Name, want)
			}
		}
	}
	if differ := k.unlikeLengths(); k.file.flag("hardware_baseline", "baseline_workload_match") && len(differ) > 0 {
		return "baseline_workload_match is true, but " + strings.Join(differ, "; ")
	}
	return ""
}

// unlike says in what the workload is not the hardware baseline's.
func (k *checker) unlike() []string {
	out := k.unlikeLengths()
	if other := k.otherModel(); other != "" {
		out = append(out, other)
	}
	return out
}

// unlikeLengths leaves the model out, of which baseline_workload_match did not
// speak in earlier files.
func (k *checker) unlikeLengths() []string {
	if k.hardware == nil {
		return k.args.unlike()
	}
	if k.args.ratio == nil || k.args.tp == nil {
		return append([]string{"the result does not say the range ratio and the GPUs"}, k.args.unlike()...)
	}
	return append(k.hardware.Differences(*k.args.ratio, *k.args.tp), k.args.unlike()...)
}

// modelNames are the names that the run's model has: the one it is asked for by,
// and the one that the server was started with.
func modelNames(f *file) []string {
	return []string{f.text("benchmark_args", "model"), f.text("benchmark_args", "server", "model_path")}
}

// otherModel says that the model is not the hardware baseline's; "" where it is.
// The embedded engine has a mark of its own.
func (k *checker) otherModel() string {
	if embedded, _ := k.engine(); k.hardware == nil || embedded != "" || k.same {
		return ""
	}
	return k.hardware.OtherModel(clip(k.models[0])) + " (where it is the same, let the server call it so: " +
		"--served-model-name)"
}

func (k *checker) accuracy() string {
	f := k.file
	switch s := f.text("accuracy_validation", "status"); s {
	case "PASSED":
	case "NOT_RUN", "":
		return "" // marks it
	default:
		return fmt.Sprintf("accuracy_validation.status is %q: only PASSED is listed", clip(s))
	}
	// Two metrics of wikitext are one log-likelihood over the same bytes.
	bits, ok := f.num("accuracy", "bits_per_byte")
	if perplexity, has := f.num("accuracy", "byte_perplexity"); ok && has && !near(perplexity, math.Exp2(bits), 1e-3) {
		return fmt.Sprintf("bits_per_byte %g and byte_perplexity %g contradict each other: 2^bits_per_byte is %.4f",
			bits, perplexity, math.Exp2(bits))
	}
	limits, _ := f.at("accuracy_validation", "limits").(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		value, has := f.num("accuracy_validation", "limits", name, "value")
		lower, _ := f.num("accuracy_validation", "limits", name, "lower")
		upper, bounded := f.num("accuracy_validation", "limits", name, "upper")
		if own, measured := f.num("accuracy", name); has && measured && !near(own, value, 1e-6) {
			return fmt.Sprintf("accuracy.%s is %g, and it was validated as %g", name, own, value)
		}
		gates, said := f.at("accuracy_validation", "limits", name, "ok").(bool)
		if has && said && gates && bounded && (value < lower*(1-1e-9) || value > upper*(1+1e-9)) {
			return fmt.Sprintf("%s is %g, which is not from %g to %g", name, value, lower, upper)
		}
	}
	if least, has := f.num("accuracy_validation", "minimum_accepted"); has {
		if got, measured := f.num("accuracy", "gsm8k_metric"); measured && got < least {
			return fmt.Sprintf("gsm8k_metric is %g, below the accepted %g", got, least)
		}
	}
	if s := f.text("decode_audit", "status"); s == "FAILED" {
		return "the decode audit FAILED"
	}
	share, audited := f.num("decode_audit", "argmax_share")
	if floor, has := f.num("decode_audit", "argmax_share_floor"); audited && has && share < floor {
		return fmt.Sprintf("the decode audit's argmax_share is %g, below its floor of %g", share, floor)
	}
	if why := k.words(); why != "" {
		return why
	}
	if s := f.text("canaries", "status"); s == "FAILED" {
		return "the canaries FAILED: answers under load were damaged"
	}
	return k.shippedAccuracy()
}

// shippedAccuracy holds the metrics to the suite's own baseline where the
// verdict names one: a tolerance of one's own does not help.
func (k *checker) shippedAccuracy() string {
	name := k.file.text("accuracy_validation", "baseline")
	i := slices.IndexFunc(shipped(), func(b *baselines.Accuracy) bool { return b.Name == name })
	if i < 0 {
		return ""
	}
	b := shipped()[i]
	if other := k.otherText(b); other != "" && b.Task == k.task() {
		return other
	}
	wants := map[string]float64{"bits_per_byte": b.BitsPerByte, "byte_perplexity": b.BytePerplexity}
	for _, key := range slices.Sorted(maps.Keys(wants)) {
		want := wants[key]
		if got, ok := k.file.num("accuracy", key); ok && want > 0 && math.Abs(got/want-1) > math.Max(b.Tolerance, 0.03)+1e-9 {
			return fmt.Sprintf("%s is %g, and %s asks for %g ±%g %%", key, got, name, want, 100*b.Tolerance)
		}
	}
	return ""
}

// shipped are the suite's own accuracy baselines.
var shipped = sync.OnceValue(func() (out []*baselines.Accuracy) {
	for _, name := range baselines.Names("accuracy") {
		if b, err := baselines.LoadAccuracy(name); err == nil {
			out = append(out, b)
		}
	}
	return out
})

// modelsOwn holds the accuracy to the shipped baselines of the model, and of the
// competition where it is that model under another name, by whatever baseline it
// passed: one of one's own lets any model pass. "" where it meets them, or there
// is none.
func (k *checker) modelsOwn() string {
	for _, b := range shipped() {
		of := slices.ContainsFunc(k.models, b.Matches) || k.hardware != nil && k.same &&
			slices.Contains(k.hardware.Accuracy, b.Name)
		if missed := k.missed(b); of && missed != "" {
			return fmt.Sprintf("%s, and %s, the baseline of %s, asks for %s: to pass another is no gate", missed, b.Name,
				clip(k.models[0]), asked(b))
		}
	}
	return ""
}

// missed says which figure is worse than a baseline of its task; "" where none is.
func (k *checker) missed(b *baselines.Accuracy) string {
	bits, ok := k.file.num("accuracy", "bits_per_byte")
	if other := k.otherText(b); other != "" && b.Task == k.task() {
		return other
	}
	if ok && b.BitsPerByte > 0 && bits > b.BitsPerByte*(1+b.Tolerance)+1e-9 {
		return fmt.Sprintf("bits_per_byte is %g", bits)
	}
	share, ok := k.file.num("accuracy", "gsm8k_metric")
	if ok && b.Task == "gsm8k" && k.task() == b.Task && share < b.ExactMatch-b.Tolerance-1e-9 {
		return fmt.Sprintf("gsm8k_metric is %g", share)
	}
	return ""
}

// asked is what a baseline asks for, in words.
func asked(b *baselines.Accuracy) string {
	if b.BitsPerByte > 0 {
		return fmt.Sprintf("%g ±%g %%", b.BitsPerByte, 100*b.Tolerance)
	}
	return fmt.Sprintf("%g or more", b.ExactMatch-b.Tolerance)
}

// task is the accuracy task that gated the cell.
func (k *checker) task() string {
	switch task := k.file.text("accuracy", "task"); {
	case task != "":
		return clip(task)
	case k.file.at("accuracy", "bits_per_byte") != nil:
		return "wikitext"
	case k.file.at("accuracy", "gsm8k_metric") != nil:
		return "gsm8k"
	}
	return ""
}

func (k *checker) accuracyTask() (mark, why string) {
	if k.file.text("accuracy_validation", "status") != "PASSED" {
		return AccuracyNotRun, "it was not gated: where no baseline fits, ACC_BASELINE names one"
	}
	if missed := k.modelsOwn(); missed != "" {
		return AccuracyNotRun, missed
	}
	why = "gated by " + k.task()
	if by := k.file.text("accuracy_validation", "baseline"); by != "" {
		why += ", baseline " + clip(by)
	}
	return "", why
}

// canaries: answers under load that agree less often with those without load
// than plain repetition does are damaged ones.
func (k *checker) canaries() string {
	share, ok := k.file.num("canaries", "exact_share")
	base, known := k.file.num("canaries", "baseline_exact_share")
	if ok && known && share < base-0.25 {
		return fmt.Sprintf("%.0f %% of the canaries' answers under load were those without it, and %.0f %% of mere "+
			"repetitions are", 100*share, 100*base)
	}
	return ""
}

// warmShare is the share of prompt tokens from the prefix cache from which on
// prefill was not measured whole.
const warmShare = 0.01

func (k *checker) warmCache() string {
	share, ok := k.file.num("cache_hit_rate")
	if !ok {
		if cached, has := k.file.num("cached_tokens"); has && k.perf.input > 0 {
			share, ok = cached/k.perf.input, true
		}
	}
	if !ok {
		share, ok = k.file.num("server_metrics", "prefix_hits")
	}
	if k.marked(WarmCache) || ok && share >= warmShare {
		return fmt.Sprintf("%.3g %% of the prompt tokens came from the server's prefix cache (%s)", 100*share, WarmCache)
	}
	return ""
}

func (k *checker) workload() (mark, why string) {
	off := offRule(k.args)
	if other := k.otherModel(); other != "" {
		off = append(off, other)
	}
	if off != nil {
		return Workload, strings.Join(off, "; ")
	}
	if k.marked(Workload) {
		return Workload, "the result says so"
	}
	if unlike := k.unlike(); len(unlike) > 0 && k.hardware != nil {
		return "", "the competition's, though not that of the " + k.hardware.Hardware + " figures: " +
			strings.Join(unlike, "; ")
	}
	return "", ""
}

func (k *checker) engine() (mark, why string) {
	f := k.file
	lower := func(s string) string { return strings.ToLower(strings.TrimSpace(s)) }
	if lower(f.text("benchmark_args", "backend")) == "embedded" || f.text("benchmark_args", "engine_profile") != "" ||
		f.flag("client_audit", "cpu_includes_the_engine") || strings.HasPrefix(lower(f.text("benchmark_args",
		"model")), "inferbench-") || k.marked(Embedded) {
		return Embedded, "measured on the embedded engine, which says nothing about hardware"
	}
	return "", clip(f.text("benchmark_args", "backend"))
}

func (k *checker) clientLimited() (mark, why string) {
	if k.file.flag("client_limited") || k.file.flag("client_audit", "client_limited") || k.marked(ClientLimited) {
		return ClientLimited, "the client was the limit, not the server: give it more CPU and measure again"
	}
	return "", ""
}

func (k *checker) heldBack() (mark, why string) {
	if k.file.flag("client_audit", "held_back") || k.marked(HeldBack) {
		return HeldBack, "something between the client and the server held tokens back, so that latencies are not " +
			"the server's"
	}
	return "", ""
}

func (k *checker) synthetic() (mark, why string) {
	if k.file.flag("spec_decode", "synthetic") || k.marked(SyntheticAcceptance) {
		return SyntheticAcceptance, "speculation was accepted at a set length, so the text is not the model's"
	}
	if length, ok := k.file.num("spec_decode", "acceptance_length"); ok {
		return "", fmt.Sprintf("acceptance length %.2f", length)
	}
	return "", ""
}

func (k *checker) precision() (mark, why string) {
	if k.file.at("precision") != nil || k.marked(Precision) {
		return Precision, "the run ended early, when its figures were precise enough (PRECISION)"
	}
	return "", ""
}

// marked reports whether the file marks itself.
func (k *checker) marked(mark string) bool {
	list, _ := k.file.at("marks").([]any)
	return slices.Contains(list, any(mark))
}

// aMark is what a mark looks like, also one that a later suite adds.
var aMark = regexp.MustCompile(`^[a-z0-9_]{1,40}$`)

func (k *checker) badMarks() string {
	switch list := k.file.at("marks").(type) {
	case nil:
	case []any:
		for _, m := range list {
			if text, ok := m.(string); !ok || !aMark.MatchString(text) || len(list) > 20 {
				return fmt.Sprintf("%.40v is no mark", m)
			}
		}
	default:
		return "marks is not a list"
	}
	return ""
}

func (k *checker) otherMarks() (marks, why string) {
	list, _ := k.file.at("marks").([]any)
	var other []string
	for _, m := range list {
		if text := m.(string); !slices.Contains(Marks, text) {
			other = append(other, text)
		}
	}
	if other == nil {
		return "", ""
	}
	return strings.Join(other, " "), "the result is marked " + strings.Join(other, ", ")
}

// result gathers what a board shows.
func (k *checker) result(report Report) *Result {
	f, p := k.file, k.perf
	r := &Result{Report: report, Marks: report.Marks(), Model: clip(f.text("benchmark_args", "model")),
		Engine: clip(f.text("benchmark_args", "backend")),
		Task:   k.task(), RangeRatio: k.args.ratio, GPUs: k.args.tp, Prompts: k.args.prompts, Unlike: k.unlike()}
	if v := p.latency["tpot"]["median"]; v > 0 {
		rate := 1000 / v
		r.Interactivity = &rate
	}
	// Six digits: an edit of those after them makes no other run, and no two runs share these.
	run := sha256.New()
	fmt.Fprintf(run, "%g %.6g %g %g\n", p.successful, p.duration, p.input, p.output)
	for _, of := range []string{"ttft", "tpot", "e2el"} {
		fmt.Fprintf(run, "%.6g %.6g\n", p.latency[of]["mean"], p.latency[of]["median"])
	}
	r.Run = hex.EncodeToString(run.Sum(nil)[:16])
	return r
}
