package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"slices"
	"strings"

	"inferbench/harness/batch"
	"inferbench/harness/charts"
	"inferbench/harness/pareto"
	"inferbench/harness/power"
	"inferbench/harness/scrape"
	"inferbench/harness/stats"
)

//go:embed page.html
var pageHTML string

//go:embed page.js
var pageJS string

var page = template.Must(template.New("report").Funcs(template.FuncMap{
	"pill": func(status string) string {
		switch {
		case strings.Contains(status, "client-limited"): // passed or not, it says little
		case strings.Contains(status, "PASSED"): // alone, or after a count
			return "good"
		case strings.Contains(status, "FAILED"):
			return "bad"
		}
		return "mid"
	},
	// A narrow window may break these words.
	"soft": func(text string) template.HTML {
		return template.HTML(breaks.Replace(template.HTMLEscapeString(text)))
	},
	// status is in two lines where the client was the limit, so that the table keeps its width.
	"status": func(v string) (parts struct{ Word, Mark string }) {
		parts.Word, parts.Mark, _ = strings.Cut(v, " ")
		return parts
	},
	"four": func(v *float64) string {
		if v == nil {
			return "–"
		}
		return fmt.Sprintf("%.4f", *v)
	},
}).Parse(pageHTML))

var breaks = strings.NewReplacer("tok/s/", "tok/s/<wbr>", "sessions/h/", "sessions/<wbr>h/",
	"J/token", "J/<wbr>token", "W/GPU", "W/<wbr>GPU",
	"attainment", "attain\u00adment", "INCOMPLETE",
	"INCOM\u00adPLETE")

// statistics are those of a distribution that a reader can choose to see, by
// their fields in [stats.Dist].
var statistics = []Setting{{"Mean", "mean"}, {"Median", "p50"}, {"P90", "p90"}, {"P95", "p95"}, {"P99", "p99"},
	{"P99_9", "p99.9"}, {"Max", "max"}}

// view is what the page's template shows, beside the report itself.
type view struct {
	*Report
	When       string
	Warnings   []string
	Table      tableView
	BestLine   string
	CostNote   string
	Statistics []Setting
	Failures   []failureRow
	ServerSays serverView
	Slowest    []string // what the slowest requests of each cell had in common
	Throttled  []string
	AuditRows  []tableRow
	Has        struct{ Figures, Series, Server, Power, Sessions bool } // at least one cell has them
	Assets     assets
	Data       any
}

type tableView struct {
	Columns []column
	Rows    []row
}

type serverView struct {
	Heads []string
	Rows  []serverRow
	Why   []string
}

// assets are what makes the page stand alone.
type assets struct {
	CSS             template.CSS
	ChartJS, PageJS template.JS
	ChartsVersion   string
}

