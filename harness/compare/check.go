package compare

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"inferbench/harness/batch"
	"inferbench/harness/settings"
)

// check says why two measurements of a cell may not be compared, and what else
// a reader should know. Every pass of both sides is held against the first.
func (p *pair) check() (refused string, notes []string) {
	for _, side := range []struct {
		name   string
		passes []pass
	}{{"A", p.a}, {"B", p.b}} {
		if len(side.passes) == 0 {
			return "only one side has it: not in " + side.name, nil
		}
		for _, m := range side.passes {
			if why := unfit(m.cell); why != "" {
				return fmt.Sprintf("%s (%s) %s", side.name, m.folder.Dir, why), nil
			}
		}
	}
	first := p.a[0].cell.Result.Args
	seen := map[string]bool{}
	var silent [2][]string // what a side's file does not tell and the other's does
	silence := func(side int, name string) {
		if !slices.Contains(silent[side], name) {
			silent[side] = append(silent[side], name)
		}
	}
	for i, m := range append(p.a[1:len(p.a):len(p.a)], p.b...) {
		side := 0
		if i >= len(p.a)-1 {
			side = 1
		}
		for _, d := range differences(first, m.cell.Result.Args) {
			line := fmt.Sprintf("%s: %v against %v", d.name, d.a, d.b)
			switch {
			case untold(d.a):
				silence(0, d.name)
			case untold(d.b):
				silence(side, d.name)
			case d.refuse:
				return line, nil
			case !seen[line]:
				seen[line] = true
				notes = append(notes, line)
			}
		}
	}
	for side, names := range silent {
		if len(names) > 0 {
			notes = append(notes, fmt.Sprintf("not told by %c, so not checked: %s", 'A'+side, strings.Join(names, ", ")))
		}
	}
	return "", notes
}

// unfit says why a cell's figures may not be compared with anything.
func unfit(c batch.ReadCell) string {
	switch {
	case c.Result == nil:
		return fmt.Sprintf("has no result file: it is %s", c.Status)
	case c.Status == batch.Failed || c.Result.Status == batch.Failed:
		return "FAILED: " + c.Result.Reason
	case c.Result.Performance == nil:
		return "has no performance figures"
	}
	return ""
}

// limited says which side's figures may be the client's own, so that their ratio
// is no verdict on the server; empty where neither's.
func (p *pair) limited() string {
	for _, side := range []struct {
		name   string
		passes []pass
	}{{"A", p.a}, {"B", p.b}} {
		for _, m := range side.passes {
			if m.cell.Result.Marked(batch.ClientLimited) {
				return fmt.Sprintf("%s (%s) was limited by the client, not by the server", side.name, m.folder.Dir)
			}
		}
	}
	return ""
}

// marks lists the marks of all passes, each once.
func (p *pair) marks() (out []batch.Mark) {
	for _, m := range append(p.a[:len(p.a):len(p.a)], p.b...) {
		for _, mark := range m.cell.Result.Marks {
			if !slices.Contains(out, mark) {
				out = append(out, mark)
			}
		}
	}
	return out
}

type difference struct {
	name   string
	a, b   any
	refuse bool
}

// differences lists what is not alike in how two runs were made. The model and
// what was sent must be; where and how it was served is what people compare.
func differences(a, b batch.Args) []difference {
	var out []difference
	add := func(name string, x, y any, refuse bool) {
		if x != y {
			out = append(out, difference{name, x, y, refuse})
		}
	}
	rate := func(r batch.Rate) any {
		if r == 0 {
			return "unlimited"
		}
		return r
	}
	add("model", a.Model, b.Model, true)
	add("dataset_name", a.DatasetName, b.DatasetName, true)
	add("random_range_ratio", a.RandomRangeRatio, b.RandomRangeRatio, true)
	add("request_rate", rate(a.RequestRate), rate(b.RequestRate), true)
	// A run that a duration bounds sends as many as it can, one that PRECISION ends as many as it must.
	bound := func(a batch.Args) bool { return a.Settings["DURATION"] != "" || a.Settings["PRECISION"] != "" }
	add("num_prompts", a.NumPrompts, b.NumPrompts, !bound(a) && !bound(b))
	for _, name := range settings.TrafficNames() {
		add(name, or(a.Settings[name], "default"), or(b.Settings[name], "default"), true)
	}
	add("temperature", temperature(a.Temperature), temperature(b.Temperature), true)
	add("endpoint", a.Endpoint, b.Endpoint, true)
	add("seed", a.Seed, b.Seed, false)
	add("tp", a.TP, b.TP, false)
	add("backend", a.Backend, b.Backend, false)
	add("backend_version", a.BackendVersion, b.BackendVersion, false)
	add("engine_profile", a.EngineProfile, b.EngineProfile, false)
	add("warmup_requests", a.WarmUp, b.WarmUp, false)
	add("client_version", a.ClientVersion, b.ClientVersion, false)
	return out
}

// temperature is "" where the file does not tell it.
func temperature(t *float64) any {
	if t == nil {
		return ""
	}
	return fmt.Sprintf("%g", *t)
}

func or(s, instead string) string {
	if s == "" {
		return instead
	}
	return s
}

// untold is for what a file of another tool does not tell: "" or 0. It is a
// note, no refusal.
func untold(v any) bool { return reflect.ValueOf(v).IsZero() }
