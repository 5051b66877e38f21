package progress

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"
	"golang.org/x/text/width"
)

// window writes a view's lines to a terminal, in place of those before. Where the
// window became narrower, most terminals have wrapped what was there: what is taken
// away is counted anew in the window's width, so that nothing of it stays.
type window struct {
	bytes.Buffer // the view that is being written
	tty          *os.File
	reflows      bool  // the terminal wraps old lines anew when its width changes
	drawn        []int // columns of each line on the terminal
	drawnAt      int   // the terminal's width then
}

func newWindow(tty *os.File) *window { return &window{tty: tty, reflows: reflows(os.Getenv)} }

// reflows tells from the environment whether a terminal wraps old lines anew: all do
// but the Linux console, xterm itself and GNU Screen.
func reflows(env func(string) string) bool {
	switch name := env("TERM"); {
	case env("TMUX") != "":
		return true
	case env("STY") != "", env("XTERM_VERSION") != "":
		return false
	default:
		return name != "linux" && !strings.HasPrefix(name, "vt")
	}
}

// IsTerminal reports that there is one.
func (w *window) IsTerminal() bool { return term.IsTerminal(int(w.tty.Fd())) }

// GetTermSize returns the window's size in characters.
func (w *window) GetTermSize() (width, height int, err error) { return term.GetSize(int(w.tty.Fd())) }

// Flush puts the lines that were written in place of those before. The last of them
// that count are to be replaced the next time.
func (w *window) Flush(lines int) error {
	var out bytes.Buffer
	now, _, err := w.GetTermSize()
	if up := w.rows(now); err == nil && up > 0 {
		fmt.Fprintf(&out, "\x1b[%dA\x1b[J", up)
	}
	text := w.String()
	w.Reset()
	out.WriteString(text)
	all := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	w.drawn, w.drawnAt = nil, now
	kept := min(max(lines, 0), len(all)) // a terminal that has gone has fewer rows than none
	for _, line := range all[len(all)-kept:] {
		w.drawn = append(w.drawn, columns(line))
	}
	_, err = w.tty.Write(out.Bytes())
	return err
}

// rows is how many rows of a window of that width the lines on the terminal take.
func (w *window) rows(now int) (n int) {
	at := max(1, w.drawnAt)
	if w.reflows {
		at = max(1, now)
	}
	for _, line := range w.drawn {
		n += max(1, (line+at-1)/at)
	}
	return n
}

// columns is how wide a line is: letters of East Asia take two.
func columns(line string) (n int) {
	for _, r := range line {
		switch width.LookupRune(r).Kind() {
		case width.EastAsianWide, width.EastAsianFullwidth:
			n += 2
		default:
			n++
		}
	}
	return n
}
