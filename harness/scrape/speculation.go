package scrape

import (
	"slices"
	"strconv"

	dto "github.com/prometheus/client_model/go"

	"inferbench/harness/stats"
)

// spec is how far the counters of speculation have come.
type spec struct {
	drafts, draftTokens, accepted *float64
	acceptedAt                    []float64 // by position
	verified, generated, atOnce   *float64
}

func guesses(families map[string]*dto.MetricFamily, names Names) spec {
	return spec{drafts: total(families, names.Guesses.Drafts), draftTokens: total(families, names.Guesses.DraftTokens),
		accepted: total(families, names.Guesses.Accepted), acceptedAt: byPosition(families, names.Guesses.AcceptedAt),
		verified: total(families, names.Guesses.Verified), generated: total(families, names.Guesses.Generated),
		atOnce: highest(families, names.Guesses.VerifiedAtOnce)}
}

// byPosition adds up a counter by its label "position", from 0.
func byPosition(families map[string]*dto.MetricFamily, names []string) []float64 {
	const most = 1 << 10 // positions; a label may say anything
	var out []float64
	for _, name := range names {
		for _, m := range families[name].GetMetric() {
			for _, l := range m.GetLabel() {
				i, err := strconv.Atoi(l.GetValue())
				if l.GetName() != "position" || err != nil || i < 0 || i >= most {
					continue
				}
				if i >= len(out) {
					out = append(out, make([]float64, i+1-len(out))...)
				}
				if v, ok := valueOf(m); ok {
					out[i] += v
				}
			}
		}
		if out != nil {
			break
		}
	}
	return out
}

// since is the speculation between two looks; nil where there was none, where it
// is not told, and where a counter began again in between.
func (s spec) since(old spec) *stats.Speculation {
	drafts, accepted := difference(s.drafts, old.drafts), difference(s.accepted, old.accepted)
	if accepted != nil && (drafts != nil || s.draftTokens != nil) {
		at := slices.Clone(s.acceptedAt)
		for i := range min(len(at), len(old.acceptedAt)) {
			if at[i] -= old.acceptedAt[i]; at[i] < 0 {
				return nil
			}
		}
		return stats.NewSpeculation(drafts, difference(s.draftTokens, old.draftTokens), *accepted, at)
	}
	// SGLang counts verifications of finished requests: each gives the guesses that
	// were right and one token more.
	verified, generated := difference(s.verified, old.verified), difference(s.generated, old.generated)
	if verified == nil || generated == nil {
		return nil
	}
	right := *generated - *verified
	var guessed *float64
	if s.atOnce != nil && *s.atOnce > 1 {
		n := *verified * (*s.atOnce - 1)
		guessed, right = &n, min(right, n) // a request's first token was not guessed
	}
	return stats.NewSpeculation(verified, guessed, right, nil)
}
