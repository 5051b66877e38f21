package convert

import (
	"errors"
	"fmt"
	"math"

	"inferbench/harness/stats"
)

// slack is by how many tokens the mean of the prompts may be off what was asked
// for, beyond chance: a text that is tokenised again is a token longer or shorter,
// and a share of its length, and a server adds a BOS token.
func slack(length int) float64 { return 2 + 0.01*float64(length) }

// template is by how much longer a chat's template may make a prompt.
const template = 64

// mean is the mean of lengths uniform in [ratio·length, length], and by how much
// the mean of n of them differs from it at the most: four standard deviations.
func mean(length int, ratio float64, n int) (mean, chance float64) {
	l := float64(length)
	return (1 + ratio) / 2 * l, 4 * (1 - ratio) * l / math.Sqrt(12*float64(n))
}

// misfit says in what a run's totals contradict the lengths that were asked for;
// "" where they do not, or where the file has no totals. Answers may be shorter
// than asked for, where a model ends them.
func (r *Imported) misfit(isl, osl int, ratio float64) string {
	s := r.Result.Performance
	if s == nil || s.Successful == 0 || s.InputTokens == nil || *s.InputTokens == 0 || isl < 1 || osl < 1 || ratio <= 0 {
		return ""
	}
	n := s.Successful
	per := func(total int64) float64 { return float64(total) / float64(n) }
	above := slack(isl)
	if e := r.Result.Args.Endpoint; e == "" || e == chatEndpoint {
		above += template
	}
	want, chance := mean(isl, ratio, n)
	if got := per(*s.InputTokens); got > want+chance+above || got < want-chance-slack(isl) {
		return fmt.Sprintf("%.1f input tokens a request, but %s", got, drawn(isl, ratio, want))
	}
	want, chance = mean(osl, ratio, n)
	if got := per(s.OutputTokens); got > want+chance+slack(osl) {
		return fmt.Sprintf("%.1f output tokens a request, but %s", got, drawn(osl, ratio, want))
	}
	return ""
}

// longer reports whether a run's prompts or answers are longer than lengths at the
// most, so that no ratio fits.
func (r *Imported) longer(isl, osl int) bool {
	s := r.Result.Performance
	n := float64(s.Successful)
	return n > 0 && s.InputTokens != nil && isl > 0 && osl > 0 && r.misfit(isl, osl, 1) != "" &&
		(float64(*s.InputTokens)/n > float64(isl) || float64(s.OutputTokens)/n > float64(osl))
}

// drawn says how lengths were drawn, by what the file or the user says.
func drawn(length int, ratio, mean float64) string {
	if ratio == 1 {
		return fmt.Sprintf("%d were asked for", length)
	}
	return fmt.Sprintf("lengths uniform in [%g·%d, %d] are %.1f on average", ratio, length, length, mean)
}

// lengths settles what lengths were asked for, which the file's totals must not
// contradict. Totals of answers that all have the full length show that lengths
// were fixed.
func (r *Imported) lengths() error {
	a, s := &r.Result.Args, r.Result.Performance
	if !random(a.DatasetName) {
		return nil
	}
	if n := int64(s.Successful); a.RandomRangeRatio == 0 && n > 0 && s.OutputTokens == n*int64(a.RandomOutputLen) &&
		r.misfit(a.RandomInputLen, a.RandomOutputLen, 1) == "" {
		a.RandomRangeRatio = 1
	}
	why := r.misfit(a.RandomInputLen, a.RandomOutputLen, a.RandomRangeRatio)
	if a.RandomRangeRatio == 0 && r.longer(a.RandomInputLen, a.RandomOutputLen) { // whatever the ratio was
		why = r.misfit(a.RandomInputLen, a.RandomOutputLen, 1)
	}
	if why != "" {
		return errors.New("its totals contradict the lengths: " + why +
			": give ISL, OSL and RANDOM_RANGE_RATIO as they were asked for")
	}
	return nil
}

// around takes a ratio r by which lengths were drawn from [(1-r)·L, (1+r)·L], as
// vLLM's client does. Here that is the longest length, and the shortest's share
// of it. It is false where the totals show that r was not meant so.
func (r *Imported) around(ratio float64) bool {
	a := &r.Result.Args
	longest := func(l int) int { return int(math.Ceil(float64(l) * (1 + ratio))) }
	isl, osl, share := longest(a.RandomInputLen), longest(a.RandomOutputLen), (1-ratio)/(1+ratio)
	if ratio < 0 || ratio >= 1 || r.misfit(isl, osl, share) != "" {
		return false
	}
	if ratio > 0 {
		r.Result.Notes = append(r.Result.Notes, fmt.Sprintf("its random_range_ratio %g is of lengths from %g to %g of ISL "+
			"%d and OSL %d: here that is RANDOM_RANGE_RATIO %.3g of the longest, ISL %d and OSL %d",
			ratio, 1-ratio, 1+ratio, a.RandomInputLen, a.RandomOutputLen, share, isl, osl))
	}
	a.RandomInputLen, a.RandomOutputLen, a.RandomRangeRatio = isl, osl, share
	return true
}

// perGPU keeps the figures, and what throughput is on each GPU.
func (r *Imported) perGPU(s *stats.Summary) {
	if tp := r.Result.Args.TP; tp > 0 && s.TotalThroughput != nil {
		s.TputPerGPU = new(*s.TotalThroughput / float64(tp))
	}
	r.Result.Performance = s
}
