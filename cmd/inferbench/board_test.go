package main

import (
	"context"
	"net/http"
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
	board := func(args ...string) (int, string) {
		code, stdout, stderr := line(t.Context(), append([]string{"board"}, args...)...)
		return code, stdout + stderr
	}
	code, out := board("backup")
	assert.Equal(t, failed, code)
	assert.Contains(t, out, "no such file")
	code, out = board("issue", "team x")
	assert.Zero(t, code, out)
	code, out = board("backup", "copy.db")
	assert.Zero(t, code, out)
	assert.FileExists(t, "copy.db")
	code, out = board("resubmit")
	assert.Zero(t, code, "nothing is pending: %s", out)
	code, out = board("submit", "batch_x")
	assert.Equal(t, failed, code)
	assert.Contains(t, out, "TEAM is empty")
	t.Setenv("LEADERBOARD_LISTEN", "nonsense")
	code, out = board("serve")
	assert.Equal(t, failed, code)
	assert.Contains(t, out, "LEADERBOARD_LISTEN")
}

// Ctrl+C ends the board, and it ends well.
func TestServeUntilStopped(t *testing.T) {
	t.Chdir(t.TempDir())
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() {
		code, _, _ := line(ctx, "board", "serve", "-listen", "127.0.0.1:18077", "-db", "x.db", "-rate", "0")
		ended <- code
	}()
	require.Eventually(t, func() bool {
		resp, err := http.Get("http://127.0.0.1:18077/api/v1/health")
		if err != nil {
			return false
		}
		return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
	}, 20*time.Second, 20*time.Millisecond)
	stop()
	require.Zero(t, <-ended)
}
