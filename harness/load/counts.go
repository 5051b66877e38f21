package load

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"inferbench/harness/stats"
	"inferbench/harness/workload"
)

// plainOffset is the largest offset that is believed where a server does not
// answer the question whether it is the same for a shorter prompt: a BOS token
// and the like.
const plainOffset = 4

// offsetOf is by how much the server counts more input tokens than were sent, as
// most requests have it; nil where it counts none, or nobody knows what was sent.
func offsetOf(ts []stats.Timing) *int {
	var all []int
	for _, t := range ts {
		if t.Err == "" && t.Prompt.Counted && t.Prompt.Sent > 0 {
			all = append(all, t.Prompt.Server-t.Prompt.Sent)
		}
	}
	if len(all) == 0 {
		return nil
	}
	slices.Sort(all)
	return &all[len(all)/2]
}

// settleInput finds the offset between what the server counts and what was sent,
// of the warm-up or, where there was none, of the run itself. One that is not
// zero must be the same for a prompt of half the length: a server that counts
// ten times what was sent, or cuts prompts short, differs by a constant too while
// all prompts are as long as each other.
func (r *runner) settleInput(ctx context.Context, ts []stats.Timing) {
	offset := offsetOf(ts)
	if r.rec.InputOffset.Known || offset == nil {
		return
	}
	r.rec.InputOffset = stats.Offset{Known: true, Tokens: *offset}
	whole, err := r.src.Request(-1)
	if *offset == 0 || err != nil { // an error is that of the request in the phase, too
		return
	}
	halves := halve(whole)
	if len(halves) == 0 {
		return
	}
	got := r.aside(ctx, halves, r.enc)
	sent, counted, slack := 0, 0, 0
	for _, t := range got {
		if !t.Prompt.Counted { // however the answer ended, its count of the prompt is what was wanted
			if ctx.Err() == nil && (*offset < 0 || *offset > plainOffset) {
				r.contradict("the server counts %d input tokens where %d were sent, and none for a shorter prompt (%s)",
					whole.InputTokens()+*offset, whole.InputTokens(), cmp.Or(t.Err, "its usage has no count"))
			}
			return
		}
		sent, counted = sent+t.Prompt.Sent, counted+t.Prompt.Server-*offset
	}
	if got[0].Prompt.Text {
		sent, slack = whole.InputTokens(), stats.OffsetSlack
	}
	if d := counted - sent; d < -slack || d > slack {
		r.contradict("the server counts %d input tokens where %d were sent, and %d where %d were: it did other work "+
			"than was asked for",
			whole.InputTokens()+*offset, whole.InputTokens(), counted+len(got)**offset, sent)
		return
	}
	if *offset < 0 && len(whole.Tokens) > 0 { // a BOS adds to ids, and nothing takes from them
		r.contradict("the server counts %d input tokens where %d were sent: it left some out",
			whole.InputTokens()+*offset, whole.InputTokens())
		return
	}
	r.note("the server counts %+d input tokens besides those that were sent, in every prompt (a BOS token, a "+
		"chat's template): throughput is of what was sent", *offset)
}

// requests are a few that are given.
type requests []workload.Request

func (r requests) Len() int                                { return len(r) }
func (r requests) Request(i int) (workload.Request, error) { return r[i], nil }

// halve makes the first half of a prompt of ids, or both halves of a text: a
// text's half was not counted, but the two together are as long as the whole.
func halve(r workload.Request) requests {
	if n := len(r.Tokens) / 2; n > 0 {
		return requests{{Tokens: r.Tokens[:n:n], OutputLen: 1}}
	}
	if i := strings.LastIndexByte(r.Text[:len(r.Text)/2+1], ' '); i > 0 {
		return requests{{Text: r.Text[:i], OutputLen: 1}, {Text: r.Text[i:], OutputLen: 1}}
	}
	return nil
}

// checkInput holds every count of the server's against what was sent.
func (r *runner) checkInput(ts []stats.Timing) {
	var (
		differ, absent, compared int
		example                  stats.Prompt
	)
	for _, t := range ts {
		p := t.Prompt
		if t.Err != "" || p.Sent == 0 {
			continue
		}
		if !p.Counted {
			if !t.NoUsage {
				absent++
			}
			continue
		}
		compared++
		slack := 0
		if p.Text {
			slack = stats.OffsetSlack
		}
		if d := p.Server - p.Sent - r.rec.InputOffset.Tokens; d < -slack || d > slack {
			if differ++; differ == 1 {
				example = p
			}
		}
	}
	if differ > 0 && len(r.rec.Contradictions) == 0 {
		r.contradict("for %d of %d requests the server counts other input tokens than were sent, as %d where %d were "+
			"sent: it did other work than was asked for",
			differ, compared, example.Server, example.Sent)
	}
	if absent > 0 {
		r.contradict("the server's usage has no count of input tokens for %d of %d requests: whether it read the "+
			"prompts whole is not known", absent, len(ts))
	}
}

