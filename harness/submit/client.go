package submit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"inferbench/baselines"
	"inferbench/harness/hint"
	"inferbench/harness/matrix"
	"inferbench/harness/server"
)

// Options says where submissions go and how long the client tries. The zero
// value sends real servers' figures to the public boards.
type Options struct {
	URL     string // LEADERBOARD_URL; empty: the public board, or the own one for the embedded engine
	Token   string // team token, sent to own boards and to nobody else
	HFToken string // Hugging Face token, sent to https://*.hf.space and to nobody else
	DryRun  bool   // print each request to Out instead of sending it; nothing is stored

	// StartOwn starts the suite's own board on loopback and says its address
	// and how to stop it. It is called at most once, when figures of the
	// embedded engine need a board and OwnURL answers nothing.
	StartOwn func(context.Context) (address string, stop func() error, err error)
	OwnURL   string // where a running own board is looked for first

	Out io.Writer // progress lines and dry runs; nil: nowhere

	MaxTries uint          // per submission; 0: 5
	MaxWait  time.Duration // for all tries of one submission together; 0: 5 minutes
	Silence  time.Duration // longest gap between two events of a board's queue; 0: 1 minute
	Queue    time.Duration // longest wait in a board's queue; 0: 5 minutes
	Backoff  time.Duration // before the second try, doubled each time, ±50 %; 0: 1 second

	HTTP     *http.Client        // as server.Client makes one; nil: the default
	Hardware *baselines.Hardware // what the rules compare workloads with; nil: nothing

	public map[matrix.Combination]string
}

// Client sends submissions. It is not safe for concurrent use.
type Client struct {
	o      Options
	own    string // address of the own board, once it is known
	stop   func() error
	posted *Submission     // the last one that was posted to a Gradio board
	down   map[string]bool // boards that used up their tries: the next cell does not wait as long again
}

// New is a client with the defaults filled in.
func New(o Options) *Client {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&o.MaxWait, 5*time.Minute)
	def(&o.Silence, time.Minute)
	def(&o.Queue, 5*time.Minute)
	def(&o.Backoff, time.Second)
	if o.MaxTries == 0 {
		o.MaxTries = 5
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	if o.public == nil {
		o.public = public
	}
	if o.HTTP == nil {
		o.HTTP = http.DefaultClient
	}
	own := *o.HTTP // the caller's stays as it is
	own.CheckRedirect = sameBoard
	o.HTTP = &own
	o.URL, o.OwnURL = strings.TrimRight(o.URL, "/"), strings.TrimRight(o.OwnURL, "/")
	return &Client{o: o, down: map[string]bool{}}
}

// sameBoard follows a redirect only where it stays on the board's host, by the
// same scheme: what is sent, the token included, is for that board alone.
func sameBoard(req *http.Request, via []*http.Request) error {
	from := via[0].URL
	if req.URL.Host != from.Host || req.URL.Scheme != from.Scheme {
		return fmt.Errorf("%s://%s %w, %s://%s: not followed; is LEADERBOARD_URL right?", from.Scheme, from.Host,
			errElsewhere, req.URL.Scheme, req.URL.Host)
	}
	if len(via) >= 5 {
		return errors.New("too many redirects")
	}
	return nil
}

// errElsewhere is a board that redirects to another host.
var errElsewhere = errors.New("sends the request on to another host")

// Close stops the own board if the client started it. What was submitted stays
// in its database.
func (c *Client) Close() error {
	if c.stop == nil {
		return nil
	}
	stop := c.stop
	c.stop, c.own = nil, ""
	return stop()
}

// Outcome is what became of one submission.
type Outcome struct {
	Figures
	Status Status
	Board  string // where it went or would go
	Answer string // the board's words, of a confirmed one
	Reason string // of one that is not confirmed
	Kept   string // the file that keeps a pending one
}

func (o Outcome) String() string {
	s := fmt.Sprintf("%s: %s", o.Name(), o.Status)
	if o.Board != "" {
		s += " (" + o.Board + ")"
	}
	if text := o.Answer + o.Reason; text != "" {
		s += ": " + text
	}
	if o.Kept != "" {
		s += " (kept in " + o.Kept + ")"
	}
	return s
}

