package leaderboard

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitemigration"
	"zombiezen.com/go/sqlite/sqlitex"
)

// TestMain is the tests, or, started by one of them, a board to be killed.
func TestMain(m *testing.M) {
	if db := os.Getenv("INFERBENCH_TEST_BOARD"); db != "" {
		debug.SetGCPercent(400) // as inferbench board serve
		s, err := Start(context.Background(), Config{DB: db}, "127.0.0.1:0")
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(s.URL)
		_ = s.Wait(context.Background())
		return
	}
	os.Exit(m.Run())
}

// child starts a board in a process of its own. It gives its address and what
// kills it (SIGKILL) and says how much processor time it took.
func child(t *testing.T, db string) (url string, kill func() time.Duration) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "INFERBENCH_TEST_BOARD="+db)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	kill = sync.OnceValue(func() time.Duration {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	})
	t.Cleanup(func() { kill() })
	url, err = bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	url = strings.TrimSpace(url)
	require.True(t, strings.HasPrefix(url, "http://"), url)
	return url, kill
}

// A board that is killed while it takes submissions has every one that it
// acknowledged.
func TestKilledBoardKeepsWhatItAcknowledged(t *testing.T) {
	db := filepath.Join(t.TempDir(), "board.db")
	acknowledged := map[int64]float64{} // submission → throughput
	for round := range 3 {
		url, kill := child(t, db)

		var mu sync.Mutex
		var wg sync.WaitGroup
		enough := make(chan struct{})
		before := len(acknowledged)
		for worker := range 16 {
			wg.Go(func() {
				for i := 0; ; i++ {
					e := entry(t, fmt.Sprintf("team %d", worker%4), 1024, 1024, 4<<(i%5), 0.8+float64(round*10000+worker*500+i)*1e-6, 1, float64(i%2))
					b, err := json.Marshal(e)
					if err != nil {
						t.Error(err)
						return
					}
					resp, err := http.Post(url+"/api/v1/submissions", "application/json", strings.NewReader(string(b)))
					if err != nil {
						return // killed
					}
					var r receiptJSON
					err = json.NewDecoder(resp.Body).Decode(&r)
					resp.Body.Close()
					if err != nil {
						return
					}
					if resp.StatusCode != http.StatusCreated {
						t.Errorf("HTTP %d: %s", resp.StatusCode, r.Message)
						return
					}
					mu.Lock()
					acknowledged[r.ID] = e.TputPerGPU
					if len(acknowledged) == before+300 {
						close(enough)
					}
					mu.Unlock()
				}
			})
		}
		<-enough
		kill()
		wg.Wait()
	}

	b, err := Open(t.Context(), Config{DB: db})
	require.NoError(t, err)
	defer b.Close()
	require.NoError(t, b.store.read(t.Context(), func(c *sqlite.Conn) error {
		return sqlitex.Execute(c, "PRAGMA integrity_check", &sqlitex.ExecOptions{ResultFunc: func(s *sqlite.Stmt) error {
			assert.Equal(t, "ok", s.ColumnText(0))
			return nil
		}})
	}))
	for id, tput := range acknowledged {
		s, err := b.submission(t.Context(), id)
		require.NoError(t, err, "submission %d was acknowledged", id)
		assert.Equal(t, tput, s.TputPerGPU)
	}
	t.Logf("%d acknowledged submissions are there", len(acknowledged))
	// What the page reads must be what the submissions say.
	require.NoError(t, b.store.read(t.Context(), func(c *sqlite.Conn) error {
		return sqlitex.Execute(c, `SELECT count(*) FROM best b WHERE b.tput_per_gpu <>
			(SELECT max(tput_per_gpu) FROM submissions s WHERE s.team_id = b.team_id AND s.apart = b.apart AND s.isl = b.isl AND s.osl = b.osl AND s.conc = b.conc)`,
			&sqlitex.ExecOptions{ResultFunc: func(s *sqlite.Stmt) error {
				assert.Zero(t, s.ColumnInt(0), "cells whose best is not the best")
				return nil
			}})
	}))
}

