package leaderboard

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"time"

	"inferbench/harness/matrix"
)

// The Gradio call protocol, as its clients know it (gradio/routes.py and
// @gradio/client, version 4 and later): /call for curl, /queue for the
// official clients, /config and /info to find out what there is.
//
// A combination's board is at /isl1024_osl1024. At the root there is none
// named, and the eleven fields do not say ISL and OSL either; but the
// baseline's figures among them do, since no two cells have the same.

const (
	apiName = "submit_results"
	fnIndex = 0
	linger  = time.Second // how long a queue stream waits for another call of its session
)

// field is a parameter of the call.
type field struct{ name, label, kind string }

var (
	// The first eight of both forms of the call.
	common = []field{
		{"team", "Team", "string"}, {"conc", "CONC", "number"}, {"e2e_ms", "Median E2E (ms)", "number"},
		{"tput_per_gpu", "Throughput per GPU (tok/s)", "number"}, {"b200_e2e_ms", "B200 median E2E (ms)", "number"},
		{"b200_tput_per_gpu", "B200 throughput per GPU (tok/s)", "number"}, {"e2e_ratio", "E2E ratio vs B200", "number"},
		{"tput_ratio", "Throughput ratio vs B200", "number"},
	}
	// fields are the eleven parameters, in order: accuracy by wikitext.
	fields = append(slices.Clone(common), field{"bits_per_byte", "Bits per byte", "number"},
		field{"byte_perplexity", "Byte perplexity", "number"}, field{"word_perplexity", "Word perplexity", "number"})
	// fields12 are the twelve of the competition's later form: accuracy by gsm8k.
	fields12 = append(slices.Clone(common), field{"interactivity", "Interactivity (tok/s/user)", "number"},
		field{"baseline_interactivity", "Baseline interactivity (tok/s/user)", "number"},
		field{"interactivity_ratio", "Interactivity ratio vs baseline", "number"}, field{"gsm8k_metric", "gsm8k", "number"})
)

func (b *Board) routeGradio(mux *http.ServeMux, at string) {
	mux.HandleFunc("GET "+at+"/config", b.gradioConfig)
	mux.HandleFunc("GET "+at+"/gradio_api/info", b.gradioInfo)
	mux.HandleFunc("POST "+at+"/gradio_api/call/{api}", b.gradioCall)
	mux.HandleFunc("GET "+at+"/gradio_api/call/{api}/{event}", b.gradioEvents)
	mux.HandleFunc("POST "+at+"/gradio_api/queue/join", b.gradioJoin)
	mux.HandleFunc("GET "+at+"/gradio_api/queue/data", b.gradioData)
}

var combinationName = regexp.MustCompile(`^isl([1-9][0-9]{0,7})_osl([1-9][0-9]{0,7})$`)

// parseCombination reads isl1024_osl8192.
func parseCombination(s string) (matrix.Combination, bool) {
	m := combinationName.FindStringSubmatch(s)
	if m == nil {
		return matrix.Combination{}, false
	}
	isl, _ := strconv.Atoi(m[1])
	osl, _ := strconv.Atoi(m[2])
	return matrix.Combination{ISL: isl, OSL: osl}, isl <= maxTokens && osl <= maxTokens
}