// Report is what became of each submission, in order.
type Report []Outcome

// Err is nil when every submission was confirmed (or shown by a dry run), else
// one line that counts them and gives each reason once, with its cells. It
// carries what to do.
func (r Report) Err() error {
	var reasons []string
	cells := map[string][]string{}
	not, pending := 0, 0
	for _, o := range r {
		switch o.Status {
		case Confirmed, DryRun:
			continue
		case Pending:
			pending++
		}
		not++
		why := string(o.Status) + ": " + o.Reason
		if cells[why] == nil {
			reasons = append(reasons, why)
		}
		cells[why] = append(cells[why], o.Name())
	}
	if not == 0 {
		return nil
	}
	for i, why := range reasons {
		reasons[i] = strings.Join(cells[why], ", ") + ": " + why
	}
	err := fmt.Errorf("%d of %d submissions not confirmed: %s", not, len(r), strings.Join(reasons, "; "))
	if pending == 0 {
		return hint.New(err, "")
	}
	return hint.New(err, "they are kept: once that is mended, make resubmit sends them")
}

// Submit stores figures in the batch folder and sends each that may go
// somewhere. What its board has confirmed before is not sent again. The error is
// for a folder that cannot be written and for a cancelled context; what boards said
// is in the report.
func (c *Client) Submit(ctx context.Context, batchDir string, figures []Figures) (Report, error) {
	var report Report
	for _, f := range figures {
		if c.o.DryRun {
			report = append(report, c.dryRun(ctx, batchDir, half(f)))
			continue
		}
		s, refused, err := c.keep(batchDir, f)
		if err != nil {
			return report, err
		}
		if refused != nil {
			report = append(report, c.note(*refused))
			continue
		}
		o, err := c.deliver(ctx, s)
		report = append(report, o)
		if err != nil {
			return report, err
		}
	}
	return report, nil
}

// half takes away half a baseline, which is none.
func half(f Figures) Figures {
	if !f.hasBaseline() {
		f.BaselineE2EMs, f.BaselineTputPerGPU, f.BaselineInteractivity = 0, 0, 0
	}
	return f
}

// keep stores figures that may go somewhere as pending; what may not is refused,
// with the reason. From its return on, nothing that happens to this process loses
// them.
func (c *Client) keep(batchDir string, f Figures) (s *Submission, refused *Outcome, err error) {
	f = half(f)
	address, err := c.route(f)
	if err == nil {
		s = &Submission{Figures: f, path: filepath.Join(batchDir, f.fileName())}
		if err := s.readResult(); err != nil {
			return nil, nil, err
		}
		_, err = c.legal(s, address)
	}
	if err != nil {
		return nil, &Outcome{Figures: f, Status: Refused, Reason: err.Error()}, nil
	}
	s, err = store(batchDir, f, time.Now())
	return s, nil, err
}

// Resubmit sends what is still pending in the batch folders.
func (c *Client) Resubmit(ctx context.Context, batchDirs ...string) (Report, error) {
	pending, err := Find(batchDirs...)
	if err != nil {
		return nil, err
	}
	var report Report
	for _, s := range pending {
		address, err := c.route(s.Figures)
		if err == nil && !c.o.DryRun {
			_, err = c.legal(s, address)
		}
		if err != nil {
			report = append(report, c.note(Outcome{Figures: s.Figures, Status: Refused, Reason: err.Error()}))
			continue
		}
		if c.o.DryRun {
			report = append(report, c.show(ctx, s))
			continue
		}
		o, err := c.deliver(ctx, s)
		report = append(report, o)
		if err != nil {
			return report, err
		}
	}
	return report, nil
}

