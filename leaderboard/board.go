// Package leaderboard is a board that anyone can run: it takes submissions over
// the Gradio call protocol of the public boards and over a JSON API, keeps them
// in a SQLite file, and shows them on a page that needs no network.
//
// What a submission says of the reference hardware is not trusted: the ratios
// and the curves come from the board's own baseline. An answer that says
// "complete" means that the submission is on the disk.
package leaderboard

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"inferbench/baselines"
)

// Config says how a board runs. The zero value but for DB is right for a board
// that only its own machine reaches.
type Config struct {
	DB         string       // SQLite file; made where it is not there
	Policy     Policy       // empty: OpenToAll
	AdminToken string       // empty: no admin
	Quota      Quota        // of an address; the zero value limits nothing
	MaxBytes   int64        // size at which the database takes no more; 0: none
	Baseline   string       // hardware baseline by name or path; empty: the default one
	Log        *slog.Logger // nil: no log
}

// Board is an open board. Its methods may be called from any goroutine.
type Board struct {
	store    *store
	policy   Policy
	admin    *[32]byte // SHA-256 of the admin token
	limits   *limits
	maxBytes int64
	baseline *baselines.Hardware
	log      *slog.Logger

	changed  atomic.Int64                     // grows with every change: see [Board.board]
	views    *lru.Cache[viewKey, *kept]       // what was last read, while it is fresh
	failed   *lru.Cache[string, string]       // event id → why the call failed
	sessions *lru.Cache[string, chan event]   // Gradio's queue sessions
	rows     *lru.Cache[int64, template.HTML] // by submission: see [rows]
}

// Bounds of what is kept in memory for callers that may never come back.
const (
	keepFailed   = 4096
	keepSessions = 1024
)

// Open opens a board's database. Close it when no request is running any more.
func Open(ctx context.Context, c Config) (*Board, error) {
	if c.Baseline == "" {
		c.Baseline = baselines.DefaultHardware
	}
	hw, err := baselines.LoadHardware(c.Baseline)
	if err != nil {
		return nil, err
	}
	b := &Board{policy: c.Policy, baseline: hw, limits: newLimits(c.Quota), maxBytes: c.MaxBytes, log: c.Log}
	switch c.Policy {
	case "":
		b.policy = OpenToAll
	case OpenToAll, Claim, Issued:
	default:
		return nil, fmt.Errorf("team policy %q: want %s, %s or %s", c.Policy, OpenToAll, Claim, Issued)
	}
	if b.log == nil {
		b.log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if c.AdminToken != "" {
		if len(c.AdminToken) < minToken {
			return nil, fmt.Errorf("the admin token (LEADERBOARD_ADMIN_TOKEN) has %d characters: want %d or more",
				len(c.AdminToken), minToken)
		}
		h := sha256.Sum256([]byte(c.AdminToken))
		b.admin = &h
	}
	b.views, _ = lru.New[viewKey, *kept](256)
	b.failed, _ = lru.New[string, string](keepFailed)
	b.sessions, _ = lru.New[string, chan event](keepSessions)
	b.rows, _ = lru.New[int64, template.HTML](keepRows)
	if b.store, err = openStore(ctx, c.DB); err != nil {
		return nil, err
	}
	if err := b.settle(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("leaderboard database %s: %w", c.DB, err), b.store.close())
	}
	return b, nil
}

// Close closes the database.
func (b *Board) Close() error { return b.store.close() }

// Backup writes a whole copy of a board's database to a new file, also while
// the board runs, and says how many submissions it holds.
func Backup(ctx context.Context, db, to string) (submissions int, err error) {
	return backup(ctx, db, to)
}

// Server is a board that listens.
type Server struct {
	URL   string // http://127.0.0.1:8090
	board *Board
	http  *http.Server
	done  chan error
}

// Start opens a board and serves it on addr, host:port.
func Start(ctx context.Context, c Config, addr string) (*Server, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("leaderboard: %w", err)
	}
	b, err := Open(ctx, c)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	s := &Server{URL: "http://" + l.Addr().String(), board: b, done: make(chan error, 1)}
	s.http = &http.Server{
		Handler:           b.Handler(isLoopback(l.Addr())),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      2 * time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(b.log.Handler(), slog.LevelWarn),
	}
	go func() { s.done <- s.http.Serve(l) }()
	return s, nil
}

func isLoopback(a net.Addr) bool {
	t, ok := a.(*net.TCPAddr)
	return ok && t.IP.IsLoopback()
}

// Wait returns when the server has stopped by itself, or ctx is done.
func (s *Server) Wait(ctx context.Context) error {
	select {
	case err := <-s.done:
		s.done <- err
		return err
	case <-ctx.Done():
		return nil
	}
}

// Close lets running requests finish, for ten seconds at most, and closes the
// database.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	<-s.done
	return errors.Join(err, s.board.Close())
}
