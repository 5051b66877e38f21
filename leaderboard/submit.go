package leaderboard

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// Policy says who may submit under a team's name.
type Policy string

const (
	// OpenToAll needs no token, but a name that was claimed with one is guarded.
	// For a board that only its own machine reaches.
	OpenToAll Policy = "open"
	// Claim needs a token with every submission; the first one under a name
	// claims the name for it.
	Claim Policy = "claim"
	// Issued needs a token that an admin issued.
	Issued Policy = "issued"
)

// ErrToken is a submission without the token that its team's name needs.
var ErrToken = errors.New("team token")

// ErrKeyReused is an idempotency key that came before with other figures.
var ErrKeyReused = errors.New("this idempotency key was used for other figures")

// minToken is the shortest token that can claim a name: shorter ones are guessed.
const minToken = 16

// receipt is what a submitter gets back.
type receipt struct {
	ID      int64
	EventID string
	Again   bool // the same submission was there already
}

// submit checks an entry and stores it. It returns when the submission is on
// the disk. The key may be empty: then the same figures are the same
// submission.
func (b *Board) submit(ctx context.Context, e Entry, token, key string) (receipt, error) {
	shown, nameKey, err := nameOf(e.Team)
	if err != nil {
		return receipt{}, err
	}
	e.Team = shown
	d, err := check(e)
	if err != nil {
		return receipt{}, err
	}
	if len(key) > 200 {
		return receipt{}, breaks("the idempotency key has %d characters: at most 200", len(key))
	}
	s := row{Entry: e, details: d, nameKey: nameKey, eventID: rand.Text(), now: time.Now()}
	if e.Result != "" {
		s.resultSHA = sha([]byte(e.Result))
		if s.gz, err = zip(e.Result); err != nil {
			return receipt{}, err
		}
		s.Result = s.resultSHA
	}
	payload, err := json.Marshal(s.Entry)
	if err != nil {
		return receipt{}, err
	}
	s.payload = sha(payload)
	if s.key = key; key == "" {
		s.key = "payload-" + s.payload
	}
	var r receipt
	err = b.store.write(ctx, func(c *sqlite.Conn) (err error) {
		r, err = insert(c, s, token, b.policy)
		return err
	})
	if err != nil {
		return receipt{}, err // not r: where ctx ended first, it may be written this moment
	}
	b.changed.Add(1)
	return r, nil
}

func sha(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// zippers are reused: making one costs more than zipping a result file.
var zippers = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed) // a known level: no error
	return z
}}

func zip(text string) ([]byte, error) {
	var out bytes.Buffer
	z := zippers.Get().(*gzip.Writer)
	defer zippers.Put(z)
	z.Reset(&out)
	_, err := io.WriteString(z, text)
	if err == nil {
		err = z.Close() // before Bytes: it writes the end
	}
	return out.Bytes(), err
}

// row is a checked submission.
type row struct {
	Entry
	details
	nameKey, key, payload, eventID, resultSHA string
	gz                                        []byte
	now                                       time.Time
}

