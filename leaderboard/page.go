package leaderboard

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"inferbench/harness/charts"
	"inferbench/harness/matrix"
)

//go:embed web
var web embed.FS

// assets are what a page loads, by name; the version in their addresses lets a
// browser keep them until they change.
var assets = func() map[string][]byte {
	out := map[string][]byte{"chart.js": []byte(charts.JS)}
	for _, name := range []string{"board.css", "board.js", "tables.js", "team.js"} {
		b, err := web.ReadFile("web/" + name)
		if err != nil {
			panic(err) // embedded
		}
		out[name] = b
	}
	return out
}()

var version = func() string {
	var all []byte
	for _, name := range slices.Sorted(maps.Keys(assets)) {
		all = append(all, assets[name]...)
	}
	return sha(all)[:12]
}()

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"num":     func(v float64) string { return grouped(v, decimals(v)) },
	"span":    span,
	"tag":     func(mark string) string { return strings.ReplaceAll(mark, "_", " ") },
	"percent": func(v *float64) float64 { return 100 * *v },
	"score":   score,
	"deref":   func(v *float64) float64 { return *v },
	"day":     func(t time.Time) string { return t.Format("2 Jan 2006") },
	"minute":  func(t time.Time) string { return t.Format("2 Jan 2006 15:04 UTC") },
	"rfc":     func(t time.Time) string { return t.Format(time.RFC3339) },
	"short":   short,
	"path":    url.PathEscape,
}).ParseFS(web, "web/*.html"))

// span writes a latency: in ms below a second.
func span(ms float64) string {
	switch {
	case ms < 10:
		return grouped(ms, 2) + " ms"
	case ms < 1000:
		return grouped(ms, 1) + " ms"
	}
	return grouped(ms/1000, 2) + " s"
}

// score is the figure that accuracy is sorted by, empty where there is none.
func score(s Submission) string {
	for _, v := range []*float64{s.GSM8K, s.BitsPerByte} {
		if v != nil {
			return strconv.FormatFloat(*v, 'g', -1, 64)
		}
	}
	return ""
}

// decimals are those that leave at least four digits to read.
func decimals(v float64) int {
	switch {
	case v >= 100:
		return 1
	case v >= 1:
		return 2
	}
	return 4
}

// grouped writes 12345.6 as 12,345.6.
func grouped(v float64, decimals int) string {
	s := strconv.FormatFloat(v, 'f', decimals, 64)
	end := len(s)
	if decimals > 0 {
		end -= decimals + 1
	}
	for i := end - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// short writes 8192 as 8K.
func short(n int) string {
	if n >= 1024 && n%1024 == 0 {
		return fmt.Sprintf("%dK", n/1024)
	}
	return strconv.Itoa(n)
}

// frame is what every page needs.
type frame struct {
	Title, Version, Here string
	URL                  string
	Boards               []matrix.Combination
}

// maxNav is how many boards a page's head names: those of the competition come
// first, and the API lists all.
const maxNav = 12

func (b *Board) frame(r *http.Request, title, here string) (frame, error) {
	all, err := b.combinations(r.Context())
	all = all[:min(len(all), maxNav)]
	scheme := "http"
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "https"
	}
	return frame{Title: title + " · inferbench leaderboard", Version: version, Here: here, URL: scheme + "://" +
		r.Host, Boards: all}, err
}

func (b *Board) routePages(mux *http.ServeMux) {
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { b.boardPage(w, r, matrix.Standard[0]) })
	mux.HandleFunc("GET /{combination}", func(w http.ResponseWriter, r *http.Request) {
		c, ok := parseCombination(r.PathValue("combination"))
		if !ok {
			b.missing(w, r)
			return
		}
		b.boardPage(w, r, c)
	})
	mux.HandleFunc("GET /teams/{team}/history", b.teamPage)
	for name, content := range assets {
		mux.HandleFunc("GET /assets/"+name, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
			http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
		})
	}
}

func (b *Board) boardPage(w http.ResponseWriter, r *http.Request, c matrix.Combination) {
	now := b.changed.Load()
	f, err := b.frame(r, fmt.Sprintf("%d in, %d out", c.ISL, c.OSL), c.Name())
	if err != nil {
		b.failPage(w, r, err)
		return
	}
	if search := strings.TrimSpace(r.URL.Query().Get("q")); search != "" {
		var html []byte
		v, err := b.view(r.Context(), c, clip(search))
		if err == nil {
			html, err = b.boardHTML(f, v, clip(search))
		}
		if err != nil {
			b.failPage(w, r, err)
			return
		}
		writeTagged(w, r, html, tagOf(html))
		return
	}
	k := b.keep(c)
	err = b.refresh(r.Context(), k, c, now)
	if names := fmt.Sprint(f.URL, f.Boards); err == nil && (k.html == nil || k.htmlFor != names) {
		var html []byte
		if html, err = b.boardHTML(f, k.view, ""); err == nil {
			k.html, k.htmlFor, k.tag = html, names, tagOf(html)
		}
	}
	html, tag := k.html, k.tag
	k.mu.Unlock()
	if err != nil {
		b.failPage(w, r, err)
		return
	}
	writeTagged(w, r, html, tag)
}

