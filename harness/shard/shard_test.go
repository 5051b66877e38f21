package shard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/load"
	"inferbench/harness/stats"
	"inferbench/harness/workload"
)

// recorded is what one client could have recorded: n requests, one in nine of
// them failed, the gaps as uneven as real ones.
func recorded(n int) *load.Recording {
	rng := rand.New(rand.NewPCG(3, 9))
	r := &load.Recording{SLO: stats.SLO{"ttft": 30}}
	for i := range n {
		t := stats.Timing{Index: i, Sent: time.Duration(rng.Int64N(1e9)), InputTokens: 1024, Prompt: stats.Prompt{Sent: 1024}, OutputTokens: 200}
		if i%9 == 4 {
			t.Err, t.OutputTokens, t.Done = "HTTP 503: full", 0, t.Sent+1000
			r.Timings = append(r.Timings, t)
			continue
		}
		t.First = t.Sent + time.Duration(rng.Int64N(5e7))
		t.Last, t.Chunks = t.First, 200
		for range 199 {
			gap := time.Duration(rng.ExpFloat64() * 1e7)
			t.ITL.Append(gap)
			t.Last += gap
		}
		t.Done = t.Last + 77
		r.Duration = max(r.Duration, t.Done)
		r.Timings = append(r.Timings, t)
	}
	return r
}

// dealt is the part of a recording that shard p of its place would have made.
func dealt(r *load.Recording, p Place, fold bool) *load.Recording {
	var c stats.Collector
	if fold {
		c.Fold()
	}
	for _, t := range r.Timings {
		if t.Index%p.Count == p.Index {
			t.Index /= p.Count
			c.Add(t)
		}
	}
	return &load.Recording{Timings: c.Timings(), Folded: c.Folded(), Duration: r.Duration, SLO: r.SLO}
}

// The figures of a merged run are those of the single run on the same recorded
// timings, to the last bit, whether parts come from memory or through files,
// and whether gaps are kept whole or folded into histograms.
func TestAMergedRunIsTheSingleRun(t *testing.T) {
	for _, fold := range []bool{false, true} {
		for _, count := range []int{2, 3, 7} {
			t.Run(fmt.Sprintf("fold=%v/shards=%d", fold, count), func(t *testing.T) {
				whole := recorded(100)
				var single stats.Collector
				if fold {
					single.Fold()
				}
				for _, x := range whole.Timings {
					single.Add(x)
				}
				want := (&load.Recording{Timings: single.Timings(), Folded: single.Folded(), Duration: whole.Duration, SLO: whole.SLO}).Summary(8)

				dir := t.TempDir()
				var parts []Part
				for i := range count {
					p := Place{i, count, dir}
					require.NoError(t, folder{p}.writePart(1, newPart(p, dealt(recorded(100), p, fold), 0)))
					back, err := folder{p}.readPart(1, i)
					require.NoError(t, err)
					parts = append([]Part{back}, parts...) // order of arrival must not matter
				}
				got := Merge(parts).Summary(8)
				assert.Equal(t, want, got)
				a, err := json.Marshal(want)
				require.NoError(t, err)
				b, err := json.Marshal(got)
				require.NoError(t, err)
				assert.Equal(t, string(a), string(b))
			})
		}
	}
}

// Every request of a workload is sent by exactly one shard, and every warm-up
// request too.
func TestSharesAreTheWhole(t *testing.T) {
	whole := workload.Random{N: 103, ISL: 4, OSL: 2, RangeRatio: 1, Vocab: 256, Seed: 1}
	for _, count := range []int{2, 4, 5, 64} {
		seen, conc, warm := map[int]int{}, 0, map[int]int{}
		for i := range count {
			p := Place{Index: i, Count: count}
			src := p.Source(whole)
			for k := range src.Len() {
				r, err := src.Request(k)
				require.NoError(t, err)
				want, err := whole.Request(p.global(k))
				require.NoError(t, err)
				assert.Equal(t, want, r)
				seen[p.global(k)]++
			}
			shape := load.Shape{Rate: 50, Burstiness: 2, Seed: 7}
			o, err := p.Options(load.Options{Conc: 64, WarmUp: -1, Shape: shape})
			require.NoError(t, err)
			shape.Share, shape.Shares = i, count
			assert.Equal(t, shape, o.Shape, "the load is the whole's, and its share is known")
			conc += o.Conc
			for k := range o.WarmUp {
				warm[p.global(-1-k)]++
			}
		}
		assert.Len(t, seen, 103)
		assert.Equal(t, 64, conc)
		assert.Len(t, warm, 128)
		assert.Contains(t, warm, -1)
		assert.Contains(t, warm, -128)
	}
	_, err := Place{Index: 0, Count: 8}.Options(load.Options{Conc: 4})
	assert.ErrorContains(t, err, "use at most 4")
}

