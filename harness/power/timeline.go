package power

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Sample is how the GPUs stood in one second of a run. What was not told is nil.
type Sample struct {
	AtS         float64  `json:"at_s"`          // from the start of the run, to the second's end
	PowerW      *float64 `json:"power_w"`       // of all GPUs together
	Temperature *float64 `json:"temperature_c"` // of the hottest
	SMClock     *float64 `json:"sm_clock_mhz"`  // of the slowest
	Utilization *float64 `json:"utilization"`   // mean share, 0 to 1
}

// timeline is the run second by second. A second in which a GPU told nothing has
// no power.
func timeline(readings []Reading, w window) []Sample {
	all := byGPU(readings)
	slots := map[int][]Reading{} // the last reading of each GPU
	for _, rs := range all {
		for i, r := range rs {
			slot := second(r.At, w)
			if i+1 == len(rs) || second(rs[i+1].At, w) != slot {
				slots[slot] = append(slots[slot], r)
			}
		}
	}
	var out []Sample
	for slot := range int(math.Ceil(w.end.Sub(w.start).Seconds())) {
		rs := slots[slot]
		if len(rs) == 0 {
			continue
		}
		s := Sample{AtS: min(float64(slot+1), w.end.Sub(w.start).Seconds())}
		if len(rs) == len(all) {
			sum := 0.0
			for _, r := range rs {
				sum += r.Watts
			}
			s.PowerW = &sum
		}
		s.Temperature = pick(rs, slices.Max, func(r Reading) *float64 { return r.Temperature })
		s.SMClock = pick(rs, slices.Min, func(r Reading) *float64 { return r.SMClock })
		s.Utilization = pick(rs, mean, func(r Reading) *float64 { return r.Utilization })
		out = append(out, s)
	}
	return out
}

func second(at time.Time, w window) int { return int(math.Floor(at.Sub(w.start).Seconds())) }

func pick(rs []Reading, of func([]float64) float64, get func(Reading) *float64) *float64 {
	var told []float64
	for _, r := range rs {
		if v := get(r); v != nil {
			told = append(told, *v)
		}
	}
	if told == nil {
		return nil
	}
	v := of(told)
	return &v
}

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

// A GPU throttles where its clock is below slowed of the highest that any showed
// in the run, while it was busy, in more looks than a few.
const (
	slowed = 0.9
	busy   = 0.5
	often  = 0.05
)

// throttled says how many GPUs throttled, and of the worst how far and how hot;
// "" where none did.
func throttled(readings []Reading, w window) string {
	all := map[string][]Reading{}
	top := 0.0
	for _, r := range readings {
		works := r.Utilization == nil || *r.Utilization >= busy
		if r.SMClock != nil && works && !r.At.Before(w.start) && !r.At.After(w.end) {
			all[r.GPU] = append(all[r.GPU], r)
			top = max(top, *r.SMClock)
		}
	}
	gpus, worst, how := 0, 0.0, ""
	for _, gpu := range names(all) {
		looks, slow, lowest, hottest := len(all[gpu]), 0, top, 0.0
		for _, r := range all[gpu] {
			if *r.SMClock < slowed*top {
				slow++
				lowest = min(lowest, *r.SMClock)
				if r.Temperature != nil {
					hottest = max(hottest, *r.Temperature)
				}
			}
		}
		part := float64(slow) / float64(looks)
		if slow < 2 || part < often {
			continue
		}
		if gpus++; part <= worst {
			continue
		}
		worst = part
		how = fmt.Sprintf("GPU %s was busy and its clock below %.0f %% of %.0f MHz in %d of %d looks, down to %.0f MHz",
			gpu, 100*slowed, top, slow, looks, lowest)
		if hottest > 0 {
			how += fmt.Sprintf(", at up to %.0f °C", hottest)
		}
	}
	if gpus == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d GPUs throttled, for heat or their power limit: %s", gpus, len(all), how)
}

// idle reports whether no GPU did anything in the run, by its utilisation.
func idle(readings []Reading, w window) bool {
	told := false
	for _, r := range readings {
		if r.Utilization == nil || r.At.Before(w.start) || r.At.After(w.end) {
			continue
		}
		if told = true; *r.Utilization > 0 {
			return false
		}
	}
	return told
}
