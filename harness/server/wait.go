package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"
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
			return fmt.Errorf("interrupted while waiting for %s (last heard: %w)", t.BaseURL, err)
		}
		waited := time.Since(begin)
		if waited >= o.Timeout {
			err = fmt.Errorf("no server at %s after %s (READY_TIMEOUT); last heard: %w", t.BaseURL, waited.Round(time.Second), err)
			if req, _ := http.NewRequest(http.MethodGet, t.BaseURL, nil); req != nil {
				if proxy, _ := http.ProxyFromEnvironment(req); proxy != nil {
					err = fmt.Errorf("%w (HTTP_PROXY and its like are not used for the server)", err)
				}
			}
			return err
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
			return &hopeless{fmt.Errorf("%w: this is not an OpenAI-compatible server; is BASE_URL right?", err)}
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
			return model{}, fmt.Errorf("the server lists several models: set MODEL to one of %s", strings.Join(ids, ", "))
		}
		return list[0], nil
	}
	for _, m := range list {
		if path.Base(m.ID) == path.Base(want) || m.Root == want {
			return m, nil
		}
	}
	return model{}, fmt.Errorf("MODEL=%q is not what the server serves; it lists: %s", want, strings.Join(ids, ", "))
}

// refused makes an error that waiting cannot mend hopeless.
func refused(err error) error {
	var certificate *tls.CertificateVerificationError
	var otherName x509.HostnameError
	var invalid x509.CertificateInvalidError
	var elsewhere *redirectError
	var status *HTTPError
	switch {
	case errors.As(err, &elsewhere):
		return &hopeless{err}
	case errors.As(err, &otherName):
		return &hopeless{fmt.Errorf("%w: use a name in BASE_URL that the certificate is for", err)}
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return &hopeless{fmt.Errorf("%w: give the server a new certificate, or set this machine's clock", err)}
	case errors.As(err, &certificate):
		return &hopeless{fmt.Errorf("%w: if the server's CA is your own, set CA_FILE to its certificate", err)}
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"): // net/http has no type for it
		return &hopeless{fmt.Errorf("%w: use http:// in BASE_URL", err)}
	case errors.As(err, &status) && status.Status == http.StatusBadRequest && strings.Contains(status.Body, "HTTPS"):
		return &hopeless{fmt.Errorf("%w: use https:// in BASE_URL", err)}
	case hasStatus(err, http.StatusUnauthorized), hasStatus(err, http.StatusForbidden):
		return &hopeless{fmt.Errorf("%w: set API_KEY to a key that the server takes", err)}
	}
	return err
}

func hasStatus(err error, status int) bool {
	var h *HTTPError
	return errors.As(err, &h) && h.Status == status
}