// crew runs count shards as goroutines, shard i doing as does says, for one
// pass; it gives back what the leader got.
func crew(t *testing.T, count int, l Limits, settings func(i int) map[string]string, does func(i int) Measure) (*load.Recording, error) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	var wg sync.WaitGroup
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // a hang is a failure
	defer cancel()
	defer wg.Wait() // no shard outlives the leader's word that it is over
	for i := 1; i < count; i++ {
		m := does(i)
		if m == nil {
			continue // this shard never comes
		}
		wg.Go(func() {
			g, err := Join(ctx, Place{i, count, dir}, settings(i), l)
			if assert.NoError(t, err) {
				defer g.Leave()
				g.Follow(ctx, func(json.RawMessage) Measure { return m })
				assert.NoError(t, ctx.Err(), "shard %d hung", i)
			}
		})
	}
	g, err := Join(ctx, Place{0, count, dir}, settings(0), l)
	require.NoError(t, err)
	rec, err := g.Lead(ctx, map[string]int{"conc": 4}, does(0))
	require.NoError(t, g.Leave())
	return rec, err
}

func same(int) map[string]string { return map[string]string{"ISL": "1024"} }

var quick = Limits{Meet: 3 * time.Second, Lost: 3 * time.Second, Lead: 300 * time.Millisecond}

func TestShardsStartTogetherAndAreMerged(t *testing.T) {
	var mu sync.Mutex
	var starts []time.Time
	rec, err := crew(t, 3, quick, func(i int) map[string]string { return map[string]string{"ISL": "1024", "SHARD": fmt.Sprint(i)} }, func(i int) Measure {
		return func(ctx context.Context, gate func(context.Context) error) (*load.Recording, error) {
			time.Sleep(time.Duration(i) * 100 * time.Millisecond) // one warms up longer than another
			if err := gate(ctx); err != nil {
				return nil, err
			}
			mu.Lock()
			starts = append(starts, time.Now())
			mu.Unlock()
			return dealt(recorded(30), Place{Index: i, Count: 3}, false), nil
		}
	})
	require.NoError(t, err)
	require.Len(t, rec.Timings, 30)
	for i, x := range rec.Timings {
		assert.Equal(t, i, x.Index)
	}
	require.Len(t, starts, 3, "nobody starts before everybody is ready")
}

func TestAShardThatIsMissingFailsTheRun(t *testing.T) {
	ok := func(i int) Measure {
		return func(ctx context.Context, gate func(context.Context) error) (*load.Recording, error) {
			if err := gate(ctx); err != nil {
				return nil, err
			}
			return dealt(recorded(30), Place{Index: i, Count: 3}, false), nil
		}
	}
	for name, c := range map[string]struct {
		settings func(int) map[string]string
		does     func(i int) Measure
		want     string
	}{
		"never comes": {same, func(i int) Measure {
			if i == 2 {
				return nil
			}
			return ok(i)
		}, "shard 2 of 3 did not come within 3s"},
		"fails": {same, func(i int) Measure {
			if i != 1 {
				return ok(i)
			}
			return func(context.Context, func(context.Context) error) (*load.Recording, error) {
				return nil, errors.New("all warm-up requests failed")
			}
		}, "shard 1 of 3 failed: all warm-up requests failed"},
		"never warms up": {same, func(i int) Measure {
			if i != 1 {
				return ok(i)
			}
			return func(ctx context.Context, _ func(context.Context) error) (*load.Recording, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
		}, "shard 1 of 3 has not warmed up within 3s"},
		"other settings": {func(i int) map[string]string { return map[string]string{"ISL": fmt.Sprint(1000 + i/2)} }, ok, `shard 2 of 3 failed: ISL is "1001" here and "1000" at the leader`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rec, err := crew(t, 3, quick, c.settings, c.does)
			assert.Nil(t, rec, "no smaller figure")
			assert.ErrorContains(t, err, c.want)
		})
	}
}

