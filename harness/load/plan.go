package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"inferbench/harness/server"
	"inferbench/harness/workload"
)

// Plan is everything that can be said of a run before there is a server: what
// is sent and how. Its workload's Vocab, MaxLen, Count, WarmUp, Trace and Chat
// follow from the target and the options: see [Open].
type Plan struct {
	Workload workload.Spec
	Options
}

// Open makes what [Run] takes from a plan and a server: a workload that fits
// its vocabulary, its context and its tokenizer, and checked options. The notes
// say what the reader of the figures should know; [Run]'s come on top.
func Open(ctx context.Context, t *server.Server, p Plan) (workload.Source, Options, []string, error) {
	o, err := p.Options.withDefaults()
	if err != nil {
		return nil, o, nil, err
	}
	w := p.Workload
	w.MaxLen, w.WarmUp, w.Trace, w.Chat = t.MaxLen, o.WarmUp, o.Shape.Trace, o.Chat
	if w.N == workload.Endless && o.Shape.Duration == 0 {
		return nil, o, nil, errors.New("load: the run has no end: give a number of requests or a duration")
	}
	if w.Kind == nil {
		w.Kind = workload.Kinds[0]
	}
	if t.TextOnly && !o.Chat && w.Kind.IDs {
		return nil, o, nil, fmt.Errorf("%s takes prompts as text alone, not the token ids of DATASET=%s", t.BaseURL, w.Kind)
	}
	if o.Chat && w.Kind.InChat != nil {
		w.Kind = w.Kind.InChat
	}
	if o.Chat && w.Kind.IDs {
		return nil, o, nil, errChatNeedsText
	}
	if w.Kind.Vocab && (!o.Chat || w.Kind.Texts) {
		if err := FindVocab(ctx, t, o.RequestTimeout); err != nil {
			return nil, o, nil, err
		}
		w.Vocab = t.Vocab
	}
	if w.Kind.Texts {
		if w.Count, w.Text, err = chatTexts(ctx, t, o.ExtraBody); err != nil {
			return nil, o, nil, err
		}
	} else if w.Kind.Counts != workload.NotUsed {
		if w.Count, err = Counter(ctx, t); err != nil {
			return nil, o, nil, err
		}
	}
	src, notes, err := workload.Open(ctx, w)
	return src, o, notes, err
}

// FindVocab finds out how many ids the server's model has, where it does not list
// that: see [server.Server.FindVocab]. Each question has timeout, REQUEST_TIMEOUT, and
// a minute at most.
func FindVocab(ctx context.Context, t *server.Server, timeout time.Duration) error {
	_, above := workload.Random{}.IDs()
	return t.FindVocab(ctx, server.Retry{Each: min(timeout, time.Minute)}, above-1)
}

// Counter counts tokens by the server's tokenizer, or by TOKENIZER; nil where there
// is neither.
func Counter(ctx context.Context, t *server.Server) (workload.Counter, error) {
	count := func(ctx context.Context, text string) (int, error) {
		ids, err := t.Tokens(ctx, server.Retry{}, text, true)
		return len(ids), err
	}
	switch _, err := count(ctx, "a"); {
	case errors.Is(err, server.ErrNoTokenizer):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return count, nil
}

// chatTexts turns ids into text, and counts what a chat of a text takes, by the
// server or by TOKENIZER; nil where there is neither.
func chatTexts(ctx context.Context, t *server.Server, more map[string]json.RawMessage) (workload.Counter,
	workload.Texter, error) {
	text := func(ctx context.Context, ids []int32) (string, error) { return t.Text(ctx, server.Retry{}, ids) }
	low, _ := workload.Random{Vocab: t.Vocab}.IDs()
	_, err := text(ctx, []int32{low})
	var count workload.Counter
	if err == nil {
		count, err = t.ChatCounter(ctx, server.Retry{}, more)
	}
	if errors.Is(err, server.ErrNoTokenizer) || errors.Is(err, server.ErrNoDetokenizer) {
		return nil, nil, nil
	}
	return count, text, err
}