// deliver sends one stored submission, trying again where that can help, and
// stores what came of it. The error is for the disk and for ctx.
func (c *Client) deliver(ctx context.Context, s *Submission) (Outcome, error) {
	// Another process may have sent it since it was read.
	if now, err := readSubmission(s.path); err == nil && now.Key == s.Key {
		s.Status, s.Board, s.EventID = now.Status, now.Board, now.EventID
	}
	to, _ := c.route(s.Figures) // empty: the board on this machine, wherever it listens
	if s.Status == Confirmed && (to == s.Board || to == "") {
		return c.note(Outcome{Figures: s.Figures, Status: Confirmed, Board: s.Board,
			Answer: "confirmed before, not sent again"}), nil
	}
	s.Status, s.Answer, s.Confirmed = Pending, "", nil // what one board confirmed is news to another
	var address string                                 // of the board, once known
	tries := c.o.MaxTries
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.Multiplier, wait.RandomizationFactor, wait.MaxInterval = c.o.Backoff, 2, 0.5, 30*c.o.Backoff
	attempt := func() (string, error) {
		var err error
		if address == "" {
			if address, err = c.address(ctx, s.Figures); err != nil {
				return "", backoff.Permanent(err)
			}
		}
		if s.Board != address {
			s.Board, s.EventID = address, ""
		}
		s.Attempts++
		if err := s.write(); err != nil {
			return "", backoff.Permanent(diskError{err})
		}
		return c.send(ctx, s, address)
	}
	if c.down[to] {
		tries = 1
	}
	answer, err := backoff.Retry(ctx, attempt, backoff.WithBackOff(wait), backoff.WithMaxTries(tries),
		backoff.WithMaxElapsedTime(c.o.MaxWait),
		backoff.WithNotify(func(err error, d time.Duration) {
			fmt.Fprintf(c.o.Out, "leaderboard: %s: %s; next try in %s\n", s.Figures.Name(), c.redact(err.Error()),
				d.Round(100*time.Millisecond))
		}))
	var disk diskError
	if errors.As(err, &disk) {
		return Outcome{Figures: s.Figures, Status: Pending, Board: s.Board, Reason: disk.Error(), Kept: s.path}, disk.error
	}
	o := Outcome{Figures: s.Figures, Board: s.Board}
	if err == nil {
		now := time.Now().UTC()
		s.Status, s.Answer, s.LastError, s.Confirmed = Confirmed, c.redact(answer), "", &now
		o.Status, o.Answer = Confirmed, s.Answer
	} else {
		s.LastError = c.redact(err.Error())
		if ctx.Err() != nil {
			s.LastError = "interrupted before the board confirmed it"
		}
		if s.EventID != "" {
			s.LastError += fmt.Sprintf("; it was posted before, as event %s, so the next try asks for that first", s.EventID)
		}
		o.Status, o.Reason, o.Kept = Pending, s.LastError, s.path
		c.down[s.Board] = true
	}
	if err := s.write(); err != nil {
		return o, err
	}
	return c.note(o), ctx.Err()
}

// diskError is a failure of our own disk, which no board can heal.
type diskError struct{ error }

func (c *Client) note(o Outcome) Outcome {
	fmt.Fprintf(c.o.Out, "leaderboard: %s\n", o)
	return o
}

// address is the board's address; for the own board it starts one if need be.
func (c *Client) address(ctx context.Context, f Figures) (string, error) {
	address, err := c.route(f)
	if err != nil || address != "" {
		return address, err
	}
	if c.own != "" {
		return c.own, nil
	}
	if c.o.OwnURL != "" && c.isOwn(ctx, c.o.OwnURL) == nil {
		c.own = c.o.OwnURL
		return c.own, nil
	}
	if c.o.StartOwn == nil {
		return "", fmt.Errorf("the embedded engine's figures go to a board on this machine, and none answers at "+
			"%q: run make leaderboard, or set LEADERBOARD_URL", c.o.OwnURL)
	}
	if c.own, c.stop, err = c.o.StartOwn(ctx); err != nil {
		return "", fmt.Errorf("start the leaderboard on this machine: %w", err)
	}
	c.own = strings.TrimRight(c.own, "/")
	return c.own, nil
}

// redact takes the secrets out of a text that others had a hand in: a board
// may well echo the header it was sent.
func (c *Client) redact(text string) string {
	return server.Redact(text, c.o.Token, c.o.HFToken)
}

// message is the message of an answer, without the secrets.
func (c *Client) message(answer []byte) string {
	return server.ErrorMessage(answer, c.o.Token, c.o.HFToken)
}
