package suite

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"inferbench/harness/batch"
	"inferbench/harness/hint"
	"inferbench/harness/settings"
)

// errNothingLeft is the error for a batch to resume whose cells have all
// passed.
var errNothingLeft = errors.New("nothing is left to run: every cell has PASSED")

// resume narrows the settings to the cells that the batch to resume has left
// (see [batch.Unfinished]), and says on w which these are. Without RESUME they
// stay as they are.
func resume(w io.Writer, s settings.Settings) (settings.Settings, error) {
	if s.Resume == "" {
		return s, nil
	}
	for file, verb := range map[string]string{SearchFile: "search", ABFile: "ab"} {
		if _, err := os.Stat(filepath.Join(s.Resume, file)); err == nil {
			return s, fmt.Errorf("%s is no sweep: go on with make %s RESUME=%s", s.Resume, verb, s.Resume)
		}
	}
	left, err := batch.Unfinished(s.Resume, s.Selection.Conc)
	if err != nil {
		return s, err
	}
	f, err := batch.Open(s.Resume)
	if err != nil {
		return s, err
	}
	s.Selection.Conc = nil
	var runs, failed []string // failed are those that stay as they are
	for _, c := range left {
		s.Selection.Conc = append(s.Selection.Conc, c.Conc)
		runs = append(runs, fmt.Sprintf("%d (%s)", c.Conc, cmp.Or(f.Status(c.Conc), batch.Incomplete)))
	}
	for _, c := range f.Cells {
		if c.Status == batch.Failed && !slices.Contains(s.Selection.Conc, c.Conc) {
			failed = append(failed, strconv.Itoa(c.Conc))
		}
	}
	others := fmt.Sprintf("make resume BATCH=%s CONC=%s", s.Resume, strings.Join(failed, ","))
	switch {
	case len(left) == 0 && len(failed) == 0:
		return s, fmt.Errorf("%s: %w", s.Resume, errNothingLeft)
	case len(left) == 0:
		return s, hint.New(fmt.Errorf("%s: every cell is finished", s.Resume), "to run what FAILED again: "+others)
	}
	fmt.Fprintf(w, "%s: goes on with CONC %s", s.Resume, strings.Join(runs, ", "))
	if len(failed) > 0 {
		fmt.Fprintf(w, "; what else FAILED runs again with %s", others)
	}
	fmt.Fprintln(w)
	return s, nil
}
