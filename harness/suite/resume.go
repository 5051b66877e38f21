package suite

import (
	"errors"
	"fmt"

	"inferbench/harness/batch"
	"inferbench/harness/settings"
)

// errNothingLeft is the error for a batch to resume whose cells have all
// passed.
var errNothingLeft = errors.New("nothing is left to run: every cell has PASSED")

// resume narrows the settings to the cells that the batch to resume has left
// (see [batch.Unfinished]). Without RESUME they stay as they are.
func resume(s settings.Settings) (settings.Settings, error) {
	if s.Resume == "" {
		return s, nil
	}
	left, err := batch.Unfinished(s.Resume, s.Selection.Conc)
	if err != nil {
		return s, err
	}
	if len(left) == 0 {
		return s, finished(s.Resume)
	}
	s.Selection.Conc = nil
	for _, c := range left {
		s.Selection.Conc = append(s.Selection.Conc, c.Conc)
	}
	return s, nil
}

// finished says that nothing is left, and how to run again what failed.
func finished(dir string) error {
	f, err := batch.Open(dir)
	if err != nil {
		return err
	}
	for _, c := range f.Cells {
		if c.Status == batch.Failed {
			return fmt.Errorf("%s: every cell is finished; to run the one that FAILED again: make resume BATCH=%s CONC=%d", dir, dir, c.Conc)
		}
	}
	return fmt.Errorf("%s: %w", dir, errNothingLeft)
}
