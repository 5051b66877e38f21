package rules

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"inferbench/baselines"
)

// ratios works the comparison under the competition's keys out again, in both of
// its forms, from the figures of the file and the hardware baseline.
func (k *checker) ratios() string {
	if k.hardware == nil {
		return ""
	}
	run := baselines.Run{ISL: k.args.isl, OSL: k.args.osl, Conc: k.args.conc, TputPerGPU: k.perf.perGPU,
		MedianE2E: k.perf.latency["e2el"]["median"]}
	if tpot := k.perf.latency["tpot"]["median"]; tpot > 0 {
		run.Interactivity = 1000 / tpot
	}
	return k.unlikeNumbers(k.hardware.Compare(run).Flat())
}

// unlikeNumbers says which number of want, by its path, the file has otherwise;
// what it does not have is no offence.
func (k *checker) unlikeNumbers(want map[string]any, path ...string) string {
	for _, key := range slices.Sorted(maps.Keys(want)) {
		at := append(slices.Clone(path), key)
		switch v := want[key].(type) {
		case map[string]any:
			if why := k.unlikeNumbers(v, at...); why != "" {
				return why
			}
		case *float64:
			if got, ok := k.file.num(at...); ok && v != nil && !near(got, *v, 1e-3) {
				return fmt.Sprintf("%s is %g, and its figures and the baseline's make %g", strings.Join(at, "."), got, *v)
			}
		}
	}
	return ""
}

// steady holds the part of the run in which CONC requests were in flight to the
// whole of it.
func (k *checker) steady() string {
	const section = "steady_state"
	if k.file.at(section) == nil {
		return ""
	}
	total, hasTotal := k.file.num(section, "total_token_throughput")
	perGPU, hasPerGPU := k.file.num(section, "tput_per_gpu")
	output, hasOutput := k.file.num(section, "output_throughput")
	duration, _ := k.file.num(section, "duration_s")
	requests, _ := k.file.count(section, "requests")
	switch tp := k.args.tp; {
	case hasTotal && hasPerGPU && tp != nil && *tp > 0 && !near(perGPU, total/float64(*tp), 1e-3):
		return fmt.Sprintf("tput_per_gpu is %g, but total_token_throughput / tp is %g", perGPU, total/float64(*tp))
	case hasTotal && hasOutput && output > total*(1+1e-9):
		return fmt.Sprintf("output_throughput is %g, above total_token_throughput, which is %g", output, total)
	case duration > k.perf.duration*(1+1e-6):
		return fmt.Sprintf("duration_s is %g, and the whole run took %g", duration, k.perf.duration)
	case requests > k.perf.successful:
		return fmt.Sprintf("%.0f requests ended in it, and %.0f in the whole run", requests, k.perf.successful)
	case hasTotal && total*duration > (k.perf.input+k.perf.output)*(1+1e-6):
		return fmt.Sprintf("total_token_throughput over its %g s is more than the %.0f tokens of the whole run", duration,
			k.perf.input+k.perf.output)
	}
	return latencies(readLatencies(k.file, section))
}

// gaps asks that ITL be of the same tokens as TTFT and E2EL: the gaps of a
// request sum up to E2EL − TTFT, and there are at most as many as tokens after
// the first.
func (k *checker) gaps() string {
	e, t, itl := k.perf.latency["e2el"]["mean"], k.perf.latency["ttft"]["mean"], k.perf.latency["itl"]["mean"]
	if _, _, ok := k.lengths(k.args.osl); !ok || itl <= 0 || t <= 0 || k.perf.successful < 1 {
		return ""
	}
	after := k.perf.output/k.perf.successful - 1
	if after > 0 && itl*after < 0.9*(e-t) {
		return fmt.Sprintf("mean_itl_ms is %.4g, and %.6g tokens after the first took %.4g", itl, after, e-t)
	}
	return ""
}

// shareKeys are the paths of figures that are shares.
var shareKeys = [][]string{
	{"cache_hit_rate"}, {"slo_attainment"}, {"server_metrics", "prefix_hits"},
	{"canaries", "exact_share"}, {"canaries", "baseline_exact_share"},
	{"accuracy", "gsm8k_metric"}, {"accuracy", "exact_match_strict"}, {"accuracy", "exact_match_flexible"},
	{"decode_audit", "argmax_share"}, {"spec_decode", "acceptance_rate"},
	{"client_audit", "slot_idle_share"}, {"client_audit", "bundled_share"},
}

func (k *checker) shares() string {
	for _, key := range shareKeys {
		if v, ok := k.file.at(key...).(float64); ok && !(v >= 0 && v <= 1) {
			return fmt.Sprintf("%s is %g: a share is from 0 to 1", strings.Join(key, "."), v)
		}
	}
	return ""
}

// words works word_perplexity out again: it is the log-likelihood of
// bits_per_byte over the text's words.
func (k *checker) words() string {
	bits, ok := k.file.num("accuracy", "bits_per_byte")
	got, has := k.file.num("accuracy", "word_perplexity")
	bytes, _ := k.file.num("accuracy", "text", "bytes")
	words, _ := k.file.num("accuracy", "text", "words")
	if !ok || !has || bytes <= 0 || words <= 0 {
		return ""
	}
	if want := math.Exp2(bits * bytes / words); math.IsInf(want, 0) || !near(got, want, 1e-3) {
		return fmt.Sprintf("word_perplexity is %g, and bits_per_byte over the text's bytes and words makes %g", got, want)
	}
	return ""
}

// otherText says in what a score is not of a baseline's text or window, as far as
// both are known.
func (k *checker) otherText(b *baselines.Accuracy) string {
	if sha := k.file.text("accuracy", "text", "sha256"); sha != "" && b.CorpusSHA256 != "" && sha != b.CorpusSHA256 {
		return fmt.Sprintf("the text that was scored (SHA-256 %.8s…) is not that of %s", sha, b.Name)
	}
	window, ok := k.file.count("accuracy", "max_length")
	if ok && b.BitsPerByte > 0 && window != float64(b.MaxLength) {
		return fmt.Sprintf("the windows were of max_length %.0f, those of %s of %d", window, b.Name, b.MaxLength)
	}
	return ""
}
