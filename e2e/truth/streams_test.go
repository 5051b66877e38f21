package truth

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/load"
	"inferbench/harness/server"
)

// The engine holds 4,096 streams at once within 4 GiB: that many with -update
// (make engine-streams), an eighth of them otherwise.
func TestManyStreamsAtOnce(t *testing.T) {
	n, osl := 512, 128
	if *update {
		n, osl = 4096, 512
	}
	s := serveAlone(t, "fast")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	tg := server.New(s.URL, "", "", nil)
	require.NoError(t, tg.Wait(ctx, server.WaitOptions{Timeout: time.Minute}))
	rec, err := load.Run(ctx, tg, named{n, 8, osl}, load.Options{Conc: n, WarmUp: 0})
	require.NoError(t, err)
	for _, tm := range rec.Timings {
		require.Empty(t, tm.Err)
		require.Equal(t, osl, tm.OutputTokens)
	}
	var answer struct{ Requests []traced }
	require.NoError(t, tg.Get(ctx, "/inferbench/trace", &answer))
	require.Len(t, answer.Requests, n)
	most := overlap(answer.Requests)
	if *update { // how many overlap depends on how quickly the client can send them
		assert.Equal(t, n, most, "streams that ran at the same instant")
	}

	gib := peakGiB(t, s.PID)
	assert.Less(t, gib, 4.0)
	t.Logf("%d streams, %d of them at once, %d tokens each, %.0f tokens/s, engine's peak memory %.2f GiB", n, most, osl, float64(n*osl)/rec.Duration.Seconds(), gib)
}

// overlap is the largest number of requests between their first and their last
// token at one instant.
func overlap(rs []traced) int {
	type edge struct {
		at   int64
		step int
	}
	var edges []edge
	for _, r := range rs {
		edges = append(edges, edge{r.HandedNS[0], 1}, edge{r.HandedNS[len(r.HandedNS)-1], -1})
	}
	slices.SortFunc(edges, func(a, b edge) int {
		if a.at != b.at {
			return int(min(max(a.at-b.at, -1), 1))
		}
		return b.step - a.step
	})
	now, most := 0, 0
	for _, e := range edges {
		now += e.step
		most = max(most, now)
	}
	return most
}

// peakGiB is the most memory that a process held, as Linux says it.
func peakGiB(t *testing.T, pid int) float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skip("memory cannot be read here:", err)
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		var kib int
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kib); err == nil {
			return float64(kib) / (1 << 20)
		}
	}
	t.Skip("no VmHWM in /proc")
	return 0
}