// A log that has grown long is begun anew while submissions never cease: else it
// grows until a commit has to move all of it.
func TestTheLogIsBegunAnewUnderLoad(t *testing.T) {
	_, b := serve(t, Config{})
	execute := func(sql string) error {
		return b.store.write(t.Context(), func(c *sqlite.Conn) error { return sqlitex.Execute(c, sql, nil) })
	}
	require.NoError(t, execute("CREATE TABLE heap (x)"))
	ended := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		for {
			select {
			case <-ended:
				return
			default:
				assert.NoError(t, execute("INSERT INTO heap VALUES (1)"))
			}
		}
	})
	before := logs(t, b)
	for range restartAt*4096>>20 + 2 {
		require.NoError(t, execute("INSERT INTO heap VALUES (zeroblob(1 << 20))"))
	}
	assert.Eventually(t, func() bool { return logs(t, b) > before }, limitOfTests, tick)
	close(ended)
	writing.Wait()
}

// logs is how many times the log was begun: the checkpoint sequence number in its
// header (sqlite.org/fileformat2.html, 4.1).
func logs(t *testing.T, b *Board) uint32 {
	file, err := os.Open(b.store.path + "-wal")
	require.NoError(t, err)
	defer file.Close()
	var head [16]byte
	_, err = io.ReadFull(file, head[:])
	require.NoError(t, err)
	return binary.BigEndian.Uint32(head[12:])
}

// One of several writes that share a commit fails alone.
func TestAFailedWriteLeavesTheOthers(t *testing.T) {
	server, b := serve(t, Config{})
	hold := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { // keeps the writer busy, so that what follows waits together
		_ = b.store.write(t.Context(), func(*sqlite.Conn) error { <-hold; return nil })
	})
	require.Eventually(t, func() bool { return len(b.store.writes) == 0 }, limitOfTests, tick)
	errs := make([]error, 3)
	for i := range errs {
		wg.Go(func() {
			errs[i] = b.store.write(context.Background(), func(c *sqlite.Conn) error {
				if err := sqlitex.Execute(c, "INSERT INTO teams (name, name_key, created_ms) VALUES (?, ?, 0)", &sqlitex.ExecOptions{Args: []any{fmt.Sprint(i), fmt.Sprint(i)}}); err != nil {
					return err
				}
				if i == 1 {
					return errNotFound
				}
				return nil
			})
		})
	}
	close(hold)
	wg.Wait()
	assert.NoError(t, errs[0])
	assert.ErrorIs(t, errs[1], errNotFound)
	assert.NoError(t, errs[2])
	n := 0
	require.NoError(t, b.store.read(t.Context(), func(c *sqlite.Conn) error {
		return sqlitex.Execute(c, "SELECT count(*) FROM teams", &sqlitex.ExecOptions{ResultFunc: func(s *sqlite.Stmt) error { n = s.ColumnInt(0); return nil }})
	}))
	assert.Equal(t, 2, n)
	_ = server
}

func TestBackupOfARunningBoard(t *testing.T) {
	db := filepath.Join(t.TempDir(), "board.db")
	server, _ := serve(t, Config{DB: db})
	e := entry(t, "a", 1024, 1024, 4, 1.1, 0.9, 1.2)
	id := submitOK(t, server.URL, e)
	to := filepath.Join(t.TempDir(), "copy.db")
	n, err := Backup(t.Context(), db, to)
	require.NoError(t, err)
	assert.Equal(t, 1, n)
	submitOK(t, server.URL, entry(t, "a", 1024, 1024, 8, 1.1, 0.9, 1.2))

	_, err = Backup(t.Context(), db, to)
	assert.ErrorContains(t, err, "file already exists", "a backup never overwrites one")
	_, err = Backup(t.Context(), filepath.Join(t.TempDir(), "none.db"), to+"2")
	assert.ErrorContains(t, err, "no such file")

	copied, _ := serve(t, Config{DB: to})
	assert.Len(t, get[View](t, copied.URL+"/api/v1/boards/1024/1024").Rows, 1)
	_, file := call(t, "GET", fmt.Sprintf("%s/api/v1/submissions/%d/result", copied.URL, id), nil)
	assert.Equal(t, e.Result, file)
}

