package submit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/hint"
	"inferbench/harness/matrix"
)

// figures are those of the bounty's sample, CONC 16.
func figures() Figures {
	return Figures{Team: "x", ISL: 1024, OSL: 1024, Conc: 16, E2EMs: 15979.59, TputPerGPU: 251.5,
		BaselineE2EMs: 10407, BaselineTputPerGPU: 344.564,
		BitsPerByte: 0.4485, BytePerplexity: 1.3646, WordPerplexity: 3.2522, Passed: true}
}

// gradio is a board that speaks as Gradio does (gradio/routes.py): a POST that
// answers an event's id, and a GET that streams what script writes.
type gradio struct {
	*httptest.Server
	posts, gets atomic.Int32
	body        atomic.Value // of the last POST
	auth        atomic.Value
}

type script func(w http.ResponseWriter, r *http.Request, try int)

func newGradio(t *testing.T, post, get script) *gradio {
	g := &gradio{}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost && r.URL.Path == "/gradio_api/call/submit_results":
			b, _ := io.ReadAll(r.Body)
			g.body.Store(string(b))
			g.auth.Store(r.Header.Get("Authorization"))
			n := int(g.posts.Add(1))
			if post == nil {
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprintf(w, `{"event_id":"ev%d"}`, n)
				return
			}
			post(w, r, n)
		case strings.HasPrefix(r.URL.Path, "/gradio_api/call/submit_results/ev"):
			n := int(g.gets.Add(1))
			w.Header().Set("Content-Type", "text/event-stream")
			get(w, r, n)
		default:
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, `{"detail":"Not Found"}`)
		}
	}))
	t.Cleanup(g.Close)
	return g
}

func says(text string) script {
	return func(w http.ResponseWriter, _ *http.Request, _ int) {
		io.WriteString(w, text)
		w.(http.Flusher).Flush()
	}
}

func page(status int) script {
	return func(w http.ResponseWriter, _ *http.Request, _ int) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status)
		io.WriteString(w, "<!doctype html><title>Your Space is sleeping</title>")
	}
}

// hangs sends text again and again, or once where every is 0, until the client goes.
func hangs(text string, every time.Duration) script {
	return func(w http.ResponseWriter, r *http.Request, _ int) {
		for {
			io.WriteString(w, text)
			w.(http.Flusher).Flush()
			var next <-chan time.Time
			if every > 0 {
				next = time.After(every)
			}
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
		}
	}
}

// quick are options whose waits suit a test.
func quick(o Options) Options {
	o.Backoff, o.MaxTries = time.Millisecond, 3
	if o.Silence == 0 {
		o.Silence = 10 * time.Second
	}
	return o
}

const done = "event: generating\ndata: [\"…\"]\n\nevent: heartbeat\ndata: null\n\nevent: complete\ndata: [\"Submitted\", null]\n\n"

