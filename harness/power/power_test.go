package power

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/stats"
	_ "inferbench/harness/testdata/cleanenv"
)

func init() { patience = time.Second / 2 }

// recorded reads a tool's output.
func recorded(t *testing.T, name string) (out []Reading, read *table) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	read = new(table)
	lines(strings.NewReader(string(b)), func(line string) {
		if r, ok := read.read(line); ok {
			out = append(out, r)
		}
	})
	return out, read
}

// Odd lines are passed over: not told, an error, a negative draw, words, half a line.
func TestWhatNvidiaSMIWrites(t *testing.T) {
	rs, read := recorded(t, "nvidia-smi.csv")
	assert.Len(t, rs, 16)
	assert.Equal(t, 3, read.unread)
	first := rs[0]
	assert.Equal(t, time.Date(2026, 9, 11, 4, 19, 41, 500_000_000, time.Local), first.At)
	assert.Equal(t, "0", first.GPU)
	assert.Equal(t, 100.0, first.Watts)
	assert.Equal(t, []float64{40, 1980, 0}, []float64{*first.Temperature, *first.SMClock, *first.Utilization})

	// From 42.0 to 48.0: GPU 0 half-way up from 100 to 600 W, then 600 W for 5 s, then half-way down.
	w := window{start: first.At.Add(time.Second / 2), end: first.At.Add(6*time.Second + time.Second/2)}
	joules, gpus, reasons := integrate(rs[:0:0], w)
	assert.Zero(t, joules+float64(gpus)+float64(len(reasons)))
	var one []Reading
	for _, r := range rs {
		if r.GPU == "0" {
			one = append(one, r)
		}
	}
	joules, gpus, reasons = integrate(one, w)
	assert.Empty(t, reasons)
	assert.Equal(t, 1, gpus)
	assert.InDelta(t, 0.5*(350+600)/2+600*5+0.5*(600+350)/2, joules, 1e-9)

	assert.Equal(t, "1 of 2 GPUs throttled, for heat or their power limit: GPU 1 was busy and its clock below 90 % of "+
		"1980 MHz in 3 of 6 looks, down to 1410 MHz, at up to 87 °C", throttled(rs, w))
	assert.Empty(t, throttled(one, w), "GPU 0 did not")
	samples := timeline(rs, w)
	require.Len(t, samples, 6)
	assert.Equal(t, 1300.0, *samples[0].PowerW)
	assert.Equal(t, 1410.0, *samples[2].SMClock)
	assert.Equal(t, 87.0, *samples[2].Temperature)
}

// The header comes again, stamps are whole seconds, and lists stand in quotes.
func TestWhatAMDSMIWrites(t *testing.T) {
	rs, read := recorded(t, "amd-smi.csv")
	assert.Equal(t, 1, read.unread, "N/A")
	all := byGPU(rs)
	assert.Equal(t, []string{"0", "1"}, names(all))
	assert.Len(t, all["0"], 8)
	assert.Equal(t, 1010.0, all["0"][2].Watts, "two looks of one second are averaged")
	start := time.Unix(1789515524, 0)
	joules, gpus, reasons := integrate(rs, window{start.Add(time.Second), start.Add(6 * time.Second)})
	assert.Empty(t, reasons)
	assert.Equal(t, 2, gpus)
	// GPU 0: 1000 W but for the triangle of 10 W at 2 s. GPU 1: 1100 W likewise, from 1110 W straight past the look at
	// 3 s that told nothing.
	assert.InDelta(t, 5*1000+10+5*1100+5+10, joules, 1e-6)

	b, err := os.ReadFile("testdata/amd-smi-energy.csv")
	require.NoError(t, err)
	counters := readCounters(string(b), start)
	require.Len(t, counters, 1, "GPU 1 does not tell")
	assert.Equal(t, 1234567.891, *counters[0].Joules)
}

func TestWhatADCGMExporterWrites(t *testing.T) {
	b, err := os.ReadFile("testdata/dcgm.prom")
	require.NoError(t, err)
	rs, err := readPage(b, time.Now())
	require.NoError(t, err)
	require.Len(t, rs, 2, "the instances of GPU 1 are one GPU, and GPU 2 does not tell")
	assert.Equal(t, 412.34, rs[0].Watts)
	assert.Equal(t, 15347724.978, *rs[0].Joules)
	assert.Equal(t, 0.98, *rs[0].Utilization)
	assert.Nil(t, rs[1].Temperature, "a number far beyond is none")
	_, err = readPage([]byte("vllm:num_requests_running 1\n"), time.Now())
	assert.ErrorContains(t, err, "DCGM_FI_DEV_POWER_USAGE")
	_, err = readPage([]byte("<html>"), time.Now())
	assert.ErrorContains(t, err, "read the page")
}

// series is a GPU that draws watts, looked at at these seconds.
func series(gpu string, watts float64, at ...float64) (out []Reading) {
	for _, s := range at {
		out = append(out, Reading{At: zero.Add(time.Duration(s * float64(time.Second))), GPU: gpu, Watts: watts})
	}
	return out
}

