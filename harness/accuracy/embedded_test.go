package accuracy

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/baselines"
	"inferbench/harness/engine"
	"inferbench/harness/server"
	"inferbench/harness/workload"
)

var update = flag.Bool("update", false, "write the embedded engine's accuracy baseline anew")

const embeddedBaseline = "../../baselines/accuracy/inferbench-ngram.json"

// embedded starts an engine and waits for it.
func embedded(t testing.TB, cfg engine.Config) *server.Server {
	e, err := engine.Start(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = e.Close() })
	tg := server.New(e.URL(), "", "", nil)
	require.NoError(t, tg.Wait(context.Background(), server.WaitOptions{}))
	return tg
}

// The shipped baseline must be what the shipped engine gives on the shipped
// text: whoever changes either runs `make baseline-embedded`.
func TestShippedBaselineIsTheShippedEngines(t *testing.T) {
	r, err := Score(context.Background(), embedded(t, engine.Config{}), Options{Conc: 8})
	require.NoError(t, err)
	if *update {
		b, err := json.MarshalIndent(baselines.Accuracy{
			Name: engine.ModelName, Models: []string{engine.ModelName}, Task: r.Task,
			Corpus: r.Text.Name, CorpusSHA256: r.Text.SHA256, MaxLength: r.MaxLength,
			BitsPerByte: perplexity(r).BitsPerByte, BytePerplexity: perplexity(r).BytePerplexity, WordPerplexity: perplexity(r).WordPerplexity,
			Tolerance: 0.03, DecodeArgmaxFloor: 0.99, Source: "measured on the embedded engine of this version by make baseline-embedded",
		}, "", "  ")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(embeddedBaseline, append(b, '\n'), 0o644))
	}
	b, err := baselines.LoadAccuracy(embeddedBaseline)
	require.NoError(t, err, "run `make baseline-embedded`")
	const advice = "the engine or the text has changed: run `make baseline-embedded`"
	assert.NoError(t, Comparable(r, b), advice)
	assert.InEpsilon(t, b.BitsPerByte, perplexity(r).BitsPerByte, 1e-9, advice)
	assert.InEpsilon(t, b.BytePerplexity, perplexity(r).BytePerplexity, 1e-9, advice)
	assert.InEpsilon(t, b.WordPerplexity, perplexity(r).WordPerplexity, 1e-9, advice)
	assert.Equal(t, Passed, Judge(r, b, 0).Status)
	assert.True(t, b.Matches(engine.ModelName))
}

// A damaged model must fail the gate.
func TestNoiseFailsTheGate(t *testing.T) {
	b, err := baselines.LoadAccuracy(embeddedBaseline)
	require.NoError(t, err)
	r, err := Score(context.Background(), embedded(t, engine.Config{Noise: 1}), Options{Conc: 8})
	require.NoError(t, err)
	v := Judge(r, b, 0)
	assert.Equal(t, Failed, v.Status, v.Reason)
}

func TestBothWaysOfScoringAgreeOnTheEmbeddedEngine(t *testing.T) {
	completions, err := Score(context.Background(), embedded(t, engine.Config{Dialect: engine.VLLM}), Options{Conc: 8})
	require.NoError(t, err)
	// In its SGLang dialect the engine has no log-probabilities of an echoed prompt, as
	// with lm-evaluation-harness #2982: they come from /generate.
	generate, err := Score(context.Background(), embedded(t, engine.Config{Dialect: engine.SGLang}), Options{Conc: 8})
	require.NoError(t, err)
	assert.Equal(t, "the server's /tokenize", generate.Tokenizer)
	assert.Equal(t, "/v1/completions", completions.Path)
	assert.Equal(t, "/generate", generate.Path)
	assert.Equal(t, perplexity(completions), perplexity(generate))
}

// The case that the audit is for: noise on decode alone passes wikitext, which
// only reads, and fails the audit, which looks at what was written.
func TestNoiseOnDecodeAlonePassesWikitextAndFailsTheAudit(t *testing.T) {
	b, err := baselines.LoadAccuracy(embeddedBaseline)
	require.NoError(t, err)
	src := workload.Random{N: 200, ISL: 64, OSL: 64, RangeRatio: 1, Vocab: 256, Seed: 1}
	for _, c := range []struct {
		noise float64
		want  Status
	}{{0, Passed}, {1, Failed}} {
		tg := embedded(t, engine.Config{DecodeNoise: c.noise})
		r, err := Score(context.Background(), tg, Options{Conc: 8})
		require.NoError(t, err)
		assert.Equal(t, Passed, Judge(r, b, 0).Status, "wikitext with decode noise %g", c.noise)

		a, err := auditDecode(context.Background(), tg, src, 8, decodeSample{})
		require.NoError(t, err)
		judgeDecode(a, b)
		assert.Equal(t, c.want, a.Status, a.Reason)
		assert.Equal(t, 16, a.Sequences)
		assert.Equal(t, 16*64, a.Tokens)
		if c.noise == 0 {
			assert.Equal(t, 1.0, *a.ArgmaxShare)
			assert.Zero(t, *a.P99AbsDiff)
			assert.Nil(t, a.FirstDivergence)
		} else {
			assert.Greater(t, *a.MeanAbsDiff, 0.01)
			assert.NotNil(t, a.FirstDivergence)
		}
	}
}
