package batch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"inferbench/baselines"
	"inferbench/harness/capacity"
	"inferbench/harness/rules"
	"inferbench/harness/stats"
	"inferbench/harness/textfile"
)

// Result is the content of a cell's result file. Its performance figures and
// the bounty's baseline keys lie flat at the top level, as the bounty's users
// read them; the rest is in sections.
//
// A figure that could not be measured is null or absent, never zero and never
// NaN. A section that another package owns (accuracy, audits) is kept as the
// JSON of that package's type, so that this one need not know it.
type Result struct {
	Status Status `json:"status"`
	Reason string `json:"reason,omitempty"` // why the cell is not PASSED, on one line

	// RunAgain says that the cell FAILED for no fault of its configuration, because
	// the server went away or the disk was full: a resumed sweep runs it again (see
	// [Unfinished]).
	RunAgain bool `json:"run_again,omitempty"`

	Performance *stats.Summary `json:"-"` // flat; nil where no benchmark ran

	SLO []capacity.Judgement `json:"slo,omitempty"` // the limits of SLO, and how they were kept

	Precision *stats.Precision `json:"precision,omitempty"` // nil where the run went on to its last request
	Scenario  *Scenario        `json:"scenario,omitempty"`  // by which rules sessions were replayed; nil where none were

	Args       Args                  `json:"benchmark_args"`
	Baseline   *baselines.Comparison `json:"hardware_baseline,omitempty"` // and flat, see [baselines.Comparison.Flat]
	Accuracy   json.RawMessage       `json:"accuracy"`
	Validation json.RawMessage       `json:"accuracy_validation"`

	// Marks say what a reader must know before quoting any figure of the cell; a
	// marked cell goes to no public board. See [Mark].
	Marks         []Mark          `json:"marks,omitempty"`
	ClientLimited bool            `json:"client_limited"` // the mark of that name, by its older key
	ClientAudit   json.RawMessage `json:"client_audit,omitempty"`
	DecodeAudit   json.RawMessage `json:"decode_audit,omitempty"`
	Canaries      json.RawMessage `json:"canaries,omitempty"`       // answers under load beside those without
	ServerMetrics json.RawMessage `json:"server_metrics,omitempty"` // what the server's own /metrics showed
	Slowest       json.RawMessage `json:"slowest,omitempty"`        // what the slowest requests had in common
	Notes         []string        `json:"notes,omitempty"`          // what a reader must know before quoting a figure

	// NotTold are keys of the file's top of which another tool's file says nothing:
	// they are null. Source is what that file holds, under its own keys.
	NotTold []string        `json:"not_told,omitempty"`
	Source  json.RawMessage `json:"source,omitempty"`
}

// Scenario is by which rules sessions were replayed.
type Scenario struct {
	Name    string   `json:"name"`
	Valid   *bool    `json:"valid"`             // by the rules of the scenario; null where it has none
	Reasons []string `json:"reasons,omitempty"` // why it is not valid
	Rules   any      `json:"rules"`             // as they were applied
}

// Mark is a word that stands in a result, the tables and a board's row: the
// figures are what was measured, but not what the rules ask for.
type Mark string

// The marks.
const (
	ClientLimited  Mark = rules.ClientLimited  // the client, not the server, may have been the limit
	HeldBack       Mark = "held_back"          // something before the server holds tokens back
	WarmCache      Mark = rules.WarmCache      // prompts that share nothing came from the server's prefix cache
	Precision      Mark = rules.Precision      // the run ended early, when its figures were precise enough
	AccuracyNotRun Mark = rules.AccuracyNotRun // no accuracy was measured, or nothing judged it
	Embedded       Mark = rules.Embedded       // measured on the suite's own engine
	// the server accepts speculated tokens unseen, so its text is not the model's
	Synthetic Mark = rules.SyntheticAcceptance
)

