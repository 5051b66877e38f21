package schedule

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"inferbench/harness/textfile"
)

//go:embed profiles/*.json
var files embed.FS

// Profile is an engine as a data file: its limits and its cost model.
type Profile struct {
	Name   string // the file's name without .json
	About  string // what it stands for
	Source string // where its figures come from

	MaxModelLen int // tokens of prompt and output together
	Limits      Limits
	Cost        Cost
}

// Limits is what a step, and the engine as a whole, can hold.
type Limits struct {
	MaxRunning    int     // requests that run at once
	TokenBudget   int     // tokens a step may compute: one a decoding request, the rest prefill
	KVTokens      int     // capacity of the KV cache
	BlockTokens   int     // the KV cache is handed out in blocks of so many tokens
	PrefixCaching bool    // keep the blocks of finished requests, and use them for equal beginnings
	MaxQueue      int     // requests that may wait, for the engine to hold to; 0 means any number
	DecodeRounds  int     // decode steps run as one, their tokens sent as one chunk; 0 counts as 1
	SpecTokens    int     // tokens guessed ahead in each decode step (speculative decoding)
	SpecAccept    float64 // probability that a guess is right, given that those before it were
	HostTokens    int     // capacity of the prefix cache's host tier, for what leaves the KV cache; 0: none
}

// LoadProfile loads a profile by the name of a shipped one or by the path of a
// .json file. The empty name means fast.
func LoadProfile(nameOrPath string) (*Profile, error) {
	if nameOrPath == "" {
		nameOrPath = "fast"
	}
	var b []byte
	var err error
	if strings.HasSuffix(nameOrPath, ".json") {
		b, err = textfile.Read(nameOrPath)
	} else if b, err = files.ReadFile("profiles/" + nameOrPath + ".json"); err != nil {
		err = fmt.Errorf("none of that name; there are: %s, or give the path of a .json file", strings.Join(Profiles(), ", "))
	}
	if err == nil {
		var p *Profile
		if p, err = parseProfile(b); err == nil {
			return p, nil
		}
	}
	return nil, fmt.Errorf("engine profile %s: %w", nameOrPath, err)
}

// Profiles lists the shipped profiles.
func Profiles() []string {
	entries, _ := fs.ReadDir(files, "profiles")
	var out []string
	for _, e := range entries {
		out = append(out, strings.TrimSuffix(e.Name(), ".json"))
	}
	return out
}

// profileFile is a profile as it is written: units are in the names.
type profileFile struct {
	Name            string       `json:"name"`
	About           string       `json:"about"`
	Source          string       `json:"source"`
	MaxModelLen     int          `json:"max_model_len"`
	MaxRunning      int          `json:"max_running_requests"`
	TokenBudget     int          `json:"max_tokens_per_step"`
	KVTokens        int          `json:"kv_cache_tokens"`
	BlockTokens     int          `json:"kv_block_tokens"`
	PrefixCaching   bool         `json:"prefix_caching"`
	MaxQueue        int          `json:"max_queued_requests"`
	DecodeRounds    int          `json:"continuous_decode_steps"`
	SpecTokens      int          `json:"speculative_tokens"`
	SpecAccept      float64      `json:"speculative_acceptance"`
	DecodeStep      [][2]float64 `json:"decode_step_ms_by_batch"`
	PerContext      float64      `json:"decode_us_per_1k_context_tokens"`
	PrefillRate     float64      `json:"prefill_tokens_per_s"`
	PrefillOverhead float64      `json:"prefill_overhead_ms"`
	PerPair         float64      `json:"prefill_us_per_1m_attended_tokens"`
	HostTokens      int          `json:"host_cache_tokens,omitempty"`
	HostRate        float64      `json:"host_load_tokens_per_s,omitempty"`
}

func parseProfile(b []byte) (*Profile, error) {
	var f profileFile
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		return nil, err
	}
	p := &Profile{Name: f.Name, About: f.About, Source: f.Source, MaxModelLen: f.MaxModelLen,
		Limits: Limits{f.MaxRunning, f.TokenBudget, f.KVTokens, f.BlockTokens, f.PrefixCaching,
			f.MaxQueue, f.DecodeRounds, f.SpecTokens, f.SpecAccept, f.HostTokens},
		Cost: Cost{PerContextToken: f.PerContext, // µs per 1,000 is ns per one
			PrefillRate: f.PrefillRate, PrefillOverhead: milliseconds(f.PrefillOverhead),
			PerPrefillPair: f.PerPair / 1000, HostRate: f.HostRate}} // µs per million is ns per thousand
	for _, pt := range f.DecodeStep {
		p.Cost.DecodeStep = append(p.Cost.DecodeStep, Point{int(pt[0]), milliseconds(pt[1])})
	}
	return p, p.Validate()
}

// MarshalJSON writes the profile as its data file has it.
func (p *Profile) MarshalJSON() ([]byte, error) {
	l, c := p.Limits, p.Cost
	f := profileFile{p.Name, p.About, p.Source, p.MaxModelLen, l.MaxRunning, l.TokenBudget, l.KVTokens, l.BlockTokens,
		l.PrefixCaching, l.MaxQueue, l.DecodeRounds, l.SpecTokens, l.SpecAccept, nil, c.PerContextToken,
		c.PrefillRate, float64(c.PrefillOverhead) / 1e6, c.PerPrefillPair * 1000,
		l.HostTokens, c.HostRate}
	for _, pt := range c.DecodeStep {
		f.DecodeStep = append(f.DecodeStep, [2]float64{float64(pt.Batch), float64(pt.Step) / 1e6})
	}
	return json.Marshal(f)
}

func milliseconds(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

// Validate reports the first thing about the profile that cannot be.
func (p *Profile) Validate() error {
	l, c := p.Limits, p.Cost
	for _, v := range []struct {
		name       string
		value, min int
	}{
		{"max_model_len", p.MaxModelLen, 2}, {"max_running_requests", l.MaxRunning, 1},
		{"kv_block_tokens", l.BlockTokens, 1},
		{"max_tokens_per_step", l.TokenBudget, l.MaxRunning}, // each running request decodes one
		{"kv_cache_tokens", l.KVTokens, l.BlockTokens}, {"max_queued_requests", l.MaxQueue, 0},
		{"host_cache_tokens", l.HostTokens, 0}, {"continuous_decode_steps", l.DecodeRounds, 0},
		{"speculative_tokens", l.SpecTokens, 0},
		{"points of decode_step_ms_by_batch", len(c.DecodeStep), 1},
	} {
		if v.value < v.min {
			return fmt.Errorf("%s is %d: want %d or more", v.name, v.value, v.min)
		}
	}
	for i, pt := range c.DecodeStep {
		if pt.Batch < 1 || pt.Step <= 0 || i > 0 && pt.Batch <= c.DecodeStep[i-1].Batch {
			return fmt.Errorf("decode_step_ms_by_batch: point %d: want ascending batches from 1, with times above 0", i+1)
		}
	}
	switch {
	case !(c.PrefillRate > 0):
		return fmt.Errorf("prefill_tokens_per_s is %g: want above 0", c.PrefillRate)
	case c.PerContextToken < 0 || c.PrefillOverhead < 0 || c.PerPrefillPair < 0 || c.HostRate < 0:
		return fmt.Errorf("a cost is below 0")
	case !(l.SpecAccept >= 0 && l.SpecAccept <= 1):
		return fmt.Errorf("speculative_acceptance is %g: want 0 to 1", l.SpecAccept)
	}
	return nil
}
