package submit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"

	"inferbench/harness/textfile"
)

// Status says how far a submission got.
type Status string

const (
	Pending   Status = "pending"   // stored, not confirmed: make resubmit sends it
	Confirmed Status = "confirmed" // the board said complete
	Refused   Status = "refused"   // never sent, and the reason says why
	DryRun    Status = "dry run"   // printed instead of sent
)

// Submission is a file submission_isl…_osl…_conc….json of a batch folder: what
// is to be sent, where it went and what came of it. It holds no secret.
type Submission struct {
	Figures Figures `json:"figures"`

	// Key is the idempotency key: the same figures of the same batch folder
	// have the same key, so a board that knows keys lists them once however
	// often they are sent.
	Key       string `json:"idempotency_key"`
	Status    Status `json:"status"`
	Board     string `json:"board,omitempty"`    // address it was last sent to
	EventID   string `json:"event_id,omitempty"` // the board's name for it
	Answer    string `json:"answer,omitempty"`   // what the board said
	LastError string `json:"last_error,omitempty"`
	Attempts  int    `json:"attempts"`

	Created   time.Time  `json:"created"`
	Confirmed *time.Time `json:"confirmed,omitempty"`

	path   string
	result []byte // the result file, nil where there is none
}

// store keeps new figures in the batch folder, or finds the submission that
// already carries them.
func store(dir string, f Figures, now time.Time) (*Submission, error) {
	s := &Submission{Figures: f, Status: Pending, Created: now.UTC(), path: filepath.Join(dir, f.fileName())}
	if err := s.readResult(); err != nil {
		return nil, err
	}
	s.Key = s.key()
	old, err := readSubmission(s.path)
	if err == nil && old.Key == s.Key {
		return old, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return s, s.write()
}

func (s *Submission) readResult() error {
	if s.Figures.ResultFile == "" {
		return nil
	}
	path := filepath.Join(filepath.Dir(s.path), filepath.Base(s.Figures.ResultFile))
	b, err := textfile.Read(path)
	if err != nil {
		return fmt.Errorf("submission of %s: its result file: %w", s.Figures.Name(), err)
	}
	s.result = b
	return nil
}

func (s *Submission) key() string {
	h := sha256.New()
	figures, _ := json.Marshal(s.Figures) // finite by [Figures.complete]
	fmt.Fprintf(h, "%s\n%s\n", filepath.Base(filepath.Dir(s.path)), figures)
	h.Write(s.result)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func (s *Submission) write() error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err == nil {
		err = renameio.WriteFile(s.path, append(b, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", s.path, err)
	}
	return nil
}

func readSubmission(path string) (*Submission, error) {
	s := &Submission{path: path}
	if err := textfile.ReadJSON(path, s); err != nil {
		return nil, err
	}
	return s, s.readResult()
}

// Find lists the submissions of batch folders that are still pending, in the
// order of the folders and of their files' names.
func Find(dirs ...string) ([]*Submission, error) {
	var out []*Submission
	for _, dir := range dirs {
		names, err := fs.Glob(os.DirFS(dir), "submission_*.json") // dir itself may hold [ or *
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			s, err := readSubmission(filepath.Join(dir, name))
			if err != nil {
				return nil, err
			}
			if s.Status == Pending {
				out = append(out, s)
			}
		}
	}
	return out, nil
}
