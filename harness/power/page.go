package power

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	dto "github.com/prometheus/client_model/go"

	"inferbench/harness/promtext"
)

// Page is the page of a DCGM exporter, which is looked at once a second.
type Page struct {
	URL string
	Get func(ctx context.Context, url string) ([]byte, error)
}

// Name is the page's address.
func (p Page) Name() string { return p.URL }

// Collect looks at the page until ctx is done. A look that shows the GPUs' energy
// counters where they were is none: the exporter has not asked its GPUs anew.
func (p Page) Collect(ctx context.Context, add func(Reading)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	last := map[string]float64{}
	stale, looks := 0, 0
	var why error
	for {
		text, err := p.look(ctx)
		var found []Reading
		if err == nil {
			found, err = readPage(text, time.Now())
		}
		for _, r := range found {
			looks++
			if r.Joules != nil && r.Watts > 0 {
				if before, ok := last[r.GPU]; ok && before == *r.Joules {
					stale++
					continue
				}
				last[r.GPU] = *r.Joules
			}
			add(r)
		}
		if err != nil && ctx.Err() == nil {
			why = err
		}
		select {
		case <-ctx.Done():
			if why == nil && 2*stale > looks {
				why = errors.New("the exporter asks its GPUs more seldom than it is looked at: start it with -c 1000 (ms)")
			}
			return why
		case <-tick.C:
		}
	}
}

// lookLimit bounds one look: readings may be at most so far apart.
const lookLimit = maxGap

func (p Page) look(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	return p.Get(ctx, p.URL)
}

// readPage takes the readings of an exporter's page. The instances of a GPU that
// is shared out (MIG) each show what the whole of it draws, and are one.
func readPage(text []byte, now time.Time) ([]Reading, error) {
	families, err := promtext.Read(text)
	if err != nil {
		return nil, fmt.Errorf("read the page: %w", err)
	}
	byName := map[string]int{}
	var out []Reading
	for _, m := range families["DCGM_FI_DEV_POWER_USAGE"].GetMetric() {
		gpu, r := identity(m)
		watts := value(m)
		if _, again := byName[gpu]; again || !(watts >= 0 && watts <= mostWatts) { // far beyond: not told
			continue
		}
		r.At, r.Watts = now, watts
		byName[gpu] = len(out)
		out = append(out, r)
	}
	if out == nil {
		return nil, errors.New("the page tells of no GPU what it draws (DCGM_FI_DEV_POWER_USAGE)")
	}
	each := func(name string, scale, most float64, into func(*Reading) **float64) {
		for _, m := range families[name].GetMetric() {
			gpu, _ := identity(m)
			i, ok := byName[gpu]
			if v := value(m) * scale; ok && v >= 0 && v < most {
				*into(&out[i]) = &v
			}
		}
	}
	each("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", 1e-3, 1e15, func(r *Reading) **float64 { return &r.Joules })
	each("DCGM_FI_DEV_GPU_TEMP", 1, 1e3, func(r *Reading) **float64 { return &r.Temperature })
	each("DCGM_FI_DEV_SM_CLOCK", 1, 1e5, func(r *Reading) **float64 { return &r.SMClock })
	each("DCGM_FI_DEV_GPU_UTIL", 0.01, 1.001, func(r *Reading) **float64 { return &r.Utilization })
	return out, nil
}

// identity says which GPU a series is of.
func identity(m *dto.Metric) (string, Reading) {
	var r Reading
	host := ""
	for _, l := range m.GetLabel() {
		switch l.GetName() {
		case "gpu":
			r.index = l.GetValue()
		case "UUID":
			r.uuid = l.GetValue()
		case "Hostname":
			host = l.GetValue()
		}
	}
	r.GPU = cmp.Or(r.index, r.uuid)
	return host + " " + cmp.Or(r.uuid, r.index), r
}

func value(m *dto.Metric) float64 {
	switch {
	case m.Gauge != nil:
		return m.Gauge.GetValue()
	case m.Counter != nil:
		return m.Counter.GetValue()
	case m.Untyped != nil:
		return m.Untyped.GetValue()
	}
	return math.NaN()
}