func TestOnlyCompleteIsASubmission(t *testing.T) {
	for name, c := range map[string]struct {
		post, get script
		o         Options
		want      string // of the reason; empty: confirmed
		posts     int32
	}{
		"complete":               {get: says(done), posts: 1},
		"complete with CRLF":     {get: says(strings.ReplaceAll(done, "\n", "\r\n")), posts: 1},
		"error with a reason":    {get: says("event: error\ndata: \"team name taken\"\n\n"), want: "rejected the submission (event: error): team name taken", posts: 1},
		"error without a reason": {get: says("event: error\ndata: null\n\n"), want: "(event: error): it gave no reason", posts: 1},
		"ends early":             {get: says("event: generating\ndata: []\n\n"), want: "ended before event: complete, after event: generating", posts: 1},
		"ends at once":           {get: says(""), want: "ended before event: complete, after no event", posts: 1},
		"cut inside the data":    {get: says("event: complete\ndata: [\"Subm"), want: "ended before event: complete", posts: 1},
		"cut before the data":    {get: says("event: complete\n"), want: "ended before event: complete", posts: 1},
		"web page for the call":  {post: page(200), want: "answered with a web page", posts: 3},
		"web page for events":    {get: page(200), want: "answered with a web page", posts: 1},
		"paused space":           {post: page(503), want: "HTTP 503: a web page", posts: 3},
		"not json":               {post: says("hello"), want: "without an event_id: hello", posts: 3},
		"no event id":            {post: says(`{"event_id":""}`), want: "without an event_id", posts: 3},
		"no such endpoint":       {post: func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(404) }, want: "HTTP 404", posts: 1},
		"silent queue":           {get: hangs("event: heartbeat\ndata: null\n\n", 0), o: Options{Silence: 50 * time.Millisecond}, want: "fell silent: no event for 50ms", posts: 1},
		"only heartbeats":        {get: hangs("event: heartbeat\ndata: null\n\n", 5*time.Millisecond), o: Options{Queue: 100 * time.Millisecond}, want: "did not come to this submission within 100ms", posts: 1},
		"event lost at once":     {get: says("event: error\ndata: \"404: Session not found.\"\n\n"), want: "may or may not be listed", posts: 1},
		"event lost after a cut": {get: func(w http.ResponseWriter, r *http.Request, try int) {
			if try > 1 {
				says("event: error\ndata: \"404: Session not found.\"\n\n")(w, r, try)
			}
		}, want: "may or may not be listed", posts: 1},
		"cut once, then told": {get: func(w http.ResponseWriter, r *http.Request, try int) {
			if try > 1 {
				says(done)(w, r, try)
			}
		}, posts: 1},
		"busy once": {post: func(w http.ResponseWriter, r *http.Request, try int) {
			if try == 1 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			says(`{"event_id":"ev2"}`)(w, r, try)
		}, get: says(done), posts: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGradio(t, c.post, c.get)
			dir := t.TempDir()
			c.o.URL = g.URL
			report, err := New(quick(c.o)).Submit(t.Context(), dir, []Figures{figures()})
			require.NoError(t, err)
			require.Len(t, report, 1)
			assert.Equal(t, c.posts, g.posts.Load(), "POSTs")
			kept := readOne(t, dir)
			if c.want == "" {
				require.NoError(t, report.Err())
				assert.Equal(t, Confirmed, kept.Status)
				assert.NotNil(t, kept.Confirmed)
				return
			}
			assert.ErrorContains(t, report.Err(), c.want)
			assert.NotContains(t, report.Err().Error(), "\n")
			assert.Equal(t, Pending, kept.Status)
			assert.Contains(t, kept.LastError, c.want)
		})
	}
}

func readOne(t *testing.T, dir string) Submission {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "submission_isl1024_osl1024_conc16.json"))
	require.NoError(t, err)
	var s Submission
	require.NoError(t, json.Unmarshal(b, &s))
	return s
}

func TestTheElevenFields(t *testing.T) {
	g := newGradio(t, nil, says(done))
	report, err := New(quick(Options{public: map[matrix.Combination]string{{ISL: 1024, OSL: 1024}: g.URL}})).
		Submit(t.Context(), t.TempDir(), []Figures{figures()})
	require.NoError(t, err)
	require.NoError(t, report.Err())
	assert.Equal(t, g.URL, report[0].Board)
	assert.Equal(t, "Submitted", report[0].Answer)
	var sent struct{ Data []any }
	require.NoError(t, json.Unmarshal([]byte(g.body.Load().(string)), &sent))
	require.Len(t, sent.Data, 11)
	assert.Equal(t, []any{"x", 16.0, 15979.59, 251.5, 10407.0, 344.564}, sent.Data[:6])
	assert.InDelta(t, 1.5355, sent.Data[6], 5e-5, "the quotient, not the bounty page's slip")
	assert.InDelta(t, 251.5/344.564, sent.Data[7], 1e-12)
	assert.Equal(t, []any{0.4485, 1.3646, 3.2522}, sent.Data[8:])
}