func TestFilesThatAreNoBoard(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text.db")
	require.NoError(t, os.WriteFile(text, []byte(strings.Repeat("this is not a database\n", 100)), 0o600))
	_, err := Open(t.Context(), Config{DB: text})
	assert.ErrorContains(t, err, "text.db")

	other := filepath.Join(t.TempDir(), "other.db")
	conn, err := sqlite.OpenConn(other)
	require.NoError(t, err)
	require.NoError(t, sqlitex.ExecuteScript(conn, "CREATE TABLE precious (x); INSERT INTO precious VALUES (1); PRAGMA application_id = 7;", nil))
	require.NoError(t, conn.Close())
	_, err = Open(t.Context(), Config{DB: other})
	assert.ErrorContains(t, err, "other.db", "another program's database is left alone")

	_, err = Start(t.Context(), Config{DB: filepath.Join(text, "x.db")}, "127.0.0.1:0")
	assert.Error(t, err)
}

// Who goes away while its submission waits for the disk learns from the same
// key how it went.
func TestSubmitterThatGoesAwayIsStoredAllTheSame(t *testing.T) {
	_, b := serve(t, Config{})
	e := entry(t, "x", 1024, 1024, 4, 1, 1, 0)
	busy, release := make(chan struct{}), make(chan struct{})
	go b.store.write(context.Background(), func(*sqlite.Conn) error { close(busy); <-release; return nil })
	<-busy
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := b.submit(ctx, e, "", "key", nil)
		gone <- err
	}()
	require.Eventually(t, func() bool { return len(b.store.writes) == 1 }, time.Minute, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-gone, context.Canceled)
	close(release)
	r, err := b.submit(t.Context(), e, "", "key", nil)
	require.NoError(t, err)
	assert.True(t, r.Again, "it was stored, once")
}

// A board of before the results stood in their order keeps its files and what refers
// to them.
func TestAnOlderBoardsFilesAreKept(t *testing.T) {
	db := filepath.Join(t.TempDir(), "old.db")
	conn, err := sqlite.OpenConn(db)
	require.NoError(t, err)
	old, err := schema()
	require.NoError(t, err)
	old.Migrations, old.MigrationOptions = old.Migrations[:3], nil
	require.NoError(t, sqlitemigration.Migrate(t.Context(), conn, old))
	e := entry(t, "a", 1024, 1024, 4, 1.1, 0.9, 1.2)
	gz, err := zip(e.Result)
	require.NoError(t, err)
	require.NoError(t, sqlitex.Execute(conn, "INSERT INTO teams (id, name, name_key, created_ms) VALUES (1, 'a', 'a', 0)", nil))
	require.NoError(t, sqlitex.Execute(conn, "INSERT INTO results VALUES ('abc', ?)", &sqlitex.ExecOptions{Args: []any{gz}}))
	require.NoError(t, sqlitex.Execute(conn, `INSERT INTO submissions (id, team_id, idempotency_key, payload_sha256, event_id, isl, osl, conc,
		e2e_ms, tput_per_gpu, bits_per_byte, byte_perplexity, word_perplexity, model, engine, client_limited, signed, result_sha256, created_ms)
		VALUES (1, 1, 'k', 'p', 'e', 1024, 1024, 4, ?, ?, ?, ?, ?, '', '', 0, 0, 'abc', 0)`,
		&sqlitex.ExecOptions{Args: []any{e.E2EMs, e.TputPerGPU, e.BitsPerByte, e.BytePerplexity, e.WordPerplexity}}))
	require.NoError(t, conn.Close())

	server, b := serve(t, Config{DB: db})
	_, file := call(t, "GET", server.URL+"/api/v1/submissions/1/result", nil)
	assert.Equal(t, e.Result, file)
	submitOK(t, server.URL, entry(t, "b", 1024, 1024, 4, 1.2, 0.9, 1.2))
	require.NoError(t, b.store.read(t.Context(), func(c *sqlite.Conn) error {
		return sqlitex.Execute(c, "PRAGMA foreign_key_check", &sqlitex.ExecOptions{ResultFunc: func(s *sqlite.Stmt) error {
			t.Errorf("a row of %s refers to nothing in %s", s.ColumnText(0), s.ColumnText(2))
			return nil
		}})
	}))
	assert.Len(t, get[View](t, server.URL+"/api/v1/boards/1024/1024").Rows, 2)
}