func insert(c *sqlite.Conn, s row, token string, policy Policy) (receipt, error) {
	team, signed, err := admit(c, s, token, policy)
	if err != nil {
		return receipt{}, err
	}
	var old receipt
	var payload string
	err = sqlitex.Execute(c, "SELECT id, event_id, payload_sha256 FROM submissions WHERE team_id = ? AND idempotency_key = ?",
		&sqlitex.ExecOptions{Args: []any{team, s.key}, ResultFunc: func(st *sqlite.Stmt) error {
			old, payload = receipt{ID: st.ColumnInt64(0), EventID: st.ColumnText(1), Again: true}, st.ColumnText(2)
			return nil
		}})
	switch {
	case err != nil:
		return receipt{}, err
	case old.ID != 0 && payload != s.payload:
		return receipt{}, ErrKeyReused
	case old.ID != 0:
		return old, nil
	}
	var resultSHA any
	if s.resultSHA != "" {
		resultSHA = s.resultSHA
		err := sqlitex.Execute(c, "INSERT INTO results (sha256, content) VALUES (?, ?) ON CONFLICT DO NOTHING",
			&sqlitex.ExecOptions{Args: []any{s.resultSHA, s.gz}})
		if err != nil {
			return receipt{}, err
		}
	}
	err = sqlitex.Execute(c, `INSERT INTO submissions (team_id, idempotency_key, payload_sha256, event_id, isl, osl, conc,
		e2e_ms, tput_per_gpu, interactivity, bits_per_byte, byte_perplexity, word_perplexity,
		model, engine, range_ratio, gpus, client_limited, signed, result_sha256, created_ms)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		&sqlitex.ExecOptions{Args: []any{team, s.key, s.payload, s.eventID, s.ISL, s.OSL, s.Conc,
			s.E2EMs, s.TputPerGPU, orNull(s.interactivity), s.BitsPerByte, s.BytePerplexity, s.WordPerplexity,
			s.model, s.engine, orNull(s.rangeRatio), orNull(s.gpus), s.clientLimited, signed, resultSHA, s.now.UnixMilli()}})
	if err != nil {
		return receipt{}, err
	}
	r := receipt{ID: c.LastInsertRowID(), EventID: s.eventID}
	// The best is the highest throughput per GPU; of two alike, the quicker.
	err = sqlitex.Execute(c, `INSERT INTO best (isl, osl, team_id, conc, submission_id, tput_per_gpu, e2e_ms) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET submission_id = excluded.submission_id, tput_per_gpu = excluded.tput_per_gpu, e2e_ms = excluded.e2e_ms
		WHERE excluded.tput_per_gpu > best.tput_per_gpu OR (excluded.tput_per_gpu = best.tput_per_gpu AND excluded.e2e_ms < best.e2e_ms)`,
		&sqlitex.ExecOptions{Args: []any{s.ISL, s.OSL, team, s.Conc, r.ID, s.TputPerGPU, s.E2EMs}})
	return r, err
}

func orNull[T any](v *T) any {
	if v == nil {
		return nil
	}
	return *v
}

// admit finds or makes the team and asks whether this token may submit for it.
func admit(c *sqlite.Conn, s row, token string, policy Policy) (team int64, signed bool, err error) {
	known, hash, err := findTeam(c, s.nameKey)
	if err != nil {
		return 0, false, err
	}
	given := sha256.Sum256([]byte(token))
	switch {
	case hash != nil && token == "":
		return 0, false, fmt.Errorf("%w: the name %q is claimed; send its token as Authorization: Bearer … (LEADERBOARD_TOKEN)", ErrToken, s.Team)
	case hash != nil && subtle.ConstantTimeCompare(hash, given[:]) != 1:
		return 0, false, fmt.Errorf("%w: the name %q is claimed with another token", ErrToken, s.Team)
	case hash != nil:
		return known, true, nil
	case policy == Issued:
		return 0, false, fmt.Errorf("%w: this board lists teams that its admin gave a token, and %q has none", ErrToken, s.Team)
	case token == "" && policy == Claim:
		return 0, false, fmt.Errorf("%w: this board wants one with every submission (Authorization: Bearer …, LEADERBOARD_TOKEN); the first claims the name", ErrToken)
	case token == "" && known != 0:
		return known, false, nil
	case token != "" && len(token) < minToken:
		return 0, false, fmt.Errorf("%w: %d characters are easily guessed; want %d or more (openssl rand -hex 16)", ErrToken, len(token), minToken)
	}
	if token == "" {
		team, err = addTeam(c, s.Team, s.nameKey, nil, s.now)
		return team, false, err
	}
	if known == 0 {
		team, err = addTeam(c, s.Team, s.nameKey, given[:], s.now)
		return team, true, err
	}
	return known, true, claim(c, known, given[:])
}

func findTeam(c *sqlite.Conn, nameKey string) (id int64, hash []byte, err error) {
	err = sqlitex.Execute(c, "SELECT id, token_hash FROM teams WHERE name_key = ?",
		&sqlitex.ExecOptions{Args: []any{nameKey}, ResultFunc: func(st *sqlite.Stmt) error {
			id = st.ColumnInt64(0)
			if !st.ColumnIsNull(1) {
				hash = make([]byte, st.ColumnLen(1))
				st.ColumnBytes(1, hash)
			}
			return nil
		}})
	return id, hash, err
}

func addTeam(c *sqlite.Conn, name, nameKey string, hash []byte, now time.Time) (int64, error) {
	var h any
	if hash != nil {
		h = hash
	}
	err := sqlitex.Execute(c, "INSERT INTO teams (name, name_key, token_hash, created_ms) VALUES (?, ?, ?, ?)",
		&sqlitex.ExecOptions{Args: []any{name, nameKey, h, now.UnixMilli()}})
	return c.LastInsertRowID(), err
}

// claim guards a name that was free. What was submitted under it before, by
// whomever, stays in its history but leaves the board.
func claim(c *sqlite.Conn, team int64, hash []byte) error {
	err := sqlitex.Execute(c, "UPDATE teams SET token_hash = ? WHERE id = ?", &sqlitex.ExecOptions{Args: []any{hash, team}})
	if err != nil {
		return err
	}
	return sqlitex.Execute(c, "DELETE FROM best WHERE team_id = ?", &sqlitex.ExecOptions{Args: []any{team}})
}

// Issue gives a team a new token, which replaces an older one, and returns it:
// the only time it is seen.
func (b *Board) Issue(ctx context.Context, team string) (string, error) {
	shown, nameKey, err := nameOf(team)
	if err != nil {
		return "", err
	}
	token := "ib_" + rand.Text()
	hash := sha256.Sum256([]byte(token))
	err = b.store.write(ctx, func(c *sqlite.Conn) error {
		id, old, err := findTeam(c, nameKey)
		switch {
		case err != nil:
			return err
		case id == 0:
			_, err = addTeam(c, shown, nameKey, hash[:], time.Now())
			return err
		case old != nil:
			return sqlitex.Execute(c, "UPDATE teams SET token_hash = ? WHERE id = ?", &sqlitex.ExecOptions{Args: []any{hash[:], id}})
		}
		return claim(c, id, hash[:])
	})
	b.changed.Add(1)
	return token, err
}

// hide takes a submission off the board, or puts it back. It stays in the
// database.
func (b *Board) hide(ctx context.Context, id int64, hidden bool) error {
	err := b.store.write(ctx, func(c *sqlite.Conn) error {
		var isl, osl, team, conc int64
		err := sqlitex.Execute(c, "UPDATE submissions SET hidden = ? WHERE id = ? RETURNING isl, osl, team_id, conc",
			&sqlitex.ExecOptions{Args: []any{hidden, id}, ResultFunc: func(st *sqlite.Stmt) error {
				isl, osl, team, conc = st.ColumnInt64(0), st.ColumnInt64(1), st.ColumnInt64(2), st.ColumnInt64(3)
				return nil
			}})
		if err != nil {
			return err
		}
		if team == 0 {
			return errNotFound
		}
		cell := []any{isl, osl, team, conc}
		if err := sqlitex.Execute(c, "DELETE FROM best WHERE isl = ? AND osl = ? AND team_id = ? AND conc = ?", &sqlitex.ExecOptions{Args: cell}); err != nil {
			return err
		}
		return sqlitex.Execute(c, `INSERT INTO best (isl, osl, team_id, conc, submission_id, tput_per_gpu, e2e_ms)
			SELECT s.isl, s.osl, s.team_id, s.conc, s.id, s.tput_per_gpu, s.e2e_ms FROM submissions s JOIN teams t ON t.id = s.team_id
			WHERE s.isl = ? AND s.osl = ? AND s.team_id = ? AND s.conc = ? AND NOT s.hidden AND (s.signed OR t.token_hash IS NULL)
			ORDER BY s.tput_per_gpu DESC, s.e2e_ms LIMIT 1`, &sqlitex.ExecOptions{Args: cell})
	})
	b.changed.Add(1)
	return err
}

var errNotFound = errors.New("not found")