// Mark adds a mark once.
func (r *Result) Mark(m Mark) {
	r.ClientLimited = r.ClientLimited || m == ClientLimited
	if !r.Marked(m) {
		r.Marks = append(r.Marks, m)
	}
}

// Marked reports whether the result has the mark.
func (r *Result) Marked(m Mark) bool { return slices.Contains(r.Marks, m) }

// Standing returns the status with the marks behind it, for a table: PASSED
// (client-limited).
func (r *Result) Standing() string { return string(r.Status) + InBrackets(r.Marks) }

// InBrackets writes marks behind a word: " (client-limited, warm-cache)". What
// was measured on the embedded engine says so above each table and is not
// repeated.
func InBrackets(marks []Mark) string {
	var words []string
	for _, m := range marks {
		if m != Embedded {
			words = append(words, strings.ReplaceAll(string(m), "_", "-"))
		}
	}
	if words == nil {
		return ""
	}
	return " (" + strings.Join(words, ", ") + ")"
}

// Args is what it takes to repeat the run.
type Args struct {
	Model            string          `json:"model"`
	Backend          string          `json:"backend"` // vllm, sglang, llama.cpp, embedded, … or unknown
	BackendVersion   string          `json:"backend_version"`
	BaseURL          string          `json:"base_url"`
	Endpoint         string          `json:"endpoint"`
	DatasetName      string          `json:"dataset_name"`
	DatasetPath      string          `json:"dataset_path,omitempty"`
	Scenario         string          `json:"scenario,omitempty"` // whose sessions were replayed; then the lengths are 0
	RandomInputLen   int             `json:"random_input_len"`
	RandomOutputLen  int             `json:"random_output_len"`
	RandomRangeRatio float64         `json:"random_range_ratio"`
	MaxConcurrency   int             `json:"max_concurrency"`
	NumPrompts       int             `json:"num_prompts"`
	WarmUp           int             `json:"warmup_requests"`
	RequestRate      Rate            `json:"request_rate"`
	Temperature      *float64        `json:"temperature"` // as sent; null where it is left to the server
	Seed             int64           `json:"seed"`
	Label            string          `json:"label,omitempty"`  // for people: what the batch is of
	Remarks          string          `json:"notes,omitempty"`  // for people
	Server           json.RawMessage `json:"server,omitempty"` // what the server says of how it was started
	TP               int             `json:"tp"`
	// ids that random prompts are drawn from; none where it was not known
	VocabSize         int    `json:"vocab_size,omitempty"`
	Mode              string `json:"mode"`
	ClientVersion     string `json:"client_version"`
	GoVersion         string `json:"go_version"`
	StartedAt         string `json:"started_at"` // RFC 3339
	EngineProfile     string `json:"engine_profile,omitempty"`
	ACCTask           string `json:"acc_task,omitempty"`
	AccuracyMaxLength int    `json:"acc_max_length,omitempty"`
	// Settings are the settings that differ from their defaults, by name,
	// secrets left out.
	Settings map[string]string `json:"settings,omitempty"`
}

// ImportMode is the mode of what was taken from another tool's file.
const ImportMode = "import"

// MarshalJSON writes the arguments. Of an imported run those are left out that
// the other tool's file does not tell.
func (a Args) MarshalJSON() ([]byte, error) {
	type plain Args // without this method
	b, err := json.Marshal(plain(a))
	if err != nil || a.Mode != ImportMode {
		return b, err
	}
	return edit(b, func(_ string, v json.RawMessage) json.RawMessage {
		if s := string(v); s == "0" || s == `""` || s == "null" {
			return nil
		}
		return v
	})
}

// edit puts in place of each of an object's values what with returns, and leaves
// those out for which it returns nil.
func edit(object []byte, with func(key string, v json.RawMessage) json.RawMessage) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(object))
	if _, err := dec.Token(); err != nil { // the opening brace
		return nil, err
	}
	out := []byte{'{'}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		var v json.RawMessage
		if err := dec.Decode(&v); err != nil {
			return nil, err
		}
		if v = with(key.(string), v); v == nil {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(strconv.AppendQuote(out, key.(string)), ':')
		out = append(out, v...)
	}
	return append(out, '}'), nil
}

