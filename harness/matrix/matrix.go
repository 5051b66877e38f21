// Package matrix names the cells of a sweep: which (ISL, OSL, CONC)
// configurations run, in which order, with how many prompts, and what each is
// called in sub-test names and file names.
//
// It is pure: no clock, no files, no network.
package matrix

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Combination is one pair of lengths: ISL input tokens and OSL output tokens a
// request; or a scenario, whose sessions have lengths of their own. The cells of a
// combination share a batch folder and a leaderboard.
type Combination struct {
	ISL, OSL int
	Scenario string // then ISL and OSL are 0
}

// Cell is one configuration of a combination: CONC requests in flight,
// NumPrompts requests in all.
type Cell struct {
	Combination
	Conc       int
	NumPrompts int

	// Rate is the request rate a second of a cell that is told from others by it, as
	// a search's; 0: that of the settings.
	Rate float64
}

// Same reports whether c and d are one configuration, however many requests each
// has.
func (c Cell) Same(d Cell) bool {
	return c.Combination == d.Combination && c.Conc == d.Conc && c.Rate == d.Rate
}

// Standard are the combinations that have hardware baselines and public
// leaderboards, in the order in which they run.
var Standard = []Combination{{ISL: 1024, OSL: 1024}, {ISL: 1024, OSL: 8192}, {ISL: 8192, OSL: 1024}}

// Concurrencies are the CONC values of a full sweep, in order.
var Concurrencies = []int{4, 8, 16, 32, 64}

// IsStandard reports whether the combination is one of [Standard].
func (c Combination) IsStandard() bool {
	for _, s := range Standard {
		if s == c {
			return true
		}
	}
	return false
}

// String is the combination as a person writes it: (1024,8192), or a scenario's name.
func (c Combination) String() string {
	if c.Scenario != "" {
		return c.Scenario
	}
	return fmt.Sprintf("(%d,%d)", c.ISL, c.OSL)
}

// Title is the combination as a head line has it: ISL 1024, OSL 8192, or scenario
// agentx.
func (c Combination) Title() string {
	if c.Scenario != "" {
		return "scenario " + c.Scenario
	}
	return fmt.Sprintf("ISL %d, OSL %d", c.ISL, c.OSL)
}

// Name is the combination as a file-name part: isl1024_osl8192, or a scenario's name.
func (c Combination) Name() string {
	if c.Scenario != "" {
		return c.Scenario
	}
	return fmt.Sprintf("isl%d_osl%d", c.ISL, c.OSL)
}

// Name is the cell's sub-test name, isl=1024/osl=1024/conc=16 or
// scenario=agentx/conc=16: the key=value form is what lets benchstat group by -col
// /conc.
func (c Cell) Name() string {
	name := fmt.Sprintf("isl=%d/osl=%d/conc=%d", c.ISL, c.OSL, c.Conc)
	if c.Scenario != "" {
		name = fmt.Sprintf("scenario=%s/conc=%d", c.Scenario, c.Conc)
	}
	if c.Rate > 0 {
		name += fmt.Sprintf("/rate=%g", c.Rate)
	}
	return name
}

// String is the cell's [Cell.Name].
func (c Cell) String() string { return c.Name() }

// FileName is the cell's result file: result_isl1024_osl1024_conc16.json, or
// result_agentx_conc16.json.
func (c Cell) FileName() string {
	return "result_" + c.FilePart() + ".json"
}

// FilePart is the cell as a part of the names of its files: isl1024_osl1024_conc16.
func (c Cell) FilePart() string {
	part := fmt.Sprintf("%s_conc%d", c.Combination.Name(), c.Conc)
	if c.Rate > 0 {
		part += fmt.Sprintf("_rate%g", c.Rate)
	}
	return part
}

// VerdictName is the file of a cell without figures: its verdict alone.
func (c Cell) VerdictName() string { return "verdict_" + strings.TrimPrefix(c.FileName(), "result_") }