// A shard whose process dies says nothing more; here its files stay as they are.
func TestADeadShardIsLost(t *testing.T) {
	dir := t.TempDir()
	dead := folder{Place{1, 2, dir}}
	require.NoError(t, dead.write("17", aliveFile, 1))
	require.NoError(t, dead.write("", readyFile, 1, 1))
	g, err := Join(t.Context(), Place{0, 2, dir}, nil, Limits{Lost: 300 * time.Millisecond, Lead: 50 * time.Millisecond})
	require.NoError(t, err)
	defer g.Leave()
	_, err = g.Lead(t.Context(), nil, func(ctx context.Context, gate func(context.Context) error) (*load.Recording, error) {
		return &load.Recording{}, gate(ctx)
	})
	assert.ErrorContains(t, err, "shard 1 of 2 is lost: no sign of life for")
}

func TestAFollowerOutlivesNoLeader(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, folder{Place{0, 2, dir}}.write("5", aliveFile, 0))
	g, err := Join(t.Context(), Place{1, 2, dir}, nil, Limits{Lost: 300 * time.Millisecond})
	require.NoError(t, err)
	defer g.Leave()
	err = g.Follow(t.Context(), nil)
	assert.ErrorContains(t, err, "shard 0 of 2 is lost")
}

func TestAFolderServesOneRun(t *testing.T) {
	dir := t.TempDir()
	g, err := Join(t.Context(), Place{0, 2, dir}, nil, Limits{})
	require.NoError(t, err)
	require.NoError(t, g.Leave())
	_, err = Join(t.Context(), Place{0, 2, dir}, nil, Limits{})
	assert.ErrorContains(t, err, "holds another run")
	_, err = Join(t.Context(), Place{2, 2, dir}, nil, Limits{})
	assert.ErrorContains(t, err, "want 0 to 1")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	_, err = Join(t.Context(), Place{1, 2, filepath.Join(dir, "file")}, nil, Limits{})
	assert.ErrorContains(t, err, "SHARD_DIR")
}

// A clock that is ahead of the others' finds the agreed start in its past, one
// that is behind finds it further off than the leader named it.
func TestClocksOutOfStepAreNoticed(t *testing.T) {
	for want, start := range map[string]time.Time{
		"ago by this machine's clock: are the machines' clocks in step": time.Unix(0, 1),
		"and the leader named it 2s before: are the machines' clocks":   time.Now().Add(time.Hour),
	} {
		dir := t.TempDir()
		g, err := Join(t.Context(), Place{1, 2, dir}, nil, Limits{})
		require.NoError(t, err)
		g.pass = 1
		require.NoError(t, g.f.write(fmt.Sprint(start.UnixNano()), startFile, 1))
		_, err = g.run(t.Context(), func(ctx context.Context, gate func(context.Context) error) (*load.Recording, error) {
			return &load.Recording{}, gate(ctx)
		}, g.obey)
		assert.ErrorContains(t, err, want)
		require.NoError(t, g.Leave())
	}
}

// Two processes that take one place would put on more load than is said.
func TestAPlaceIsTakenOnce(t *testing.T) {
	dir := t.TempDir()
	g, err := Join(t.Context(), Place{1, 2, dir}, nil, Limits{})
	require.NoError(t, err)
	defer g.Leave()
	_, err = Join(t.Context(), Place{1, 2, dir}, nil, Limits{})
	assert.ErrorContains(t, err, "has a shard 1 already")
}

// A shard that was told of another number of shards would send other requests.
func TestShardsAgreeOnTheirNumber(t *testing.T) {
	dir := t.TempDir()
	g, err := Join(t.Context(), Place{1, 3, dir}, same(1), quick)
	require.NoError(t, err)
	defer g.Leave()
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	wg.Go(func() { g.Follow(ctx, func(json.RawMessage) Measure { return nil }) })
	leader, err := Join(ctx, Place{0, 2, dir}, same(0), quick)
	require.NoError(t, err)
	_, err = leader.Lead(ctx, nil, func(ctx context.Context, gate func(context.Context) error) (*load.Recording, error) {
		return &load.Recording{}, gate(ctx)
	})
	assert.ErrorContains(t, err, `SHARD is "…/3" here and "…/2" at the leader`)
	require.NoError(t, leader.Leave())
	wg.Wait()
	assert.ErrorContains(t, g.Failed(), "SHARD is", "and the shard itself does not say that all is well")
}

