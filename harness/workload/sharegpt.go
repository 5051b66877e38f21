package workload

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// ShareGPT is the kind of files in ShareGPT's format.
var ShareGPT = &Kind{Name: "sharegpt", What: "a file of conversations", File: true, OneSeed: true,
	Counts: Used, Open: fromFile(readShareGPT)}

// conversation is an entry of a ShareGPT file. OpenAI's keys are read too.
type conversation struct {
	Conversations []turn `json:"conversations"`
	Messages      []turn `json:"messages"`
}

// turn is what one side said, and which: human or user, gpt or assistant, system.
type turn struct {
	From    string `json:"from"`
	Value   string `json:"value"`
	Role    string `json:"role"`
	Content string `json:"content"`
}

func (t turn) role() string { return strings.ToLower(cmp.Or(t.From, t.Role)) }

func (t turn) text() string { return cmp.Or(t.Value, t.Content) }

// byUser reports whether the turn is the user's; system whether it is nobody's.
func (t turn) byUser() bool { return t.role() == "human" || t.role() == "user" }
func (t turn) system() bool { return t.role() == "system" }

// exchange finds the first thing that the user says and what is answered. Where
// no turn says whose it is, the first two are taken.
func (c conversation) exchange() (prompt, answer string, err error) {
	turns := c.Conversations
	if turns == nil {
		turns = c.Messages
	}
	begin := 0
	if slices.ContainsFunc(turns, func(t turn) bool { return t.role() != "" }) {
		begin = slices.IndexFunc(turns, turn.byUser)
	}
	switch {
	case begin < 0:
		return "", "", errors.New("no turn of a user")
	case len(turns) < begin+2:
		return "", "", fmt.Errorf("%d turns where the user's and its answer are needed", len(turns)-begin)
	case turns[begin+1].byUser() || turns[begin+1].system():
		return "", "", errors.New("no answer to the user's first turn")
	case turns[begin].text() == "":
		return "", "", errors.New("an empty prompt")
	}
	return turns[begin].text(), turns[begin+1].text(), nil
}

// withoutSystem reports whether the exchange leaves a system prompt out.
func (c conversation) withoutSystem() bool {
	says := func(t turn) bool { return t.system() && t.text() != "" }
	return slices.ContainsFunc(c.Conversations, says) || slices.ContainsFunc(c.Messages, says)
}

// minTurn is the fewest tokens of a prompt or an answer that are used, as in
// vLLM's and SGLang's samplers.
const minTurn = 4

// shareGPT is what the file of a ShareGPT data set holds.
type shareGPT struct {
	pairs   []pair
	skipped unused
	total   int // entries
	system  int // entries with a system prompt, which is left out
}

// pair is a prompt and the answer to it.
type pair struct {
	entry          int // counted from 1
	prompt, answer string
}

// read reads every entry, until ctx ends. One that cannot be used is skipped; the
// error is that of JSON which is no list of conversations.
func (in *shareGPT) read(ctx context.Context, f io.Reader) error {
	dec := json.NewDecoder(f)
	if t, err := dec.Token(); err != nil || t != json.Delim('[') {
		return errors.New("this is not a JSON list of conversations")
	}
	for dec.More() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		in.total++
		var c conversation
		err := dec.Decode(&c)
		var wrongType *json.UnmarshalTypeError
		switch {
		case errors.As(err, &wrongType):
			in.skipped.add(in.total, jsonReason(err))
		case err != nil:
			return fmt.Errorf("entry %d: %w", in.total, err)
		default:
			in.take(c)
		}
	}
	if _, err := dec.Token(); err != nil {
		return fmt.Errorf("after entry %d: %w", in.total, err)
	}
	return nil
}

// take keeps the first exchange of a conversation, or notes why it has none.
func (in *shareGPT) take(c conversation) {
	prompt, answer, err := c.exchange()
	if err != nil {
		in.skipped.add(in.total, err.Error())
		return
	}
	if c.withoutSystem() {
		in.system++
	}
	in.pairs = append(in.pairs, pair{in.total, prompt, answer})
}

// readShareGPT reads a JSON list of conversations, as in
// ShareGPT_V3_unfiltered_cleaned_split.json. The first turn of the user in each is
// the prompt; the answer to it gives the output its length, where the server can
// count its tokens, else OSL does. Entries are taken in a random order that the
// seed fixes.
func readShareGPT(ctx context.Context, f io.Reader, s Spec) (Source, []string, error) {
	in := shareGPT{skipped: unused{what: "entry"}}
	if err := in.read(ctx, f); ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	} else if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", s.Path, err)
	}
	all := in.pairs
	g := newGenerator(s.Seed, len(all))
	for i := len(all) - 1; i > 0; i-- {
		j := g.below(i + 1)
		all[i], all[j] = all[j], all[i]
	}
	d := &dataset{n: s.N}
	for len(all) > 0 && len(d.requests)-s.WarmUp < s.N {
		// As many as are still wanted are counted at a time.
		batch := all[:min(len(all), s.N-(len(d.requests)-s.WarmUp), 1024)]
		all = all[len(batch):]
		got := make([]Request, len(batch))
		why := make([]string, len(batch))
		err := parallel(ctx, len(batch), func(ctx context.Context, i int) (err error) {
			got[i], why[i], err = counted(ctx, batch[i].prompt, batch[i].answer, s)
			return err
		})
		if err != nil {
			return nil, nil, fmt.Errorf("count the tokens of %s: %w", s.Path, err)
		}
		for i, r := range got {
			if why[i] != "" {
				in.skipped.add(batch[i].entry, why[i])
			} else {
				d.requests = append(d.requests, r)
			}
		}
	}
	if len(d.requests) == 0 {
		return nil, nil, fmt.Errorf("read %s: %w%s", s.Path, errNoPrompt, first(in.skipped))
	}
	notes := in.skipped.note(in.total)
	if in.system > 0 {
		notes = append(notes, fmt.Sprintf("%d of %d entries have a system prompt, which is left out: "+
			"the user's first turn alone is sent", in.system, in.total))
	}
	if s.Count == nil {
		notes = append(notes, fmt.Sprintf("the server has no tokenizer to count the answers with: every output is "+
			"%d tokens", s.OSL))
	}
	return d, append(notes, d.repeats(s.WarmUp)...), nil
}

// counted makes the request of a prompt and its answer, or says why it cannot be
// used.
func counted(ctx context.Context, prompt, answer string, s Spec) (r Request, why string, err error) {
	r = Request{Text: prompt, OutputLen: s.OSL}
	if s.Count == nil {
		return r, "", nil
	}
	in, err := s.Count(ctx, prompt)
	if err != nil {
		return r, "", err
	}
	r.TextLen = in
	if r.OutputLen, err = s.Count(ctx, answer); err != nil {
		return r, "", err
	}
	switch {
	case in < minTurn || r.OutputLen < minTurn:
		return r, fmt.Sprintf("%d + %d tokens: fewer than %d", in, r.OutputLen, minTurn), nil
	case s.MaxLen > 0 && in+r.OutputLen > s.MaxLen:
		return r, fmt.Sprintf("%d + %d tokens are more than the server's context of %d", in, r.OutputLen, s.MaxLen), nil
	}
	return r, "", nil
}