// Selection says what the user asked for; zero values mean "not given".
type Selection struct {
	ISL, OSL   int
	Conc       []int
	NumPrompts Prompts // instead of the rule of [NumPrompts]
	Scenario   string  // in place of pairs of lengths
}

// Combinations lists the combinations a selection covers. ISL or OSL alone
// selects the standard rows that match; both together allow any pair. It is
// empty when ISL or OSL alone matches no standard row.
func (s Selection) Combinations() []Combination {
	if s.Scenario != "" {
		return []Combination{{Scenario: s.Scenario}}
	}
	if s.ISL != 0 && s.OSL != 0 {
		return []Combination{{ISL: s.ISL, OSL: s.OSL}}
	}
	var out []Combination
	for _, c := range Standard {
		if (s.ISL == 0 || s.ISL == c.ISL) && (s.OSL == 0 || s.OSL == c.OSL) {
			out = append(out, c)
		}
	}
	return out
}

// Cells lists the cells of one combination in the order in which they run.
func (s Selection) Cells(c Combination) []Cell {
	concs := s.Conc
	if len(concs) == 0 {
		concs = Concurrencies
	}
	out := make([]Cell, 0, len(concs))
	for _, conc := range concs {
		cell := Cell{Combination: c, Conc: conc}
		if c.Scenario == "" { // a scenario's requests are those of its sessions
			cell.NumPrompts = s.NumPrompts.Of(c.OSL, conc)
		}
		out = append(out, cell)
	}
	return out
}

// Prompts says how many requests a cell has, each cell or those of one CONC. The
// zero Prompts is the rule of [NumPrompts].
type Prompts struct {
	All    Count
	ByConc map[int]Count // goes before All
}

// Count is a number of requests, or one for each request in flight.
type Count struct {
	N      int  // 0: not given
	Rounds bool // N is of rounds: CONC×N requests
}

// Given reports whether anything is said at all.
func (p Prompts) Given() bool { return p.All.N > 0 || len(p.ByConc) > 0 }

// Of is the number of requests of a cell.
func (p Prompts) Of(osl, conc int) int {
	n, ok := p.ByConc[conc]
	if !ok {
		n = p.All
	}
	switch {
	case n.N == 0:
		return NumPrompts(osl, conc)
	case n.Rounds:
		return n.N * conc
	}
	return n.N
}

// ParsePrompts reads 200, 50x (CONC×50) or 4:200,64:25x (by CONC, and the rule for
// the others).
func ParsePrompts(s string) (Prompts, error) {
	var p Prompts
	for _, part := range strings.Split(s, ",") {
		at, count, by := strings.Cut(strings.TrimSpace(part), ":")
		if !by {
			at, count = "", at
		}
		digits, rounds := strings.CutSuffix(strings.TrimSpace(count), "x")
		n, err := strconv.Atoi(digits)
		if err != nil || n < 1 || n > mostPrompts {
			return p, errPrompts
		}
		if !by {
			if p.All.N != 0 {
				return p, errPrompts
			}
			p.All = Count{n, rounds}
			continue
		}
		conc, err := strconv.Atoi(strings.TrimSpace(at))
		if _, twice := p.ByConc[conc]; err != nil || conc < 1 || twice {
			return p, errPrompts
		}
		if p.ByConc == nil {
			p.ByConc = map[int]Count{}
		}
		p.ByConc[conc] = Count{n, rounds}
	}
	return p, nil
}

// mostPrompts keeps CONC×N within a number.
const mostPrompts = 1 << 30

var errPrompts = errors.New("want a whole number, 1 or more, such as 200, a number a CONC, as 50x, or several, as " +
	"4:200,64:25x")

// NumPrompts is the number of requests of a cell: CONC×20 where OSL is 8192,
// else CONC×50 (the rule of the AMD MI355X InferenceMAX bounty).
func NumPrompts(osl, conc int) int {
	if osl == 8192 {
		return conc * 20
	}
	return conc * 50
}
