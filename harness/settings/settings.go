// Package settings is everything a user can set, checked: flag, then
// environment, then .env, then default become one Settings value. Nothing else
// in the suite reads the environment.
//
// The settings are a table (see table.go), and flags, help, .env.example and
// error messages are all made from it, so that they cannot disagree.
package settings

import (
	"errors"
	"flag"
	"fmt"
	"time"

	"inferbench/harness/matrix"
	"inferbench/harness/session"
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
	Pairs    int    // of blocks, where two servers are compared in turn
	Resume   string // batch folder to go on with; empty: a new one

	Server    Server
	Engine    Engine
	Selection matrix.Selection
	Workload  Workload
	Sessions  session.Synthetic // what DATASET=sessions makes up
	Replay    Replay            // of sessions
	Shape     Shape
	Shard     Shard
	Accuracy  Accuracy
	Results   Results
	Board     Board

	// Given holds the settings that are not at their defaults, by name, as they
	// were written; secrets are left out. A result records it.
	Given map[string]string

	// Notes say which names were found that are nearly one of ours, a line each.
	Notes []string

	secrets []string // that were given, see [Settings.checkSecrets]
}

// Server says where the server is and how to talk to it.
type Server struct {
	BaseURL        string // empty: the embedded engine starts
	embedded       bool   // BASE_URL=embedded: what belongs to a server does not count
	APIKey         string
	CAFile         string        // PEM certificates trusted besides the system's
	Model          string        // empty: the one model that the server lists
	CacheReset     *bool         // reset its prefix cache before each pass; nil: where results go to a board
	TP             int           // GPUs that throughput is divided by
	MaxTokensKey   string        // what the server calls max_tokens; empty: so
	MetricsURLs    []string      // pages with the metrics of its workers; none: its own /metrics
	VocabSize      int           // ids of the model's vocabulary; 0: ask
	ReadyTimeout   time.Duration // how long a server may take to come up
	RequestTimeout time.Duration // one request, from first byte to last
	Synthetic      bool          // it accepts speculated tokens unseen
}

// Engine says how the embedded engine is to behave.
type Engine struct {
	Profile            string // name or path of its speed profile
	Faults             string
	Dialect            string
	Noise, DecodeNoise float64 // nats
	Ranks              int     // data-parallel replicas; 0: one
	KVTokens           int     // capacity of its KV cache; 0: the profile's
	HostTokens         int     // and of its prefix cache's host tier; 0: the profile's
}

// Accuracy says what accuracy is measured on, and against what.
type Accuracy struct {
	Task string // one of AccuracyTasks
	// Paths of data files by the setting that names them (WIKITEXT, …); without one, what fits the server
	Files     map[string]string
	At        At      // the CONC at which it is scored
	Baseline  string  // name or path; empty: the one for the model and the text
	Tolerance float64 // relative; 0: the baseline's own
	MaxLength int     // tokens
	Lengths   []int   // tokens of the prompts of a RULER task
	Shots     int     // worked examples before a question
	GenTokens int     // most tokens of an answer to one
	Tokenizer string  // path of a tokenizer.json, for a server without /tokenize
	Prefix    *int32  // id of the token before a text; nil: ask

	CanaryShare float64 // of the timed requests, those whose answers are compared; 0: none

	Fetch Fetch // how public data files are had
}

// Fetch says where public data files come from, and where they are kept.
type Fetch struct {
	CacheDir   string // empty: the user's cache folder
	Mirror     string // address of a folder that has them; asked first
	HFEndpoint string // in place of https://huggingface.co
	Offline    bool   // fetch nothing
}

// Results says what is written and shown, and where.
type Results struct {
	Label, Remarks   string        // for people
	Dir              string        // folder of the batch folders
	JUnit            string        // path of the JUnit report; empty: none
	Filename         string        // of the only result; empty: the cell's own name
	HardwareBaseline string        // name or path
	GPUHourUSD       float64       // 0: not given
	GPUWatts         float64       // 0: not given
	Power            Power         // how it is measured
	Progress         string        // auto, live, lines or none
	Profile          int           // requests that the server profiles after each cell; 0: none
	ScrapeEvery      time.Duration // between looks at the server's metrics; 0: none
	Metrics          Metrics
}

// Power says how the power of the server's GPUs is measured.
type Power struct {
	Off   bool
	Files []string // CSV files that tools write; none, and no URLs: the tools of this machine
	URLs  []string // pages of DCGM exporters
	GPUs  []string // that count, by index or UUID; none: all

	Prefill []string // of these, those that prefill, where the others decode; none: all do both
}

