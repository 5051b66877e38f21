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
		"at the upper limit": {func(r *Result) { perplexity(r).WordPerplexity = b.WordPerplexity * 1.03 }, 0, Passed, ""},
		"above":              {func(r *Result) { perplexity(r).WordPerplexity = 3.3499 }, 0, Failed, "word_perplexity 3.3499 is 3.0 % above the baseline 3.2522 (upper limit 3.3498)"},
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

func TestJudgeSaysWhenTheToleranceIsBelowTheNoise(t *testing.T) {
	b := deepseek(t)
	r := resultLike(b)
	perplexity(r).StdErr = &StdErr{BitsPerByte: 0.008} // one of them is less than 3 %, two are more
	v := Judge(r, b, 0)
	assert.Equal(t, Passed, v.Status)
	const doubt = "the tolerance of ±3 % is smaller than two standard errors over documents: 3.6 % of bits_per_byte"
	assert.Equal(t, []string{doubt}, v.Warnings)
	assert.Empty(t, Judge(r, b, 0.04).Warnings, "a wider tolerance is not smaller than they are")
	assert.Equal(t, "all three metrics within ±3 % of deepseek-r1-0528-mxfp4; "+doubt, v.Reason, "in the words that people are shown, too")
	perplexity(r).BitsPerByte = 1
	assert.Contains(t, Judge(r, b, 0).Reason, "(upper limit 0.4620); "+doubt)
	j, err := json.Marshal(v)
	require.NoError(t, err)
	assert.Contains(t, string(j), `"status":"PASSED"`)
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
