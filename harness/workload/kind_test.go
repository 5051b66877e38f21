package workload_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/workload"
)

// kindCases has, for each kind by its name, what a run asks for and the first
// request and the first to warm up with that must come of it.
var kindCases = map[string]struct {
	file        string // what is in it, where the kind reads one
	spec        workload.Spec
	first, warm workload.Request
}{
	"random": {
		spec:  workload.Spec{ISL: 4, OSL: 2, Vocab: 256, Seed: 1},
		first: workload.Request{Tokens: []int32{150, 35, 176, 21}, OutputLen: 2},
		warm:  workload.Request{Tokens: []int32{51, 169, 40, 235}, OutputLen: 2},
	},
	"text": {
		spec:  workload.Spec{ISL: 5, OSL: 2, Seed: 1, Count: byWord},
		first: workload.Request{Text: "an have home is", TextLen: 5, OutputLen: 2},
		warm:  workload.Request{Text: "is went had example", TextLen: 5, OutputLen: 2},
	},
	"sharegpt": {
		file: `[{"conversations":[{"from":"human","value":"one two three"},{"from":"gpt","value":"a b c d"}]},
			{"conversations":[{"from":"human","value":"four five six"},{"from":"gpt","value":"a b c d e"}]}]`,
		spec:  workload.Spec{OSL: 2, Seed: 1, Count: byWord},
		first: workload.Request{Text: "one two three", TextLen: 4, OutputLen: 5},
		warm:  workload.Request{Text: "four five six", TextLen: 4, OutputLen: 6},
	},
	"jsonl": {
		file:  `{"prompt":[7,8],"output_len":3}` + "\n" + `{"prompt":"hello"}`,
		spec:  workload.Spec{OSL: 2},
		first: workload.Request{Tokens: []int32{7, 8}, OutputLen: 3},
		warm:  workload.Request{Text: "hello", OutputLen: 2},
	},
}

// A kind that is added is tried, is told in the help and stands in the docs.
func TestKinds(t *testing.T) {
	docs, err := os.ReadFile("../../docs/client.md")
	require.NoError(t, err)
	for _, k := range workload.Kinds {
		t.Run(k.Name, func(t *testing.T) {
			assert.NotEmpty(t, k.What)
			assert.True(t, strings.Contains(string(docs), "\n| `"+k.Name+"` |"), "docs/client.md has no row for it")
			named, err := workload.KindNamed(k.Name)
			require.NoError(t, err)
			assert.Same(t, k, named)

			c, ok := kindCases[k.Name]
			require.True(t, ok, "kindCases has no case for it")
			c.spec.Kind, c.spec.N, c.spec.WarmUp = k, 1, 1
			if k.File {
				c.spec.Path = file(t, c.file)
			}
			c.warm.Index = -1
			src, notes := open(t, c.spec)
			assert.Empty(t, notes)
			assert.Equal(t, c.first, request(t, src, 0))
			assert.Equal(t, c.warm, request(t, src, -1))
			require.NoError(t, workload.Check(src))

			c.spec.Trace = true
			if _, _, err := workload.Open(t.Context(), c.spec); !k.Times {
				assert.ErrorContains(t, err, "has no times")
			}
			if c.spec.Trace = false; k.Counts == workload.Needed {
				c.spec.Count = nil
				_, _, err := workload.Open(t.Context(), c.spec)
				assert.ErrorContains(t, err, "no tokenizer")
			}
			if k.File {
				c.spec.Path = ""
				_, _, err := workload.Open(t.Context(), c.spec)
				assert.ErrorContains(t, err, "names no file")
			}
		})
	}
	_, err = workload.KindNamed("sonnet")
	assert.ErrorContains(t, err, "want random, text, ")
	files := workload.KindNames(func(k *workload.Kind) bool { return k == workload.ShareGPT || k == workload.JSONL })
	assert.Equal(t, "sharegpt or jsonl", files)
}
