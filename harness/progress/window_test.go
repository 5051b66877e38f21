package progress

import (
	"os"
	"strings"
	"testing"

	"github.com/creack/pty"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/testdata/terminal"
)

// Whatever the window's width becomes while a view stands in it, nothing of the view
// stays and nothing above is taken.
func TestResizingLeavesNothingBehind(t *testing.T) {
	for _, reflows := range []bool{true, false} {
		master, tty, err := pty.Open()
		require.NoError(t, err)
		defer master.Close()
		defer tty.Close()
		w := newWindow(tty)
		w.reflows = reflows
		e := &terminal.Screen{Lines: []string{"$ make perf", "isl=16/osl=8/conc=1: PASSED"}, Reflows: reflows}
		above := len(e.Lines)
		flush := func(view ...string) {
			t.Helper()
			for _, l := range view {
				w.WriteString(l + "\n")
			}
			require.NoError(t, w.Flush(len(view)))
			_, err := tty.WriteString("\x00")
			require.NoError(t, err)
			var got []byte
			for chunk := make([]byte, 4096); len(got) == 0 || got[len(got)-1] != 0; {
				n, err := master.Read(chunk)
				require.NoError(t, err)
				got = append(got, chunk[:n]...)
			}
			require.NoError(t, e.Write(strings.TrimSuffix(string(got), "\x00")))
		}
		size := func(columns int) {
			require.NoError(t, pty.Setsize(tty, &pty.Winsize{Rows: 24, Cols: uint16(columns)}))
			e.Resize(columns)
		}
		view := func(columns int) []string { // as wide as the window
			return []string{strings.Repeat("a", columns), strings.Repeat("█", columns-1), "", "short"}
		}
		for _, columns := range []int{120, 119, 50, 200, 30, 30, 80} {
			size(columns)
			flush(view(columns)...)
			assert.Equal(t, view(columns), e.Lines[above:], "%d columns, reflows %t", columns, reflows)
		}
		size(41)
		flush()
		assert.Equal(t, []string{"$ make perf", "isl=16/osl=8/conc=1: PASSED"}, e.Lines, "reflows %t", reflows)
	}
}

func TestReflows(t *testing.T) {
	for env, want := range map[string]bool{"TERM=xterm-256color": true, "TERM=linux": false, "TERM=vt100": false, "TERM=xterm XTERM_VERSION=XTerm(388)": false,
		"TERM=screen STY=1.x": false, "TERM=screen STY=1.x TMUX=/tmp/x": true, "": true} {
		got := reflows(func(name string) string {
			for _, v := range strings.Fields(env) {
				if n, value, _ := strings.Cut(v, "="); n == name {
					return value
				}
			}
			return ""
		})
		assert.Equal(t, want, got, env)
	}
	assert.Equal(t, 6, columns("a中文█"))
}

// Where the terminal has gone its height is not known, and mpb asks for fewer lines
// than none.
func TestWindowOfATerminalThatHasGone(t *testing.T) {
	gone, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer gone.Close()
	for _, lines := range []int{-4, 0, 1, 9} {
		w := newWindow(gone)
		w.WriteString("one\ntwo\n")
		assert.NotPanics(t, func() { _ = w.Flush(lines) }, "%d lines", lines)
	}
}