// tellTokens says what the reader of the figures should know of how the tokens
// came.
func (r *runner) tellTokens(ts []stats.Timing, odd oddities) {
	var answers, several, atOnce, first, overCached int
	var tokens, chunks, unknown int
	for _, t := range ts {
		if t.Err != "" {
			continue
		}
		answers++
		tokens, chunks = tokens+t.OutputTokens, chunks+t.Chunks
		if t.OutputTokens > t.Chunks {
			several++
		}
		if t.OutputTokens > 1 && !t.HasTPOT() {
			atOnce++
		}
		if t.Known.First > 1 {
			first++
		}
		if t.Prompt.Unknown {
			unknown++
		}
		if t.TooManyCached() {
			overCached++
		}
	}
	say := r.noteIf
	say(several*min(100*(tokens-chunks)/max(tokens, 1), 1), "%d of %d output tokens came in no chunk of their own "+
		"(%.3g tokens a chunk): ITL is of chunks, and TPOT and E2EL end at the last chunk",
		tokens-chunks, tokens, float64(tokens)/float64(max(chunks, 1)))
	say(first, "in %d of %d answers the first chunk carried several tokens: TTFT is to the last of them", first, answers)
	say(atOnce, "in %d of %d answers all tokens came at once: they have no TPOT", atOnce, answers)
	say(unknown, "for %d of %d requests nobody counted the input tokens: throughput with them is not known",
		unknown, answers)
	say(overCached, "for %d of %d answers the server counts more tokens in its prefix cache than the prompt has: its "+
		"count of cached tokens is left out", overCached, answers)
	r.tellOddities(odd, answers, len(ts))
}

// noteIf tells the reader something of which there are n, if there are any.
func (r *runner) noteIf(n int, format string, args ...any) {
	if n > 0 {
		r.note(format, args...)
	}
}

// tellOddities says what was odd about some of the answers.
func (r *runner) tellOddities(odd oddities, answers, requests int) {
	say := r.noteIf
	say(odd.unspoken, "in %d of %d answers the first token, by the server's count, came in a chunk without text: "+
		"TTFT is to that chunk", odd.unspoken, answers)
	say(odd.quiet, "%d chunks without text were no tokens, by the count of the answer, and are not timed", odd.quiet)
	if 10*odd.splitChunks > 11*odd.splitTokens {
		r.contradict("for %d of %d answers the server counts fewer tokens than chunks with text came, %d for %d",
			odd.split, answers, odd.splitTokens, odd.splitChunks)
	} else {
		say(odd.split, "for %d of %d answers the server counts fewer tokens than chunks with text came", odd.split, answers)
	}
	if odd.short > 0 {
		r.note("for %d of %d answers the server says that max_tokens was reached, but fewer chunks came, and it sends "+
			"no usage: the chunks are counted", odd.short, answers)
		if 10*odd.shortChunks < 9*odd.shortTokens {
			r.contradict("the server says that max_tokens was reached, but %d chunks came for %d tokens, and it sends no "+
				"usage: how many tokens it wrote is not known",
				odd.shortChunks, odd.shortTokens)
		}
	}
	say(odd.refused, "the server turned %d of %d requests away (HTTP 429 or 503): more are in flight than it takes "+
		"at once, so its queue is full", odd.refused, requests)
}

// manyAChunk is from how many tokens a chunk, in the warm-up, the server is asked
// to count them at each chunk.
const manyAChunk = 1.05

// askForCounts has the server count tokens at each chunk where it sends several
// in one, and can: it is tried with one request.
func (r *runner) askForCounts(ctx context.Context, ts []stats.Timing) error {
	var tokens, chunks int
	for _, t := range ts {
		if t.Err == "" && !t.NoUsage && t.Known.First == 0 {
			tokens, chunks = tokens+t.OutputTokens, chunks+t.Chunks
		}
	}
	enc, can := r.enc.withCounts()
	if !can || float64(tokens) < manyAChunk*float64(chunks) || chunks == 0 {
		return nil
	}
	first, err := r.src.Request(-1)
	if err != nil {
		return nil // its own request has failed of it
	}
	got := r.aside(ctx, requests{first}, enc)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if got[0].Err == "" && got[0].Known.First > 0 {
		r.enc = enc
	}
	return nil
}
