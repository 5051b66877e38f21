package accuracy

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/baselines"
)

func resultLike(b *baselines.Accuracy) *Result {
	return &Result{Task: b.Task, MaxLength: b.MaxLength, Text: TextID{Name: "text", SHA256: b.CorpusSHA256},
		Measured: &Metrics{BitsPerByte: b.BitsPerByte, BytePerplexity: b.BytePerplexity, WordPerplexity: b.WordPerplexity}}
}

func deepseek(t *testing.T) *baselines.Accuracy {
	b, err := baselines.LoadAccuracy("deepseek-r1-0528-mxfp4")
	require.NoError(t, err)
	return b
}

func TestJudge(t *testing.T) {
	b := deepseek(t)
	for name, c := range map[string]struct {
		change    func(*Result)
		tolerance float64
		want      Status
		reason    string
	}{
		"equal":              {func(*Result) {}, 0, Passed, "within ±3 % of deepseek-r1-0528-mxfp4"},
		"at the upper limit": {func(r *Result) { perplexity(r).BytePerplexity = b.BytePerplexity * 1.03 }, 0, Passed, ""},
		"above":              {func(r *Result) { perplexity(r).BytePerplexity = 1.4056 }, 0, Failed, "byte_perplexity 1.4056 is 3.0 % above the baseline 1.3646 (upper limit 1.4055)"},
		"word_perplexity":    {func(r *Result) { perplexity(r).WordPerplexity = 5.28 }, 0, Passed, "word_perplexity 5.2800 is recorded beside the stated 3.2522 and not judged: a word of WikiText-2 has 5.35 bytes"},
		"far below":          {func(r *Result) { perplexity(r).BitsPerByte = 0.2 }, 0, Failed, "55.4 % below the baseline 0.4485 (lower limit 0.4350): the measurement or the model is not what it claims"},
		"two":                {func(r *Result) { perplexity(r).BitsPerByte, perplexity(r).BytePerplexity = 1, 2 }, 0, Failed, "bits_per_byte 1.0000 is 123.0 % above the baseline 0.4485 (upper limit 0.4620); byte_perplexity"},
		"tighter":            {func(r *Result) { perplexity(r).BytePerplexity *= 1.02 }, 0.01, Failed, "byte_perplexity"},
		"wider":              {func(r *Result) { perplexity(r).BytePerplexity *= 1.09 }, 0.1, Passed, "±10 %"},
		"NaN":                {func(r *Result) { perplexity(r).BytePerplexity = math.NaN() }, 0, Failed, "byte_perplexity"},
		"another text":       {func(r *Result) { r.Text.SHA256 = "77" + r.Text.SHA256[2:] }, 0, Failed, "not for what was measured"},
		"another window":     {func(r *Result) { r.MaxLength = 4096 }, 0, Failed, "its max_length is 2048, the run's is 4096"},
	} {
		t.Run(name, func(t *testing.T) {
			r := resultLike(b)
			c.change(r)
			v := Judge(r, b, c.tolerance)
			assert.Equal(t, c.want, v.Status, v.Reason)
			assert.Contains(t, v.Reason, c.reason)
			assert.NotContains(t, v.Reason, "\n")
			if Comparable(r, b) != nil {
				assert.Empty(t, v.Limits, "unequal things are not laid side by side")
			}
		})
	}
	sums, err := baselines.LoadAccuracy("deepseek-r1-0528-mxfp4-gsm8k")
	require.NoError(t, err)
	v := Judge(resultLike(b), sums, 0)
	assert.Equal(t, Failed, v.Status)
	assert.Contains(t, v.Reason, "its task is gsm8k, the run's is wikitext")
	v = Judge(resultLike(b), nil, 0)
	assert.Equal(t, NotRun, v.Status, "no baseline, no PASSED")
}

// What chance could have turned is said, with what to do, apart from the reason;
// what it could not is not.
func TestJudgeSaysWhenAVerdictIsAClose(t *testing.T) {
	b := deepseek(t)
	for name, c := range map[string]struct {
		value, stderr float64
		want          Status
		close         bool
	}{
		"in the middle": {0.4485, 0.006, Passed, false},
		"wide, but met": {0.4490, 0.030, Passed, false},
		"near":          {0.4600, 0.006, Passed, true},
		"near, quiet":   {0.4600, 0.0005, Passed, false},
		"just outside":  {0.4650, 0.006, Failed, true},
		"far outside":   {0.6000, 0.006, Failed, false},
	} {
		r := resultLike(b)
		perplexity(r).BitsPerByte, perplexity(r).StdErr = c.value, &StdErr{BitsPerByte: c.stderr}
		v := Judge(r, b, 0)
		assert.Equal(t, c.want, v.Status, name)
		assert.NotContains(t, v.Reason, "standard errors", name)
		require.Equal(t, c.close, len(v.Warnings) == 1, name)
		if c.close {
			assert.Contains(t, v.Warnings[0], "score a longer text (WIKITEXT)", name)
		}
	}
}

// The guide's own model passes the gate: the word_perplexity that follows from
// its bits_per_byte on WikiText-2 is not the one that it states.
func TestTheCompetitionsOwnFiguresPass(t *testing.T) {
	b := deepseek(t)
	r := resultLike(b)
	perplexity(r).WordPerplexity = math.Exp(b.BitsPerByte * math.Ln2 * 5.35)
	v := Judge(r, b, 0)
	assert.Equal(t, Passed, v.Status, v.Reason)
	l := v.Limits["word_perplexity"]
	assert.Nil(t, l.OK)
	assert.Equal(t, 3.2522, l.Baseline)
	assert.InDelta(t, 5.28, l.Value, 0.01)
	j, err := json.Marshal(l)
	require.NoError(t, err)
	assert.NotContains(t, string(j), `"lower"`)
}

func TestBaselineIsFoundOnlyForWhatWasMeasured(t *testing.T) {
	r := resultLike(deepseek(t))
	b, err := Baseline("", "amd/DeepSeek-R1-0528-MXFP4-Preview", r)
	require.NoError(t, err)
	require.NotNil(t, b)
	b, err = Baseline("", "Qwen3-8B", r)
	require.NoError(t, err)
	assert.Nil(t, b)
	r.MaxLength = 4096
	b, err = Baseline("", "DeepSeek-R1-0528-MXFP4", r)
	require.NoError(t, err)
	assert.Nil(t, b)
	_, err = Baseline("deepseek-r1-0528-mxfp4", "whatever", r)
	assert.ErrorIs(t, err, ErrOtherBaseline)
	_, err = Baseline("no-such", "whatever", r)
	assert.ErrorContains(t, err, "there are:")
}