// Rate is a request rate in requests a second; 0 is a closed loop, as fast as
// max_concurrency allows. That is "inf" in a file, as other clients have it; null,
// as files of before have it, is read alike.
type Rate float64

// MarshalJSON writes the number, or "inf".
func (r Rate) MarshalJSON() ([]byte, error) {
	if r <= 0 {
		return []byte(`"inf"`), nil
	}
	return json.Marshal(float64(r))
}

// UnmarshalJSON reads a number, "inf" or null.
func (r *Rate) UnmarshalJSON(b []byte) error {
	if s := string(b); s == `"inf"` || s == "null" {
		*r = 0
		return nil
	}
	return json.Unmarshal(b, (*float64)(r))
}

// Embedded reports whether the server was the suite's own engine, by the name
// that its dialect has there: such figures are of this machine, of no GPU.
func (a Args) Embedded() bool { return a.Backend == "embedded" }

// MarshalJSON writes the flat keys first, then the sections.
func (r Result) MarshalJSON() ([]byte, error) {
	type sections Result // without this method
	s := sections(r)
	if s.Accuracy == nil {
		s.Accuracy = json.RawMessage("null")
	}
	if s.Validation == nil {
		s.Validation = json.RawMessage(`{"status":"NOT_RUN"}`)
	}
	var parts []any
	if r.Performance != nil {
		parts = append(parts, r.Performance, others{r.Args.MaxConcurrency, r.Args.Model})
	}
	if r.Baseline != nil {
		parts = append(parts, r.Baseline.Flat())
	}
	b, err := join(append(parts, s)...)
	if err != nil || r.NotTold == nil {
		return b, err
	}
	return edit(b, func(key string, v json.RawMessage) json.RawMessage {
		if slices.Contains(r.NotTold, key) {
			return json.RawMessage("null")
		}
		return v
	})
}

// others are the two keys that programs which read vLLM's results look for beside
// the figures: InferenceX's process_result.py and vLLM's plots.
type others struct {
	Conc  int    `json:"max_concurrency"`
	Model string `json:"model_id"`
}

// UnmarshalJSON reads a file that [Result.MarshalJSON] wrote.
func (r *Result) UnmarshalJSON(b []byte) error {
	type sections Result
	file := struct { // one pass for both: a history reads thousands of files
		*sections
		Requests json.RawMessage `json:"successful_requests"` // nil where there is no such key
	}{sections: (*sections)(r)}
	if err := json.Unmarshal(b, &file); err != nil {
		return err
	}
	if r.ClientLimited {
		r.Mark(ClientLimited)
	}
	if file.Requests == nil {
		return nil
	}
	r.Performance = new(stats.Summary)
	return json.Unmarshal(b, r.Performance)
}

// join writes several JSON objects as one, in order.
func join(objects ...any) ([]byte, error) {
	out := []byte{'{'}
	for _, o := range objects {
		b, err := json.Marshal(o)
		if err != nil {
			return nil, err
		}
		if b = bytes.TrimSpace(b); len(b) <= len("{}") || b[0] != '{' {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, b[1:len(b)-1]...)
	}
	return append(out, '}'), nil
}

// Section is v as a section of a [Result]; nil for a nil v.
func Section(v any) (json.RawMessage, error) {
	if v == nil {
		return nil, nil
	}
	return json.Marshal(v)
}

// ReadResult reads one result file. Its texts are fit to be printed.
func ReadResult(path string) (*Result, error) {
	b, err := textfile.Read(path)
	if err != nil {
		return nil, err
	}
	r := new(Result)
	if err := json.Unmarshal(printable(b), r); err != nil {
		return nil, fmt.Errorf("%s: not a result file: %w", path, err)
	}
	return r, nil
}
