package shard

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"inferbench/harness/load"
	"inferbench/harness/stats"
)

// Part is what one shard recorded. Timings carry the indices of the whole
// workload and count from the agreed start.
type Part struct {
	Index     int
	Recording load.Recording
	Kind      string // what it is a part by, as it is told; "": a shard
}

// name is the part as it is told: shard 0.
func (p Part) name() string { return fmt.Sprintf("%s %d", cmp.Or(p.Kind, "shard"), p.Index) }

// newPart takes a shard's recording, whose clock started late after the agreed
// instant, into the whole run's terms.
func newPart(p Place, rec *load.Recording, late time.Duration) Part {
	return Part{Index: p.Index, Recording: *rec.Later(late, p.global)}
}

// Merge joins the parts of all shards into the recording that one client would
// have made: the same timings in the same order, so every figure taken from
// them, percentiles included, is the same to the last bit.
func Merge(parts []Part) *load.Recording {
	slices.SortFunc(parts, func(a, b Part) int { return a.Index - b.Index })
	out := new(load.Recording)
	var all stats.Collector
	folded, tokens := stats.NewHistogram(), stats.NewHistogram()
	for _, p := range parts {
		r := p.Recording
		for _, t := range r.Timings {
			all.Add(t)
		}
		folded.Merge(r.Folded)
		tokens.Merge(r.FoldedTokens)
		contradictions(out, p)
		out.Answers = append(out.Answers, r.Answers...)
		out.Unsent += r.Unsent
		out.Duration, out.SLO = max(out.Duration, r.Duration), r.SLO
		for _, n := range r.Notes {
			out.Notes = append(out.Notes, p.name()+": "+n)
		}
	}
	if folded.Len() > 0 {
		all.Fold()
		folded.Merge(all.Folded())
		tokens.Merge(all.FoldedTokens())
		out.Folded, out.FoldedTokens = folded, tokens
	} else {
		out.Folded, out.FoldedTokens = all.Folded(), all.FoldedTokens()
	}
	out.Timings = all.Timings()
	out.Audit = mergeAudits(parts)
	return out
}

// contradictions takes over what a shard found that cannot be, and adds that two
// shards found the server to count differently.
func contradictions(out *load.Recording, p Part) {
	r := p.Recording
	for _, c := range r.Contradictions {
		out.Contradictions = append(out.Contradictions, p.name()+": "+c)
	}
	switch {
	case !r.InputOffset.Known:
	case !out.InputOffset.Known:
		out.InputOffset = r.InputOffset
	case !r.InputOffset.Like(out.InputOffset):
		out.Contradictions = append(out.Contradictions, fmt.Sprintf("the server counts %+d input tokens besides those "+
			"that were sent for one %s, and %+d for %s", out.InputOffset.Tokens, cmp.Or(p.Kind, "shard"),
			r.InputOffset.Tokens, p.name()))
	}
}

// mergeAudits adds up what can be counted and keeps the worst of the rest: one
// shard that could not keep up limits the whole run.
func mergeAudits(parts []Part) stats.Audit {
	var out stats.Audit
	var chunks, cpu float64
	var answers int
	for _, p := range parts {
		a := p.Recording.Audit
		out.ClientLimited = out.ClientLimited || a.ClientLimited
		for _, r := range a.Reasons {
			out.Reasons = append(out.Reasons, p.name()+": "+r)
		}
		out.CPUShare = max(out.CPUShare, a.CPUShare)
		out.WithEngine = out.WithEngine || a.WithEngine
		out.LatenessP50Ms = max(out.LatenessP50Ms, a.LatenessP50Ms)
		out.LatenessP99Ms = max(out.LatenessP99Ms, a.LatenessP99Ms)
		out.LatenessMaxMs = max(out.LatenessMaxMs, a.LatenessMaxMs)
		out.SchedulingP99Ms = max(out.SchedulingP99Ms, a.SchedulingP99Ms)
		out.IdleShare = max(out.IdleShare, a.IdleShare)
		out.GCPauseP99Ms = max(out.GCPauseP99Ms, a.GCPauseP99Ms)
		out.GCPauseMaxMs = max(out.GCPauseMaxMs, a.GCPauseMaxMs)
		out.GCPauseShare = max(out.GCPauseShare, a.GCPauseShare)
		out.DialMaxMs = max(out.DialMaxMs, a.DialMaxMs)
		out.TLSMaxMs = max(out.TLSMaxMs, a.TLSMaxMs)
		out.Dials += a.Dials
		out.Retries += a.Retries
		out.BundledChunks += a.BundledChunks
		out.TokenEveryMs = max(out.TokenEveryMs, a.TokenEveryMs)
		out.FirstBundled += a.FirstBundled
		out.LateEnds += a.LateEnds
		out.EndWaitShare, out.EndWaitMaxMs = max(out.EndWaitShare, a.EndWaitShare), max(out.EndWaitMaxMs, a.EndWaitMaxMs)
		if a.HeldBack && !out.HeldBack {
			out.HeldBack, out.HeldBackReason = true, p.name()+": "+a.HeldBackReason
		}
		n := 0
		for _, t := range p.Recording.Timings {
			n += t.Chunks
			if t.Err == "" && t.Chunks > 1 {
				answers++
			}
		}
		chunks += float64(n)
		cpu += a.CPUPerTokenUs * float64(n)
	}
	if answers > 0 {
		out.FirstBundledShare = float64(out.FirstBundled) / float64(answers)
	}
	if chunks > 0 {
		out.BundledShare = float64(out.BundledChunks) / chunks
		out.CPUPerTokenUs = cpu / chunks
	}
	return out
}
