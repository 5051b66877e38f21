package accuracy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/corpus"
	"inferbench/harness/hint"
	"inferbench/harness/server"
)

func writeText(t *testing.T, raw string) string {
	file := filepath.Join(t.TempDir(), "text.raw")
	require.NoError(t, os.WriteFile(file, []byte(raw), 0o644))
	return file
}

const twoArticles = " \n = One = \n \n Some words , and some more . \n \n = Two = \n \n Fewer words . \n"

// The three metrics equal those computed here from the definitions alone.
func TestScoreEqualsItsDefinition(t *testing.T) {
	f := &fake{}
	var calls []int
	r, err := Score(context.Background(), serve(t, f), Options{Files: wikitextAt(writeText(t, twoArticles)), MaxLength: 12, Conc: 3,
		OnProgress: func(done, total int) { calls = append(calls, done, total) }})
	require.NoError(t, err)

	var ll float64
	tokens, windows := 0, 0
	for _, detokenized := range []string{" = One =\n\nSome words, and some more.\n", " = Two =\n\nFewer words.\n"} {
		ids := append([]int32{fakeBOS}, bytesOf(detokenized)...)
		for i := 1; i < len(ids); i++ {
			ll += fakeLogprob(ids[i-1], ids[i])
		}
		tokens += len(ids) - 1
		windows += (len(ids) - 1 + 9) / 10
	}
	docs := SplitDocuments(twoArticles)
	require.Len(t, docs, 2)
	bytes, words := docs[0].Bytes+docs[1].Bytes, docs[0].Words+docs[1].Words
	assert.InEpsilon(t, -ll/float64(bytes)/math.Ln2, perplexity(r).BitsPerByte, 1e-12)
	assert.InEpsilon(t, math.Exp(-ll/float64(bytes)), perplexity(r).BytePerplexity, 1e-12)
	assert.InEpsilon(t, math.Exp(-ll/float64(words)), perplexity(r).WordPerplexity, 1e-12)
	assert.Equal(t, TextID{Name: "text.raw", SHA256: r.Text.SHA256, Documents: 2, Words: words, Bytes: bytes, Tokens: tokens}, r.Text)
	assert.Equal(t, windows, perplexity(r).Windows)
	assert.EqualValues(t, fakeBOS, *r.Prefix)
	assert.Equal(t, "/v1/completions", r.Path)
	assert.Equal(t, []int{1, windows}, calls[:2])
	assert.Equal(t, []int{windows, windows}, calls[len(calls)-2:])
}

func bytesOf(s string) (ids []int32) {
	for _, b := range []byte(s) {
		ids = append(ids, int32(b))
	}
	return ids
}

// The first requests are answered only when CONC of them are there.
func TestScoreKeepsConcInFlight(t *testing.T) {
	for _, conc := range []int32{1, 4} {
		met, came := make(chan struct{}), atomic.Int32{}
		f := &fake{completions: func([]int32, map[string]any) (int, string) {
			switch n := came.Add(1) - 1; { // the first of all is the probe, alone
			case n == conc:
				time.Sleep(20 * time.Millisecond) // in which one too many would come
				close(met)
			case n > 0:
				select {
				case <-met:
				case <-time.After(10 * time.Second): // they never will
				}
			}
			return 0, ""
		}}
		_, err := Score(context.Background(), serve(t, f), Options{Files: wikitextAt(writeText(t, twoArticles+strings.Repeat("more words \n", 30))), MaxLength: 8, Conc: int(conc)})
		require.NoError(t, err)
		assert.Equal(t, conc, f.most.Load())
	}
}

// Figures must not depend on the order in which answers come, nor on how many
// are in flight.
func TestScoreIsTheSameEveryTime(t *testing.T) {
	var first Metrics
	for i, conc := range []int{1, 2, 16, 16} {
		r, err := Score(context.Background(), serve(t, &fake{}), Options{Files: wikitextAt(writeText(t, heldOut)), MaxLength: 64, Conc: conc})
		require.NoError(t, err)
		if i == 0 {
			first = *perplexity(r)
		}
		assert.Equal(t, first, *perplexity(r))
	}
}

