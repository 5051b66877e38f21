package load

import (
	"compress/gzip"
	"encoding/json"
	"flag"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"inferbench/harness/engine"
	"inferbench/harness/server"
	"inferbench/harness/workload"
)

var record = flag.Bool("record", false, "write harness/stats/testdata/parity/engine.json.gz anew; run make parity-client after")

// embedded starts an embedded engine and waits for it.
func embedded(t testing.TB, cfg engine.Config) (*engine.Engine, *server.Server) {
	t.Helper()
	e, err := engine.Start(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { e.Close() })
	tg := server.New(e.URL(), "", cfg.APIKey, nil)
	require.NoError(t, tg.Wait(t.Context(), server.WaitOptions{}))
	return e, tg
}

// TestRecordForParity runs a load on the embedded engine and with -record keeps
// its timings for the comparison with the peers' metric functions in package
// stats.
func TestRecordForParity(t *testing.T) {
	_, tg := embedded(t, engine.Config{})
	src := workload.Random{N: 96, ISL: 64, OSL: 48, RangeRatio: 0.1, Vocab: tg.Vocab, Seed: 4}
	rec, err := Run(t.Context(), tg, src, Options{Conc: 8, WarmUp: 8, Shape: Shape{Rate: 150}})
	require.NoError(t, err)
	require.Equal(t, 96, rec.Summary(1).Successful, rec.Summary(1).Errors)
	if !*record {
		return
	}
	type timing struct {
		Sent   int64   `json:"sent"`
		Waited int64   `json:"waited,omitempty"`
		First  int64   `json:"first,omitempty"`
		Last   int64   `json:"last,omitempty"`
		ITL    []int64 `json:"itl,omitempty"`
		Input  int     `json:"input,omitempty"`
		Output int     `json:"output,omitempty"`
	}
	var out struct {
		Duration int64    `json:"duration"`
		Timings  []timing `json:"timings"`
	}
	out.Duration = int64(rec.Duration)
	for _, x := range rec.Timings {
		k := timing{int64(x.Sent), int64(x.Waited), int64(x.First), int64(x.Last), nil, x.InputTokens, x.OutputTokens}
		for _, gap := range slices.Collect(x.ITL.All()) {
			k.ITL = append(k.ITL, int64(gap))
		}
		out.Timings = append(out.Timings, k)
	}
	f, err := os.Create("../stats/testdata/parity/engine.json.gz")
	require.NoError(t, err)
	z := gzip.NewWriter(f)
	require.NoError(t, json.NewEncoder(z).Encode(out))
	require.NoError(t, z.Close())
	require.NoError(t, f.Close())
}