// What a pass that has lost a shard still sends is for nobody: all end it at
// once, whoever was lost.
func TestAPassThatIsLostEndsEverywhere(t *testing.T) {
	endless := func(ctx context.Context, gate func(context.Context) error) (*load.Recording, error) {
		if err := gate(ctx); err != nil {
			return nil, err
		}
		<-ctx.Done() // the load would go on for as long as the test lets it
		return nil, ctx.Err()
	}
	for lost := range 2 { // the leader, or a follower
		t.Run(fmt.Sprint("shard ", lost), func(t *testing.T) {
			t.Parallel()
			_, err := crew(t, 3, quick, same, func(i int) Measure {
				if i != lost {
					return endless
				}
				return func(ctx context.Context, gate func(context.Context) error) (*load.Recording, error) {
					if err := gate(ctx); err != nil {
						return nil, err
					}
					return nil, errors.New("the disk is full")
				}
			})
			assert.ErrorContains(t, err, "the disk is full")
		})
	}
}

// A clock that is out of step by less than the lead lets the shard start, but
// late: that is measured against the folder's own clock, and is in the figures.
func TestASkewedClockIsMeasured(t *testing.T) {
	const skew = 200 * time.Millisecond
	dir := filepath.Join(t.TempDir(), "run")
	limits := Limits{Meet: time.Minute, Lost: time.Minute, Lead: 600 * time.Millisecond}
	does := func(i int) Measure {
		return func(ctx context.Context, gate func(context.Context) error) (*load.Recording, error) {
			if err := gate(ctx); err != nil {
				return nil, err
			}
			// A run of 100 ms, as each sees it from the agreed start.
			return &load.Recording{Timings: []stats.Timing{{Index: 0, Sent: 1, Done: 100 * time.Millisecond}}}, nil
		}
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		behind := limits
		behind.now = func() time.Time { return time.Now().Add(-skew) }
		g, err := Join(t.Context(), Place{1, 2, dir}, nil, behind)
		if assert.NoError(t, err) {
			defer g.Leave()
			assert.NoError(t, g.Follow(t.Context(), func(json.RawMessage) Measure { return does(1) }))
			assert.NoError(t, g.Failed())
		}
	})
	g, err := Join(t.Context(), Place{0, 2, dir}, nil, limits)
	require.NoError(t, err)
	rec, err := g.Lead(t.Context(), nil, does(0))
	require.NoError(t, g.Leave())
	require.NoError(t, err)
	together := rec.Audit.Shards
	require.NotNil(t, together.ClockSkewMs)
	assert.InDelta(t, 200, *together.ClockSkewMs, 90)
	assert.Equal(t, 1, together.PeakInFlight)
	assert.Zero(t, together.Overlap)
	assert.Contains(t, together.Contradicts(2, 0), "at most 1 requests were in flight at once where 2 should have been")
}

// What a shard found that cannot be is in the merged run, through the files too,
// and two shards for which the server counts differently contradict each other.
func TestContradictionsOfShardsAreKept(t *testing.T) {
	dir := t.TempDir()
	var parts []Part
	for i, offset := range []stats.Offset{{Known: true, Tokens: 0}, {Known: true, Tokens: 17}, {}} {
		r := recorded(6)
		r.InputOffset = offset
		if i == 2 {
			r.Contradictions = []string{"the server counts 80 input tokens where 8 were sent"}
		}
		p := Place{i, 3, dir}
		require.NoError(t, folder{p}.writePart(1, newPart(p, r, 0)))
		back, err := folder{p}.readPart(1, i)
		require.NoError(t, err)
		parts = append(parts, back)
	}
	got := Merge(parts)
	assert.Equal(t, []string{
		"the server counts +0 input tokens besides those that were sent for one shard, and +17 for shard 1",
		"shard 2: the server counts 80 input tokens where 8 were sent",
	}, got.Contradictions)
	assert.Equal(t, stats.Offset{Known: true}, got.InputOffset)
}