var zero = time.Unix(1_800_000_000, 0)

// counted gives the readings a counter that goes on by so many J a second.
func counted(rs []Reading, perSecond float64) []Reading {
	for i, r := range rs {
		v := perSecond * r.At.Sub(zero).Seconds()
		rs[i].Joules = &v
	}
	return rs
}

func TestEnergyIsToldOnlyWhereItWasMeasured(t *testing.T) {
	run := window{zero.Add(time.Second), zero.Add(9 * time.Second)}
	whole := []float64{0, 2, 4, 6, 8, 10}
	for name, c := range map[string]struct {
		readings []Reading
		joules   float64
		why      string
	}{
		"two GPUs":              {append(series("0", 100, whole...), series("1", 300, whole...)...), 8 * 400, ""},
		"begun too late":        {series("0", 100, 1.5, 3, 5, 7, 9.5), 0, "GPU 0 was not sampled both before and after"},
		"ended too early":       {series("0", 100, 0, 3, 5, 7, 8.9), 0, "GPU 0 was not sampled both before and after"},
		"once":                  {series("0", 100, 5), 0, "was not sampled both before and after"},
		"a gap":                 {append(series("0", 100, whole...), series("1", 100, 0, 2, 5.1, 8, 10)...), 0, "GPU 1 was not sampled for 3.1 s"},
		"a gap before":          {series("0", 100, -9, 0, 2, 4, 6, 8, 10), 800, ""},
		"nothing":               {series("0", 0, whole...), 0, "drew nothing at all"},
		"a counter that agrees": {counted(series("0", 100, whole...), 104), 800, ""},
		"a counter that differs": {counted(series("0", 100, whole...), 130), 0,
			"own counters say 1300 J where 1000 J were integrated"},
		"a counter that begins again": {counted(series("0", 100, whole...), -5), 800, ""},
	} {
		t.Run(name, func(t *testing.T) {
			joules, _, reasons := integrate(c.readings, run)
			if c.why == "" {
				assert.Empty(t, reasons)
				assert.InDelta(t, c.joules, joules, 1e-9)
				return
			}
			assert.Contains(t, strings.Join(reasons, "; "), c.why)
		})
	}
}

// fake gives readings of its own making, and ends with err.
type fake struct {
	watts map[string]float64
	err   error
}

func (f fake) Name() string { return "fake" }

func (f fake) Collect(ctx context.Context, add func(Reading)) error {
	for f.err == nil {
		for gpu, w := range f.watts {
			add(Reading{At: time.Now(), GPU: gpu, Watts: w})
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
	return f.err
}

// run is a pass of ten seconds that sent and wrote so many tokens.
func run(t *testing.T, gpus []string, wanted int, from ...Collector) (p *stats.Power, samples []Sample, took time.Duration) {
	t.Helper()
	return runApart(t, nil, gpus, wanted, from...)
}

func runApart(t *testing.T, prefill, gpus []string, wanted int, from ...Collector) (p *stats.Power, samples []Sample, took time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := Start(t.Context(), gpus, from...)
		w.Apart(prefill)
		w.Ready(t.Context())
		w.Measuring(time.Now())
		time.Sleep(10 * time.Second)
		ended := time.Now()
		in := int64(3000)
		p, samples = w.Stop(t.Context(), &stats.Summary{Duration: 10, Successful: 5, InputTokens: &in, OutputTokens: 1000}, wanted)
		took = time.Since(ended)
	})
	return p, samples, took
}

func TestWhatAPassTook(t *testing.T) {
	two := fake{watts: map[string]float64{"0": 300, "1": 500}}
	p, samples, took := run(t, nil, 2, two)
	assert.True(t, p.Valid)
	assert.Empty(t, p.Reasons)
	assert.Equal(t, 2, p.Schema)
	for name, c := range map[string]struct {
		got  *float64
		want float64
	}{
		"energy": {p.TotalEnergyJ, 8000}, "W": {p.AvgTotalPowerW, 800}, "W a GPU": {p.AvgPowerW, 400},
		"a query": {p.JoulesPerQuery, 1600}, "input": {p.JoulesPerInputToken, 8000.0 / 3000},
		"output": {p.JoulesPerOutputToken, 8}, "total": {p.JoulesPerTotalToken, 2}, "tok/s/W": {p.TokensPerSPerW, 0.5},
	} {
		require.NotNil(t, c.got, name)
		assert.InDelta(t, c.want, *c.got, 1e-6, name)
	}
	assert.Len(t, samples, 10)
	assert.LessOrEqual(t, took, past+every, "it looks past the end, and no longer")

	for name, c := range map[string]struct {
		gpus   []string
		wanted int
		from   []Collector
		why    string
	}{
		"another number of GPUs": {nil, 8, []Collector{two}, "2 GPUs were sampled, but TP is 8: POWER_GPUS"},
		"of these one":           {[]string{"1"}, 1, []Collector{two}, ""},
		"one that is not there":  {[]string{"7"}, 1, []Collector{two}, "no power of any GPU was told"},
		"two machines":           {nil, 4, []Collector{two, two}, ""},
		"one that fails":         {nil, 1, []Collector{fake{err: errors.New("exit status 9: no driver")}}, "fake: exit status 9: no driver"},
		"one of two fails":       {nil, 4, []Collector{two, fake{err: errors.New("gone")}}, "fake: gone"},
		"one that tells nothing": {nil, 1, []Collector{fake{}}, "no power of any GPU was told"},
	} {
		t.Run(name, func(t *testing.T) {
			p, _, _ := run(t, c.gpus, c.wanted, c.from...)
			assert.Equal(t, c.why == "", p.Valid, p.Reasons)
			assert.Contains(t, strings.Join(p.Reasons, "; "), c.why)
			if c.why != "" {
				assert.Nil(t, p.TotalEnergyJ)
				assert.Nil(t, p.JoulesPerOutputToken)
			}
		})
	}
}

