package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"inferbench/harness/hint"
)

// WaitOptions says how long a server may take to come up, and how to tell a
// person what is happening meanwhile.
type WaitOptions struct {
	Timeout time.Duration // default 45 minutes: a first start of a large model takes 30
	Every   time.Duration // between two polls, default 1 s

	// OnWait is told, after each poll that failed, how long it has waited and
	// what it last heard.
	OnWait func(waited time.Duration, last error)
}

// Wait polls the server until it is ready: /health first (a server that has
// none, answering 404, counts as healthy), then /v1/models. It fills in what
// the model list says. With an empty t.Model the server's one model is taken.
//
// It gives up when ctx ends, when the time-out passes, and at once on an answer
// that waiting cannot mend: a key that is refused, a model that is not listed.
func (t *Server) Wait(ctx context.Context, o WaitOptions) error {
	if o.Timeout == 0 {
		o.Timeout = 45 * time.Minute
	}
	if o.Every == 0 {
		o.Every = time.Second
	}
	begin := time.Now()
	for {
		err := t.ready(ctx, min(o.Timeout/4, 10*time.Second))
		var fatal *hopeless
		switch {
		case err == nil:
			return nil
		case errors.As(err, &fatal):
			return fatal.error
		case ctx.Err() != nil:
			return hint.New(fmt.Errorf("interrupted while waiting for %s (last heard: %w)", t.BaseURL, err), "")
		}
		waited := time.Since(begin)
		if waited >= o.Timeout {
			return t.gaveUp(waited, err)
		}
		if o.OnWait != nil {
			o.OnWait(waited, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(min(o.Every, o.Timeout-waited)): // a last look when the time is over
		}
	}
}

// gaveUp is the error of a server that was not ready within the time-out.
func (t *Server) gaveUp(waited time.Duration, last error) error {
	err := fmt.Errorf("no server at %s after %s (READY_TIMEOUT); last heard: %w", t.BaseURL, waited.Round(time.Second), last)
	if req, _ := http.NewRequest(http.MethodGet, t.BaseURL, nil); req != nil {
		if proxy, _ := http.ProxyFromEnvironment(req); proxy != nil {
			err = fmt.Errorf("%w (HTTP_PROXY and its like are not used for the server)", err)
		}
	}
	var dns *net.DNSError
	switch {
	case errors.Is(last, syscall.ECONNREFUSED):
		return hint.New(err, "start the server (make serve ENGINE=sglang), or correct PORT or BASE_URL")
	case errors.As(last, &dns), is(last, syscall.EHOSTUNREACH, syscall.ENETUNREACH):
		return err // the way to the server is wrong, and says so itself
	}
	return hint.New(err, "look into the server's log, and give it longer with READY_TIMEOUT if it is merely loading")
}

// hopeless is an error that waiting longer cannot mend.
type hopeless struct{ error }

// model is an entry of /v1/models: OpenAI's fields, and those that vLLM,
// SGLang and llama.cpp add.
type model struct {
	ID          string `json:"id"`
	OwnedBy     string `json:"owned_by"`
	Root        string `json:"root"`
	MaxModelLen int    `json:"max_model_len"`
	Meta        struct {
		Vocab    int `json:"n_vocab"`
		CtxTrain int `json:"n_ctx_train"`
	} `json:"meta"`
}

func (t *Server) ready(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := t.Get(ctx, "/health", nil); err != nil && !hasStatus(err, http.StatusNotFound) {
		return refused(err)
	}
	var list struct{ Data []model }
	if err := t.Get(ctx, "/v1/models", &list); err != nil {
		if hasStatus(err, http.StatusNotFound) {
			return &hopeless{hint.New(fmt.Errorf("%w: this is not an OpenAI-compatible server", err), "correct BASE_URL")}
		}
		return refused(err)
	}
	named := slices.DeleteFunc(list.Data, func(m model) bool { return m.ID == "" })
	m, err := pick(named, t.Model)
	if err != nil {
		return &hopeless{fmt.Errorf("%s: %w", t.BaseURL, err)}
	}
	t.Model, t.MaxLen, t.Vocab = m.ID, max(m.MaxModelLen, 0), max(m.Meta.Vocab, 0)
	t.Dialect, t.Loopback = dialectOf(m.OwnedBy), false
	if t.Dialect.Describe != nil {
		t.Dialect.Describe(t, ctx)
	}
	var v struct{ Version string }
	if t.Get(ctx, "/version", &v) == nil { // vLLM's and the embedded engine's; others have none
		t.Version = v.Version
	}
	return nil
}

// pick finds the wanted model in a server's list. A name that differs only by
// its folders is the same model: servers list what they were started with.
func pick(list []model, want string) (model, error) {
	var ids []string
	for _, m := range list {
		if m.ID == want {
			return m, nil
		}
		ids = append(ids, m.ID)
	}
	if len(list) == 0 {
		return model{}, errors.New("the server lists no model")
	}
	if want == "" {
		if len(list) > 1 {
			return model{}, hint.New(fmt.Errorf("the server lists several models: %s", strings.Join(ids, ", ")), "set MODEL to one of them")
		}
		return list[0], nil
	}
	for _, m := range list {
		if path.Base(m.ID) == path.Base(want) || m.Root == want {
			return m, nil
		}
	}
	err := fmt.Errorf("MODEL=%q is not what the server serves; it lists: %s", want, strings.Join(ids, ", "))
	return model{}, hint.New(err, "set MODEL to a name that it lists, or leave MODEL out")
}

// refused makes an error that waiting cannot mend hopeless.
func refused(err error) error {
	var elsewhere *redirectError
	var status *HTTPError
	switch {
	case errors.As(err, &elsewhere), certificate(err) != "":
		return &hopeless{err}
	case errors.As(err, &status) && status.Status == http.StatusBadRequest && strings.Contains(status.Body, "HTTPS"):
		return &hopeless{hint.New(err, "use https:// in BASE_URL")}
	case hasStatus(err, http.StatusUnauthorized), hasStatus(err, http.StatusForbidden):
		return &hopeless{err}
	}
	return err
}

func hasStatus(err error, status int) bool {
	var h *HTTPError
	return errors.As(err, &h) && h.Status == status
}
