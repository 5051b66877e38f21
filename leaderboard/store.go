package leaderboard

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitemigration"
	"zombiezen.com/go/sqlite/sqlitex"
)

//go:embed migrations/*.sql
var migrations embed.FS

// appID marks the database file as a leaderboard's, so that a file of another
// program is refused instead of being changed.
const appID = 0x1bf_b0a4d

// store is the database. Reads run side by side; writes go through one
// goroutine, which commits together what arrives together: each submission
// succeeds or fails alone, and those that wait for the disk wait for it once. A
// write that returned nil is on the disk.
type store struct {
	path   string
	pool   *sqlitex.Pool // readers
	writes chan write
	rests  chan struct{} // asks the writer to checkpoint what is left: see checkpointer

	closed, checkpointed chan struct{} // closed when the two goroutines have ended
}

type write struct {
	do   func(*sqlite.Conn) error
	done chan error
}

// maxTogether bounds how many submissions share one commit, and thereby how
// long one waits for the others. Where they never cease, commits begin no less
// than spacing after each other: one commit of ten submissions takes a fraction
// of what ten commits do. A submission after a pause waits for nothing.
const (
	maxTogether = 64
	spacing     = 10 * time.Millisecond
)

func schema() (sqlitemigration.Schema, error) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return sqlitemigration.Schema{}, err
	}
	slices.Sort(names)
	s := sqlitemigration.Schema{AppID: appID}
	for _, name := range names {
		b, err := migrations.ReadFile(name)
		if err != nil {
			return s, err
		}
		s.Migrations = append(s.Migrations, string(b))
		// A table that others refer to is replaced: their references are right again in the end.
		s.MigrationOptions = append(s.MigrationOptions, &sqlitemigration.MigrationOptions{DisableForeignKeys: true})
	}
	return s, nil
}

// openStore opens or makes the database file and brings its tables up to date.
func openStore(ctx context.Context, path string) (*store, error) {
	fail := func(err error) (*store, error) {
		return nil, fmt.Errorf("leaderboard database %s: %w", path, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fail(err)
	}
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite, sqlite.OpenCreate, sqlite.OpenWAL)
	if err != nil {
		return fail(err)
	}
	// FULL: a commit returns when the log is on the disk, not before. The cache
	// holds the indexes' leaves of a busy board, in KiB.
	for _, pragma := range []string{"synchronous = FULL", "foreign_keys = ON", "cache_size = -65536",
		"wal_autocheckpoint = 50000"} {
		if err == nil {
			err = sqlitex.ExecuteTransient(conn, "PRAGMA "+pragma, nil)
		}
	}
	if err == nil {
		conn.SetBusyTimeout(10 * time.Second)
		var s sqlitemigration.Schema
		if s, err = schema(); err == nil {
			err = sqlitemigration.Migrate(ctx, conn, s)
		}
	}
	if err != nil {
		return fail(errors.Join(err, conn.Close()))
	}
	pool, err := sqlitex.NewPool(path, sqlitex.PoolOptions{Flags: sqlite.OpenReadOnly, PoolSize: 4})
	if err != nil {
		return fail(errors.Join(err, conn.Close()))
	}
	checkpoints, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
	if err != nil {
		return fail(errors.Join(err, conn.Close(), pool.Close()))
	}
	st := &store{path: path, pool: pool, writes: make(chan write, 4*maxTogether),
		rests: make(chan struct{}, 1), closed: make(chan struct{}), checkpointed: make(chan struct{})}
	go st.writer(conn)
	go st.checkpointer(checkpoints)
	return st, nil
}

// close waits for the writes that were accepted. Nothing may be written after it.
func (s *store) close() error {
	close(s.writes)
	<-s.closed
	<-s.checkpointed
	return s.pool.Close()
}

