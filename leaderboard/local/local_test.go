package local

import (
	"bytes"
	"net"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/settings"
	"inferbench/harness/submit"
	"inferbench/leaderboard"
)

func figures() submit.Figures {
	return submit.Figures{Team: "x", ISL: 1024, OSL: 1024, Conc: 4, E2EMs: 100, TputPerGPU: 9000, BaselineE2EMs: 6854, BaselineTputPerGPU: 131.424,
		BitsPerByte: 2.0784, BytePerplexity: 4.2233, WordPerplexity: 1086.75, Passed: true, Embedded: true}
}

// free is a loopback address that nobody listens on just now.
func free(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

func send(t *testing.T, s settings.Settings, f submit.Figures) string {
	t.Helper()
	var out bytes.Buffer
	client, err := Client(s, &out)
	require.NoError(t, err)
	report, err := client.Submit(t.Context(), t.TempDir(), []submit.Figures{f})
	require.NoError(t, err)
	require.NoError(t, report.Err())
	require.NoError(t, client.Close())
	return out.String()
}

// A fresh machine: no board runs, no database is there. And the next time.
func TestEmbeddedFiguresNeedNothing(t *testing.T) {
	s := settings.Settings{Board: settings.Board{DB: filepath.Join(t.TempDir(), "new", "submit.db"), Listen: free(t)}}
	out := send(t, s, figures())
	assert.Contains(t, out, "started for this run at http://"+s.Board.Listen)
	assert.Contains(t, out, "confirmed")
	again := figures()
	again.Conc = 8
	send(t, s, again)

	n, err := leaderboard.Backup(t.Context(), s.Board.DB, filepath.Join(t.TempDir(), "copy.db"))
	require.NoError(t, err)
	assert.Equal(t, 2, n)
}

// `make leaderboard` runs in another window: its board is used, not a second one.
func TestARunningBoardIsUsed(t *testing.T) {
	server, err := leaderboard.Start(t.Context(), leaderboard.Config{DB: filepath.Join(t.TempDir(), "running.db")}, "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { assert.NoError(t, server.Close()) }()
	db := filepath.Join(t.TempDir(), "other.db")
	out := send(t, settings.Settings{Board: settings.Board{DB: db, Listen: server.URL[len("http://"):]}}, figures())
	assert.NotContains(t, out, "started")
	assert.NoFileExists(t, db)
}

// Another program has the port: the board takes one that is free.
func TestThePortIsTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	go http.Serve(l, http.NotFoundHandler())
	out := send(t, settings.Settings{Board: settings.Board{DB: filepath.Join(t.TempDir(), "submit.db"), Listen: l.Addr().String()}}, figures())
	assert.Contains(t, out, "started for this run")
	assert.NotContains(t, out, "at http://"+l.Addr().String())
}
