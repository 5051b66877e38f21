package progress

import (
	"bytes"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/batch"
	"inferbench/harness/load"
	"inferbench/harness/matrix"
	"inferbench/harness/stats"
	"inferbench/harness/sweep"
)

var cells = []matrix.Cell{
	{Combination: matrix.Combination{ISL: 100, OSL: 100}, Conc: 4, NumPrompts: 200},
	{Combination: matrix.Combination{ISL: 100, OSL: 100}, Conc: 8, NumPrompts: 400},
}

func TestEstimate(t *testing.T) {
	e := newEstimate(cells, 2)
	_, known := e.left(cells[0], 0)
	assert.False(t, known, "before anything was measured nothing is promised")
	e.running(cells[0], 3, time.Second)
	_, known = e.left(cells[0], 3)
	assert.False(t, known, "nor from the first wave")

	e.running(cells[0], 100, 10*time.Second) // 10 requests a second
	left, known := e.left(cells[0], 100)
	require.True(t, known)
	// 100 of this pass, 200 of the next, twice 400 of the other cell.
	assert.Equal(t, 110*time.Second, left.Round(time.Millisecond))
	e.ended(cells[0])
	e.ended(cells[0])
	left, _ = e.left(cells[1], 0)
	assert.Equal(t, 80*time.Second, left.Round(time.Millisecond))
	e.skip(cells[1])
	left, _ = e.left(cells[1], 0)
	assert.Zero(t, left)
}

// screen reads what is drawn on a terminal.
type screen struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

