package accuracy

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"inferbench/harness/target"
)

// tokenizer turns documents into the model's tokens.
type tokenizer struct {
	name   string
	prefix int32 // BOS, or EOS where there is none
	encode func(ctx context.Context, text string) ([]int32, error)
}

// tokenizerFor finds the tokens' source: the server's own /tokenize.
func tokenizerFor(ctx context.Context, t *target.Target, o Options) (*tokenizer, error) {
	tok := &tokenizer{name: "server", encode: func(ctx context.Context, text string) ([]int32, error) {
		return t.Tokenize(ctx, o.Retry, text, false)
	}}
	if o.Prefix != nil {
		tok.prefix = *o.Prefix
		return tok, nil
	}
	var err error
	if tok.prefix, err = t.Prefix(ctx, o.Retry); err != nil {
		if errors.Is(err, target.ErrNoPrefix) {
			err = fmt.Errorf("%w: set ACC_PREFIX_TOKEN to the id of the model's BOS, or of its EOS where it has none", err)
		}
		return nil, err
	}
	return tok, nil
}

// encodeAll is the tokens of each document's target, conc documents at a time.
// A document without a token could not be predicted, and is an error.
func (tok *tokenizer) encodeAll(ctx context.Context, docs []Document, conc int) ([][]int32, error) {
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