func TestOneBadAnswerFailsTheWholeScore(t *testing.T) {
	bad := func(body string) func([]int32, map[string]any) (int, string) {
		n := 0
		return func([]int32, map[string]any) (int, string) {
			if n++; n == 3 { // the first is the probe
				return 200, body
			}
			return 0, ""
		}
	}
	values := func(at string) string {
		return `{"choices":[{"logprobs":{"token_logprobs":[null` + strings.Repeat(",-1", 5) + "," + at + strings.Repeat(",-1", 5) + `]}}]}`
	}
	for name, c := range map[string]struct {
		body string
		want error
	}{
		"null":            {values("null"), server.ErrNullLogprob},
		"NaN":             {values("NaN"), server.ErrNotFinite},
		"minus infinity":  {values("-Infinity"), server.ErrNotFinite},
		"vLLM's -9999":    {values("-9999.0"), server.ErrNotFinite},
		"above certainty": {values("0.7"), server.ErrPositive},
		"no logprobs":     {`{"choices":[{"text":"x"}]}`, server.ErrNoPromptLogprobs},
		"too few":         {`{"choices":[{"logprobs":{"token_logprobs":[-1]}}]}`, server.ErrNoPromptLogprobs},
		"llama.cpp's":     {`{"choices":[{"logprobs":{"content":[{"logprob":-1}]}}]}`, server.ErrNoPromptLogprobs},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Score(context.Background(), serve(t, &fake{completions: bad(c.body)}),
				Options{Files: wikitextAt(writeText(t, " = A = \n"+strings.Repeat("x", 42))), MaxLength: 12, Retry: quick})
			require.ErrorIs(t, err, c.want)
			assert.ErrorContains(t, err, "document 1 of 1, window 2")
			assert.NotContains(t, err.Error(), "\n")
		})
	}
}

func TestScoreTriesAgainWhenTheServerIsBusy(t *testing.T) {
	for _, status := range []int{429, 500, 502, 503, 504} {
		var n atomic.Int32
		f := &fake{completions: func([]int32, map[string]any) (int, string) {
			if n.Add(1)%2 == 1 {
				return status, "busy"
			}
			return 0, ""
		}}
		_, err := Score(context.Background(), serve(t, f), Options{Files: wikitextAt(writeText(t, twoArticles)), MaxLength: 12, Retry: quick})
		assert.NoError(t, err, "HTTP %d", status)
	}
	f := &fake{completions: func([]int32, map[string]any) (int, string) { return 503, "full" }, generate: func([]int32, map[string]any) (int, string) { return 404, "" }}
	_, err := Score(context.Background(), serve(t, f), Options{Files: wikitextAt(writeText(t, twoArticles)), MaxLength: 12, Retry: quick})
	require.ErrorIs(t, err, server.ErrCannotScore)
	assert.ErrorContains(t, err, "HTTP 503: full (tried 3 times)")
}

func TestScoreStopsWhenToldTo(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	f := &fake{before: func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/v1/completions" {
			_, _ = io.Copy(io.Discard, r.Body) // only then does the server notice that the client left
			cancel()
			<-r.Context().Done()
		}
		return false
	}}
	_, err := Score(ctx, serve(t, f), Options{Files: wikitextAt(writeText(t, twoArticles))})
	assert.ErrorIs(t, err, context.Canceled)
}

func TestWhatCannotBeScoredIsSaidBeforeAnyIsScored(t *testing.T) {
	good := writeText(t, twoArticles)
	for want, c := range map[string]struct {
		f      *fake
		o      Options
		maxLen int
	}{
		"no /tokenize":           {&fake{noTokenize: true}, Options{Files: wikitextAt(good)}, 0},
		"set TOKENIZER to":       {&fake{noTokenize: true}, Options{Files: wikitextAt(good)}, 0},
		"TOKENIZER: open":        {&fake{noTokenize: true}, Options{Files: wikitextAt(good), Tokenizer: "/no/such/tokenizer.json"}, 0},
		"TOKENIZER=../tokenizer": {&fake{noTokenize: true}, Options{Files: wikitextAt(good), Tokenizer: "../tokenizer/testdata/gpt2.json"}, 0},
		"or ACC_PREFIX_TOKEN to": {&fake{noPrefix: true}, Options{Files: wikitextAt(good)}, 0},
		"save it as UTF-8":       {&fake{}, Options{Files: wikitextAt(writeText(t, "\xff\xfe"))}, 0},
		"something in it":        {&fake{}, Options{Files: wikitextAt(writeText(t, " \n\u2028 \n"))}, 0},
		"ACC_MAX_LENGTH=3":       {&fake{}, Options{Files: wikitextAt(good), MaxLength: 3}, 0},
		"than the 1024 tokens":   {&fake{}, Options{Files: wikitextAt(good)}, 1024},
		"no such file":           {&fake{}, Options{Files: wikitextAt("/no/such/file")}, 0},
		"cache (CACHE_DIR)":      {&fake{}, Options{Cache: corpus.Cache{Dir: good}}, 0},
		"cannot score a prompt:": {&fake{completions: refuse, generate: refuse}, Options{Files: wikitextAt(good)}, 0},
	} {
		tg := serve(t, c.f)
		tg.MaxLen = c.maxLen
		c.o.Retry = quick
		_, err := Score(context.Background(), tg, c.o)
		require.Error(t, err, want)
		assert.Contains(t, hint.Line(err), want)
		assert.NotContains(t, err.Error(), "\n")
	}
}

