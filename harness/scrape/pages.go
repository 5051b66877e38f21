package scrape

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"inferbench/harness/promtext"
)

// moment says what a look is for.
type moment int

const (
	between moment = iota
	begins         // the run is about to begin
	ends           // it has ended
)

// pages keeps what several endpoints said last. One that does not answer for once
// is taken to be as it was; where it does not answer just before the run or just
// after it, none of its counters counts.
type pages struct {
	last        map[string]Page
	before, now []Page           // that answered just before the run, and at the last look
	left        map[string]error // whose figures are left out of the run, and why
}

// take adds a look, and returns the pages that it is of. The error is that there
// are none.
func (p *pages) take(look []Page, when moment) (of []Page, why error) {
	if p.last == nil {
		p.last, p.left = map[string]Page{}, map[string]error{}
	}
	p.now = nil
	several := len(look) > 1
	for _, page := range look {
		if several && page.Err == nil {
			page.Err = page.check()
		}
		before, seen := p.last[page.Endpoint]
		switch {
		case p.left[page.Endpoint] != nil:
		case page.Err == nil:
			p.last[page.Endpoint] = page
			p.now, of = append(p.now, page), append(of, page)
		case several && when != between:
			p.left[page.Endpoint], why = page.Err, page.Err
		case several && seen:
			of, why = append(of, before), page.Err
		default:
			why = page.Err
		}
	}
	if when == begins {
		p.before = p.now
	}
	if len(p.now) == 0 {
		if why == nil {
			why = errors.New("no page answers")
		}
		return nil, why
	}
	return of, nil
}

// check is an error where the page's text is no metrics page.
func (p Page) check() error {
	_, err := promtext.Read(p.Text)
	return err
}

// whole lists the pages that a run is counted by, as they were before it and after
// it; false where all were there all the time, so that no look need be taken again.
func (p *pages) whole() (before, after []Page, again bool) {
	out := func(page Page) bool { return p.left[page.Endpoint] != nil }
	return slices.DeleteFunc(slices.Clone(p.before), out), slices.DeleteFunc(slices.Clone(p.now), out), len(p.left) > 0
}

// missing says whose figures are left out, a line each.
func (p *pages) missing() (out []string) {
	for endpoint, err := range p.left {
		text := err.Error()
		if !strings.Contains(text, endpoint) {
			text = fmt.Sprintf("%s: %s", endpoint, text)
		}
		out = append(out, text)
	}
	slices.Sort(out)
	return out
}
