package sweep

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/batch"
	"inferbench/harness/matrix"
	"inferbench/harness/power"
	"inferbench/harness/server"
	"inferbench/harness/settings"
	"inferbench/harness/stats"
)

// Who tells of power: what the settings name, else a tool of this machine, if the
// server runs on it.
func TestWhoTellsOfPower(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "nvidia-smi"), []byte("#!/bin/sh\n"), 0o755))
	for name, c := range map[string]struct {
		url, path string
		power     settings.Power
		want      []string
	}{
		"a server here":      {"http://127.0.0.1:8888", dir, settings.Power{}, []string{"nvidia-smi"}},
		"a server elsewhere": {"http://192.0.2.7:8888", dir, settings.Power{}, nil},
		"no tool":            {"http://127.0.0.1:8888", "/nowhere", settings.Power{}, nil},
		"off":                {"http://127.0.0.1:8888", dir, settings.Power{Off: true}, nil},
		"files and pages outweigh it": {"http://127.0.0.1:8888", dir, settings.Power{Files: []string{"p.csv"}, URLs: []string{"http://gpu:9400/metrics"}},
			[]string{"p.csv", "http://gpu:9400/metrics"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("PATH", c.path)
			sw := &Sweep{}
			sw.Target, sw.Settings.Results.Power = server.New(c.url, "", "", nil), c.power
			var got []string
			for _, from := range sw.powerFrom(t.Context()) {
				got = append(got, from.Name())
			}
			assert.Equal(t, c.want, got)
		})
	}
}

// What was measured is in the result and in a file beside it; what was not, and why,
// is a note.
func TestPowerIsKept(t *testing.T) {
	cell := matrix.Cell{Combination: matrix.Combination{ISL: 8, OSL: 2}, Conc: 1, NumPrompts: 1}
	b, err := batch.Create(t.TempDir(), batch.Header{Combination: cell.Combination, Mode: "perf", Time: time.Now(), Cells: []matrix.Cell{cell}})
	require.NoError(t, err)
	sw := &Sweep{batches: map[matrix.Combination]*batch.Batch{cell.Combination: b}}
	watts := 400.0
	for name, c := range map[string]struct {
		used  consumed
		own   bool // the embedded engine
		notes []string
		file  bool
	}{
		"nothing to measure with": {consumed{}, false, nil, false},
		"measured":                {consumed{&stats.Power{Valid: true}, []power.Sample{{AtS: 1, PowerW: &watts}}}, false, nil, true},
		"not measured": {consumed{&stats.Power{From: "nvidia-smi", Reasons: []string{"a", "b"}}, nil}, true,
			[]string{"power was not measured (nvidia-smi): a; b"}, false},
		"its GPUs idle":              {consumed{&stats.Power{From: "x", Reasons: []string{power.Idle}}, nil}, false, []string{"power was not measured (x): " + power.Idle}, false},
		"of an engine that has none": {consumed{&stats.Power{From: "x", Reasons: []string{"a", power.Idle}}, nil}, true, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(b.Dir, batch.PowerFileName(cell))
			os.Remove(file)
			r := &batch.Result{Performance: &stats.Summary{}}
			sw.Target = &server.Server{Loopback: c.own}
			require.NoError(t, sw.keepPower(cell, r, c.used))
			assert.Equal(t, c.notes, r.Notes)
			assert.Same(t, c.used.power, r.Performance.Power)
			text, err := os.ReadFile(file)
			assert.Equal(t, c.file, err == nil)
			if c.file {
				var samples []power.Sample
				require.NoError(t, json.Unmarshal(text, &samples))
				assert.Equal(t, c.used.samples, samples)
			}
		})
	}
}
