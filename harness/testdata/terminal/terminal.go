// Package terminal is as much of a terminal as a live view uses, for tests: lines,
// up, and erase from here on.
package terminal

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Screen is a terminal's screen with all that has scrolled off it.
type Screen struct {
	Lines   []string
	Columns int
	Reflows bool // lines are wrapped anew where the width changes; else they are cut
	rest    string
}

// Resize makes the screen narrower or wider.
func (s *Screen) Resize(columns int) {
	for i, l := range s.Lines {
		if r := []rune(l); !s.Reflows && len(r) > columns {
			s.Lines[i] = string(r[:columns])
		}
	}
	s.Columns = columns
}

// Rows is what stands on the rows of the screen.
func (s *Screen) Rows() (out []string) {
	for _, l := range s.Lines {
		r := []rune(l)
		for len(r) > s.Columns {
			out = append(out, string(r[:s.Columns]))
			r = r[s.Columns:]
		}
		out = append(out, string(r))
	}
	return out
}

var upAndErase = regexp.MustCompile(`^\x1b\[(\d+)A\x1b\[J`)

// Write takes what a program writes. A line that has not ended waits for its end.
// The error is for what no view writes.
func (s *Screen) Write(text string) error {
	s.rest += text
	for {
		if m := upAndErase.FindStringSubmatch(s.rest); m != nil {
			up, _ := strconv.Atoi(m[1])
			rows := s.Rows()
			if up > len(rows) {
				return fmt.Errorf("%d rows up, and there are %d", up, len(rows))
			}
			s.Lines = rows[:len(rows)-up]
			s.rest = s.rest[len(m[0]):]
			continue
		}
		line, rest, ended := strings.Cut(s.rest, "\n")
		if !ended {
			return nil
		}
		if strings.Contains(line, "\x1b") {
			return fmt.Errorf("%q: a sequence in the middle of a line", line)
		}
		s.Lines = append(s.Lines, strings.TrimSuffix(line, "\r"))
		s.rest = rest
	}
}
