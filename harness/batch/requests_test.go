package batch_test

import (
	"bytes"
	"compress/gzip"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/batch"
	"inferbench/harness/stats"
)

func someTimings(n, chunks int) []stats.Timing {
	rng := rand.New(rand.NewPCG(1, 2))
	out := make([]stats.Timing, n)
	for i := range out {
		t := stats.Timing{Index: i, Waited: time.Duration(i), Chunks: chunks, Bundled: 1, NoUsage: i == 3, Sent: time.Duration(i)*7 + 3, InputTokens: 1024, OutputTokens: chunks}
		t.First = t.Sent + time.Duration(rng.IntN(1e9))
		t.Last = t.First
		for range chunks - 1 {
			gap := time.Duration(rng.IntN(2e7))
			t.ITL.Append(gap)
			t.Last += gap
		}
		out[i] = t
	}
	out[4].Turn = &stats.Turn{Session: 2, Stream: 1, Number: 3, Blocks: 16, Hits: 12}
	out[4].Prompt = stats.Prompt{Cached: 768, CachedTold: true, Tiers: &stats.Tiers{Device: 700, Host: 60, Storage: 8}}
	out[n-1] = stats.Timing{Index: n - 1, Sent: 5, Err: "stream ended after 0 of 8 tokens"}
	return out
}

func TestRequestsComeBackAsTheyWere(t *testing.T) {
	b := create(t)
	want := someTimings(20, 500)
	require.NoError(t, b.WriteRequests(cells[0], want, 90*time.Second))
	got, err := batch.ReadRequests(filepath.Join(b.Dir, "requests_isl1024_osl1024_conc4.jsonl.gz"))
	require.NoError(t, err)
	assert.Equal(t, 90*time.Second, got.Duration())
	assert.Equal(t, batch.RequestsHead{batch.RequestsFormat, 1024, 1024, 4, 90e9, 20}, got.RequestsHead)
	require.Len(t, got.Timings, len(want))
	for i, w := range want {
		g := got.Timings[i]
		var exact, told time.Duration
		wantGaps, gotGaps := slices.Collect(w.ITL.All()), slices.Collect(g.ITL.All())
		require.Len(t, gotGaps, len(wantGaps))
		for j := range wantGaps {
			exact, told = exact+wantGaps[j], told+gotGaps[j]
			require.LessOrEqual(t, (exact - told).Abs(), 500*time.Nanosecond, "rounding must not add up")
		}
		w.ITL, g.ITL = stats.Gaps{}, stats.Gaps{}
		assert.Equal(t, w, g, "all but the gaps is exact")
	}
}

func TestRequestsThatAreNotWholeAreRefused(t *testing.T) {
	b := create(t)
	require.NoError(t, b.WriteRequests(cells[0], someTimings(20, 50), time.Second))
	whole, err := os.ReadFile(filepath.Join(b.Dir, batch.RequestsFileName(cells[0])))
	require.NoError(t, err)
	packed := func(text string) []byte {
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		_, _ = w.Write([]byte(text))
		_ = w.Close()
		return out.Bytes()
	}
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"cut off":        {whole[:len(whole)/2], "unexpected EOF"},
		"fewer rows":     {packed(`{"format":"inferbench-requests/1","requests":2}` + "\n" + `{"i":0}` + "\n"), "line 3: the file ends after 1 of 2 requests"},
		"another format": {packed(`{"format":"else/1"}`), `format is "else/1"`},
		"not gzip":       {[]byte("hello, this is text"), "invalid header"},
		"bad row":        {packed(`{"format":"inferbench-requests/1","requests":1}` + "\n" + `{"i":"x"}`), "line 2"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "r.jsonl.gz")
			require.NoError(t, os.WriteFile(file, c.content, 0o644))
			_, err := batch.ReadRequests(file)
			require.ErrorContains(t, err, c.want)
			assert.ErrorContains(t, err, file)
		})
	}
	_, err = batch.ReadRequests(filepath.Join(b.Dir, "none"))
	assert.ErrorIs(t, err, fs.ErrNotExist)
}
