package engine

import (
	"strconv"
	"unicode/utf8"

	"inferbench/harness/engine/ngram"
)

// appendLogprobs appends the logprobs object of /v1/completions for the output
// tokens from..to, preceded by the whole prompt where echo says so. The first
// token of a prompt has no probability: nothing came before it.
func (j *job) appendLogprobs(b []byte, echo bool, from, to int, asIDs bool) []byte {
	n := to - from
	if echo {
		n += len(j.prompt)
	}
	l := lpWriter{j: j, at: j.form.chars, index: from, asIDs: asIDs, views: j.e.views.Load(),
		tokens: make([]byte, 0, 8*n), values: make([]byte, 0, 20*n), top: make([]byte, 0, 40*n),
		offsets: make([]byte, 0, 6*n)}
	if echo {
		s := ngram.State(0)
		for i, t := range j.prompt {
			l.add(t, l.views.prefill, s, i == 0)
			s = j.e.model.Next(s, t)
		}
	}
	for i := from; i < to; i++ {
		l.add(int32(j.out[i]), l.views.at(i), j.states[i], false)
	}
	j.form.chars = l.at
	b = append(b, `{"tokens":[`...)
	b = append(b, l.tokens...)
	b = append(b, `],"token_logprobs":[`...)
	b = append(b, l.values...)
	b = append(b, `],"top_logprobs":[`...)
	b = append(b, l.top...)
	b = append(b, `],"text_offset":[`...)
	b = append(b, l.offsets...)
	return append(b, "]}"...)
}

// lpWriter writes the four lists of a logprobs object side by side.
type lpWriter struct {
	j                            *job
	asIDs                        bool
	views                        *views
	tokens, values, top, offsets []byte
	count                        int
	at                           int // characters before the next token
	index                        int // of the next token in the whole answer
}

// appendLogprob appends a logprob, or NaN where that fault is due at this
// token.
func (j *job) appendLogprob(b []byte, lp float64, index int) []byte {
	if j.fault.is("nan-logprob") && index == j.fault.after {
		return append(b, "NaN"...)
	}
	return strconv.AppendFloat(b, lp, 'g', -1, 64)
}

func (l *lpWriter) add(t int32, v *ngram.View, s ngram.State, first bool) {
	if l.count > 0 {
		l.tokens = append(l.tokens, ',')
		l.values = append(l.values, ',')
		l.top = append(l.top, ',')
		l.offsets = append(l.offsets, ',')
	}
	l.count++
	defer func() { l.index++ }()
	l.tokens = l.name(l.tokens, t)
	l.offsets = strconv.AppendInt(l.offsets, int64(l.at), 10)
	if t < utf8.RuneSelf || t < 256 && utf8.RuneStart(byte(t)) {
		l.at++ // the other bytes of a character add none
	}
	if first {
		l.values = append(l.values, "null"...)
		l.top = append(l.top, "null"...)
		return
	}
	lp := v.LogProb(s, t)
	l.values = l.j.appendLogprob(l.values, lp, l.index)
	l.top = append(l.top, '{')
	listed := false
	if l.j.how.logprobs > 0 {
		if l.j.how.logprobs == 1 { // the usual case, as when a text is scored
			best, bestLP := v.BestLogProb(s)
			l.pair(best, bestLP)
			listed = best == t
		} else {
			for i, alt := range v.Top(s, l.j.how.logprobs) {
				if i > 0 {
					l.top = append(l.top, ',')
				}
				l.pair(alt, v.LogProb(s, alt))
				listed = listed || alt == t
			}
		}
	}
	if !listed { // the token itself is always there, as with vLLM
		if l.j.how.logprobs > 0 {
			l.top = append(l.top, ',')
		}
		l.pair(t, lp)
	}
	l.top = append(l.top, '}')
}

func (l *lpWriter) pair(t int32, lp float64) {
	l.top = l.name(l.top, t)
	l.top = append(l.top, ':')
	l.top = strconv.AppendFloat(l.top, lp, 'g', -1, 64)
}

func (l *lpWriter) name(b []byte, t int32) []byte {
	if l.asIDs {
		b = append(b, `"token_id:`...)
		b = strconv.AppendInt(b, int64(t), 10)
		return append(b, '"')
	}
	return append(b, quotedToken[t]...)
}