func TestRoutes(t *testing.T) {
	with := func(change func(*Figures)) Figures {
		f := figures()
		change(&f)
		return f
	}
	embedded := with(func(f *Figures) { f.Embedded = true })
	limited := with(func(f *Figures) { f.ClientLimited = true })
	own := with(func(f *Figures) { f.ISL, f.OSL = 100, 50 })
	for name, c := range map[string]struct {
		url     string
		f       Figures
		address string
		refusal string
	}{
		"standard":                  {"", figures(), "https://daniehua-dsr1-fp4-sgl-isl1024osl1024.hf.space", ""},
		"long output":               {"", with(func(f *Figures) { f.OSL = 8192 }), "https://daniehua-dsr1-fp4-sgl-isl1024osl8192.hf.space", ""},
		"long input":                {"", with(func(f *Figures) { f.ISL = 8192 }), "https://daniehua-dsr1-fp4-sgl-isl8192osl1024.hf.space", ""},
		"pair of one's own":         {"", own, "", "no public board for ISL 100, OSL 50"},
		"url":                       {"https://board.example/x", own, "https://board.example/x", ""},
		"embedded":                  {"", embedded, "", ""},
		"embedded, loopback":        {"http://127.0.0.1:9", embedded, "http://127.0.0.1:9", ""},
		"embedded, public":          {"https://board.example", embedded, "", "embedded engine"},
		"limited":                   {"", limited, "", "client was the limit"},
		"limited, loopback":         {"http://localhost:9", limited, "http://localhost:9", ""},
		"failed":                    {"", with(func(f *Figures) { f.Passed = false }), "", "only a cell whose accuracy PASSED"},
		"no team":                   {"", with(func(f *Figures) { f.Team = "" }), "", "no team name"},
		"not a number":              {"", with(func(f *Figures) { f.E2EMs = nan }), "", "E2EL p50 is NaN"},
		"no accuracy":               {"", with(func(f *Figures) { f.BitsPerByte = 0 }), "", "bits_per_byte is 0"},
		"no baseline, public board": {"", with(func(f *Figures) { f.BaselineE2EMs = 0 }), "", "asks for the hardware baseline"},
	} {
		t.Run(name, func(t *testing.T) {
			address, err := New(Options{URL: c.url}).route(c.f)
			if c.refusal != "" {
				require.ErrorContains(t, err, c.refusal)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, c.address, address)
		})
	}
}

var nan = func() float64 { z := 0.0; return z / z }()

func TestRefusedIsAnErrorAndLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	f := figures()
	f.Passed = false
	report, err := New(Options{}).Submit(t.Context(), dir, []Figures{f})
	require.NoError(t, err)
	assert.ErrorContains(t, report.Err(), "1 of 1 submissions not confirmed: isl=1024/osl=1024/conc=16: refused: only a cell whose accuracy PASSED")
	assert.NotContains(t, hint.Line(report.Err()), "resubmit", "there is nothing to send again")
	files, _ := os.ReadDir(dir)
	assert.Empty(t, files)
}

func TestResubmitSendsWhatIsPendingAndNeverWhatWasConfirmed(t *testing.T) {
	var open atomic.Bool
	g := newGradio(t, func(w http.ResponseWriter, r *http.Request, try int) {
		if !open.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		says(`{"event_id":"ev9"}`)(w, r, try)
	}, says(done))
	dir := t.TempDir()
	o := quick(Options{URL: g.URL, MaxTries: 2})
	two := []Figures{figures(), figures()}
	two[1].Conc = 32
	report, err := New(o).Submit(t.Context(), dir, two)
	require.NoError(t, err)
	assert.ErrorContains(t, report.Err(), "2 of 2 submissions not confirmed")
	assert.EqualValues(t, 4, g.posts.Load(), "three tries for the first; the board was down, so one for the second")
	key := readOne(t, dir).Key

	open.Store(true)
	report, err = New(o).Resubmit(t.Context(), dir)
	require.NoError(t, err)
	require.NoError(t, report.Err())
	assert.Len(t, report, 2)
	assert.Equal(t, key, readOne(t, dir).Key)

	sent := g.posts.Load()
	report, err = New(o).Resubmit(t.Context(), dir)
	require.NoError(t, err)
	assert.Empty(t, report, "nothing is pending")
	report, err = New(o).Submit(t.Context(), dir, two)
	require.NoError(t, err)
	require.NoError(t, report.Err())
	assert.Equal(t, sent, g.posts.Load(), "and a second submit of the same figures sends nothing")
}

