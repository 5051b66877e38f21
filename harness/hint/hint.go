// Package hint lets an error carry what to do about it.
//
// An error's text says what was tried and what happened. Its advice is a value
// beside the text, given where the error is made ([New]), and printed once,
// behind the text, by [Line]. Errors of other makers, a server's or the operating
// system's, come without: theirs is looked up once, where they enter ([Folder];
// package server does it for answers and connections).
package hint

import (
	"errors"
	"slices"
	"strings"
)

// New returns err with what to do about it. It takes the place of any advice
// that err carries already; an empty one says that the text needs none. The
// error stays what it was for [errors.Is] and [errors.As], and so does its text.
func New(err error, do string) error {
	if err == nil {
		return nil
	}
	return &advised{err, do}
}

type advised struct {
	error
	do string
}

func (a *advised) Unwrap() error { return a.error }

// For returns the advice that err carries: that of its outermost layer, which
// knows best what was tried; "" where there is none.
func For(err error) string {
	var a *advised
	if errors.As(err, &a) {
		return a.do
	}
	return ""
}

// Line returns err's text and its advice, on one line. The parts of an
// [errors.Join] follow one another, each with its own advice, and none twice.
func Line(err error) string {
	var out []string
	for _, part := range parts(err) {
		if line := Text(part.Error(), For(part)); !slices.Contains(out, line) {
			out = append(out, line)
		}
	}
	return strings.Join(out, "; ")
}

// Text returns a failure's text and what to do about it, on one line, as [Line]
// does of an error.
func Text(failure, do string) string {
	lines := strings.FieldsFunc(failure, func(r rune) bool { return r == '\n' || r == '\r' })
	for i, l := range lines {
		lines[i] = strings.TrimSpace(l)
	}
	text := strings.Join(lines, "; ")
	if do == "" {
		return text
	}
	return text + ": " + do
}

// parts takes an [errors.Join] apart; any other error is its own one part.
func parts(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var texts []string
	var out []error
	for _, e := range joined.Unwrap() {
		texts = append(texts, e.Error())
		out = append(out, parts(e)...)
	}
	if strings.Join(texts, "\n") != err.Error() {
		return []error{err} // one text around several errors, as fmt.Errorf makes it
	}
	return out
}

// Or returns err with what to do about it, unless it carries advice already.
// It is for those who know less of the error than whoever made it.
func Or(err error, do string) error {
	var a *advised
	if do == "" || errors.As(err, &a) {
		return err
	}
	return New(err, do)
}
