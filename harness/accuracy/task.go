package accuracy

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"inferbench/baselines"
	"inferbench/harness/corpus"
	"inferbench/harness/server"
)

// Task is one way to ask whether a server's model is still right. A task lives
// in a file of its own and is known elsewhere by this interface alone; how to
// add one is a recipe in CONTRIBUTING.
type Task interface {
	// Name is the task's name, as ACC_TASK and the result file have it.
	Name() string
	// Needs lists the data files that are fetched where no setting names them.
	Needs() []corpus.File
	// Ready reads what will be needed, before a server is asked for anything, and
	// refuses what cannot be measured: a file that is not one, a setting that
	// contradicts another. With own the suite's own data takes the place of what
	// would be fetched.
	Ready(ctx context.Context, o Options, own bool) error
	// Measure asks the server. An error means that there is no figure.
	Measure(ctx context.Context, t *server.Server, o Options) (*Result, error)
	// Judge lays a result beside a baseline, nil where there is none. A tolerance
	// of 0 means the baseline's own.
	Judge(r *Result, b *baselines.Accuracy, tolerance float64) Verdict

	// measured is empty, to read a result file's section into.
	measured() Measured
}

// Measured is what a task measured, in the task's own type. Its keys stand flat
// in the result file's section.
type Measured interface {
	// Figures lists the figures, the one that stands for all first.
	Figures() []Figure
	// Differs says in words in what a baseline holds for something else than r,
	// whose measure this is; nil where in nothing.
	Differs(r *Result, b *baselines.Accuracy) []string
}

// Figure is one figure of a result.
type Figure struct {
	Name   string  // its key in the result file
	Value  float64 // in its own unit: nats, bits, or a share from 0 to 1
	Better string  // lower or higher, in benchstat's words
	Format string  // how a person reads it, for [fmt.Sprintf]
	Limit  string  // its key among the verdict's limits
}

// The tasks that ACC_TASK chooses among, the default first.
var tasks = []Task{wikitext{}, gsm8k{}, gsm8kChat{}, gpqa{}, niahSingle1, rulerVT, rulerCWE, rulerFWE, none{}}

// Names lists the tasks that ACC_TASK chooses among, the default first.
func Names() []string {
	var out []string
	for _, t := range tasks {
		out = append(out, t.Name())
	}
	return out
}

// Lookup finds a task by its name; the empty name is the default task's.
func Lookup(name string) (Task, error) {
	if name == "" {
		return tasks[0], nil
	}
	all := append(slices.Clone(tasks), Decode)
	if i := slices.IndexFunc(all, func(t Task) bool { return t.Name() == name }); i >= 0 {
		return all[i], nil
	}
	return nil, fmt.Errorf("ACC_TASK=%q: want one of %s", name, strings.Join(Names(), ", "))
}

// Result is what a task measured, and what it was measured on.
type Result struct {
	Task      string   `json:"task"`
	Measured  Measured `json:"-"` // flat among the other keys
	Text      TextID   `json:"text"`
	MaxLength int      `json:"max_length,omitempty"` // tokens; these three are absent where no tokens were sent
	Prefix    *int32   `json:"prefix_token,omitempty"`
	Tokenizer string   `json:"tokenizer,omitempty"` // where the tokens came from
	Path      string   `json:"scored_by"`           // the endpoint that was asked
	AsText    bool     `json:"as_text,omitempty"`   // prompts were sent as text, since the server takes no token ids
	DurationS float64  `json:"duration_s"`
}

// Figures lists the result's figures, the one that stands for all first.
func (r *Result) Figures() []Figure {
	if r.Measured == nil {
		return nil
	}
	return r.Measured.Figures()
}

// Figure is the value of a figure by its name, 0 where the task has none such.
func (r *Result) Figure(name string) float64 {
	for _, f := range r.Figures() {
		if f.Name == name {
			return f.Value
		}
	}
	return 0
}

// MarshalJSON writes the result's keys and those of what was measured.
func (r Result) MarshalJSON() ([]byte, error) {
	type plain Result // without this method
	b, err := json.Marshal(plain(r))
	if err != nil || r.Measured == nil {
		return b, err
	}
	own, err := json.Marshal(r.Measured)
	if err != nil || len(own) <= len("{}") {
		return b, err
	}
	return append(append(own[:len(own)-1], ','), b[1:]...), nil
}

// UnmarshalJSON reads what [Result.MarshalJSON] wrote. A section without a
// task's name is of the default task: older files and the bounty's have none.
func (r *Result) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	type plain Result
	if err := json.Unmarshal(b, (*plain)(r)); err != nil {
		return err
	}
	t, err := Lookup(r.Task)
	if err != nil {
		return err
	}
	r.Task, r.Measured = t.Name(), t.measured()
	return json.Unmarshal(b, r.Measured)
}
