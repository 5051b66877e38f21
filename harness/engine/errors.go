package engine

import (
	"fmt"
	"net/http"
	"strconv"
)

// apiError is an error as OpenAI's API says it, with the types that vLLM uses.
type apiError struct {
	status  int
	kind    string
	message string
	param   string
}

func (e *apiError) Error() string { return e.message }

func badRequest(param, format string, args ...any) *apiError {
	return &apiError{http.StatusBadRequest, "BadRequestError", fmt.Sprintf(format, args...), param}
}

// writeError answers with OpenAI's error object.
func writeError(w http.ResponseWriter, e *apiError) {
	b := append([]byte(nil), `{"error":{"message":`...)
	b = appendJSON(b, e.message)
	b = append(b, `,"type":`...)
	b = appendJSON(b, e.kind)
	b = append(b, `,"param":`...)
	if e.param == "" {
		b = append(b, "null"...)
	} else {
		b = appendJSON(b, e.param)
	}
	b = append(b, `,"code":`...)
	b = strconv.AppendInt(b, int64(e.status), 10)
	b = append(b, "}}"...)
	writeJSON(w, e.status, b)
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may have gone: nobody is left to tell
}
