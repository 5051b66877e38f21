package main

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestVerbs(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("LEADERBOARD_DB", "x.db")
	t.Setenv("ISL", "nonsense") // a sweep's setting: none of the board's business
	ctx := t.Context()

	assert.ErrorContains(t, run(ctx, []string{"fly"}), "want serve, backup, issue, submit or resubmit")
	assert.ErrorContains(t, run(ctx, []string{"backup"}), "no such file")
	assert.ErrorContains(t, run(ctx, []string{"issue"}), "want one team name")
	require.NoError(t, run(ctx, []string{"issue", "team x"}))
	require.NoError(t, run(ctx, []string{"backup", "copy.db"}))
	assert.FileExists(t, "copy.db")
	require.NoError(t, run(ctx, []string{"resubmit"}), "nothing is pending")
	t.Setenv("LEADERBOARD_LISTEN", "nonsense")
	assert.ErrorContains(t, run(ctx, nil), "LEADERBOARD_LISTEN")
}

// Ctrl+C ends the board, and it ends well.
func TestServeUntilStopped(t *testing.T) {
	t.Chdir(t.TempDir())
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	require.NoError(t, err)
	stdout := os.Stdout
	os.Stdout = out
	defer func() { os.Stdout = stdout }()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, []string{"-listen", "127.0.0.1:18077", "-db", "x.db", "-rate", "0"}) }()
	require.Eventually(t, func() bool {
		resp, err := http.Get("http://127.0.0.1:18077/api/v1/health")
		if err != nil {
			return false
		}
		return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
	}, 20*time.Second, 20*time.Millisecond)
	stop()
	require.NoError(t, <-ended)
}
