// Package records keeps what the tests found out about engines and gateways that
// nobody here wrote: each with the version and the day of the run. The tables in
// docs/engines.md are made of these files alone, so that no entry says that it was
// run without a run.
package records

import (
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// Dir holds a file for each record.
func Dir() string {
	_, file, _, _ := runtime.Caller(0)
	if !filepath.IsAbs(file) { // -trimpath leaves the module's own name in front
		file = filepath.Join("..", "..", strings.TrimPrefix(file, "inferbench/"))
	}
	return filepath.Join(filepath.Dir(file), "found")
}

// Engine is what was found out about an engine: an answer to each of [Questions].
type Engine struct {
	Version string            `json:"version"`
	Date    string            `json:"date"` // of the run, as 2026-11-26
	Test    string            `json:"test"` // that ran it
	Answers map[string]string `json:"answers"`
}

// Gateway is what was measured through a gateway, beside the engine itself in the
// same run: medians, in milliseconds.
type Gateway struct {
	Name       string  `json:"name"`
	Version    string  `json:"version"`
	Date       string  `json:"date"`
	Order      int     `json:"order"` // in the table
	TTFT       float64 `json:"ttft_ms"`
	DirectTTFT float64 `json:"direct_ttft_ms"`
	ITL        float64 `json:"itl_ms"`
	Says       string  `json:"says"` // what the suite says of it
}

// Today is the date of a record that is made now.
func Today() string { return time.Now().Format(time.DateOnly) }

// Write writes a record, whole or not at all.
func Write(t testing.TB, name string, record any) {
	t.Helper()
	b, err := json.MarshalIndent(record, "", " ")
	if err == nil {
		err = os.MkdirAll(Dir(), 0o755)
	}
	if err == nil {
		err = os.WriteFile(file(name)+".new", append(b, '\n'), 0o644)
	}
	if err == nil {
		err = os.Rename(file(name)+".new", file(name))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Read reads a record; false where there is none.
func Read(t testing.TB, name string, record any) bool {
	t.Helper()
	b, err := os.ReadFile(file(name))
	if os.IsNotExist(err) {
		return false
	}
	if err == nil {
		err = json.Unmarshal(b, record)
	}
	if err != nil {
		t.Fatal(err)
	}
	return true
}

// all reads the records whose files' names begin so, by their order.
func all[R any](t testing.TB, begin string, order func(R) int) (list []R) {
	t.Helper()
	files, err := filepath.Glob(file(begin + "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		var r R
		Read(t, strings.TrimSuffix(filepath.Base(f), ".json"), &r)
		list = append(list, r)
	}
	slices.SortStableFunc(list, func(a, b R) int { return cmp.Compare(order(a), order(b)) })
	return list
}

// What the names of records begin with that are not an engine's.
const (
	gateway = "gateway-"
	beside  = "beside-"
)

var other = regexp.MustCompile(`[^a-z0-9]+`)

func slug(name string) string {
	return strings.Trim(other.ReplaceAllString(strings.ToLower(name), "-"), "-")
}

// WriteGateway writes a gateway's record.
func WriteGateway(t testing.TB, g Gateway) { Write(t, gateway+slug(g.Name), g) }

// WriteBeside writes the record of a comparison.
func WriteBeside(t testing.TB, b Beside) { Write(t, beside+slug(b.Name), b) }

func file(name string) string { return filepath.Join(Dir(), name+".json") }
