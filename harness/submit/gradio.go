package submit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/tmaxmax/go-sse"
)

// The failures of a Gradio board that a caller may want to tell apart.
var (
	ErrWebPage = errors.New("the board answered with a web page instead of the call's answer: a sleeping, " +
		"building or paused Space does that; open its address in a browser")
	ErrRejected   = errors.New("the board rejected the submission (event: error)")
	ErrCutShort   = errors.New("the board's event stream ended before event: complete")
	ErrSilent     = errors.New("the board's queue fell silent")
	ErrStuckQueue = errors.New("the board's queue did not come to this submission")
	ErrUnknown    = errors.New("the board took the submission and then lost track of it, so it may or may not be " +
		"listed: look at the board before make resubmit")
)

// sendGradio makes one try with the Gradio call protocol: a POST that answers
// an event's id, then a GET whose stream of events must end in complete.
//
// A try that finds an event's id from an earlier one asks for that event again
// before it posts a second time: Gradio knows no idempotency keys.
func (c *Client) sendGradio(ctx context.Context, s *Submission, address string) (string, error) {
	url := address + submitPath
	if resumed := s.EventID; resumed != "" {
		answer, err := c.readEvents(ctx, url+"/"+resumed, address)
		if err == nil || !errors.Is(err, errNoSuchEvent) {
			return answer, err
		}
		s.EventID = ""
		if s.Attempts > 1 && c.posted == s {
			return "", backoff.Permanent(fmt.Errorf("%w (event %s of %s)", ErrUnknown, resumed, url))
		}
	}
	body, err := s.gradioBody()
	if err != nil {
		return "", backoff.Permanent(err)
	}
	status, answer, header, err := c.call(ctx, http.MethodPost, url, address, body, s.Key)
	if err != nil {
		return "", err
	}
	if status/100 == 2 && isHTML(header, answer) {
		return "", fmt.Errorf("POST %s: %w", url, ErrWebPage)
	}
	if status/100 != 2 {
		return "", c.statusError(http.MethodPost, url, status, header, answer)
	}
	var event struct {
		ID string `json:"event_id"`
	}
	if json.Unmarshal(answer, &event) != nil || event.ID == "" || strings.ContainsAny(event.ID, "/?#% \n") {
		return "", fmt.Errorf("POST %s: HTTP %d without an event_id: %s", url, status, c.message(answer))
	}
	s.EventID, c.posted = event.ID, s
	if err := s.write(); err != nil { // so that a killed client asks for the event instead of posting twice
		return "", backoff.Permanent(diskError{err})
	}
	text, err := c.readEvents(ctx, url+"/"+event.ID, address)
	if errors.Is(err, errNoSuchEvent) {
		err = backoff.Permanent(fmt.Errorf("%w (event %s of %s)", ErrUnknown, event.ID, url))
	}
	if errors.Is(err, ErrRejected) {
		s.EventID = ""
	}
	return text, err
}

// errNoSuchEvent is a board that does not know an event's id (any more).
var errNoSuchEvent = errors.New("the board knows no such event")

// readEvents reads a call's stream to its end. Only event: complete is success.
func (c *Client) readEvents(ctx context.Context, url, board string) (string, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	overall := time.AfterFunc(c.o.Queue, func() {
		cancel(fmt.Errorf("GET %s: %w within %s", url, ErrStuckQueue, c.o.Queue))
	})
	defer overall.Stop()
	silence := time.AfterFunc(c.o.Silence, func() {
		cancel(fmt.Errorf("GET %s: %w: no event for %s", url, ErrSilent, c.o.Silence))
	})
	defer silence.Stop()
	failed := func(err error) error {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return err
	}

	req, err := c.request(ctx, http.MethodGet, url, board, nil, "")
	if err != nil {
		return "", err
	}
	req.Header.Set("Accept", "text/event-stream")
	resp, err := c.o.HTTP.Do(req)
	if err != nil {
		return "", failed(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return "", fmt.Errorf("GET %s: %w", url, errNoSuchEvent)
	}
	head := make([]byte, 1)
	n, _ := io.ReadFull(resp.Body, head)
	if page := isHTML(resp.Header, head[:n]); page || resp.StatusCode/100 != 2 {
		rest, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		if page && resp.StatusCode/100 == 2 {
			return "", fmt.Errorf("GET %s: %w", url, ErrWebPage)
		}
		return "", c.statusError(http.MethodGet, url, resp.StatusCode, resp.Header, append(head[:n], rest...))
	}
	body := io.MultiReader(bytes.NewReader(head[:n]), resp.Body)
	seen := "no event"
	for event, err := range sse.Read(body, &sse.ReadConfig{MaxEventSize: maxAnswer}) {
		if err != nil {
			return "", failed(fmt.Errorf("GET %s: %w, after %s: %w", url, ErrCutShort, seen, err))
		}
		silence.Reset(c.o.Silence)
		answer, ended, err := c.ending(event, url)
		if ended {
			return answer, err
		}
		if seen = "an event without a name"; event.Type != "" {
			seen = "event: " + c.message([]byte(event.Type))
		}
	}
	return "", failed(fmt.Errorf("GET %s: %w, after %s", url, ErrCutShort, seen))
}

// ending reads an event, and reports whether it ends the stream: with the board's
// answer, or with why there is none.
func (c *Client) ending(event sse.Event, url string) (answer string, ended bool, err error) {
	switch event.Type {
	case "complete":
		if !json.Valid([]byte(event.Data)) {
			return "", true, fmt.Errorf("GET %s: %w: its data is cut off: %s", url, ErrCutShort, c.message([]byte(event.Data)))
		}
		return c.outputs(event.Data), true, nil
	case "error":
		if strings.Contains(event.Data, "Session not found") { // gradio/routes.py, of an id it has forgotten
			return "", true, fmt.Errorf("GET %s: %w", url, errNoSuchEvent)
		}
		reason := c.outputs(event.Data)
		if reason == "" {
			reason = "it gave no reason"
		}
		return "", true, backoff.Permanent(fmt.Errorf("GET %s: %w: %s", url, ErrRejected, reason))
	}
	return "", false, nil
}

// outputs puts an event's data, a JSON list of the app's outputs or a text,
// into one line.
func (c *Client) outputs(data string) string {
	var list []any
	if json.Unmarshal([]byte(data), &list) == nil {
		var parts []string
		for _, v := range list {
			if text, ok := v.(string); ok {
				parts = append(parts, text)
			} else if v != nil {
				b, _ := json.Marshal(v)
				parts = append(parts, string(b))
			}
		}
		return c.message([]byte(strings.Join(parts, " · ")))
	}
	var text string
	if json.Unmarshal([]byte(data), &text) == nil {
		return c.message([]byte(text))
	}
	return c.message([]byte(strings.TrimSpace(strings.TrimPrefix(data, "null"))))
}