func TestAnotherBoardIsToldWhatOneConfirmed(t *testing.T) {
	dir := t.TempDir()
	first, second := newGradio(t, nil, says(done)), newGradio(t, nil, says(done))
	for _, b := range []*gradio{first, second, second} {
		r, err := New(quick(Options{URL: b.URL})).Submit(t.Context(), dir, []Figures{figures()})
		require.NoError(t, err)
		require.NoError(t, r.Err())
		assert.Equal(t, b.URL, readOne(t, dir).Board)
	}
	assert.Equal(t, []int32{1, 1}, []int32{first.posts.Load(), second.posts.Load()})
}

// A client that is killed while it reads the events finds the event's id in
// the file and asks for it, instead of posting a second time.
func TestResubmitAsksForTheEventItPosted(t *testing.T) {
	var told atomic.Bool
	g := newGradio(t, nil, func(w http.ResponseWriter, r *http.Request, try int) {
		if told.Load() {
			says(done)(w, r, try)
			return
		}
		told.Store(true)
		hangs("event: heartbeat\ndata: null\n\n", 0)(w, r, try)
	})
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	_, err := New(quick(Options{URL: g.URL})).Submit(ctx, dir, []Figures{figures()})
	require.ErrorIs(t, err, context.Canceled)
	report, err := New(quick(Options{URL: g.URL})).Resubmit(t.Context(), dir)
	require.NoError(t, err)
	require.NoError(t, report.Err())
	assert.EqualValues(t, 1, g.posts.Load())
}

func TestDryRunShowsWhatWouldBeSentAndSendsNothing(t *testing.T) {
	g := newGradio(t, nil, says(done))
	dir := t.TempDir()
	var out bytes.Buffer
	o := quick(Options{URL: g.URL, Token: "s3cret-token", DryRun: true, Out: &out})
	report, err := New(o).Submit(t.Context(), dir, []Figures{figures()})
	require.NoError(t, err)
	require.NoError(t, report.Err())
	assert.Zero(t, g.posts.Load())
	assert.NotContains(t, out.String(), "s3cret")
	assert.Contains(t, out.String(), "(LEADERBOARD_TOKEN, not shown)")
	files, _ := os.ReadDir(dir)
	assert.Empty(t, files, "a dry run leaves nothing")

	_, err = New(quick(Options{URL: g.URL})).Submit(t.Context(), dir, []Figures{figures()})
	require.NoError(t, err)
	assert.Contains(t, out.String(), "POST "+g.URL+"/gradio_api/call/submit_results\n")
	var sent struct{ Data []any }
	require.NoError(t, json.Unmarshal([]byte(g.body.Load().(string)), &sent))
	assert.Contains(t, out.String(), "  11 fields\n")
	for i, f := range figures().Fields() {
		assert.Regexp(t, fmt.Sprintf(`(?m)^    %s +%v$`, f.Name, f.Value), out.String())
		assert.EqualValues(t, f.Value, sent.Data[i], "by its name what is sent")
	}
	assert.Contains(t, out.String(), "Idempotency-Key: "+readOne(t, dir).Key+"\n")
}

// Whatever fails, and whatever a board echoes, no file, log or error holds a
// token; and each token goes to its own kind of board only.
func TestSecretsStayOut(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request, try int) {
		if try == 1 {
			w.WriteHeader(http.StatusInternalServerError)
		} else {
			w.WriteHeader(http.StatusForbidden)
		}
		// Once as it is, and once where the message is cut off.
		said := "bad token " + r.Header.Get("Authorization") + " "
		fmt.Fprintf(w, `{"detail":"%s%s%s"}`, said, strings.Repeat("x", 281-len(said)), r.Header.Get("Authorization"))
	}
	g := newGradio(t, echo, nil)
	dir := t.TempDir()
	var out bytes.Buffer
	c := New(quick(Options{URL: g.URL, Token: "ib-s3cret-team", HFToken: "hf_s3cret", Out: &out}))
	report, err := c.Submit(t.Context(), dir, []Figures{figures()})
	require.NoError(t, err)
	require.ErrorContains(t, report.Err(), "[secret]")
	assert.Equal(t, "Bearer ib-s3cret-team", g.auth.Load())
	left := report.Err().Error() + fmt.Sprintf("%+v", report) + out.String()
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 1)
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		require.NoError(t, err)
		left += string(b)
	}
	assert.NotContains(t, left, "s3cret")

	for board, want := range map[string]string{
		"https://a.hf.space": "hf_s3cret", "http://a.hf.space": "", "http://127.0.0.1:1": "ib-s3cret-team", "https://board.example": "ib-s3cret-team",
	} {
		_, token := c.tokenFor(board)
		assert.Equal(t, want, token, board)
	}
}