// HTML returns the report as one page that needs nothing beside it.
func (r *Report) HTML() ([]byte, error) {
	v := view{
		Report: r, When: r.Time.Format("2 Jan 2006 15:04:05"), Warnings: r.warnings(), BestLine: r.bestLine(),
		CostNote:   r.costNote(),
		Statistics: statistics, Failures: r.failures(), AuditRows: r.auditRows(), Data: r.data(),
		Assets: assets{template.CSS(charts.CSS), template.JS(charts.JS), template.JS(charts.DrawJS + pageJS),
			charts.Version},
	}
	v.Table.Columns, v.Table.Rows = r.table()
	v.Throttled = r.throttled()
	v.Slowest = r.slowest()
	v.ServerSays.Heads = serverHeads
	v.ServerSays.Rows, v.ServerSays.Why = r.serverTable()
	for _, c := range r.Cells {
		v.Has.Figures = v.Has.Figures || c.Figure("tput_per_gpu") != nil
		v.Has.Series = v.Has.Series || c.Series != nil
		v.Has.Server = v.Has.Server || c.Server != nil
		v.Has.Power = v.Has.Power || c.Power != nil
		v.Has.Sessions = v.Has.Sessions || c.Series != nil && c.Series.Sessions != nil
	}
	var b bytes.Buffer
	if err := page.Execute(&b, v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

type tableRow struct {
	Key    string
	Values []string
}

// auditRows turns the cells' audits into one row a key.
func (r *Report) auditRows() []tableRow {
	var rows []tableRow
	at := map[string]int{}
	n := 0
	for _, c := range r.Cells {
		if c.Audit == nil {
			continue
		}
		for _, s := range c.Audit {
			i, ok := at[s.Key]
			if !ok {
				i = len(rows)
				at[s.Key] = i
				rows = append(rows, tableRow{Key: s.Key})
			}
			for len(rows[i].Values) < n {
				rows[i].Values = append(rows[i].Values, "–")
			}
			rows[i].Values = append(rows[i].Values, s.Value)
		}
		n++
	}
	for i := range rows {
		for len(rows[i].Values) < n {
			rows[i].Values = append(rows[i].Values, "–")
		}
	}
	return rows
}

// warnings returns what stands at the top of the page: what is true of all cells
// as it is, what is true of some with their CONC.
func (r *Report) warnings() []string {
	var order []string
	who := map[string][]string{}
	told := 0
	note := func(text string, c Cell) {
		if who[text] == nil {
			order = append(order, text)
		}
		if conc := c.At(); !slices.Contains(who[text], conc) {
			who[text] = append(who[text], conc)
		}
	}
	for _, c := range r.Cells {
		if c.Result != nil {
			told++
		}
		limited := c.result().Marked(batch.ClientLimited)
		for _, n := range c.Notes {
			limited = limited && !strings.Contains(n, "client-limited")
			note(n, c)
		}
		if limited {
			note("client-limited: the client, not the server, may have set these figures", c)
		}
	}
	out := slices.Clone(r.doubts)
	if r.Embedded {
		out = append(out, "These are the embedded engine's figures. They prove the suite, not any hardware.")
	}
	for _, text := range order {
		if len(who[text]) < told {
			text = "CONC " + strings.Join(who[text], ", ") + ": " + text
		}
		out = append(out, text)
	}
	return out
}

func (r *Report) costNote() string {
	var parts []string
	if r.Options.GPUHourUSD > 0 {
		parts = append(parts, fmt.Sprintf("cost at %g USD a GPU hour (GPU_HOUR_USD)", r.Options.GPUHourUSD))
	}
	if r.Options.GPUWatts > 0 && !r.measuresPower() {
		parts = append(parts, fmt.Sprintf("energy at %g W a GPU (GPU_WATTS), as stated, not measured", r.Options.GPUWatts))
	}
	if parts == nil {
		return ""
	}
	s := strings.Join(parts, "; ") + "."
	return strings.ToUpper(s[:1]) + s[1:]
}

// pageCell is a cell as the page's script draws it.
type pageCell struct {
	At                 string          `json:"at"` // see [Cell.At]
	Failed             bool            `json:"failed"`
	Tput               *float64        `json:"tput"`
	Interactivity      *float64        `json:"interactivity"`
	E2E                *float64        `json:"e2e"`
	InteractivityFront bool            `json:"interactivity_front"`
	E2EFront           bool            `json:"e2e_front"`
	Latency            *latencies      `json:"latency"` // null where there are no figures
	Series             *Series         `json:"series"`
	Server             []scrape.Sample `json:"server,omitempty"`
	Power              []power.Sample  `json:"power,omitempty"`
}

// latencies are the distributions of a cell that the page draws over CONC.
type latencies struct {
	TTFT stats.Dist `json:"TTFT"`
	TPOT stats.Dist `json:"TPOT"`
	ITL  stats.Dist `json:"ITL"`
	E2EL stats.Dist `json:"E2EL"`
}

type pagePoint struct {
	Conc          int     `json:"conc"`
	Tput          float64 `json:"tput"`
	Interactivity float64 `json:"interactivity"`
	E2E           float64 `json:"e2e"`
}

type pageBaseline struct {
	Label  string      `json:"label"`
	Points []pagePoint `json:"points"`
}

// data returns what the page's script draws from.
func (r *Report) data() any {
	var out struct {
		Cells    []pageCell    `json:"cells"`
		Best     []Best        `json:"best"`
		Baseline *pageBaseline `json:"baseline"`
	}
	out.Best = r.best()
	byInteractivity := front(r.Cells, "interactivity", pareto.High)
	byE2E := front(r.Cells, "median_e2el_ms", pareto.Low)
	for i, c := range r.Cells {
		cell := pageCell{At: c.At(), Failed: c.Status == batch.Failed, Tput: c.Figure("tput_per_gpu"),
			Interactivity: c.Figure("interactivity"), E2E: c.Figure("median_e2el_ms"),
			InteractivityFront: byInteractivity[i], E2EFront: byE2E[i], Series: c.Series, Server: c.Server,
			Power: c.Power}
		if c.Result != nil && c.Result.Performance != nil {
			p := c.Result.Performance
			cell.Latency = &latencies{p.TTFT, p.TPOT, p.ITL, p.E2EL}
		}
		out.Cells = append(out.Cells, cell)
	}
	if b := r.Baseline; b != nil {
		out.Baseline = &pageBaseline{Label: b.Hardware}
		for _, p := range b.Points {
			out.Baseline.Points = append(out.Baseline.Points, pagePoint{p.Conc, p.TputPerGPU, p.Interactivity, p.MedianE2E})
		}
	}
	return out
}

// failureRow is one kind of failure of a cell.
type failureRow struct {
	At            string // see [Cell.At]
	Requests      int
	Error, Advice string
}

// failures lists the kinds of failure of every cell.
func (r *Report) failures() (out []failureRow) {
	for _, c := range r.Cells {
		if c.Result == nil || c.Result.Performance == nil {
			continue
		}
		for _, e := range c.Result.Performance.Errors {
			out = append(out, failureRow{c.At(), e.Requests, e.Error, e.Advice})
		}
		if o := c.Result.Performance.OtherErrors; o != nil {
			out = append(out, failureRow{At: c.At(), Requests: o.Requests, Error: fmt.Sprintf("%d more kinds", o.Kinds)})
		}
	}
	return out
}
