package convert

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"inferbench/baselines"
	"inferbench/harness/batch"
)

// Baseline makes a hardware baseline of the finished cells of batches. They
// must be of one model and one workload (a closed loop of random prompts, which
// is what results are compared with), whole, and not limited by the client.
// hardware is the machine's name for a reader; source says where the figures
// come from, "" naming the folders.
func Baseline(folders []*batch.Folder, name, hardware, source string) (*baselines.Hardware, error) {
	var first *batch.Args
	h := &baselines.Hardware{Name: name, Hardware: hardware, Source: source}
	var dirs, sources []string
	for _, f := range folders {
		dirs = append(dirs, filepath.Base(f.Dir))
		for _, c := range f.Cells {
			r := c.Result
			if r == nil || c.Status == batch.Failed || r.Performance == nil {
				continue
			}
			a := &r.Args
			p := r.Performance
			switch {
			case r.ClientLimited:
				return nil, fmt.Errorf("%s: limited by the client, so it says nothing of the hardware", c.File)
			case unlike(a) != "":
				return nil, fmt.Errorf("%s: %s, but a hardware baseline is of a closed loop of random prompts", c.File, unlike(a))
			case p.E2EL.Median == nil || p.Interactivity == nil || p.TputPerGPU == nil:
				return nil, fmt.Errorf("%s: it has no median_e2el_ms, no interactivity or no tput_per_gpu, which a baseline is "+
					"made of", c.File)
			case first == nil:
				first = a
			case a.Model != first.Model || a.RandomRangeRatio != first.RandomRangeRatio || a.TP != first.TP:
				return nil, fmt.Errorf("%s: %s at ratio %g on %d GPUs, but the cells before it are %s at ratio %g on %d GPUs: a "+
					"baseline is of one workload",
					c.File, a.Model, a.RandomRangeRatio, a.TP, first.Model, first.RandomRangeRatio, first.TP)
			}
			if from := provenance(r, filepath.Base(f.Dir)); !slices.Contains(sources, from) {
				sources = append(sources, from)
			}
			h.Points = append(h.Points, baselines.Point{
				ISL: c.ISL, OSL: c.OSL, Conc: c.Conc,
				MedianE2E: *p.E2EL.Median, Interactivity: *p.Interactivity, TputPerGPU: *p.TputPerGPU,
			})
			if h.Date == "" {
				h.Date = f.Summary.Time.Format(time.DateOnly)
			}
		}
	}
	if first == nil {
		return nil, fmt.Errorf("no finished cell with performance figures in %s", strings.Join(dirs, ", "))
	}
	if h.Source == "" {
		h.Source = strings.Join(sources, "; ")
	}
	h.Model = first.Model
	h.Workload = baselines.Workload{RandomRangeRatio: first.RandomRangeRatio, GPUs: first.TP,
		Note: "as the batch's own results record it"}
	// Keys follow the first baseline's: b200_baseline_nv1126 holds
	// b200_median_e2e_1126, the digits being month and day.
	prefix := strings.ReplaceAll(name, "-", "_")
	day, _ := time.Parse(time.DateOnly, h.Date)
	h.KeyPrefix, h.KeySuffix = prefix, day.Format("0102")
	h.ResultKey = prefix + "_baseline_" + h.KeySuffix
	return h, nil
}

// provenance says where a result of a batch comes from.
func provenance(r *batch.Result, dir string) string {
	for _, note := range r.Notes {
		if r.Args.Mode == batch.ImportMode && strings.HasPrefix(note, importedFrom) {
			return note
		}
	}
	if r.Args.Mode == batch.ImportMode {
		return importedFrom + "another tool's file: " + dir
	}
	return "measured with inferbench: " + dir
}

// unlike says in what a run was no closed loop of random prompts; "" where it
// was one.
func unlike(a *batch.Args) string {
	switch {
	case a.DatasetName == "":
		return "its file does not tell the data set (import it with DATASET=random where it was)"
	case a.DatasetName != "random":
		return "DATASET is " + a.DatasetName
	case a.RequestRate > 0:
		return fmt.Sprintf("REQUEST_RATE is %g", a.RequestRate)
	case strings.HasSuffix(a.Endpoint, "/chat/completions"):
		return "ENDPOINT is chat"
	}
	for _, name := range []string{"SHARED_PREFIX", "TRACE", "DURATION", "RAMP_UP", "BURSTINESS"} {
		if v := a.Settings[name]; v != "" {
			return name + " is " + v
		}
	}
	return ""
}
