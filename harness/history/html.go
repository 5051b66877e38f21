package history

import (
	"bytes"
	_ "embed"
	"html/template"
	"math"
	"path/filepath"
	"strconv"

	"inferbench/harness/charts"
	"inferbench/harness/figures"
)

// HTMLName is the file of the page.
const HTMLName = "history.html"

//go:embed page.html
var pageHTML string

//go:embed page.js
var pageJS string

var page = template.Must(template.New("history").Parse(pageHTML))

// view is what the page's template shows.
type view struct {
	Rows    []pageRow
	Bests   []pageBest
	Skipped []string
	More    int // that were skipped besides
	Assets  struct {
		CSS     template.CSS
		JS      template.JS
		Version string
	}
	Data any
}

type pageRow struct {
	N                                             int
	Date, Cells, Tput, TputVs, E2E, E2EVs, Before string
	Lengths, Model, Server, What, Dir             string
	Good                                          bool
}

type pageBest struct {
	Model, Lengths string
	Conc           int
	Tput, TputOf   string
	E2E, E2EOf     string
}

// pageEntry is an entry as the page's script draws it.
type pageEntry struct {
	Time    int64       `json:"t"` // ms since 1970; 0: not known
	Name    string      `json:"name"`
	Model   string      `json:"model"`
	Lengths string      `json:"lengths"`
	Server  string      `json:"server"`
	Foreign bool        `json:"foreign,omitempty"`
	Points  []pagePoint `json:"points"`
}

type pagePoint struct {
	Conc   int      `json:"conc"`
	Failed bool     `json:"failed,omitempty"`
	Tput   *float64 `json:"tput"`
	User   *float64 `json:"user"`
	E2E    *float64 `json:"e2e"`
}

// shownSkips is how many of what was skipped are named.
const shownSkips = 20

// HTML returns the history as one page that needs nothing beside it.
func (h *History) HTML() ([]byte, error) {
	var v view
	before := h.Before()
	entries := []pageEntry{}
	for i := range h.Entries {
		e := &h.Entries[i]
		r := e.row(before[i])
		v.Rows = append(v.Rows, pageRow{N: i, Date: r[0], Cells: r[1], Tput: r[2], TputVs: r[3], E2E: r[4], E2EVs: r[5],
			Before: r[6], Lengths: e.Combination.String(), Model: e.Model, Server: r[7], What: e.What(), Dir: e.Dir,
			Good: e.fine()})
		entries = append(entries, e.forPage())
	}
	for _, b := range h.Bests() {
		row := pageBest{Model: b.Model, Lengths: b.Combination.String(), Conc: b.Conc,
			Tput: figures.Digits(*b.Tput.Point.Tput), TputOf: b.Tput.name()}
		if b.E2E != nil {
			row.E2E, row.E2EOf = figures.Digits(*b.E2E.Point.E2E), b.E2E.name()
		}
		v.Bests = append(v.Bests, row)
	}
	for _, err := range h.Skipped[:min(len(h.Skipped), shownSkips)] {
		v.Skipped = append(v.Skipped, err.Error())
	}
	v.More = len(h.Skipped) - len(v.Skipped)
	v.Assets.CSS, v.Assets.Version = template.CSS(charts.CSS), charts.Version
	v.Assets.JS = template.JS(charts.JS + "\n" + charts.DrawJS + pageJS)
	v.Data = entries
	var b bytes.Buffer
	if err := page.Execute(&b, v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func (e *Entry) forPage() pageEntry {
	name := e.What()
	if name == "" {
		name = filepath.Base(e.Dir)
	}
	out := pageEntry{Name: e.date() + " " + name, Model: e.Model, Lengths: e.Combination.String(), Server: e.On(),
		Foreign: e.Foreign, Points: []pagePoint{}}
	if !e.Time.IsZero() {
		out.Time = e.Time.UnixMilli()
	}
	for _, p := range e.Points {
		if p.Tput == nil {
			continue
		}
		out.Points = append(out.Points, pagePoint{Conc: p.Conc, Failed: !p.Counts(), Tput: round(p.Tput), User: round(p.User),
			E2E: round(p.E2E)})
	}
	return out
}

// round keeps what a chart can show.
func round(v *float64) *float64 {
	if v == nil || math.IsNaN(*v) || math.IsInf(*v, 0) {
		return nil
	}
	r, err := strconv.ParseFloat(strconv.FormatFloat(*v, 'g', 6, 64), 64)
	if err != nil {
		return v
	}
	return &r
}