func TestEmbeddedFiguresStartTheOwnBoardOnce(t *testing.T) {
	var keys []string
	dir := t.TempDir()
	f := measured(t, dir, "result_x.json")
	b, err := os.ReadFile(filepath.Join(dir, "result_x.json"))
	require.NoError(t, err)
	file := string(b)
	own := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/v1/health" {
			fmt.Fprintf(w, `{"service":%q}`, ServiceName)
			return
		}
		keys = append(keys, r.Header.Get("Idempotency-Key"))
		b, _ := io.ReadAll(r.Body)
		var sent struct{ Result string }
		assert.NoError(t, json.Unmarshal(b, &sent))
		assert.Equal(t, file, sent.Result, "the result file goes with it, byte for byte")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"id":%d,"message":"listed"}`, len(keys))
	}))
	defer own.Close()
	starts, stops := 0, 0
	c := New(quick(Options{OwnURL: "http://127.0.0.1:1", StartOwn: func(context.Context) (string, func() error, error) {
		starts++
		return own.URL + "/", func() error { stops++; return nil }, nil
	}}))
	g := f
	g.Team = "y"
	report, err := c.Submit(t.Context(), dir, []Figures{f})
	require.NoError(t, err)
	require.NoError(t, report.Err())
	assert.Equal(t, "listed", report[0].Answer)
	_, err = c.Submit(t.Context(), dir, []Figures{g})
	require.NoError(t, err)
	require.NoError(t, c.Close())
	require.NoError(t, c.Close())
	assert.Equal(t, []int{1, 1}, []int{starts, stops})
	require.Len(t, keys, 2)
	assert.NotEqual(t, keys[0], keys[1])
	assert.FileExists(t, filepath.Join(dir, "submission_x.json"))

	_, err = New(Options{}).address(t.Context(), f)
	assert.ErrorContains(t, err, "run make leaderboard")
}

// A board that sends its callers elsewhere gets nothing sent there: neither
// token nor figures.
func TestRedirectsToAnotherHostAreNotFollowed(t *testing.T) {
	var reached atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer elsewhere.Close()
	for _, status := range []int{http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
		tries := 0
		g := newGradio(t, func(w http.ResponseWriter, r *http.Request, _ int) {
			tries++
			http.Redirect(w, r, elsewhere.URL+r.URL.Path, status)
		}, nil)
		c := New(Options{URL: g.URL, Token: "a-secret-of-the-team", Backoff: time.Millisecond})
		report, err := c.Submit(t.Context(), t.TempDir(), []Figures{figures()})
		require.NoError(t, err)
		assert.Equal(t, Pending, report[0].Status)
		assert.Contains(t, report[0].Reason, "sends the request on to another host, "+elsewhere.URL+": not followed")
		assert.Equal(t, 1, tries, "another try cannot heal it")
	}
	assert.Zero(t, reached.Load())

	// Within the host it goes on.
	var g *gradio
	g = newGradio(t, func(w http.ResponseWriter, r *http.Request, n int) {
		if n == 1 {
			http.Redirect(w, r, g.URL+r.URL.Path, http.StatusTemporaryRedirect)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"event_id":"ev1"}`)
	}, says("event: complete\ndata: [\"ok\"]\n\n"))
	report, err := New(Options{URL: g.URL}).Submit(t.Context(), t.TempDir(), []Figures{figures()})
	require.NoError(t, err)
	assert.Equal(t, Confirmed, report[0].Status)
}

