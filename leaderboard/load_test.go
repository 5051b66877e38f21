package leaderboard

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// padding brings a result file to the size of a real one, some 7 KB.
func padding(i int) []string {
	out := make([]string, 180)
	for k := range out {
		out[k] = strconv.Itoa(1_000_003*(k+1)*(i+1)) + " is a setting"
	}
	return out
}

// TestLoad sends submissions, each with its result file, to a board in a
// process of its own at a fixed rate, whatever the board does, while others
// read its page; then it counts that all are there. `make leaderboard-load`
// runs it and docs/leaderboard.md has the figures. How long anything took is
// printed and is no condition to pass.
//
// LEADERBOARD_LOAD is the rate in submissions a second, LEADERBOARD_LOAD_FOR
// for how long (at most 2 minutes). A latency counts from the moment at which
// the submission was due, so waiting for a connection counts too.
func TestLoad(t *testing.T) {
	perSecond, err := strconv.Atoi(os.Getenv("LEADERBOARD_LOAD"))
	if err != nil {
		t.Skip("make leaderboard-load runs it")
	}
	length, err := time.ParseDuration(os.Getenv("LEADERBOARD_LOAD_FOR"))
	if err != nil || length <= 0 || length > 2*time.Minute || perSecond < 1 || perSecond > 10000 {
		t.Fatal("want LEADERBOARD_LOAD from 1 to 10000 a second and LEADERBOARD_LOAD_FOR of at most 2m")
	}
	n := int(float64(perSecond) * length.Seconds())
	const teams, readers, pause = 50, 8, 250 * time.Millisecond
	bodies := make([][]byte, n)
	for i := range bodies {
		e := entry(t, fmt.Sprintf("team %d", i%teams), 1024, 1024, 4<<(i/teams%5), 0.7+0.3*float64(i)/float64(n), 1, 1)
		bodies[i], err = json.Marshal(with(t, e, "settings", padding(i))) // to the size of a real result file
		require.NoError(t, err)
	}
	db := filepath.Join(t.TempDir(), "board.db")
	url, stop := child(t, db)

	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConns: 0, MaxIdleConnsPerHost: 1024}}
	var mu sync.Mutex
	var submits, pages []time.Duration
	failed := 0
	note := func(to *[]time.Duration, since time.Time, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		if !ok {
			failed++
		}
		*to = append(*to, time.Since(since))
	}
	ended := make(chan struct{})
	var reading, sending sync.WaitGroup
	for range readers {
		reading.Go(func() {
			for {
				select {
				case <-ended:
					return
				case <-time.After(pause):
				}
				at := time.Now()
				resp, err := client.Get(url + "/isl1024_osl1024")
				ok := err == nil && resp.StatusCode == http.StatusOK
				if err == nil {
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				note(&pages, at, ok)
			}
		})
	}
	start := time.Now()
	for i, body := range bodies {
		due := start.Add(time.Duration(i) * time.Second / time.Duration(perSecond))
		time.Sleep(time.Until(due))
		sending.Go(func() {
			resp, err := client.Post(url+"/api/v1/submissions", "application/json", bytes.NewReader(body))
			ok := err == nil && resp.StatusCode == http.StatusCreated
			if err == nil {
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			note(&submits, due, ok)
		})
	}
	sending.Wait()
	took := time.Since(start)
	close(ended)
	reading.Wait()
	used := stop()

	at := func(ds []time.Duration, q float64) time.Duration {
		slices.Sort(ds)
		return ds[min(int(q*float64(len(ds))), len(ds)-1)].Round(100 * time.Microsecond)
	}
	fmt.Printf("%d submissions of %d bytes in %.1f s: %.0f/s; %d failed\n", n, len(bodies[0]), took.Seconds(), float64(n)/took.Seconds(), failed)
	fmt.Printf("submission, due to acknowledged: p50 %v, p90 %v, p99 %v, max %v\n", at(submits, .5), at(submits, .9), at(submits, .99), at(submits, 1))
	fmt.Printf("page, %d reads meanwhile (%.0f/s): p50 %v, p99 %v, max %v\n", len(pages), float64(len(pages))/took.Seconds(), at(pages, .5), at(pages, .99), at(pages, 1))
	fmt.Printf("the board took %.0f %% of one processor core\n", 100*used.Seconds()/took.Seconds())
	assert.Zero(t, failed)

	b, err := Open(t.Context(), Config{DB: db})
	require.NoError(t, err)
	defer b.Close()
	require.NoError(t, b.store.read(t.Context(), func(c *sqlite.Conn) error {
		return sqlitex.Execute(c, "SELECT count(*), count(DISTINCT result_sha256) FROM submissions", &sqlitex.ExecOptions{ResultFunc: func(s *sqlite.Stmt) error {
			assert.Equal(t, n, s.ColumnInt(0))
			assert.Equal(t, n, s.ColumnInt(1))
			return nil
		}})
	}))
}

// TestLoadManyTeams reads the page of a board of ten thousand teams, each time
// after a submission, so that none is served from memory. How long it took is
// printed and is no condition to pass.
func TestLoadManyTeams(t *testing.T) {
	if os.Getenv("LEADERBOARD_LOAD") == "" {
		t.Skip("make leaderboard-load runs it")
	}
	server, b := serve(t, Config{})
	const teams, reads = 10_000, 50
	manyTeams(t, b, teams)
	var fresh, kept []time.Duration
	read := func(path string) time.Duration {
		at := time.Now()
		status, html := call(t, "GET", server.URL+path, nil)
		require.Equal(t, http.StatusOK, status)
		require.Contains(t, html, "The first 100 of 1")
		return time.Since(at)
	}
	for i := range reads {
		submitOK(t, server.URL, entry(t, "newcomer", 1024, 1024, 4, 1+float64(i)/1000, 1, 1))
		fresh = append(fresh, read("/isl1024_osl1024"))
		kept = append(kept, read("/isl1024_osl1024"))
	}
	slices.Sort(fresh)
	slices.Sort(kept)
	fmt.Printf("page of %d teams, %d reads: made anew p50 %v, max %v; unchanged p50 %v, max %v\n", teams, reads,
		fresh[reads/2].Round(100*time.Microsecond), fresh[reads-1].Round(100*time.Microsecond), kept[reads/2].Round(100*time.Microsecond), kept[reads-1].Round(100*time.Microsecond))
}
