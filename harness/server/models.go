package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"inferbench/harness/hint"
)

// model is an entry of a model list. What a server leaves out, or writes in a
// form of its own, is empty or 0: only the name matters.
type model struct {
	ID      string
	OwnedBy string
	Root    string // the name that the server was started with
	MaxLen  int    // context length in tokens
	Vocab   int    // size of the vocabulary
}

// models asks for /v1/models. A list that says nothing, or that the server does
// not have, is as if it held MODEL, where MODEL is given. Errors that waiting
// cannot mend are hopeless.
func (t *Server) models(ctx context.Context) ([]model, error) {
	var body []byte
	err := t.Get(ctx, "/v1/models", &body)
	var list []model
	if err == nil {
		if list, err = t.readModels(body); err != nil {
			err = &hopeless{hint.New(t.gate(t.malformed(http.MethodGet, t.BaseURL+"/v1/models", body, err)),
				"correct BASE_URL to where an OpenAI-compatible server is")}
		}
	}
	switch {
	case err == nil && len(list) == 0 && t.ModelSent() == "":
		return nil, &hopeless{hint.New(fmt.Errorf("%s: the server lists no model", t.BaseURL),
			"set MODEL to the one that it serves")}
	case err == nil && len(list) > 0:
		return list, nil
	case err == nil, lacksModels(err) && t.ModelSent() != "":
		return []model{{ID: t.ModelSent()}}, nil
	case lacksModels(err):
		err = fmt.Errorf("%w: this is not an OpenAI-compatible server, or it lists no models", err)
		return nil, &hopeless{hint.New(err, "correct BASE_URL, or set MODEL")}
	}
	return nil, refused(err)
}

// lacksModels reports whether the server refuses /v1/models itself, and not the
// key or the moment.
func lacksModels(err error) bool {
	var h *HTTPError
	if !errors.As(err, &h) {
		return false
	}
	switch h.Status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired,
		http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return h.Status/100 == 4 && !wantsHTTPS(h) || h.Status == http.StatusNotImplemented
}

var errNoList = errors.New("this is no list of models")

// readModels reads a list of models as OpenAI has it ({"data":[…]}), Ollama
// ({"models":[…]}), or bare; of entries with an id, or a name, or that are names.
// Each model is listed once, though a router may name it for each of its workers.
func (t *Server) readModels(body []byte) ([]model, error) {
	body = bytes.TrimPrefix(body, []byte("\ufeff"))
	if !gjson.ValidBytes(body) {
		return nil, errNoJSON
	}
	answer := gjson.ParseBytes(body)
	list := answer
	if answer.IsObject() {
		if list = answer.Get("data"); !list.Exists() {
			list = answer.Get("models")
		}
		if e := answer.Get("error"); !list.Exists() && e.Exists() && e.Type != gjson.Null {
			return nil, fmt.Errorf("the server answers with an error: %s", t.ErrorMessage(body))
		}
	}
	if list.Type != gjson.Null && !list.IsArray() || !list.Exists() {
		return nil, errNoList
	}
	var models []model
	seen := map[string]bool{}
	list.ForEach(func(_, entry gjson.Result) bool {
		if m := readModel(entry); m.ID != "" && !seen[m.ID] {
			seen[m.ID] = true
			models = append(models, m)
		}
		return true
	})
	return models, nil
}

func readModel(entry gjson.Result) model {
	if !entry.IsObject() {
		return model{ID: text(entry)}
	}
	m := model{OwnedBy: text(entry.Get("owned_by")), Root: text(entry.Get("root")),
		MaxLen: count(entry.Get("max_model_len")), Vocab: count(entry.Get("meta.n_vocab"))}
	for _, key := range []string{"id", "name", "model"} {
		if m.ID = text(entry.Get(key)); m.ID != "" {
			break
		}
	}
	return m
}

// text is a string, or a number as it is written; "" of anything else.
func text(v gjson.Result) string {
	switch v.Type {
	case gjson.String:
		return v.Str
	case gjson.Number:
		return v.Raw
	}
	return ""
}

// count is a whole number, written as one, as 32768.0 or in quotes; 0 of
// anything else.
func count(v gjson.Result) int {
	n, err := strconv.ParseFloat(text(v), 64)
	if err != nil || n < 1 || n > math.MaxInt32 || n != math.Trunc(n) {
		return 0
	}
	return int(n)
}

// pick finds the wanted model in a server's list. A name that differs only by
// its folders is the same model: servers list what they were started with.
func (t *Server) pick(list []model, want string) (model, error) {
	for _, m := range list {
		if m.ID == want {
			return m, nil
		}
	}
	if want == "" {
		if len(list) > 1 {
			return model{}, hint.New(fmt.Errorf("the server lists several models: %s", t.names(list)),
				"set MODEL to one of them")
		}
		return list[0], nil
	}
	for _, m := range list {
		if path.Base(m.ID) == path.Base(want) || m.Root == want {
			return m, nil
		}
	}
	err := fmt.Errorf("MODEL=%q is not what the server serves; it lists: %s", want, t.names(list))
	return model{}, hint.New(err, "set MODEL to a name that it lists, or leave MODEL out")
}

// mostNames is how many models are named in one line.
const mostNames = 10

func (t *Server) names(list []model) string {
	var ids []string
	for _, m := range list[:min(len(list), mostNames)] {
		ids = append(ids, t.name(m.ID))
	}
	said := strings.Join(ids, ", ")
	if more := len(list) - len(ids); more > 0 {
		said += fmt.Sprintf(" and %d more", more)
	}
	return said
}
