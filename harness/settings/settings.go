// Package settings is everything a user can set, checked: flag, then
// environment, then .env, then default become one Settings value. Nothing else
// in the suite reads the environment.
//
// The settings are a table (see table.go), and flags, help, .env.example and
// error messages are all made from it, so that they cannot disagree.
package settings

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/joho/godotenv"

	"inferbench/harness/matrix"
)

// Mode says how far a sweep goes.
type Mode string

const (
	ModeAcc    Mode = "acc"    // accuracy only
	ModePerf   Mode = "perf"   // accuracy, then performance
	ModeSubmit Mode = "submit" // accuracy, performance, then the leaderboard
)

// Settings is one checked set of settings.
type Settings struct {
	Mode     Mode
	Team     string
	Estimate bool   // say how long it would take, and run nothing
	Resume   string // batch folder to go on with; empty: a new one

	Server    Server
	Engine    Engine
	Selection matrix.Selection
	Workload  Workload
	Shape     Shape
	Shard     Shard
	Accuracy  Accuracy
	Results   Results
	Board     Board

	// Given holds the settings that are not at their defaults, by name, as they
	// were written; secrets are left out. A result records it.
	Given map[string]string
}

// Server says where the server is and how to talk to it.
type Server struct {
	BaseURL        string // empty: the embedded engine starts
	noPort         bool   // BASE_URL=embedded: a PORT does not count
	APIKey         string
	CAFile         string        // PEM certificates trusted besides the system's
	Model          string        // empty: the one model that the server lists
	TP             int           // GPUs that throughput is divided by
	ReadyTimeout   time.Duration // how long a server may take to come up
	RequestTimeout time.Duration // one request, from first byte to last
}

// Engine says how the embedded engine is to behave.
type Engine struct {
	Profile            string // name or path of its speed profile
	Faults             string
	Dialect            string
	Noise, DecodeNoise float64 // nats
}

// Accuracy says what accuracy is measured on, and against what.
type Accuracy struct {
	Task      string            // one of AccuracyTasks
	Files     map[string]string // paths of data files by the setting that names them (WIKITEXT, …); without one, what fits the server
	Baseline  string            // name or path; empty: the one for the model and the text
	Tolerance float64           // relative; 0: the baseline's own
	MaxLength int               // tokens
	Shots     int               // worked examples before a question
	GenTokens int               // most tokens of an answer to one
	Tokenizer string            // path of a tokenizer.json, for a server without /tokenize
	Prefix    *int32            // id of the token before a text; nil: ask
	CacheDir  string            // where fetched data files are kept; empty: the user's cache folder
}

// Results says what is written and shown, and where.
type Results struct {
	Dir              string        // folder of the batch folders
	Filename         string        // of the only result; empty: the cell's own name
	HardwareBaseline string        // name or path
	GPUHourUSD       float64       // 0: not given
	GPUWatts         float64       // 0: not given
	Progress         string        // auto, live, lines or none
	ScrapeEvery      time.Duration // between looks at the server's metrics; 0: none
	MetricsListen    string        // host:port of our own metrics; empty: none
}

// Board says which leaderboard is submitted to and with which tokens, and how
// the board on this machine runs.
type Board struct {
	URL        string
	Token      string // team token, for boards of one's own
	HFToken    string // for boards in private Spaces
	DB         string // SQLite file
	Listen     string // host:port
	AdminToken string
	DryRun     bool // print submissions instead of sending them
}

// Embedded reports whether the suite measures its own engine.
func (s Settings) Embedded() bool { return s.Server.BaseURL == "" }

// Register defines a flag for every setting that may be given as one. Call it
// before fs is parsed, and [Load] after.
func Register(flags *flag.FlagSet) {
	for _, sp := range table {
		help := sp.Help + " [" + sp.Env + ", default " + sp.defaultWord() + "]"
		switch {
		case sp.Secret:
		case sp.Default == "false": // a switch: -dry-run alone means true
			flags.Bool(sp.Flag(), false, help)
		default:
			flags.String(sp.Flag(), "", help)
		}
	}
}

