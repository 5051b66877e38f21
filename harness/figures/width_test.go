package figures_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"inferbench/harness/figures"
)

func TestTextsAreAsWideAsTerminalsDrawThem(t *testing.T) {
	t.Setenv("LC_ALL", "zh_CN.UTF-8") // which makes some libraries draw … and µ in two columns
	for text, want := range map[string]int{
		"": 0, "tok/s": 5, "模型": 4, "µs…": 3, "ﾓﾃﾞﾙ": 4, "e\u0301": 1, "기준": 4, "×±": 2,
	} {
		assert.Equal(t, want, figures.Width(text), text)
	}
	assert.Equal(t, "模型…", figures.Cut("模型名字", 5))
	assert.Equal(t, "模型…", figures.Cut("模型名字", 6))
	assert.Equal(t, "模型名字", figures.Cut("模型名字", 8))
}
