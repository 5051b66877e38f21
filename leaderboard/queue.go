package leaderboard

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// event is one message of a Gradio queue session.
type event map[string]any

// newEventID names a call: later ones sort later, so that the database adds them
// at the end of its index.
func newEventID() string { return fmt.Sprintf("%012x%s", time.Now().UnixMilli(), rand.Text()) }

// perSession is how many messages a session may have waiting; a session that
// does not fetch its own loses the rest.
const perSession = 64

func (b *Board) session(hash string) chan event {
	if ch, ok := b.sessions.Get(hash); ok {
		return ch
	}
	ch := make(chan event, perSession)
	if old, found, _ := b.sessions.PeekOrAdd(hash, ch); found {
		return old
	}
	return ch
}

// gradioJoin takes a call of an official client; its messages come in the
// session's stream.
func (b *Board) gradioJoin(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Data    []any  `json:"data"`
		Fn      int    `json:"fn_index"`
		Session string `json:"session_hash"`
	}
	var id, reason string
	var outputs []any
	err := errRate
	if b.limits.from(r).allow() {
		err = readJSON(r, &in)
	}
	if err == nil && (in.Fn != fnIndex || in.Session == "" || len(in.Session) > 100) {
		err = breaks("want fn_index %d and a session_hash", fnIndex)
	}
	if err == nil {
		id, outputs, reason, err = b.run(r, in.Data)
	}
	if err != nil {
		b.failGradio(w, r, err)
		return
	}
	done := event{"msg": "process_completed", "event_id": id, "success": reason == "",
		"output": event{"data": outputs, "is_generating": false}}
	if reason != "" {
		done["output"] = event{"error": reason, "title": "Refused"}
	}
	ch := b.session(in.Session)
	for _, m := range []event{
		{"msg": "estimation", "event_id": id, "rank": 0, "queue_size": 1, "rank_eta": 0},
		{"msg": "process_starts", "event_id": id, "eta": 0},
		done,
	} {
		select {
		case ch <- m:
		default:
		}
	}
	writeJSON(w, http.StatusOK, map[string]string{"event_id": id})
}

// gradioData streams a session's messages until none has come for a while.
func (b *Board) gradioData(w http.ResponseWriter, r *http.Request) {
	hash := r.URL.Query().Get("session_hash")
	if hash == "" || len(hash) > 100 {
		b.failGradio(w, r, breaks("want a session_hash"))
		return
	}
	ch := b.session(hash)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	out := http.NewResponseController(w)
	send := func(m event) bool {
		text, _ := json.Marshal(m)
		_, err := fmt.Fprintf(w, "data: %s\n\n", text)
		return err == nil && out.Flush() == nil
	}
	idle := time.NewTimer(linger)
	defer idle.Stop()
	for {
		select {
		case m := <-ch:
			if !send(m) {
				return
			}
			idle.Reset(linger)
		case <-idle.C:
			send(event{"msg": "close_stream", "event_id": nil})
			return
		case <-r.Context().Done():
			return
		}
	}
}

type component struct {
	ID      int            `json:"id"`
	Type    string         `json:"type"`
	Props   map[string]any `json:"props"`
	APIInfo map[string]any `json:"api_info"`
}

// gradioConfig describes the app as far as a client needs it to make the call.
func (b *Board) gradioConfig(w http.ResponseWriter, r *http.Request) {
	var components []component
	var inputs []int
	for i, f := range fields {
		kind := "number"
		if f.kind == "string" {
			kind = "textbox"
		}
		components = append(components, component{i + 1, kind, map[string]any{"label": f.label, "name": f.name},
			map[string]any{"type": f.kind}})
		inputs = append(inputs, i+1)
	}
	output := len(fields) + 1
	components = append(components, component{output, "textbox", map[string]any{"label": "Answer", "name": "answer"},
		map[string]any{"type": "string"}})
	writeJSON(w, http.StatusOK, map[string]any{
		"version": "5.0.0", "api_prefix": "/gradio_api", "mode": "blocks", "title": "inferbench leaderboard",
		"protocol": "sse_v3", "is_space": false, "show_api": true, "connect_heartbeat": false, "enable_queue": true,
		"components": components,
		"dependencies": []any{map[string]any{
			"id": fnIndex, "api_name": apiName, "show_api": true, "api_visibility": "public",
			"inputs": inputs, "outputs": []int{output}, "targets": []any{},
			"queue": true, "backend_fn": true, "connection": "sse", "types": map[string]any{"generator": false, "cancel": false},
		}},
	})
}

func (b *Board) gradioInfo(w http.ResponseWriter, r *http.Request) {
	info := func(name, label, kind string) map[string]any {
		py := map[string]any{"type": "float", "description": ""}
		part := "Number"
		if kind == "string" {
			py["type"], part = "str", "Textbox"
		}
		return map[string]any{"label": label, "parameter_name": name, "parameter_has_default": false,
			"parameter_default": nil,
			"type":              map[string]any{"type": kind}, "python_type": py, "component": part, "example_input": nil}
	}
	var parameters []any
	for _, f := range fields {
		parameters = append(parameters, info(f.name, f.label, f.kind))
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"named_endpoints": map[string]any{"/" + apiName: map[string]any{
			"parameters": parameters, "returns": []any{info("answer", "Answer", "string")}, "api_visibility": "public",
		}},
		"unnamed_endpoints": map[string]any{},
	})
}