// measured puts a result file that the suite wrote, of the embedded engine, into
// a batch folder and gives its figures.
func measured(t *testing.T, dir, name string) Figures {
	t.Helper()
	b, err := os.ReadFile("../rules/testdata/result.json")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), b, 0o600))
	var r struct {
		E2EMs      float64 `json:"median_e2el_ms"`
		TputPerGPU float64 `json:"tput_per_gpu"`
		Accuracy   struct {
			BitsPerByte    float64 `json:"bits_per_byte"`
			BytePerplexity float64 `json:"byte_perplexity"`
			WordPerplexity float64 `json:"word_perplexity"`
		}
	}
	require.NoError(t, json.Unmarshal(b, &r))
	return Figures{Team: "x", ISL: 1024, OSL: 1024, Conc: 4, E2EMs: r.E2EMs, TputPerGPU: r.TputPerGPU, BaselineE2EMs: 6854, BaselineTputPerGPU: 131.424,
		BitsPerByte: r.Accuracy.BitsPerByte, BytePerplexity: r.Accuracy.BytePerplexity, WordPerplexity: r.Accuracy.WordPerplexity,
		Passed: true, Embedded: true, ResultFile: name}
}

// What breaks a rule is stored nowhere and sent nowhere; what is marked goes to
// no public board, and the dry run says it line by line.
func TestWhatIsNotLegalIsNotSent(t *testing.T) {
	g := newGradio(t, nil, says(done))
	dir := t.TempDir()
	f := measured(t, dir, "result_x.json")
	var out bytes.Buffer
	report, err := New(quick(Options{URL: g.URL, DryRun: true, Out: &out})).Submit(t.Context(), dir, []Figures{f})
	require.NoError(t, err)
	require.NoError(t, report.Err())
	assert.Contains(t, out.String(), "\n    engine: not legal: measured on the embedded engine")
	assert.Contains(t, out.String(), "\n    accuracy: legal: gated by wikitext, baseline inferbench-ngram\n")

	out.Reset()
	notJudged := f
	notJudged.Passed = false
	report, err = New(quick(Options{URL: g.URL, DryRun: true, Out: &out})).Submit(t.Context(), dir, []Figures{notJudged})
	require.NoError(t, err)
	require.ErrorContains(t, report.Err(), "refused: only a cell whose accuracy PASSED is submitted")
	assert.Contains(t, out.String(), "  to nowhere: only a cell whose accuracy PASSED")
	assert.Contains(t, out.String(), "  11 fields\n", "what it would be is shown all the same")
	assert.Contains(t, out.String(), "\n    engine: not legal")

	f.Embedded = false // but its file says so
	report, err = New(quick(Options{URL: "https://board.example"})).Submit(t.Context(), dir, []Figures{f})
	require.NoError(t, err)
	assert.ErrorContains(t, report.Err(), "refused: not legal: engine: measured on the embedded engine")

	b, err := os.ReadFile(filepath.Join(dir, "result_x.json"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "result_x.json"), bytes.Replace(b, []byte(`"failed_requests": 0`), []byte(`"failed_requests": 7`), 1), 0o600))
	report, err = New(quick(Options{URL: g.URL})).Submit(t.Context(), dir, []Figures{f})
	require.NoError(t, err)
	assert.ErrorContains(t, report.Err(), "not legal: requests: 7 requests failed")
	assert.NoFileExists(t, filepath.Join(dir, "submission_x.json"))
	assert.Zero(t, g.posts.Load())
}