// Metrics says where our own metrics go.
type Metrics struct {
	Listen    string        // host:port on which they are served; empty: nowhere
	Linger    time.Duration // how long they stay up after the last cell
	PushURL   string        // of a Pushgateway; empty: none
	PushToken string        // bearer token for it, or user:password
}

// Asked reports whether they go anywhere.
func (m Metrics) Asked() bool { return m.Listen != "" || m.PushURL != "" }

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

// Endless reports whether DURATION alone ends a pass.
func (s Settings) Endless() bool { return s.Shape.Duration > 0 && !s.Selection.NumPrompts.Given() }

// Embedded reports whether the suite measures its own engine.
func (s Settings) Embedded() bool { return s.Server.BaseURL == "" }

// Register defines a flag for every setting that may be given as one. Call it
// before fs is parsed, and [Load] after.
func Register(flags *flag.FlagSet) {
	for _, r := range table {
		help := r.help() + " [" + r.Env + ", default " + r.defaultWord() + "]"
		switch {
		case r.Secret:
		case r.Default == "false": // a switch: -dry-run alone means true
			flags.Bool(r.Flag(), false, help)
		default:
			flags.String(r.Flag(), "", help)
		}
	}
}

// Load reads the settings: a parsed flag where it was given, then environ
// (NAME=value, as [os.Environ] gives), then the file dotenv where it exists, then
// the default. An empty value counts as not given. With RESUME, what the batch
// was run with stands in place of dotenv and default, and a flag or variable must
// agree with it. The error is one line that names the setting, its value, where
// it came from and what would be right; the settings that are right are there
// all the same.
func Load(flags *flag.FlagSet, environ []string, dotenv string) (Settings, error) {
	from, err := readSources(flags, environ, dotenv)
	if err != nil {
		return Settings{}, err
	}
	var s Settings
	var wrong error // the first
	for _, r := range table {
		g := from.find(r)
		if r.Env == "RESUME" && g.value != "" {
			if from.plan, err = recorded(g.value); err != nil {
				return Settings{}, g.wrong(r, err)
			}
		}
		if from.plan != nil && !g.fallback {
			if err := r.agrees(g.value, from.plan); err != nil {
				return Settings{}, g.wrong(r, err)
			}
		}
		if g.value == "" || r.OfServer && s.Server.embedded {
			continue
		}
		if err := r.set(&s, g.value); err != nil {
			if wrong == nil {
				wrong = g.wrong(r, err)
			}
			continue
		}
		if g.value != r.Default && !r.Secret {
			if s.Given == nil {
				s.Given = map[string]string{}
			}
			s.Given[r.Env] = g.value
		}
	}
	s.Notes = from.nearMisses()
	s.nameScenario()
	if s.Replay.Scenario == agentX {
		s.chatUnless(from)
	}
	if wrong != nil {
		return s, wrong
	}
	return s, s.check()
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
		return fmt.Errorf("%s=%d matches none of the standard (ISL,OSL) pairs %v: give both ISL and OSL for a pair "+
			"of your own", name, value, matrix.Standard)
	}
	if err := s.checkSecrets(); err != nil {
		return err
	}
	if err := s.checkTraffic(); err != nil {
		return err
	}
	if err := s.checkReplay(); err != nil {
		return err
	}
	if err := s.checkSynthetic(); err != nil {
		return err
	}
	if err := s.checkShard(); err != nil {
		return err
	}
	if p := s.Results.Power; p.Off && len(p.Files)+len(p.URLs) > 0 {
		return errors.New("POWER=off measures no power, but POWER_CSV or POWER_URLS says where it is told: give one of them")
	}
	if s.Accuracy.Task == "none" && s.Mode != ModePerf {
		return fmt.Errorf("ACC_TASK=none measures speed alone, but MODE=%s asks for accuracy: leave one of them out", s.Mode)
	}
	if s.Mode == ModeSubmit && s.Team == "" {
		return errors.New("TEAM is empty: submit mode needs a team name, as in make submit TEAM=x")
	}
	if cells := len(combos) * len(sel.Cells(combos[0])); s.Results.Filename != "" && cells > 1 {
		return fmt.Errorf("RESULT_FILENAME=%q names one file, but %d cells would be written to it: give ISL, OSL "+
			"and a single CONC too", s.Results.Filename, cells)
	}
	return nil
}
