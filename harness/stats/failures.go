package stats

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// ErrorCount is a kind of failure: requests that failed for one reason. Reasons
// that differ only in what each request has for itself (numbers, ids, addresses)
// are one kind, shown by its first example.
type ErrorCount struct {
	Error    string `json:"error"`
	Requests int    `json:"requests"`
	Advice   string `json:"advice,omitempty"` // what to do about it
}

// Limits on how many kinds of failure are listed: in a [Summary], and in the one
// line of [Failures.Text].
const (
	MaxErrors     = 10
	maxErrorsLine = 5
	maxErrorText  = 200 // runes of each, where the line tells several
)

// Failures are the kinds of failure among some requests, the most frequent
// first, those as frequent in the order in which they were first seen.
type Failures []ErrorCount

// FailuresOf groups the timings of failed requests by kind.
func FailuresOf(ts []Timing) Failures {
	var out Failures
	at, known := map[string]int{}, map[string]int{} // by kind, by reason
	for _, t := range ts {
		if t.Err == "" {
			continue
		}
		i, ok := known[t.Err]
		if !ok {
			key := kind(t.Err)
			if i, ok = at[key]; !ok {
				i = len(out)
				at[key] = i
				out = append(out, ErrorCount{Error: t.Err, Advice: t.Advice})
			}
			known[t.Err] = i
		}
		out[i].Requests++
	}
	slices.SortStableFunc(out, func(a, b ErrorCount) int { return cmp.Compare(b.Requests, a.Requests) })
	return out
}

// Requests counts the requests that failed.
func (f Failures) Requests() int {
	n := 0
	for _, e := range f {
		n += e.Requests
	}
	return n
}

// OtherErrors are failures that are counted and not listed.
type OtherErrors struct {
	Kinds    int `json:"kinds"`
	Requests int `json:"requests"`
}

// Text tells the kinds on one line: the one there is, or
// "19× HTTP 500: …, 21× …" behind what all of them begin with.
func (f Failures) Text() string { return f.text(OtherErrors{}) }

// text is [Failures.Text] where f has lost some.
func (f Failures) text(more OtherErrors) string {
	if len(f) == 1 {
		return f[0].Error
	}
	tried := f.tried()
	var parts []string
	for _, e := range f[:min(len(f), maxErrorsLine)] {
		parts = append(parts, fmt.Sprintf("%d× %s", e.Requests, shorten(strings.TrimPrefix(e.Error, tried))))
	}
	rest := f[len(parts):]
	more.Kinds, more.Requests = more.Kinds+len(rest), more.Requests+rest.Requests()
	switch {
	case more.Kinds == 1:
		parts = append(parts, fmt.Sprintf("%d× for another reason", more.Requests))
	case more.Kinds > 1:
		parts = append(parts, fmt.Sprintf("%d× for %d other reasons", more.Requests, more.Kinds))
	}
	return tried + strings.Join(parts, ", ")
}

// Advice returns what to do about the most frequent failure that has advice.
func (f Failures) Advice() string {
	for _, e := range f {
		if e.Advice != "" {
			return e.Advice
		}
	}
	return ""
}

// tried returns what all the errors begin with, as "POST http://h/v1/completions: ".
func (f Failures) tried() string {
	if len(f) == 0 {
		return ""
	}
	head, _, found := strings.Cut(f[0].Error, ": ")
	if head += ": "; !found || slices.ContainsFunc(f,
		func(e ErrorCount) bool { return !strings.HasPrefix(e.Error, head) }) {
		return ""
	}
	return head
}

func shorten(s string) string {
	if r := []rune(s); len(r) > maxErrorText {
		return string(r[:maxErrorText]) + "…"
	}
	return s
}

