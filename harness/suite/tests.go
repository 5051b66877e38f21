package suite

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"
)

// Tests is the [Runner] of the command inferbench: it runs the cells of the open
// sweep as `go test -run 'TestAccuracy|TestServing'` does, and writes a line a
// test to Out, as that does with -v.
type Tests struct{ Out io.Writer }

// Run runs the tests, as often as -count says. The exit code is 1 where one
// failed.
func (ts Tests) Run() int {
	if current == nil {
		return 0
	}
	code := 0
	for range max(current.count, 1) {
		for _, suite := range []struct {
			name string
			do   func(*test)
		}{{"TestAccuracy", Accuracy[*test]}, {"TestServing", Serving[*test]}} {
			if !current.plan.runs(current.plan.run, suite.name) {
				continue
			}
			if !(&test{out: ts.Out}).Run(suite.name, suite.do) {
				code = 1
			}
		}
	}
	return code
}

// test is a test outside package testing.
type test struct {
	out             io.Writer
	name            string
	failed, skipped bool
	said            []string
}

// Run runs f as a sub-test, where -run and -skip select it, and reports whether
// it did not fail.
func (t *test) Run(name string, f func(*test)) bool {
	sub := &test{out: t.out, name: strings.TrimPrefix(t.name+"/"+name, "/")}
	if !current.plan.runs(current.plan.run, sub.name) {
		return true
	}
	begin, done := time.Now(), make(chan struct{})
	go func() { // which Skip and Fatal end
		defer close(done)
		f(sub)
	}()
	<-done
	word := "PASS"
	switch {
	case sub.failed:
		word = "FAIL"
		t.failed = true
	case sub.skipped:
		word = "SKIP"
	}
	fmt.Fprintf(t.out, "--- %s: %s (%.2fs)\n", word, sub.name, time.Since(begin).Seconds())
	for _, line := range sub.said {
		fmt.Fprintf(t.out, "    %s\n", line)
	}
	return !sub.failed
}

// Attr keeps nothing: the figures are in the result and, where JUNIT asks for
// one, in the report.
func (t *test) Attr(string, string) {}

// Log keeps a line for the test's end.
func (t *test) Log(args ...any) { t.said = append(t.said, fmt.Sprint(args...)) }

// Skip ends the test with a reason why it does not run.
func (t *test) Skip(args ...any) {
	t.Log(args...)
	t.skipped = true
	runtime.Goexit()
}

// Fatal ends the test with a reason why it failed.
func (t *test) Fatal(args ...any) {
	t.Log(args...)
	t.failed = true
	runtime.Goexit()
}
