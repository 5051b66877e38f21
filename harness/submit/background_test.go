package submit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	_ "inferbench/harness/testdata/cleanenv" // the user's settings are not the tests'
)

// TestMain is the tests, or, started by one of them, a sweep to be killed.
func TestMain(m *testing.M) {
	dir, board := os.Getenv("INFERBENCH_TEST_BATCH"), os.Getenv("INFERBENCH_TEST_BOARD")
	if dir == "" {
		os.Exit(m.Run())
	}
	b := New(Options{URL: board, Backoff: time.Millisecond}).Background(context.Background())
	for i := range cellsOfChild {
		f := figures()
		f.Conc = i + 1
		if _, err := b.Submit(dir, f); err != nil {
			panic(err)
		}
		fmt.Println(i) // it is told as kept
	}
	b.Close()
	if report, err := b.Wait(); err != nil || report.Err() != nil {
		panic(fmt.Sprint(err, report.Err()))
	}
}

const cellsOfChild = 6

// listing is the suite's own board as far as a client sees it: it lists what it
// took, once a key.
type listing struct {
	*httptest.Server
	mu     sync.Mutex
	posts  int
	listed map[string]int // by CONC: how often
	keys   map[string]bool
	before func(post int) // called with each post before it is listed
	after  func(post int) // and before it is acknowledged
}

func newListing(t *testing.T) *listing {
	l := &listing{listed: map[string]int{}, keys: map[string]bool{}, before: func(int) {}, after: func(int) {}}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			fmt.Fprintf(w, `{"service":%q}`, ServiceName)
			return
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		var in struct{ Conc int }
		assert.NoError(t, json.NewDecoder(r.Body).Decode(&in))
		l.posts++
		l.before(l.posts)
		if key := r.Header.Get("Idempotency-Key"); !l.keys[key] {
			l.keys[key] = true
			l.listed[strconv.Itoa(in.Conc)]++
		}
		l.after(l.posts)
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"id":%d,"message":"listed"}`, l.posts)
	}))
	t.Cleanup(l.Close)
	return l
}

func TestBackground(t *testing.T) {
	board := newListing(t)
	hold := make(chan struct{})
	board.before = func(int) { <-hold }
	dir := t.TempDir()
	b := New(Options{URL: board.URL}).Background(t.Context())
	for conc := range 3 {
		f := figures()
		f.Conc = conc + 1
		o, err := b.Submit(dir, f)
		require.NoError(t, err)
		assert.Equal(t, Pending, o.Status, "while the board has not answered")
		assert.FileExists(t, o.Kept)
	}
	bad := figures()
	bad.Passed = false
	o, err := b.Submit(dir, bad)
	require.NoError(t, err)
	assert.Equal(t, Refused, o.Status)
	close(hold)
	b.Close()
	report, err := b.Wait()
	require.NoError(t, err)
	require.Len(t, report, 4)
	confirmed := 0
	for _, o := range report {
		if o.Status == Confirmed {
			confirmed++
		}
	}
	assert.Equal(t, 3, confirmed)
	pending, err := Find(dir)
	require.NoError(t, err)
	assert.Empty(t, pending)
}

// Ctrl+C leaves everything that is not confirmed on the disk.
func TestBackgroundInterrupted(t *testing.T) {
	board := newListing(t)
	ctx, cancel := context.WithCancel(t.Context())
	board.before = func(int) { cancel() }
	dir := t.TempDir()
	b := New(Options{URL: board.URL}).Background(ctx)
	for conc := range 3 {
		f := figures()
		f.Conc = conc + 1
		_, err := b.Submit(dir, f)
		require.NoError(t, err)
	}
	report, err := b.Wait() // nobody closed it: ctx did
	require.NoError(t, err)
	require.Len(t, report, 3)
	assert.ErrorContains(t, report.Err(), "pending: interrupted before")
	assert.NotContains(t, report.Err().Error(), "context canceled", "a word of Go's")
	pending, err := Find(dir)
	require.NoError(t, err)
	assert.NotEmpty(t, pending)

	board.before = func(int) {}
	again, err := New(Options{URL: board.URL}).Resubmit(t.Context(), dir)
	require.NoError(t, err)
	require.NoError(t, again.Err())
	assert.Equal(t, map[string]int{"1": 1, "2": 1, "3": 1}, board.listed)
}

// A process that is killed at any moment loses nothing that it told as kept, and
// lists nothing twice.
func TestKilledAtAnyMoment(t *testing.T) {
	for _, when := range []string{"before it is listed", "before it is acknowledged", "at some moment"} {
		for nth := 1; nth <= cellsOfChild; nth += 2 {
			t.Run(fmt.Sprint(when, " ", nth), func(t *testing.T) {
				board, dir := newListing(t), t.TempDir()
				var told bytes.Buffer
				child := exec.Command(os.Args[0])
				child.Env = append(os.Environ(), "INFERBENCH_TEST_BATCH="+dir, "INFERBENCH_TEST_BOARD="+board.URL)
				child.Stdout = &told
				kill := func(post int) {
					if post == nth {
						_ = child.Process.Kill()
					}
				}
				switch when {
				case "before it is listed":
					board.before = kill
				case "before it is acknowledged":
					board.after = kill
				}
				require.NoError(t, child.Start())
				if when == "at some moment" {
					time.AfterFunc(time.Duration(nth)*15*time.Millisecond, func() { _ = child.Process.Kill() })
				}
				_ = child.Wait()
				board.mu.Lock()
				board.before, board.after = func(int) {}, func(int) {}
				board.mu.Unlock()

				kept := bytes.Count(told.Bytes(), []byte("\n"))
				report, err := New(Options{URL: board.URL}).Resubmit(t.Context(), dir)
				require.NoError(t, err)
				require.NoError(t, report.Err())
				for conc := range kept {
					assert.Equal(t, 1, board.listed[strconv.Itoa(conc+1)], "CONC %d", conc+1)
				}
				files, err := filepath.Glob(filepath.Join(dir, "submission_*.json"))
				require.NoError(t, err)
				for _, file := range files {
					s, err := readSubmission(file)
					require.NoError(t, err, "every file is whole")
					assert.Equal(t, Confirmed, s.Status)
				}
			})
		}
	}
}