// write runs do in a transaction and returns when it is on the disk, or rolled
// back because do failed. Once it is queued it runs, whatever becomes of ctx:
// then the caller has to ask again, with the same key, to learn how it went.
func (s *store) write(ctx context.Context, do func(*sqlite.Conn) error) error {
	w := write{do: do, done: make(chan error, 1)}
	select {
	case s.writes <- w:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// restartAt is the length of the log, in pages, from which on it is begun anew
// where that can be. SQLite does so when a write starts and the database file
// has all of the log, and under load it never has: there is always a newer commit.
const restartAt = 15_000

// checkpointer moves the log into the database file every second, beside the
// writer, so that no submission waits for it. Of a long log the writer then
// moves what came meanwhile, which is little, and its next commit begins a new
// one. Where page readers keep it from that until the log has 200 MB, the writer
// tries with every commit.
func (s *store) checkpointer(conn *sqlite.Conn) {
	defer close(s.checkpointed)
	defer conn.Close()
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for {
		select {
		case <-every.C:
			if checkpoint(conn) < restartAt {
				continue
			}
			select {
			case s.rests <- struct{}{}:
			default:
			}
		case <-s.closed:
			return
		}
	}
}

// checkpoint moves the log into the database file and gives its length in pages.
// Passive: it does what it can without making anybody wait; what it cannot do
// now it does the next time.
func checkpoint(conn *sqlite.Conn) (length int) {
	_ = sqlitex.ExecuteTransient(conn, "PRAGMA wal_checkpoint(PASSIVE)", &sqlitex.ExecOptions{
		ResultFunc: func(st *sqlite.Stmt) error { length = st.ColumnInt(1); return nil }})
	return length
}

func (s *store) writer(conn *sqlite.Conn) {
	defer close(s.closed)
	defer conn.Close()
	var together []write
	var errs []error
	var began time.Time
	for {
		select {
		case <-s.rests:
			checkpoint(conn)
			continue
		case w, open := <-s.writes:
			if !open {
				return
			}
			together = append(together[:0], w)
		}
		time.Sleep(time.Until(began.Add(spacing)))
		began = time.Now()
	more:
		for len(together) < maxTogether {
			select {
			case w, open := <-s.writes:
				if !open {
					break more
				}
				together = append(together, w)
			default:
				break more
			}
		}
		errs = errs[:0]
		commit := commitAll(conn, together, &errs)
		for i, w := range together {
			if commit != nil {
				w.done <- commit
			} else {
				w.done <- errs[i]
			}
		}
	}
}

// commitAll runs the writes in one commit; errs gets how each went. A write that
// fails takes none of the others with it.
func commitAll(conn *sqlite.Conn, together []write, errs *[]error) error {
	err := commitWith(conn, together, errs, unlessChanged)
	if errors.Is(err, errChanged) {
		*errs = (*errs)[:0]
		err = commitWith(conn, together, errs, inSavepoint)
	}
	return err
}

func commitWith(conn *sqlite.Conn, together []write, errs *[]error,
	run func(*sqlite.Conn, func(*sqlite.Conn) error) error) (err error) {
	end, err := sqlitex.ImmediateTransaction(conn)
	if err != nil {
		return err
	}
	defer end(&err)
	for _, w := range together {
		failed := run(conn, w.do)
		if errors.Is(failed, errChanged) {
			return failed
		}
		*errs = append(*errs, failed)
	}
	return nil
}

// errChanged is a write that failed when it had changed something: what it did
// has to be undone alone, which takes savepoints.
var errChanged = errors.New("failed halfway")

// unlessChanged runs a write without a savepoint, which would copy each page
// that the write changes: writes check first and change then, so one that fails
// has left nothing.
func unlessChanged(conn *sqlite.Conn, do func(*sqlite.Conn) error) error {
	before, err := changes(conn)
	if err != nil {
		return err
	}
	failed := do(conn)
	if failed == nil {
		return nil
	}
	if now, err := changes(conn); err != nil || now != before {
		return errChanged
	}
	return failed
}

// changes is how many rows the connection has changed since it was opened.
func changes(conn *sqlite.Conn) (rows int64, err error) {
	err = sqlitex.Execute(conn, "SELECT total_changes()", &sqlitex.ExecOptions{
		ResultFunc: func(st *sqlite.Stmt) error { rows = st.ColumnInt64(0); return nil }})
	return rows, err
}

// inSavepoint runs a write as a savepoint of its own: a failed one leaves nothing.
func inSavepoint(conn *sqlite.Conn, do func(*sqlite.Conn) error) (err error) {
	release := sqlitex.Save(conn)
	defer release(&err)
	return do(conn)
}

// read runs a query on a connection of its own, as of one moment.
func (s *store) read(ctx context.Context, do func(*sqlite.Conn) error) (err error) {
	conn, err := s.pool.Take(ctx)
	if err != nil {
		return err
	}
	defer s.pool.Put(conn)
	end := sqlitex.Transaction(conn)
	defer end(&err)
	return do(conn)
}

// backup writes a whole and consistent copy of the database to a new file while
// it is in use, and checks it.
func backup(ctx context.Context, path, to string) (submissions int, err error) {
	fail := func(err error) (int, error) {
		return 0, fmt.Errorf("back up %s to %s: %w", path, to, err)
	}
	if _, err := os.Stat(path); err != nil {
		return fail(err)
	}
	if _, err := os.Stat(to); err == nil {
		return fail(fs.ErrExist)
	}
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
	if err != nil {
		return fail(err)
	}
	defer conn.Close()
	conn.SetInterrupt(ctx.Done())
	part := to + ".part"
	if err := os.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fail(err)
	}
	defer os.Remove(part)
	if err := sqlitex.Execute(conn, "VACUUM INTO ?", &sqlitex.ExecOptions{Args: []any{part}}); err != nil {
		return fail(err)
	}
	copied, err := sqlite.OpenConn(part, sqlite.OpenReadOnly)
	if err != nil {
		return fail(err)
	}
	defer copied.Close()
	state := ""
	err = sqlitex.Execute(copied, "PRAGMA integrity_check", &sqlitex.ExecOptions{ResultFunc: func(s *sqlite.Stmt) error {
		state += s.ColumnText(0)
		return nil
	}})
	if err == nil && state != "ok" {
		err = fmt.Errorf("the copy is damaged: %s", state)
	}
	if err == nil {
		err = sqlitex.Execute(copied, "SELECT count(*) FROM submissions",
			&sqlitex.ExecOptions{ResultFunc: func(s *sqlite.Stmt) error {
				submissions = s.ColumnInt(0)
				return nil
			}})
	}
	if err == nil {
		err = os.Rename(part, to)
	}
	if err != nil {
		return fail(err)
	}
	return submissions, nil
}
