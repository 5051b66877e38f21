package submit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"inferbench/harness/hint"
	"inferbench/harness/server"
)

// ServiceName is how the suite's own board names itself at /api/v1/health.
const ServiceName = "inferbench-leaderboard"

const (
	submitPath = "/gradio_api/call/submit_results"
	ownPath    = "/api/v1/submissions"
	maxAnswer  = 1 << 20 // bytes of an answer that is read whole
	callLimit  = time.Minute
)

var errNotOwn = errors.New("not a board of this suite")

// isOwn is nil where the suite's own board answers, errNotOwn where something
// else does, and else why nothing could be heard.
func (c *Client) isOwn(ctx context.Context, address string) error {
	if strings.HasSuffix(host(address), ".hf.space") {
		return errNotOwn
	}
	status, body, _, err := c.call(ctx, http.MethodGet, address+"/api/v1/health", address, nil, "")
	if err != nil {
		return err
	}
	var health struct {
		Service string `json:"service"`
	}
	if status != http.StatusOK || json.Unmarshal(body, &health) != nil || health.Service != ServiceName {
		return errNotOwn
	}
	return nil
}

// send makes one try. A failure that another try cannot heal is a
// [backoff.Permanent].
func (c *Client) send(ctx context.Context, s *Submission, address string) (answer string, err error) {
	switch err := c.isOwn(ctx, address); {
	case err == nil:
		return c.sendOwn(ctx, s, address)
	case err == errNotOwn:
		if !s.Figures.hasBaseline() {
			return "", backoff.Permanent(fmt.Errorf("%s is a Gradio board, which asks for the hardware baseline's "+
				"figures, and there are none for this cell", address))
		}
		return c.sendGradio(ctx, s, address)
	default:
		return "", err
	}
}

// ownRequest is the body of POST /api/v1/submissions. The result goes as text,
// not as an object, so that the board can hash the very bytes of the file.
type ownRequest struct {
	Team           string   `json:"team"`
	ISL            int      `json:"isl"`
	OSL            int      `json:"osl"`
	Conc           int      `json:"conc"`
	E2EMs          float64  `json:"e2e_ms"`
	TputPerGPU     float64  `json:"tput_per_gpu"`
	BitsPerByte    float64  `json:"bits_per_byte,omitempty"`
	BytePerplexity float64  `json:"byte_perplexity,omitempty"`
	WordPerplexity float64  `json:"word_perplexity,omitempty"`
	GSM8K          *float64 `json:"gsm8k_metric,omitempty"`
	Result         string   `json:"result,omitempty"`
}

func (s *Submission) ownBody() ([]byte, error) {
	f := s.Figures
	return json.Marshal(ownRequest{f.Team, f.ISL, f.OSL, f.Conc, f.E2EMs, f.TputPerGPU,
		f.BitsPerByte, f.BytePerplexity, f.WordPerplexity, f.GSM8K, string(s.result)})
}

func (s *Submission) gradioBody() ([]byte, error) {
	var data []any
	for _, f := range s.Figures.Fields() {
		data = append(data, f.Value)
	}
	return json.Marshal(map[string]any{"data": data})
}

func (c *Client) sendOwn(ctx context.Context, s *Submission, address string) (string, error) {
	body, err := s.ownBody()
	if err != nil {
		return "", backoff.Permanent(err)
	}
	url := address + ownPath
	status, answer, header, err := c.call(ctx, http.MethodPost, url, address, body, s.Key)
	if err != nil {
		return "", err
	}
	if status/100 != 2 {
		return "", c.statusError(http.MethodPost, url, status, header, answer)
	}
	var ok struct {
		ID      int64  `json:"id"`
		Message string `json:"message"`
	}
	if json.Unmarshal(answer, &ok) != nil || ok.ID == 0 {
		return "", fmt.Errorf("POST %s: HTTP %d without a submission's id: %s", url, status, c.message(answer))
	}
	s.EventID = strconv.FormatInt(ok.ID, 10)
	return ok.Message, nil
}

// request builds a call with the headers a board may have, and only that board.
func (c *Client) request(ctx context.Context, method, url, board string, body []byte, key string) (*http.Request,
	error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, backoff.Permanent(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	if _, token := c.tokenFor(board); token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return req, nil
}

// tokenFor is the secret that a board may see, and its setting's name.
func (c *Client) tokenFor(board string) (setting, token string) {
	if strings.HasSuffix(host(board), ".hf.space") {
		if strings.HasPrefix(board, "https://") {
			return "HF_TOKEN", c.o.HFToken
		}
		return "", ""
	}
	return "LEADERBOARD_TOKEN", c.o.Token
}

// call asks a board and reads its whole answer.
func (c *Client) call(ctx context.Context, method, url, board string, body []byte, key string) (int, []byte,
	http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, min(callLimit, c.o.MaxWait/time.Duration(c.o.MaxTries)))
	defer cancel()
	req, err := c.request(ctx, method, url, board, body, key)
	if err != nil {
		return 0, nil, nil, err
	}
	resp, err := c.o.HTTP.Do(req)
	if errors.Is(err, errElsewhere) {
		return 0, nil, nil, backoff.Permanent(err)
	}
	if err != nil {
		return 0, nil, nil, err // names method and URL
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return 0, nil, nil, fmt.Errorf("%s %s: read the answer: %w", method, url, err)
	}
	return resp.StatusCode, answer, resp.Header, nil
}

// statusError turns an answer that is not 2xx into an error that says whether
// another try can help.
func (c *Client) statusError(method, url string, status int, h http.Header, body []byte) error {
	text := c.message(body)
	if isHTML(h, body) {
		text = "a web page"
	}
	err := fmt.Errorf("%s %s: HTTP %d: %s", method, url, status, text)
	switch {
	case status == http.StatusTooManyRequests || status >= 500:
		if after := server.RetryAfter(h.Get("Retry-After")); after > 0 {
			return retryAfter{err, after}
		}
		return err
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return backoff.Permanent(hint.New(err, "see to the token: LEADERBOARD_TOKEN or, for a Space, HF_TOKEN; "+
			"then make resubmit"))
	}
	return backoff.Permanent(err)
}

// retryAfter is an error whose sender said when to come back.
type retryAfter struct {
	error
	after time.Duration
}

func (r retryAfter) Unwrap() []error {
	return []error{r.error, &backoff.RetryAfterError{Duration: r.after}}
}

func isHTML(h http.Header, body []byte) bool {
	kind, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	return kind == "text/html" || bytes.HasPrefix(bytes.TrimSpace(body), []byte("<"))
}