// entry reads the eleven fields, or the twelve of the later form. The baseline's
// figures and the ratios among them are looked at only where the path names no
// combination.
func (b *Board) entry(r *http.Request, data []any) (Entry, error) {
	form := fields
	switch len(data) {
	case len(fields):
	case len(fields12):
		form = fields12
	default:
		return Entry{}, breaks("data has %d values: want %d (%s) or %d (%s)", len(data), len(fields),
			fieldNames(fields), len(fields12), fieldNames(fields12))
	}
	team, ok := data[0].(string)
	if !ok {
		return Entry{}, breaks("data[0] (team) must be a text")
	}
	var n [12]float64
	for i := 1; i < len(form); i++ {
		if n[i], ok = data[i].(float64); !ok {
			return Entry{}, breaks("data[%d] (%s) must be a number", i, form[i].name)
		}
	}
	if n[1] != math.Trunc(n[1]) || math.Abs(n[1]) > maxConc {
		return Entry{}, breaks("data[1] (conc) must be a whole number from 1 to %d", maxConc)
	}
	e := Entry{Team: team, Conc: int(n[1]), E2EMs: n[2], TputPerGPU: n[3]}
	if len(data) == len(fields) {
		e.BitsPerByte, e.BytePerplexity, e.WordPerplexity = n[8], n[9], n[10]
	} else {
		e.Interactivity, e.GSM8K = &n[8], &n[11]
	}
	if name := r.PathValue("combination"); name != "" {
		c, ok := parseCombination(name)
		if !ok {
			return Entry{}, breaks("%q names no board: want a path such as /isl1024_osl1024", name)
		}
		e.ISL, e.OSL = c.ISL, c.OSL
		return e, nil
	}
	for _, p := range b.baseline.Points {
		if p.Conc == e.Conc && near(p.MedianE2E, n[4]) && near(p.TputPerGPU, n[5]) {
			e.ISL, e.OSL = p.ISL, p.OSL
			return e, nil
		}
	}
	return Entry{}, breaks("which ISL and OSL is this? The baseline's figures sent with it (%g ms, %g tok/s) are "+
		"those of no cell with CONC %d; submit to a board by its path, such as /isl1024_osl1024", n[4], n[5], e.Conc)
}

func near(a, b float64) bool { return math.Abs(a/b-1) < 1e-3 }

func fieldNames(fields []field) string {
	s := ""
	for i, f := range fields {
		if i > 0 {
			s += ", "
		}
		s += f.name
	}
	return s
}

// run does a call's work. As in Gradio, a call that is refused is still a call:
// it has an event, and the event says why. Only what keeps a call from being
// taken at all (rate, size, not JSON) is an HTTP error.
func (b *Board) run(r *http.Request, data []any) (eventID string, outputs []any, reason string, err error) {
	e, err := b.entry(r, data)
	var got receipt
	if err == nil {
		got, err = b.submit(r.Context(), e, bearer(r), r.Header.Get("Idempotency-Key"), b.limits.from(r))
	}
	if err == nil {
		return got.EventID, []any{got.message(e)}, "", nil
	}
	status, _, message := b.explain(r.Context(), err)
	if status >= 499 { // ours to answer for, or nobody is there
		return "", nil, "", err
	}
	id := newEventID()
	b.failed.Add(id, clip(message)) // bounded: many are kept
	return id, nil, message, nil
}

func (b *Board) gradioCall(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Data []any `json:"data"`
	}
	id, err := "", error(errNotFound)
	switch {
	case r.PathValue("api") != apiName:
	case !b.limits.from(r).allow():
		err = errRate
	default:
		if err = readJSON(r, &in); err == nil {
			id, _, _, err = b.run(r, in.Data)
		}
	}
	if err != nil {
		b.failGradio(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"event_id": id})
}

// failGradio answers as FastAPI does: {"detail": …}.
func (b *Board) failGradio(w http.ResponseWriter, r *http.Request, err error) {
	status, _, message := b.explain(r.Context(), err)
	sayWhen(w, status, err)
	writeJSON(w, status, map[string]string{"detail": message})
}

// gradioEvents is the stream of a call. The work was done when the call was
// taken, so it holds the one event that ends it.
func (b *Board) gradioEvents(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("event")
	name, data := "error", any(nil)
	if reason, ok := b.failed.Get(id); ok {
		data = reason
	} else if s, err := b.byEvent(r.Context(), id); err == nil {
		name, data = "complete", []any{fmt.Sprintf("submission %d of %s is stored", s.ID, s.Team)}
	} else if errors.Is(err, errNotFound) {
		data = "404: Session not found." // Gradio's words, which clients know
	} else {
		b.failGradio(w, r, err)
		return
	}
	text, _ := json.Marshal(data)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	fmt.Fprintf(w, "event: %s\ndata: %s\n\n", name, text)
}