// A router in front of a server has ways of its own to say that it knows no
// /tokenize. The file that the user names for that case is then used; a server
// that is merely busy is no such case.
func TestTheTokenizerFileServesWhereTheServerGivesNoTokens(t *testing.T) {
	o := Options{Files: wikitextAt(writeText(t, twoArticles)), Tokenizer: "../tokenizer/testdata/bytes", Retry: quick}
	for _, answer := range []string{"404 no", "400 unknown route", "403 forbidden", "422 no field prompt", "500 KeyError", "200 <html>sign in</html>", "200 {}"} {
		f := &fake{tokenize: answer}
		r, err := Score(context.Background(), serve(t, f), o)
		require.NoError(t, err, answer)
		assert.Equal(t, o.Tokenizer, r.Tokenizer, answer)

		bare := o
		bare.Tokenizer = ""
		_, err = Score(context.Background(), serve(t, f), bare)
		require.ErrorIs(t, err, server.ErrNoTokenizer, answer)
		assert.Equal(t, "set TOKENIZER to the path of the model's tokenizer.json", hint.For(err))
		assert.Equal(t, 1, strings.Count(err.Error(), server.ErrNoTokenizer.Error()), err.Error())
	}
	r, err := Score(context.Background(), serve(t, &fake{}), o)
	require.NoError(t, err)
	assert.Equal(t, "the server's /tokenize", r.Tokenizer, "the server's own goes first")
	r, err = Score(context.Background(), serve(t, &fake{noPrefix: true}), o)
	require.NoError(t, err)
	assert.Equal(t, "the server's /tokenize", r.Tokenizer, "also where only the file knows the prefix")
	assert.EqualValues(t, fakeBOS, *r.Prefix)
	_, err = Score(context.Background(), serve(t, &fake{tokenize: "503 busy"}), o)
	assert.ErrorContains(t, err, "HTTP 503: busy (tried 3 times)")
}

// A server that adds a BOS though it was told not to would have each document begin
// with two of them.
func TestABOSThatNobodyAskedForIsLeftOut(t *testing.T) {
	bos := int32(fakeBOS)
	o := Options{Files: wikitextAt(writeText(t, twoArticles)), Retry: quick, Prefix: &bos}
	want, err := Score(t.Context(), serve(t, &fake{}), o)
	require.NoError(t, err)
	got, err := Score(t.Context(), serve(t, &fake{alwaysBOS: true}), o)
	require.NoError(t, err)
	assert.Equal(t, want.Measured, got.Measured)
}

func refuse([]int32, map[string]any) (int, string) { return 400, `{"error":{"message":"no"}}` }

func TestScoreUsesGenerateWhereCompletionsCannotScore(t *testing.T) {
	file := writeText(t, twoArticles)
	want, err := Score(context.Background(), serve(t, &fake{}), Options{Files: wikitextAt(file), MaxLength: 12})
	require.NoError(t, err)
	for name, f := range map[string]*fake{
		"refused": {completions: refuse},
		"generated only": {completions: func([]int32, map[string]any) (int, string) {
			return 200, `{"choices":[{"logprobs":{"token_logprobs":[-1]}}]}`
		}},
		"max_tokens 1 not": {completions: refuse, generate: onlyZeroTokens},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Score(context.Background(), serve(t, f), Options{Files: wikitextAt(file), MaxLength: 12, Retry: quick})
			require.NoError(t, err)
			assert.Equal(t, "/generate", got.Path)
			assert.Equal(t, perplexity(want), perplexity(got))
		})
	}
}

