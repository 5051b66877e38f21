package power

import (
	"encoding/csv"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// table reads what nvidia-smi and amd-smi write as CSV, a line at a time. Columns
// are known by their names, so that it does not matter which of the two wrote it,
// in which version; a header may come again, and what stands before the first is
// passed over.
type table struct {
	columns *columns // nil before the first header
	lacks   string   // what a line that looked like a header had not
	unread  int      // rows without a time or a power
}

// columns are where in a row things stand; -1: nowhere.
type columns struct{ time, power, gpu, temperature, clock, utilization, joules int }

var (
	notDrawn = regexp.MustCompile(`limit|cap|max|min|management|status`)
	unit     = regexp.MustCompile(`\s*[\[(].*[\])]$`)
	number   = regexp.MustCompile(`^([-+]?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)\s*(.*)$`)

	gpuNames         = []string{"index", "gpu", "gpu_id", "gpu_index", "card", "device"}
	temperatureNames = []string{"temperature.gpu", "hotspot", "edge"}
	clockNames       = []string{"clocks.current.sm", "clocks.sm", "gfx_0_clk", "gfx_clk"}
	utilizationNames = []string{"utilization.gpu", "gfx_activity"}
)

// mostWatts is more than any GPU draws.
const mostWatts = 10_000

// fields splits a line as CSV; nil for one that is none.
func fields(line string) []string {
	r := csv.NewReader(strings.NewReader(line))
	r.TrimLeadingSpace, r.LazyQuotes = true, true
	out, err := r.Read()
	if err != nil {
		return nil
	}
	for i := range out {
		out[i] = strings.TrimSpace(out[i])
	}
	return out
}

// read takes one line; false where it holds no reading.
func (t *table) read(line string) (Reading, bool) {
	row := fields(line)
	if t.header(row) || t.columns == nil || len(row) < 2 {
		return Reading{}, false
	}
	c := t.columns
	at, err := stamp(cell(row, c.time))
	watts, ok := quantity(cell(row, c.power))
	gpu := cell(row, c.gpu)
	if err != nil || !ok || watts < 0 || watts > mostWatts || gpu == "" {
		t.unread++
		return Reading{}, false
	}
	r := Reading{At: at, GPU: gpu, Watts: watts}
	r.Temperature, r.SMClock = optional(row, c.temperature), optional(row, c.clock)
	if u := optional(row, c.utilization); u != nil && *u >= 0 && *u <= 100 {
		share := *u / 100
		r.Utilization = &share
	}
	return r, true
}

// header takes a row as the header, where it is one.
func (t *table) header(row []string) bool {
	if len(row) < 2 {
		return false
	}
	c := columns{time: -1, power: -1, gpu: -1, temperature: -1, clock: -1, utilization: -1, joules: -1}
	at := func(into *int, names ...string) func(i int, name string) {
		return func(i int, name string) {
			if *into < 0 && slices.Contains(names, name) {
				*into = i
			}
		}
	}
	known := []func(int, string){at(&c.gpu, gpuNames...), at(&c.temperature, temperatureNames...),
		at(&c.clock, clockNames...), at(&c.utilization, utilizationNames...), at(&c.joules, "total_energy_consumption")}
	for i, name := range row {
		name = unit.ReplaceAllString(strings.ToLower(name), "")
		if c.time < 0 && strings.Contains(name, "time") {
			c.time = i
		}
		if c.power < 0 && strings.Contains(name, "power") && !notDrawn.MatchString(name) {
			c.power = i
		}
		for _, take := range known {
			take(i, name)
		}
	}
	var lacks []string
	for what, i := range map[string]int{"time": c.time, "power": c.power, "GPU": c.gpu} {
		if i < 0 {
			lacks = append(lacks, what)
		}
	}
	slices.Sort(lacks)
	switch len(lacks) {
	case 0:
		t.columns = &c
	case 1, 2:
		if t.columns != nil || t.lacks != "" {
			return false
		}
		t.lacks = "its header has no column of " + strings.Join(lacks, ", none of ")
	default:
		return false
	}
	return true
}

// why says why nothing was read; nil where something was.
func (t *table) why() error {
	switch {
	case t.columns == nil && t.lacks != "":
		return errors.New(t.lacks)
	case t.columns == nil:
		return errors.New("it has no header line with a time, a power and a GPU")
	case t.unread > 0:
		return fmt.Errorf("%d of its lines have no time or no power that can be", t.unread)
	}
	return nil
}

func cell(row []string, i int) string {
	if i < 0 || i >= len(row) {
		return ""
	}
	return row[i]
}

// optional is a number that need not be told.
func optional(row []string, i int) *float64 {
	if v, ok := quantity(cell(row, i)); ok && math.Abs(v) < 1e6 {
		return &v
	}
	return nil
}

// quantity reads a number that may have a unit behind it: 412.34 W. "[N/A]" and
// the like are none.
func quantity(text string) (float64, bool) {
	m := number.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil || math.IsInf(v, 0) {
		return 0, false
	}
	switch m[2] {
	case "", "W", "MHz", "%", "C", "°C", "J":
		return v, true
	case "mW":
		return v / 1000, true
	case "kW":
		return v * 1000, true
	}
	return 0, false
}

// layouts are those of nvidia-smi, which writes local time, and of who writes
// standards.
var layouts = []string{"2006/01/02 15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04:05", time.RFC3339}

// stamp reads a time: local, or seconds (or ms) since 1970, as amd-smi has them.
func stamp(text string) (time.Time, error) {
	if v, err := strconv.ParseFloat(text, 64); err == nil {
		if v >= 1e12 {
			v /= 1000
		}
		if v >= 1e9 && v < 1e10 {
			whole, part := math.Modf(v)
			return time.Unix(int64(whole), int64(part*1e9)), nil
		}
	}
	for _, layout := range layouts {
		if at, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time", text)
}
