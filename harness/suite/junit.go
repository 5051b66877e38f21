package suite

import (
	"encoding/xml"
	"fmt"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"inferbench/harness/sweep"
)

// The JUnit report (JUNIT) has a test case for every cell of TestAccuracy and
// TestServing, with its figures as properties and the reason as a failure's
// message. gotestsum's own would also fail the tests that the cells belong to,
// and say "Failed" for a reason.

// recorded is a test whose outcome goes into the report, and so do those of its
// sub-tests.
type recorded[T Test[T]] struct {
	Test[T]
	name string
	to   *junitCase
}

// Run runs f as a sub-test.
func (r *recorded[T]) Run(name string, f func(*recorded[T])) bool {
	return r.Test.Run(name, func(t T) {
		sub := &recorded[T]{t, r.name + "/" + name, &junitCase{Class: "inferbench", Name: r.name + "/" + name}}
		begin := time.Now()
		defer func() {
			sub.to.Time = seconds(time.Since(begin))
			current.report = append(current.report, sub.to)
		}()
		f(sub)
	})
}

// Attr makes a property of an attribute.
func (r *recorded[T]) Attr(key, value string) {
	if r.to != nil {
		r.to.Properties = append(r.to.Properties, junitProperty{key, value})
	}
	r.Test.Attr(key, value)
}

// Skip records why the test does not run.
func (r *recorded[T]) Skip(args ...any) {
	if r.to != nil {
		r.to.Skipped = &junitReason{Message: oneLine(args)}
	}
	r.Test.Skip(args...)
}

// Fatal records why the test failed.
func (r *recorded[T]) Fatal(args ...any) {
	if r.to != nil {
		r.to.Failure = &junitReason{Message: oneLine(args), Text: fmt.Sprint(args...)}
	}
	r.Test.Fatal(args...)
}

func oneLine(args []any) string { return strings.Join(strings.Fields(fmt.Sprint(args...)), " ") }

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }

// junitReport is the file: one suite.
type junitReport struct {
	XMLName xml.Name `xml:"testsuites"`
	junitTotals
	Suite junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name      string `xml:"name,attr"`
	Timestamp string `xml:"timestamp,attr"`
	junitTotals
	Properties []junitProperty `xml:"properties>property"`
	Cases      []*junitCase    `xml:"testcase"`
}

type junitTotals struct {
	Tests    int    `xml:"tests,attr"`
	Failures int    `xml:"failures,attr"`
	Errors   int    `xml:"errors,attr"`
	Skipped  int    `xml:"skipped,attr"`
	Time     string `xml:"time,attr"`
}

type junitCase struct {
	Class      string          `xml:"classname,attr"`
	Name       string          `xml:"name,attr"`
	Time       string          `xml:"time,attr"`
	Properties []junitProperty `xml:"properties>property"`
	Failure    *junitReason    `xml:"failure"`
	Skipped    *junitReason    `xml:"skipped"`
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitReason struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// writeJUnit writes the cases as a report, whole or not at all; nowhere where
// file is empty.
func writeJUnit(file string, begin time.Time, properties []junitProperty, cases []*junitCase) error {
	if file == "" {
		return nil
	}
	all := junitTotals{Tests: len(cases), Time: seconds(time.Since(begin))}
	for _, c := range cases {
		switch {
		case c.Failure != nil:
			all.Failures++
		case c.Skipped != nil:
			all.Skipped++
		}
	}
	b, err := xml.MarshalIndent(junitReport{junitTotals: all, Suite: junitSuite{Name: "inferbench",
		Timestamp:   begin.Format(time.RFC3339),
		junitTotals: all, Properties: properties, Cases: cases}}, "", "  ")
	if err == nil {
		err = renameio.WriteFile(file, append([]byte(xml.Header), append(b, '\n')...), 0o644)
	}
	if err != nil {
		return fmt.Errorf("JUNIT=%q: %w", file, err)
	}
	return nil
}

// junitOfSweep is what the report says of the whole sweep: the model, the
// server and the batches.
func junitOfSweep(sw *sweep.Sweep) []junitProperty {
	t := sw.Target
	out := []junitProperty{{"model", t.Model}, {"server", t.BaseURL}, {"backend", strings.TrimSpace(t.Dialect.Name +
		" " + t.Version)}, {"mode", string(sw.Mode)}}
	for _, b := range sw.Batches() {
		out = append(out, junitProperty{"batch", b.Dir})
	}
	return out
}