func tagOf(html []byte) string { return `"` + sha(html)[:16] + `"` }

// writeTagged writes a page, or that the caller has it.
func writeTagged(w http.ResponseWriter, r *http.Request, html []byte, tag string) {
	w.Header().Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	writePage(w, http.StatusOK, html)
}

func (b *Board) boardHTML(f frame, v *View, search string) ([]byte, error) {
	without := 0
	tasks, concs := map[string]bool{}, map[int]bool{}
	for _, s := range v.Rows {
		if s.Interactivity == nil {
			without++
		}
		if s.Task != "" {
			tasks[s.Task] = true
		}
		concs[s.Conc] = true
	}
	text, err := json.Marshal(v) // which escapes <, > and &, so no name ends the script that it stands in
	if err != nil {
		return nil, err
	}
	work := b.baseline.Workload
	baselineWorkload := fmt.Sprintf("lengths from %g L, %d GPUs", work.RandomRangeRatio, work.GPUs)
	workload := ""
	if len(v.Baseline) > 0 {
		workload = fmt.Sprintf("× is the ratio to the %s: throughput above 1 is better, latency below 1. Its "+
			"points (%s, %s) were measured with lengths uniform in [%g L, L] on %d GPUs, as far as that can be "+
			"worked out; a submission measured otherwise did other work.",
			v.Hardware, b.baseline.Model, b.baseline.Date, work.RandomRangeRatio, work.GPUs)
	}
	return renderPage("board.html", struct {
		frame
		rows
		View                               *View
		JSON                               template.JS // the view, for the charts
		Search, Workload, BaselineWorkload string
		WithoutInteractivity               int
		Tasks                              []string
		Concs                              []int
	}{f, rows{b.rows}, v, template.JS(text), search, workload, baselineWorkload, without,
		slices.Sorted(maps.Keys(tasks)), slices.Sorted(maps.Keys(concs))})
}

// rows are the table's rows as they were written before: most of a busy board's
// are the same on its next page.
type rows struct {
	written *lru.Cache[int64, template.HTML]
}

// keepRows is how many are kept: those of a few boards of [maxRows].
const keepRows = 4 * maxRows

// Row is a submission as a row of the table. All of it follows from its id, since
// what was submitted does not change.
func (r rows) Row(s Submission) (template.HTML, error) {
	if row, ok := r.written.Get(s.ID); ok {
		return row, nil
	}
	text, err := renderPage("row", s)
	row := template.HTML(text) // escaped by the template
	if err == nil {
		r.written.Add(s.ID, row)
	}
	return row, err
}

const historyPage = 200

func (b *Board) teamPage(w http.ResponseWriter, r *http.Request) {
	before, _ := strconv.ParseInt(r.URL.Query().Get("before"), 10, 64)
	rows, err := b.history(r.Context(), r.PathValue("team"), before, historyPage+1)
	if err == nil && len(rows) == 0 {
		err = errNotFound
	}
	if errors.Is(err, errNotFound) {
		b.missing(w, r)
		return
	}
	var more int64
	if len(rows) > historyPage {
		rows = rows[:historyPage]
		more = rows[historyPage-1].ID
	}
	var f frame
	if err == nil {
		f, err = b.frame(r, rows[0].Team, "")
	}
	if err != nil {
		b.failPage(w, r, err)
		return
	}
	var cells []matrix.Combination
	for _, s := range rows {
		if c := (matrix.Combination{ISL: s.ISL, OSL: s.OSL}); !slices.Contains(cells, c) {
			cells = append(cells, c)
		}
	}
	b.render(w, r, http.StatusOK, "team.html", struct {
		frame
		Team  string
		Rows  []Submission
		Cells []matrix.Combination
		More  int64
	}{f, rows[0].Team, rows, cells, more})
}

func (b *Board) missing(w http.ResponseWriter, r *http.Request) {
	f, err := b.frame(r, "No such page", "")
	if err != nil {
		b.failPage(w, r, err)
		return
	}
	b.render(w, r, http.StatusNotFound, "missing.html", f)
}

func (b *Board) failPage(w http.ResponseWriter, r *http.Request, err error) {
	status, _, message := b.explain(context.WithoutCancel(r.Context()), err)
	http.Error(w, message, status)
}

func (b *Board) render(w http.ResponseWriter, r *http.Request, status int, name string, data any) {
	html, err := renderPage(name, data)
	if err != nil {
		b.failPage(w, r, err)
		return
	}
	writePage(w, status, html)
}

// renderPage makes the whole page before its first byte goes out, so that a
// failing template gives an error and not half a page.
func renderPage(name string, data any) ([]byte, error) {
	var out bytes.Buffer
	err := pages.ExecuteTemplate(&out, name, data)
	return out.Bytes(), err
}

func writePage(w http.ResponseWriter, status int, html []byte) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(status)
	w.Write(html)
}
