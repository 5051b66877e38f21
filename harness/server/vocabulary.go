package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"sync"

	"github.com/tidwall/gjson"

	"inferbench/harness/tokenizer"
)

// Tokens is [Server.Tokenize], and where the server has no tokenizer, or what it
// has does not work, the TokenizerFile's, which adds no tokens of itself.
func (t *Server) Tokens(ctx context.Context, r Retry, text string, special bool) ([]int32, error) {
	ids, err := t.Tokenize(ctx, r, text, special)
	if err == nil || t.TokenizerFile == "" || ctx.Err() != nil || Passing(err) {
		return ids, err
	}
	file, err := t.file.load(t.TokenizerFile)
	if err != nil {
		return nil, err
	}
	return file.Encode(text)
}

// tokenizerFile is a tokenizer.json that is read when it is first needed.
type tokenizerFile struct {
	once sync.Once
	file *tokenizer.Tokenizer
	err  error
}

func (f *tokenizerFile) load(path string) (*tokenizer.Tokenizer, error) {
	f.once.Do(func() {
		if f.file, f.err = tokenizer.Load(path); f.err != nil {
			f.err = fmt.Errorf("TOKENIZER: %w", f.err)
		}
	})
	return f.file, f.err
}

// FindVocab fills in Vocab where the model list says nothing: from the
// TokenizerFile, else from what the server says of its tokenizer, else by asking
// it for one token after the id top, the highest that will be sent. Where it
// refuses that as out of its vocabulary, the first id that it refuses is looked
// for. Vocab stays 0 where top is taken, or where the server does not check.
func (t *Server) FindVocab(ctx context.Context, r Retry, top int32) error {
	if t.Vocab > 0 {
		return nil
	}
	if t.TokenizerFile != "" {
		file, err := t.file.load(t.TokenizerFile)
		if err != nil {
			return err
		}
		t.Vocab = file.Size()
		return nil
	}
	if t.Vocab = t.vocabTold(ctx); t.Vocab > 0 {
		return nil
	}
	low, high := int32(0), top // ids up to low are taken, high is asked
	for first := true; first || high-low > 1; first = false {
		id := high
		if !first {
			id = low + (high-low)/2
		}
		taken, err := t.takes(ctx, r, id)
		switch {
		case err != nil:
			return err
		case taken && first:
			return nil
		case taken:
			low = id
		default:
			high = id
		}
	}
	t.Vocab = int(high)
	return nil
}

// vocabTold is what the server says of itself; 0 where it says nothing.
func (t *Server) vocabTold(ctx context.Context) int {
	ctx, cancel := context.WithTimeout(ctx, sideLimit)
	defer cancel()
	page, err := t.Page(ctx, "/tokenizer_info") // vLLM's
	if err != nil {
		return 0
	}
	return count(gjson.GetBytes(page, "vocab_size"))
}

// outOfVocabulary is how servers refuse a token id: vLLM, SGLang, the embedded
// engine, and PyTorch where nobody looked.
var outOfVocabulary = regexp.MustCompile(`(?i)out of vocabulary|vocab(ulary)?[ _]size|token.?ids?\b.*\b(invalid|out of range)|index out of range|invalid token`)

// takes reports whether the server completes a prompt of this id. Refusals of
// another kind say nothing of it: the requests that follow meet them again.
func (t *Server) takes(ctx context.Context, r Retry, id int32) (bool, error) {
	r.Tries = 1
	err := t.PostRetry(ctx, r, "/v1/completions", map[string]any{
		"model": t.ModelSent(), "prompt": []int32{id, id}, "max_tokens": 1, "temperature": 0}, nil)
	var refusal *HTTPError
	if errors.As(err, &refusal) && refusal.Status != http.StatusServiceUnavailable &&
		outOfVocabulary.MatchString(refusal.Body) {
		return false, nil
	}
	if ctx.Err() != nil {
		return false, err
	}
	return true, nil
}
