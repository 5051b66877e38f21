package history

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"inferbench/harness/batch"
	"inferbench/harness/settings"
)

// flags are what a result tells of how its server was started and what it was asked
// for: what the server said of itself, and the settings that bear on a measurement.
func flags(a batch.Args) map[string]string {
	out := map[string]string{}
	var about map[string]any
	if json.Unmarshal(a.Server, &about) == nil {
		flatten(out, "", about)
	}
	for name, value := range a.Settings {
		if !settings.MayChange(name) && !slices.Contains(known, name) {
			out[name] = value
		}
	}
	if a.TP > 0 {
		out["TP"] = fmt.Sprint(a.TP)
	}
	return out
}

// known are settings that a history shows in columns of their own.
var known = []string{"BASE_URL", "PORT", "MODEL", "ISL", "OSL", "MODE", "LABEL", "NOTES", "TP", "RESULT_FILENAME"}

// flatten takes the single values of what a server says of itself. Its name and
// version have a column.
func flatten(out map[string]string, prefix string, values map[string]any) {
	for k, v := range values {
		switch v := v.(type) {
		case map[string]any:
			if k == "flags" {
				flatten(out, "", v)
			} else {
				flatten(out, prefix+k+".", v)
			}
		case []any, nil:
		default:
			if prefix != "" || !slices.Contains([]string{"engine", "version", "model_path", "gpus"}, k) {
				out[prefix+k] = fmt.Sprint(v)
			}
		}
	}
}

// differences finds, among the entries of one model, server and pair of lengths, the
// flags that are not the same for all.
func (h *History) differences() {
	groups := map[string][]*Entry{}
	for i := range h.Entries {
		e := &h.Entries[i]
		backend, _, _ := strings.Cut(e.Server, " ")
		key := fmt.Sprint(e.Model, "\x00", backend, "\x00", e.Combination, e.Foreign)
		groups[key] = append(groups[key], e)
	}
	for _, group := range groups {
		values := map[string]map[string]bool{}
		for _, e := range group {
			for k := range e.flags {
				values[k] = map[string]bool{}
			}
		}
		for _, e := range group {
			for k := range values {
				values[k][e.flags[k]] = true // "" where it is not told
			}
		}
		for _, e := range group {
			for k, v := range e.flags {
				if len(values[k]) > 1 {
					e.Differs = append(e.Differs, k+"="+v)
				}
			}
			slices.Sort(e.Differs)
			e.flags = nil
		}
	}
}