// kind returns what is common to the reasons of one kind: the reason without
// what each request, worker or moment has for itself. Numbers that tell reasons
// apart, an HTTP status or a code, stay.
func kind(reason string) string {
	codes := code.FindAllString(reason, -1)
	for _, o := range own {
		reason = o.part.ReplaceAllString(reason, o.by)
	}
	reason = identifier.ReplaceAllStringFunc(reason, func(s string) string {
		m := identifier.FindStringSubmatch(s)
		if !mixed(m[3]) && !strings.ContainsFunc(m[3], unicode.IsDigit) {
			return s // a word: request-level, id=missing
		}
		return m[1] + m[2] + "#"
	})
	reason = word.ReplaceAllStringFunc(reason, withoutDigits)
	return numbers.ReplaceAllString(reason, "#") + "\x00" + strings.Join(codes, "\x00")
}

var (
	code = regexp.MustCompile(`(?i)\bhttp(/[\d.]+)? \d{3}\b|\b(status|code|errno)[ "'():=-]{1,4}\d{1,5}\b|\berror \d{1,5}\b`)

	// own are parts that have a form of their own, and what stands for them.
	own = []struct {
		part *regexp.Regexp
		by   string
	}{
		{regexp.MustCompile(`\(it starts ".*"\)`), ""},             // an excerpt, as the suite quotes it
		{regexp.MustCompile(`(?i)\b(chat)?cmpl-[a-z0-9_-]+`), "#"}, // a completion's id
		{regexp.MustCompile(`(?i)\b(https?|tcp)://[^\s"'<>/]+`), "$1://#"},
		// a UUID
		{regexp.MustCompile(`(?i)\b[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}\b`), "#"},
		// IPv6, a time of day
		{regexp.MustCompile(`(?i)\[?\b([0-9a-f]{1,4}::?){2,7}[0-9a-f]{0,4}\b\]?(%\w+)?|\[?::[0-9a-f]{1,4}\]?`), "#"},
		// a date
		{regexp.MustCompile(`(?i)\b(mon|tue|wed|thu|fri|sat|sun|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)\b[,.]?`),
			"#"},
		// a size, a duration
		{regexp.MustCompile(`(?i)\b(\d+([.,]\d+)*\s?([kmgt]?i?b|bytes|ns|us|µs|ms|s|secs?|seconds?|m|mins?|minutes?|h|hours?)\b)+`), "#"},
		{regexp.MustCompile(`(?i)\b\d+(\.\d+)?e[-+]?\d+\b`), "#"},
		{regexp.MustCompile(`(?i)\b[a-f]{8,}\b`), "#"}, // hexadecimal without a digit
	}

	// identifier is a name that a request or a worker is given: req_01HXYZ, id: "a8Fk".
	identifier = regexp.MustCompile(`(?i)\b(cmpl|chatcmpl|req|request|trace|span|gen|resp|msg|task|job|run|call|seq|worker|pod|host|node|` +
		`(?:[a-z]+[-_ ]?)?id)([-_:="' ]{1,4})([a-z0-9][a-z0-9+/_=.-]{2,})`)
	word    = regexp.MustCompile(`[\pL\d]*\d[\pL\d]*`)
	numbers = regexp.MustCompile(`[-+]?#([\s,.:/×x-]*[-+]?#)*`)
)

// mixed reports whether letters of both cases stand in s as in no name: a8FkQz.
func mixed(s string) bool {
	changes, last := 0, rune(0)
	for _, r := range s {
		if unicode.IsLower(last) && unicode.IsUpper(r) {
			changes++
		}
		last = r
	}
	return changes > 1
}

// withoutDigits returns a word that has digits in it without them: fp8 as fp#,
// and as nothing but # where it is an identifier: 9f3c77ab12, a1b2c3.
func withoutDigits(s string) string {
	turns, before := 0, false
	for i, r := range s {
		d := unicode.IsDigit(r)
		if i > 0 && d != before {
			turns++
		}
		before = d
	}
	if turns > 2 || len(s) >= 8 {
		return "#"
	}
	return digits.ReplaceAllString(s, "#")
}

var digits = regexp.MustCompile(`\d+`)

// WhyFailed tells for what reasons requests failed, on one line, and what to do.
func (s Summary) WhyFailed() (text, advice string) {
	more := OtherErrors{}
	if s.OtherErrors != nil {
		more = *s.OtherErrors
	}
	return s.Errors.text(more), s.Errors.Advice()
}