func onlyZeroTokens(_ []int32, body map[string]any) (int, string) {
	if n := body["sampling_params"].(map[string]any)["max_new_tokens"]; n != 0.0 {
		return 400, fmt.Sprintf("max_new_tokens must be 0, got %v", n)
	}
	return 0, ""
}

// A server that answers chats alone has nothing that these tasks could ask: that
// is no fault of its model.
func TestAChatOnlyServerIsNotRun(t *testing.T) {
	chats := 0
	f := &fake{before: func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/v1/chat/completions" {
			chats++
			fmt.Fprint(w, `{"choices":[{"message":{"content":"a"}}]}`)
			return true
		}
		http.NotFound(w, r)
		return true
	}}
	var unmeasured *Unmeasured
	for _, task := range []string{"wikitext", "gsm8k"} {
		tg := serve(t, f)
		tg.Loopback = task == "gsm8k" // the own questions
		_, err := Score(context.Background(), tg, Options{Task: task, Files: wikitextAt(writeText(t, twoArticles)), Retry: quick})
		require.ErrorAs(t, err, &unmeasured, task)
		assert.Contains(t, unmeasured.Reason, "chats alone")
	}
	assert.Equal(t, 2, chats)
	neither := &fake{before: func(w http.ResponseWriter, r *http.Request) bool { http.NotFound(w, r); return true }}
	_, err := Score(context.Background(), serve(t, neither), Options{Files: wikitextAt(writeText(t, twoArticles)), Retry: quick})
	require.Error(t, err)
	assert.False(t, errors.As(err, &unmeasured), "a server that answers nothing has failed")

	_, err = Score(context.Background(), serve(t, neither), Options{Task: "none"})
	require.ErrorAs(t, err, &unmeasured)
	assert.Equal(t, "accuracy was not asked for", unmeasured.Reason)
}

// The text of record, from the cache, is scored on any server that is not the
// embedded engine; here a spoilt one shows that it is what is looked for, and
// that no other text takes its place.
func TestOtherServersAreScoredOnTheTextOfRecordAlone(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "wiki.test.raw"), []byte(twoArticles), 0o644))
	f := &fake{}
	_, err := Score(context.Background(), serve(t, f), Options{Cache: corpus.Cache{Dir: dir}})
	require.ErrorIs(t, err, corpus.ErrDigest)
	assert.Zero(t, f.scores.Load())
}

// Wherever it lies, a copy of the text of record goes by its name.
func TestACopyOfTheTextOfRecordIsCalledThat(t *testing.T) {
	record := corpus.WikiText2
	t.Cleanup(func() { corpus.WikiText2 = record })
	corpus.WikiText2.SHA256 = corpus.Digest([]byte(twoArticles))
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "wiki.test.raw"), []byte(twoArticles), 0o644))
	for _, o := range []Options{{Files: wikitextAt(writeText(t, twoArticles))}, {Cache: corpus.Cache{Dir: dir}}} {
		r, err := Score(context.Background(), serve(t, &fake{}), o)
		require.NoError(t, err)
		assert.Equal(t, "wikitext-2-raw-v1 test", r.Text.Name)
		assert.Equal(t, corpus.WikiText2.SHA256, r.Text.SHA256)
	}
	r, err := Score(context.Background(), serve(t, &fake{}), Options{Files: wikitextAt(writeText(t, twoArticles+" "))})
	require.NoError(t, err)
	assert.Equal(t, "text.raw", r.Text.Name)
}

func TestWikitextMayBeAZipArchiveOrAParquetFile(t *testing.T) {
	want, err := Score(context.Background(), serve(t, &fake{}), Options{Files: wikitextAt("texts/heldout.txt")})
	require.NoError(t, err)
	for _, form := range []string{"lines.parquet", "pages.parquet"} {
		got, err := Score(context.Background(), serve(t, &fake{}), Options{Files: wikitextAt("../corpus/testdata/" + form)})
		require.NoError(t, err)
		assert.Equal(t, perplexity(want), perplexity(got))
		assert.Equal(t, want.Text.SHA256, got.Text.SHA256, "the digest is the raw text's, whatever the form")
	}
}