// Load reads the settings: a parsed flag where it was given, then the
// environment, then the file dotenv where it exists, then the default. An empty
// value counts as not given. With RESUME, what the batch was run with stands in
// place of dotenv and default, and a flag or variable must agree with it. The
// error is one line that names the setting, its value, where it came from and
// what would be right.
func Load(flags *flag.FlagSet, getenv func(string) string, dotenv string) (Settings, error) {
	file, err := readDotenv(dotenv)
	if err != nil {
		return Settings{}, err
	}
	given := map[string]string{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = strings.TrimSpace(f.Value.String()) })

	var s Settings
	var was map[string]string // of the batch to resume
	getenv = trimmed(getenv)
	lookup := func(sp spec) (value, source string) {
		switch {
		case given[sp.Flag()] != "" && !sp.Secret:
			return given[sp.Flag()], "flag -" + sp.Flag()
		case getenv(sp.Env) != "":
			return getenv(sp.Env), "the environment"
		case file[sp.Env] != "" && (was == nil || sp.mayChange()):
			return file[sp.Env], dotenv
		}
		return "", ""
	}
	for _, sp := range table {
		value, source := lookup(sp)
		if sp.Env == "RESUME" && value != "" {
			if was, err = recorded(value); err != nil {
				return Settings{}, fmt.Errorf("RESUME=%q (from %s): %w", value, source, err)
			}
		}
		if value != "" && was != nil {
			if err := sp.agrees(value, was); err != nil {
				return Settings{}, fmt.Errorf("%s=%q (from %s): %w", sp.Env, value, source, err)
			}
		}
		if value == "" && was[sp.Env] != "" {
			value, source = was[sp.Env], "the batch to resume"
		}
		if value == "" {
			value, source = sp.Default, "the default"
		}
		if value == "" {
			continue
		}
		if err := sp.set(&s, value); err != nil {
			shown := fmt.Sprintf("%s=%q", sp.Env, value)
			if sp.Secret || strings.ContainsAny(value, "@?") { // an address may hold a password
				shown = sp.Env
			}
			return Settings{}, fmt.Errorf("%s (from %s): %w", shown, source, err)
		}
		if value != sp.Default && !sp.Secret {
			if s.Given == nil {
				s.Given = map[string]string{}
			}
			s.Given[sp.Env] = value
		}
	}
	return s, s.check()
}

// trimmed is get without the white space around what it gives.
func trimmed(get func(string) string) func(string) string {
	return func(name string) string { return strings.TrimSpace(get(name)) }
}

// readDotenv reads the file's settings; none where there is no such file.
func readDotenv(name string) (map[string]string, error) {
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	m, err := godotenv.UnmarshalBytes(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))) // Windows' editors begin a file so
	if err != nil {
		// godotenv's error quotes the line it failed on, which may hold a key.
		return nil, fmt.Errorf("%s: want NAME=value lines (see .env.example)", name)
	}
	for k, v := range m {
		m[k] = strings.TrimSpace(v)
	}
	return m, nil
}

// check holds the rules that join several settings.
func (s Settings) check() error {
	sel := s.Selection
	combos := sel.Combinations()
	if len(combos) == 0 {
		name, value := "ISL", sel.ISL
		if sel.OSL != 0 {
			name, value = "OSL", sel.OSL
		}
		return fmt.Errorf("%s=%d matches none of the standard (ISL,OSL) pairs %v: give both ISL and OSL for a pair of your own", name, value, matrix.Standard)
	}
	if err := s.checkSecrets(); err != nil {
		return err
	}
	if err := s.checkTraffic(); err != nil {
		return err
	}
	if err := s.checkShard(); err != nil {
		return err
	}
	if s.Mode == ModeSubmit && s.Team == "" {
		return errors.New("TEAM is empty: submit mode needs a team name, as in make submit TEAM=x")
	}
	if cells := len(combos) * len(sel.Cells(combos[0])); s.Results.Filename != "" && cells > 1 {
		return fmt.Errorf("RESULT_FILENAME=%q names one file, but %d cells would be written to it: give ISL, OSL and a single CONC too", s.Results.Filename, cells)
	}
	return nil
}
