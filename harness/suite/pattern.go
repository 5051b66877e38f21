package suite

import (
	"regexp"
	"strings"
)

// pattern is a -run, -bench or -skip value of `go test`, read by the rules of
// package testing: alternatives between bars, each a list of regular
// expressions between slashes, one a level of the test's name.
type pattern [][]*regexp.Regexp

func parsePattern(s string) (pattern, error) {
	var p pattern
	for _, alternative := range splitOutside(s, '|') {
		var levels []*regexp.Regexp
		for _, level := range splitOutside(alternative, '/') {
			re, err := regexp.Compile(strings.ReplaceAll(level, " ", "_"))
			if err != nil {
				return nil, err
			}
			levels = append(levels, re)
		}
		p = append(p, levels)
	}
	return p, nil
}

// match reports whether a test of that full name is named by the pattern, and
// whether the pattern has levels below the name.
func (p pattern) match(name string) (ok, partial bool) {
	elems := strings.Split(name, "/")
next:
	for _, levels := range p {
		for i, re := range levels[:min(len(levels), len(elems))] {
			if !re.MatchString(elems[i]) {
				continue next
			}
		}
		return true, len(elems) < len(levels)
	}
	return false, false
}

// splitOutside splits at sep where it is outside brackets and parentheses.
func splitOutside(s string, sep byte) []string {
	var out []string
	square, round, from := 0, 0, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
		case c == '[':
			square++
		case c == ']':
			square = max(square-1, 0) // an unmatched ] is legal
		case c == '(' && square == 0:
			round++
		case c == ')' && square == 0:
			round--
		case c == sep && square == 0 && round == 0:
			out = append(out, s[from:i])
			from = i + 1
		}
	}
	return append(out, s[from:])
}

// plan is what of the suite a command line asks for. The sweep must know it
// beforehand, because a batch lists its cells at its top.
type plan struct {
	run, bench, skip pattern // bench is nil without -bench, skip without -skip
}

// newPlan reads the values of -run, -bench and -skip. The error is that of
// package regexp; `go test` refuses the same values.
func newPlan(run, bench, skip string) (plan, error) {
	var p plan
	var err error
	if p.run, err = parsePattern(run); err != nil {
		return p, err
	}
	if bench != "" {
		if p.bench, err = parsePattern(bench); err != nil {
			return p, err
		}
	}
	if skip != "" {
		p.skip, err = parsePattern(skip)
	}
	return p, err
}

// accuracy reports whether TestAccuracy runs for the cell of that name.
func (p plan) accuracy(cell string) bool { return p.runs(p.run, "TestAccuracy/"+cell) }

// serving reports whether the cell's speed is measured, through either door.
func (p plan) serving(cell string) bool {
	return p.runs(p.run, "TestServing/"+cell) || p.runs(p.bench, "BenchmarkServing/"+cell)
}

// asks reports whether the command line asks for any of the suite's tests, be it
// for cells that there are or not.
func (p plan) asks() bool {
	return p.runs(p.run, "TestAccuracy") || p.runs(p.run, "TestServing") || p.runs(p.bench, "BenchmarkServing")
}

func (p plan) runs(by pattern, name string) bool {
	ok, _ := by.match(name)
	skipped, partly := p.skip.match(name)
	return ok && !(skipped && !partly)
}
