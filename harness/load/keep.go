package load

import (
	"cmp"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"inferbench/harness/stats"
)

// keptAnswer is the beginning of a canary's answer, as it came. It is read once
// the run is over.
type keptAnswer struct {
	index  int
	events []byte // one after another
	ends   []int  // of each in events
}

// Of an answer so many events are kept: those of 128 tokens, and of some without
// text.
const (
	keptEvents = 192
	keptBytes  = 1 << 20
)

// add keeps a copy of an event's data, while there is room.
func (k *keptAnswer) add(data []byte) {
	if len(k.ends) < keptEvents && len(k.events)+len(data) <= keptBytes {
		k.events = append(k.events, data...)
		k.ends = append(k.ends, len(k.events))
	}
}

// answers reads what the slots kept, in order of index.
func answers(slots []*slot) (out []stats.Answer) {
	for _, s := range slots {
		for _, k := range s.kept {
			a := stats.Answer{Index: k.index}
			begin := 0
			for _, end := range k.ends {
				a.Pieces = append(a.Pieces, pieces(k.events[begin:end])...)
				begin = end
			}
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(a, b stats.Answer) int { return cmp.Compare(a.Index, b.Index) })
	return out
}

// pieces reads the text of an event, and the likeliest tokens where it has them.
// An event of several tokens is as many pieces where the server tells their texts.
func pieces(event []byte) []stats.Piece {
	choice := gjson.GetBytes(event, "choices.0")
	text := choice.Get("text").String()
	if delta := choice.Get("delta"); delta.Exists() {
		text = cmp.Or(delta.Get("reasoning_content").String(), delta.Get("reasoning").String()) +
			delta.Get("content").String()
	}
	tokens := likeliest(choice.Get("logprobs"))
	whole := ""
	for _, t := range tokens {
		whole += t.Text
	}
	switch {
	case len(tokens) > 1 && whole == text:
		return tokens
	case len(tokens) == 1:
		return []stats.Piece{{Text: text, Top: tokens[0].Top}}
	case text == "":
		return nil
	}
	return []stats.Piece{{Text: text}}
}

// likeliest reads a logprobs object, as completions have it or as chats do.
func likeliest(logprobs gjson.Result) (out []stats.Piece) {
	for _, token := range logprobs.Get("content").Array() {
		p := stats.Piece{Text: token.Get("token").String(), Top: []stats.Likely{likely(token)}}
		for _, other := range token.Get("top_logprobs").Array() {
			p.Top = append(p.Top, likely(other))
		}
		out = append(out, p)
	}
	if out != nil {
		return out
	}
	top, own := logprobs.Get("top_logprobs").Array(), logprobs.Get("token_logprobs").Array()
	for i, token := range logprobs.Get("tokens").Array() {
		p := stats.Piece{Text: token.String()}
		if i < len(own) {
			p.Top = append(p.Top, stats.Likely{Text: p.Text, Logprob: own[i].Num})
		}
		if i < len(top) && top[i].IsObject() {
			top[i].ForEach(func(text, lp gjson.Result) bool {
				p.Top = append(p.Top, stats.Likely{Text: text.String(), Logprob: lp.Num})
				return true
			})
		}
		out = append(out, p)
	}
	return out
}

func likely(token gjson.Result) stats.Likely {
	return stats.Likely{Text: strings.Clone(token.Get("token").String()), Logprob: token.Get("logprob").Num}
}
