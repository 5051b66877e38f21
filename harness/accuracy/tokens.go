package accuracy

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"inferbench/harness/hint"
	"inferbench/harness/server"
	"inferbench/harness/tokenizer"
)

// source turns documents into the model's tokens.
type source struct {
	name   string
	prefix int32 // BOS, or EOS where there is none
	local  bool  // it is a file's: no server is asked
	encode func(ctx context.Context, text string) ([]int32, error)
}

// tokenizerFor finds the tokens' source: the server's own /tokenize, else the
// tokenizer.json that the user names. The prefix comes from the same place, or
// from the other where that one does not know it, or from the user.
func tokenizerFor(ctx context.Context, t *server.Server, o Options) (*source, error) {
	tok, err := serverTokenizer(ctx, t, o)
	if err != nil && (o.Tokenizer == "" || !errors.Is(err, server.ErrNoTokenizer) && !errors.Is(err, server.ErrNoPrefix)) {
		switch {
		case server.SaysWhy(err):
		case errors.Is(err, server.ErrNoTokenizer):
			err = hint.New(err, "set TOKENIZER to the path of the model's tokenizer.json")
		case errors.Is(err, server.ErrNoPrefix):
			err = hint.New(err, "set TOKENIZER to the path of the model's tokenizer.json, "+
				"or ACC_PREFIX_TOKEN to the id of its BOS (its EOS where it has none)")
		}
		return nil, err
	}
	if err == nil {
		return tok, nil
	}
	local, lerr := localTokenizer(o)
	if lerr != nil {
		return nil, lerr
	}
	if errors.Is(err, server.ErrNoPrefix) { // the server tokenizes; the file only knows the prefix
		tok.prefix = local.prefix
		return tok, nil
	}
	return local, nil
}

// serverTokenizer is the server's. With [server.ErrNoPrefix] it lacks a prefix,
// and is otherwise ready.
func serverTokenizer(ctx context.Context, t *server.Server, o Options) (*source, error) {
	tok := &source{name: "the server's /tokenize", encode: func(ctx context.Context, text string) ([]int32, error) {
		return t.Tokenize(ctx, o.Retry, text, false)
	}}
	plain, err := t.Tokenize(ctx, o.Retry, "a", false)
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, server.ErrNoTokenizer) && !server.Passing(err) {
			err = fmt.Errorf("%w: %w", server.ErrNoTokenizer, err) // no text is plainer: whatever is there, it is none
		}
		return nil, err
	}
	if o.Prefix == nil {
		tok.prefix, err = t.Prefix(ctx, o.Retry)
		return tok, err
	}
	tok.prefix = *o.Prefix
	if len(plain) > 1 && plain[0] == tok.prefix { // it adds one, though it was told not to
		bare := tok.encode
		tok.encode = func(ctx context.Context, text string) ([]int32, error) {
			ids, err := bare(ctx, text)
			return ids[min(1, len(ids)):], err
		}
	}
	return tok, nil
}

func localTokenizer(o Options) (*source, error) {
	file, err := tokenizer.Load(o.Tokenizer)
	if err != nil {
		return nil, fmt.Errorf("TOKENIZER: %w", err)
	}
	tok := &source{name: o.Tokenizer, local: true, encode: func(_ context.Context, text string) ([]int32,
		error) {
		return file.Encode(text)
	}}
	if o.Prefix != nil {
		tok.prefix = *o.Prefix
		return tok, nil
	}
	if tok.prefix, err = file.Prefix(); err != nil {
		return nil, fmt.Errorf("TOKENIZER=%s: %w: set ACC_PREFIX_TOKEN to the id of the model's BOS, or of its EOS "+
			"where it has none", o.Tokenizer, err)
	}
	return tok, nil
}

// encodeAll is the tokens of each document's target, conc documents at a time.
// A document without a token could not be predicted, and is an error.
func (tok *source) encodeAll(ctx context.Context, docs []Document, conc int) ([][]int32, error) {
	out := make([][]int32, len(docs))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(conc)
	for i, d := range docs {
		if gctx.Err() != nil {
			break
		}
		group.Go(func() error {
			var err error
			out[i], err = tok.encode(gctx, d.Target)
			if err == nil && len(out[i]) == 0 {
				err = errors.New("the tokenizer gives no token for it")
			}
			if err != nil {
				return fmt.Errorf("tokenize document %d of %d: %w", i+1, len(docs), err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return out, ctx.Err()
}