func TestLiveOnATerminal(t *testing.T) {
	master, tty, err := pty.Open()
	require.NoError(t, err)
	defer master.Close()
	defer tty.Close()
	require.NoError(t, pty.Setsize(tty, &pty.Winsize{Rows: 24, Cols: 120}))
	s := new(screen)
	go func() {
		chunk := make([]byte, 4096)
		for {
			n, err := master.Read(chunk)
			s.mu.Lock()
			s.buf.Write(chunk[:n])
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	live := New(Options{TTY: tty, Cells: cells, Count: 1, Title: "m on vllm 0.23, http://h:1"})
	live.Accuracy(cells[0], 1, 62)
	live.Accuracy(cells[0], 62, 62)
	shows := func(p load.Progress, want ...string) {
		t.Helper()
		require.Eventually(t, func() bool {
			live.Serving(cells[0], p)
			for _, w := range want {
				if !bytes.Contains([]byte(s.text()), []byte(w)) {
					return false
				}
			}
			return true
		}, 20*time.Second, 20*time.Millisecond, "%q in %q", want, s.text())
	}
	shows(load.Progress{WarmUp: true, Done: 1, Total: 8, InFlight: 4, Elapsed: time.Second}, "isl=100/osl=100/conc=4 warm-up", "1/8 requests", "time left not known yet")
	shows(load.Progress{Done: 50, Failed: 3, Total: 200, InFlight: 4, Elapsed: 10 * time.Second, OutputTokens: 5000, TTFT: load.Spread{P50: 86 * time.Millisecond, P99: 201 * time.Millisecond}},
		"benchmark", "50/200 requests, 30s left", "500 output tok/s now", "TTFT p50 86 ms p99 201 ms", "3 failed",
		"sweep: 0 of 2 cells ended", "about 1m50s left")
	shows(load.Progress{Done: 200, Failed: 3, Total: 200, Elapsed: 40 * time.Second, OutputTokens: 20000}, "200/200 requests, checking what was answered")
	live.Ended(cells[0], &batch.Result{Status: batch.Failed, Performance: &stats.Summary{TputPerGPU: new(12.5), TTFT: stats.Dist{Median: new(86.0)}}})
	assert.Contains(t, s.text(), "m on vllm 0.23, http://h:1")
	require.Eventually(t, func() bool {
		return bytes.Contains([]byte(s.text()), []byte("isl=100/osl=100/conc=4: FAILED · tok/s/GPU 12.50 · TTFT p50 86.00 ms\r\n"))
	},
		20*time.Second, 20*time.Millisecond, "the cell that ended stays above")
	before := len(s.text())
	live.Serving(cells[1], load.Progress{Done: 1, Total: 400, Elapsed: time.Millisecond})
	assert.Nil(t, live.shown, "just after a cell the terminal is its result's")
	time.Sleep(settle)
	live.Serving(cells[1], load.Progress{Done: 1, Total: 400, Elapsed: time.Second})
	require.Eventually(t, func() bool {
		return bytes.Contains([]byte(s.text()[before:]), []byte("1 of 2 cells ended, 1 not passed"))
	}, 20*time.Second, 20*time.Millisecond)
	live.Ended(cells[1], &batch.Result{Status: batch.Passed})
	assert.Nil(t, live.shown)
}

// However long its line, the count of failures is in sight on 80 columns.
func TestFailuresAreInSight(t *testing.T) {
	live := New(Options{Cells: cells, Count: 1})
	live.last = load.Progress{Done: 50, Failed: 1234, Total: 3200, InFlight: 1024, Elapsed: time.Second, OutputTokens: 1234567,
		TTFT: load.Spread{P50: 12345 * time.Millisecond, P99: 67890 * time.Millisecond}}
	line := []rune(live.figuresLine("benchmark"))
	assert.Contains(t, string(line[:min(len(line), 80)]), "1234 failed", string(line))
}

func TestChoose(t *testing.T) {
	tty, err := os.CreateTemp(t.TempDir(), "tty")
	require.NoError(t, err)
	defer tty.Close()
	choose := func(way string, tty *os.File) sweep.Watcher {
		return Choose(Options{Way: way, TTY: tty, Plain: io.Discard, Cells: cells, Count: 1})
	}
	t.Setenv("TERM", "xterm")
	assert.IsType(t, &Live{}, choose("auto", tty))
	t.Setenv("TERM", "dumb")
	assert.IsType(t, &Lines{}, choose("auto", tty), "it cannot be drawn on")
	assert.IsType(t, &Live{}, choose("live", tty))
	assert.IsType(t, &Lines{}, choose("auto", nil))
	assert.IsType(t, &Lines{}, choose("lines", tty))
	assert.Equal(t, All{}, choose("none", tty))
}

func TestTheTimeLeftDoesNotGrow(t *testing.T) {
	var c countdown
	for _, step := range []struct {
		of         string
		left, want time.Duration
	}{{"a", 10, 10}, {"a", 8, 8}, {"a", 12, 8}, {"a", 7, 7}, {"b", 30, 30}, {"b", 29, 29}} {
		assert.Equal(t, step.want, c.show(step.of, step.left))
	}
}

// Moving a bar waits for its drawing, so drawing must wait for nothing: a view
// that did hung a sweep. Calls come from several goroutines here, as fast as
// they can, while the terminal is drawn to.
func TestLiveNeverHangs(t *testing.T) {
	master, tty, err := pty.Open()
	require.NoError(t, err)
	defer master.Close()
	defer tty.Close()
	go io.Copy(io.Discard, master)
	live := New(Options{TTY: tty, Cells: cells, Count: 1, Title: "m on vllm 0.23, http://h:1"})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for until, n := time.Now().Add(2*time.Second), 0; time.Now().Before(until); n++ {
				live.Accuracy(cells[0], n%62, 62)
				live.Accuracy(cells[0], n%61, 62)
			}
		})
	}
	done := make(chan struct{})
	go func() { all.Wait(); live.Ended(cells[0], &batch.Result{Status: batch.Passed}); close(done) }()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("the view hangs")
	}
}

// A terminal that takes no output holds nothing up.
func TestLiveOnATerminalThatIsStopped(t *testing.T) {
	master, tty, err := pty.Open() // nobody reads: its buffer fills
	require.NoError(t, err)
	live := New(Options{TTY: tty, Cells: cells, Count: 1, Title: "m on vllm 0.23, http://h:1"})
	done := make(chan struct{})
	go func() {
		for n := range 3 {
			until := time.Now().Add(1500 * time.Millisecond)
			for time.Now().Before(until) {
				live.Serving(cells[0], load.Progress{Done: n, Total: 4000, Elapsed: time.Second})
				time.Sleep(10 * time.Millisecond)
			}
			live.Ended(cells[0], &batch.Result{Status: batch.Passed})
		}
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(40 * time.Second):
		t.Fatal("the view holds the sweep up")
	}
	master.Close()
	tty.Close()
}
