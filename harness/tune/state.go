package tune

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"github.com/google/renameio/v2"

	"inferbench/harness/batch"
	"inferbench/harness/textfile"
)

// Names of the files of a tune's folder and of the folders of its arms.
const (
	StateFile  = "tune.json"
	RecipeFile = "recipe.yaml"
	LogFile    = "server.log"
)

// State is how far a recipe has come. It is kept in [StateFile].
type State struct {
	Dir    string    `json:"-"`
	Recipe string    `json:"recipe"`
	Port   int       `json:"port"`
	Time   time.Time `json:"time"`
	Arms   []Tried   `json:"arms"`

	lock *os.File // until the process ends: two must not try one recipe
}

// Tried is an arm and what became of it.
type Tried struct {
	Arm
	Folder string       `json:"folder"`           // of its log and its batches, within the tune's
	Status batch.Status `json:"status,omitempty"` // empty: not finished
	Reason string       `json:"reason,omitempty"` // why it FAILED
	Log    []string     `json:"log,omitempty"`    // the server's last lines, where it did not stay up
	Up     float64      `json:"up_s,omitempty"`   // seconds until the server took requests
}

var unsafe = regexp.MustCompile(`[^A-Za-z0-9=.+-]+`)

// New is a recipe of which nothing was tried yet.
func New(r *Recipe, port int, now time.Time) *State {
	s := &State{Recipe: r.Name, Port: port, Time: now}
	for i, a := range r.Arms {
		s.Arms = append(s.Arms, Tried{Arm: a, Folder: fmt.Sprintf("%02d_%s", i+1, short(a.Name))})
	}
	return s
}

// Create makes the state a folder of its own below root, and keeps the text of its
// recipe there. A folder of that very second gets a number.
func (s *State) Create(root string, recipe []byte) error {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	name := "tune"
	if s.Recipe != name {
		name += "_" + short(s.Recipe)
	}
	base := filepath.Join(root, name+"_"+s.Time.Format("20060102_150405"))
	s.Dir = base
	err := os.Mkdir(s.Dir, 0o755)
	for n := 2; errors.Is(err, fs.ErrExist) && n < 100; n++ {
		s.Dir = fmt.Sprintf("%s_%d", base, n)
		err = os.Mkdir(s.Dir, 0o755)
	}
	if err != nil {
		return err
	}
	if err := s.Hold(); err != nil {
		return err
	}
	if err := renameio.WriteFile(filepath.Join(s.Dir, RecipeFile), recipe, 0o644); err != nil {
		return err
	}
	return s.Save()
}

// short is a name as part of a folder's name.
func short(name string) string {
	name = unsafe.ReplaceAllString(name, "_")
	return name[:min(len(name), 60)]
}

// Open reads the state of a recipe that was begun in dir.
func Open(dir string) (*State, error) {
	path := filepath.Join(dir, StateFile)
	s := new(State)
	err := textfile.ReadJSON(path, s)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: it has no %s, so tune did not make it", dir, StateFile)
	}
	if err != nil {
		return nil, err
	}
	if len(s.Arms) == 0 || s.Port < 1 {
		return nil, fmt.Errorf("%s: it names no commands", path)
	}
	for _, a := range s.Arms {
		if !filepath.IsLocal(a.Folder) {
			return nil, fmt.Errorf("%s: %q is no folder of it", path, a.Folder)
		}
	}
	s.Dir = filepath.Clean(dir)
	return s, nil
}

// Hold keeps the folder to this process until it ends, however it ends. A file system
// that knows no such locks gives none, and no error either.
func (s *State) Hold() (err error) {
	if s.lock, err = os.Open(s.Dir); err != nil {
		return err
	}
	if err := syscall.Flock(int(s.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("%s: another process is trying this recipe: wait for it to end, or stop it", s.Dir)
	}
	return nil
}

// Save writes the state, whole or not at all.
func (s *State) Save() error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // commands have < and > in them
	enc.SetIndent("", "  ")
	if err := enc.Encode(s); err != nil {
		return err
	}
	return renameio.WriteFile(filepath.Join(s.Dir, StateFile), b.Bytes(), 0o644)
}

// Path is the folder of an arm.
func (s *State) Path(t Tried) string { return filepath.Join(s.Dir, t.Folder) }

// Left counts the arms that are not finished.
func (s *State) Left() (n int) {
	for _, a := range s.Arms {
		if a.Status == "" {
			n++
		}
	}
	return n
}

// Batches reads the batches of an arm.
func (s *State) Batches(t Tried) ([]*batch.Folder, error) {
	dirs, err := fs.Glob(os.DirFS(s.Path(t)), "batch_*")
	if err != nil {
		return nil, err
	}
	var out []*batch.Folder
	for _, d := range dirs {
		f, err := batch.Open(filepath.Join(s.Path(t), d))
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}