// The public boards are about one model and one hardware, whatever HW_BASELINE
// the user compares with.
func TestPublicBoardsTakeTheirModelOnly(t *testing.T) {
	dir := t.TempDir()
	f := measured(t, dir, "result_x.json")
	f.Embedded, f.BitsPerByte, f.BytePerplexity, f.WordPerplexity = false, 0.4485, 1.3646, 3.2522
	b, err := os.ReadFile(filepath.Join(dir, "result_x.json"))
	require.NoError(t, err)
	submit := func(model string, f Figures) error {
		var r map[string]any
		require.NoError(t, json.Unmarshal(b, &r))
		args := r["benchmark_args"].(map[string]any)
		args["model"], args["backend"] = model, "sglang"
		delete(args, "engine_profile")
		delete(r["client_audit"].(map[string]any), "cpu_includes_the_engine")
		r["accuracy"] = map[string]any{"task": "wikitext", "bits_per_byte": 0.4485, "byte_perplexity": 1.3646, "word_perplexity": 3.2522}
		r["accuracy_validation"] = map[string]any{"status": "PASSED", "baseline": "deepseek-r1-0528-mxfp4"}
		text, err := json.Marshal(r)
		require.NoError(t, err)
		_, err = New(quick(Options{URL: "https://none.hf.space"})).legal(&Submission{Figures: f, result: text}, "https://none.hf.space")
		return err
	}
	assert.NoError(t, submit("/models/DeepSeek-R1-0528-FP4", f))
	assert.ErrorContains(t, submit("Qwen/Qwen3-8B", f), `not legal: workload: the model is "Qwen/Qwen3-8B", the baseline's is DeepSeek-R1-0528 FP4`)
	f.BaselineE2EMs = 20000
	assert.ErrorContains(t, submit("/models/DeepSeek-R1-0528-FP4", f), "the board compares with b200-nv1126, and HW_BASELINE named another hardware")
}

// The competition's later form: accuracy by gsm8k.
func TestTheTwelveFields(t *testing.T) {
	g := newGradio(t, nil, says(done))
	f := figures()
	share := 0.9454
	f.BitsPerByte, f.BytePerplexity, f.WordPerplexity, f.GSM8K, f.Interactivity, f.BaselineInteractivity = 0, 0, 0, &share, 80, 83.567
	report, err := New(quick(Options{URL: g.URL})).Submit(t.Context(), t.TempDir(), []Figures{f})
	require.NoError(t, err)
	require.NoError(t, report.Err())
	assert.JSONEq(t, fmt.Sprintf(`{"data": ["x", 16, 15979.59, 251.5, 10407, 344.564, %v, %v, 80, 83.567, %v, 0.9454]}`,
		f.E2EMs/10407, f.TputPerGPU/344.564, f.Interactivity/83.567), g.body.Load().(string))

	f.Interactivity = 0
	report, err = New(quick(Options{URL: g.URL})).Submit(t.Context(), t.TempDir(), []Figures{f})
	require.NoError(t, err)
	assert.ErrorContains(t, report.Err(), "its tok/s/user is 0")
}

// A dead board ends with one line: each reason once, and what to do once.
func TestADeadBoardIsOneLine(t *testing.T) {
	dir := t.TempDir()
	one, two := figures(), figures()
	two.Conc = 32
	report, err := New(quick(Options{URL: "http://127.0.0.1:1"})).Submit(t.Context(), dir, []Figures{one, two})
	require.NoError(t, err)
	line := hint.Line(report.Err())
	assert.Equal(t, 1, strings.Count(line, "connection refused"), line)
	assert.Equal(t, 1, strings.Count(line, "make resubmit"), line)
	assert.NotContains(t, line, "make resume")
	assert.NotContains(t, line, "leaderboard:")
	assert.True(t, strings.HasPrefix(line, "2 of 2 submissions not confirmed: isl=1024/osl=1024/conc=16, isl=1024/osl=1024/conc=32: pending: Get "), line)
}

// A board says when to come again, in seconds or as a moment.
func TestRetryAfterIsObeyed(t *testing.T) {
	for name, value := range map[string]func() string{
		"seconds":  func() string { return "1" },
		"a moment": func() string { return time.Now().Add(2 * time.Second).UTC().Format(http.TimeFormat) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGradio(t, func(w http.ResponseWriter, _ *http.Request, try int) {
				if try == 1 {
					w.Header().Set("Retry-After", value())
					w.WriteHeader(http.StatusTooManyRequests)
					return
				}
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprint(w, `{"event_id":"ev1"}`)
			}, says(done))
			var out bytes.Buffer
			report, err := New(quick(Options{URL: g.URL, Out: &out})).Submit(t.Context(), t.TempDir(), []Figures{figures()})
			require.NoError(t, err)
			require.NoError(t, report.Err())
			assert.Regexp(t, `next try in (1s|1\.\d+s|2s)`, out.String(), "not the milliseconds of the client's own pause")
		})
	}
}