// GPUs that prefill and those that decode have energies of their own.
func TestPrefillAndDecodeAreToldApart(t *testing.T) {
	two := fake{watts: map[string]float64{"0": 300, "1": 500}}
	for name, c := range map[string]struct {
		prefill        []string
		wanted         int
		from           []Collector
		energy, joules [2]float64 // of prefill and decode; a token of theirs
		why            string
	}{
		"one machine":  {prefill: []string{"0"}, wanted: 2, from: []Collector{two}, energy: [2]float64{3000, 5000}, joules: [2]float64{1, 5}},
		"two machines": {prefill: []string{"0/"}, wanted: 4, from: []Collector{two, two}, energy: [2]float64{8000, 8000}, joules: [2]float64{8. / 3, 8}},
		"one GPU of the second": {prefill: []string{"1/1"}, wanted: 4, from: []Collector{two, two}, energy: [2]float64{5000, 11000},
			joules: [2]float64{5. / 3, 11}},
		"none of them": {prefill: []string{"7"}, wanted: 2, from: []Collector{two}, why: "POWER_PREFILL_GPUS names none"},
		"all of them":  {prefill: []string{"0", "1"}, wanted: 2, from: []Collector{two}, why: "POWER_PREFILL_GPUS names all"},
	} {
		t.Run(name, func(t *testing.T) {
			p, _, _ := runApart(t, c.prefill, nil, c.wanted, c.from...)
			if c.why != "" {
				assert.False(t, p.Valid)
				assert.Contains(t, p.Reasons[0], c.why)
				assert.Nil(t, p.PrefillEnergyJ)
				return
			}
			require.True(t, p.Valid, p.Reasons)
			for i, got := range []struct{ energy, joules *float64 }{{p.PrefillEnergyJ, p.PrefillJoulesPerInput},
				{p.DecodeEnergyJ, p.DecodeJoulesPerOutput}} {
				assert.InDelta(t, c.energy[i], *got.energy, 1e-6)
				assert.InDelta(t, c.joules[i], *got.joules, 1e-9)
			}
			assert.InDelta(t, *p.TotalEnergyJ, *p.PrefillEnergyJ+*p.DecodeEnergyJ, 1e-6)
		})
	}
	p, _, _ := run(t, nil, 2, two)
	b, err := json.Marshal(p)
	require.NoError(t, err)
	assert.NotContains(t, string(b), "prefill", "where nobody asked")
}

// An exporter that asks its GPUs every half minute shows the same again and again.
func TestAnExporterIsLookedAt(t *testing.T) {
	page := func(refresh time.Duration, perSecond float64) Page {
		var born time.Time
		return Page{URL: "http://gpu:9400/metrics", Get: func(context.Context, string) ([]byte, error) {
			if born.IsZero() {
				born = time.Now()
			}
			at := time.Since(born).Truncate(refresh).Seconds()
			return fmt.Appendf(nil, "DCGM_FI_DEV_POWER_USAGE{gpu=\"0\"} 250\nDCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{gpu=\"0\"} %f\n",
				1000*at*perSecond), nil
		}}
	}
	for name, c := range map[string]struct {
		from Page
		why  string
	}{
		"fresh":                   {page(time.Second, 250), ""},
		"stale":                   {page(30*time.Second, 250), "start it with -c 1000"},
		"a counter that differs":  {page(time.Second, 500), "own counters say"},
		"it does not answer":      {Page{"http://gpu", func(ctx context.Context, _ string) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() }}, "deadline exceeded"},
		"a page of another shape": {Page{"http://gpu", func(context.Context, string) ([]byte, error) { return []byte("{}"), nil }}, "read the page"},
	} {
		t.Run(name, func(t *testing.T) {
			p, _, _ := run(t, nil, 1, c.from)
			assert.Equal(t, c.why == "", p.Valid, p.Reasons)
			assert.Contains(t, strings.Join(p.Reasons, "; "), c.why)
		})
	}
}
