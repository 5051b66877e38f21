package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/batch"
	"inferbench/harness/history"
	"inferbench/harness/matrix"
)

func TestHistory(t *testing.T) {
	dir := t.TempDir()
	run := func(args ...string) (int, string, string) {
		var out, errs bytes.Buffer
		code := execute(context.Background(), append([]string{"history"}, args...), &out, &errs)
		return code, out.String(), errs.String()
	}
	code, _, errs := run(dir)
	assert.Equal(t, 1, code)
	assert.Equal(t, "inferbench history: no batch in "+dir+"\n", errs)

	combo := matrix.Combination{ISL: 16, OSL: 8}
	b, err := batch.Create(dir, batch.Header{Combination: combo, Cells: []matrix.Cell{{Combination: combo, Conc: 4}}})
	require.NoError(t, err)
	require.NoError(t, b.WritePlan(batch.Server{Model: "m", Backend: "vllm", Version: "1"}, batch.Settings{"LABEL": "cut off"}, nil))
	require.NoError(t, b.Close())
	t.Setenv("RESULTS_DIR", dir)
	code, out, errs := run()
	require.Zero(t, code, errs)
	assert.Contains(t, out, "\nm (16,8) on vllm 1\n")
	assert.Regexp(t, "0/1 +cut off", out)
	page, err := os.ReadFile(filepath.Join(dir, history.HTMLName))
	require.NoError(t, err)
	assert.Contains(t, string(page), "<h1>History</h1>")
}
