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
	"slices"
	"strings"
	"sync"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"inferbench/harness/matrix"
	"inferbench/harness/rules"
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
// submission. from is the address's usage, nil for one without a quota.
func (b *Board) submit(ctx context.Context, e Entry, token, key string, from *usage) (receipt, error) {
	team, err := nameOf(e.Team)
	if err != nil {
		return receipt{}, err
	}
	e.Team = team.shown
	d, err := check(e, b.baseline)
	if err != nil {
		return receipt{}, err
	}
	if len(key) > 200 {
		return receipt{}, breaks("the idempotency key has %d characters: at most 200", len(key))
	}
	s := row{Entry: e, details: d, name: team, eventID: newEventID(), now: time.Now(), from: from}
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
		r, err = b.insert(c, s, token)
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
	name                             name
	key, payload, eventID, resultSHA string
	gz                               []byte
	now                              time.Time
	from                             *usage
}

// ErrOthersRun is a result file of a run that was submitted before, by another team
// or for another cell.
var ErrOthersRun = errors.New("these are the figures of a run that was submitted before")

// insert stores a submission. Everything is checked before anything is changed:
// see [commitAll].
func (b *Board) insert(c *sqlite.Conn, s row, token string) (receipt, error) {
	at, err := admit(c, s, token, b.policy)
	if err != nil {
		return receipt{}, err
	}
	old, err := stored(c, at.id, s)
	if err != nil || old.ID != 0 {
		return old, err
	}
	if err := ownRun(c, at.id, s); err != nil {
		return receipt{}, err
	}
	if err := s.from.may(len(s.gz), at.id == 0); err != nil {
		return receipt{}, err
	}
	if err := b.hasRoom(c); err != nil {
		return receipt{}, err
	}
	isNew := at.id == 0
	if err := at.enter(c, s); err != nil {
		return receipt{}, err
	}
	if err := keepResult(c, s); err != nil {
		return receipt{}, err
	}
	err = sqlitex.Execute(c, `INSERT INTO submissions (team_id, idempotency_key, payload_sha256, event_id, isl, osl, conc,
		e2e_ms, tput_per_gpu, interactivity, bits_per_byte, byte_perplexity, word_perplexity, gsm8k,
		model, engine, task, range_ratio, gpus, prompts, apart, marks, unlike, run, client_limited, signed, result_sha256, created_ms)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		&sqlitex.ExecOptions{Args: []any{at.id, s.key, s.payload, s.eventID, s.ISL, s.OSL, s.Conc,
			s.E2EMs, s.TputPerGPU, orNull(s.interactivity), s.BitsPerByte, s.BytePerplexity, s.WordPerplexity, orNull(s.GSM8K),
			s.model, s.engine, s.task, orNull(s.rangeRatio), orNull(s.gpus), orNull(s.prompts), s.apart,
			strings.Join(s.marks, " "), strings.Join(s.unlike, "; "), textOrNull(s.run),
			slices.Contains(s.marks, rules.ClientLimited), at.signed, textOrNull(s.resultSHA), s.now.UnixMilli()}})
	if err != nil {
		return receipt{}, err
	}
	r := receipt{ID: c.LastInsertRowID(), EventID: s.eventID}
	if err := b.rank(c, place{s.ISL, s.OSL, s.apart, at.id}, s.Conc, r.ID, s.TputPerGPU, s.E2EMs,
		s.interactivity); err != nil {
		return receipt{}, err
	}
	s.from.did(len(s.gz), isNew)
	return r, nil
}

// stored finds the team's submission with the key of s; the zero receipt where
// there is none.
func stored(c *sqlite.Conn, team int64, s row) (old receipt, err error) {
	var payload string
	err = sqlitex.Execute(c, "SELECT id, event_id, payload_sha256 FROM submissions WHERE team_id = ? AND "+
		"idempotency_key = ?",
		&sqlitex.ExecOptions{Args: []any{team, s.key}, ResultFunc: func(st *sqlite.Stmt) error {
			old, payload = receipt{ID: st.ColumnInt64(0), EventID: st.ColumnText(1), Again: true}, st.ColumnText(2)
			return nil
		}})
	if err == nil && old.ID != 0 && payload != s.payload {
		return receipt{}, ErrKeyReused
	}
	return old, err
}

// keepResult stores the result file, once however many submissions carry it.
func keepResult(c *sqlite.Conn, s row) error {
	if s.resultSHA == "" {
		return nil
	}
	return sqlitex.Execute(c, "INSERT INTO results (sha256, content) VALUES (?, ?) ON CONFLICT DO NOTHING",
		&sqlitex.ExecOptions{Args: []any{s.resultSHA, s.gz}})
}

func textOrNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// ownRun refuses the figures of a run that another team submitted: result files
// can be downloaded, and are then anybody's to send. Nor is a run of one cell that
// of another.
func ownRun(c *sqlite.Conn, team int64, s row) error {
	if s.run == "" {
		return nil
	}
	var owner, cell string
	err := sqlitex.Execute(c, `SELECT CASE WHEN s.team_id <> ?2 THEN t.name ELSE '' END, s.isl, s.osl, s.conc
		FROM submissions s JOIN teams t ON t.id = s.team_id
		WHERE s.run = ?1 AND (s.team_id <> ?2 OR s.isl <> ?3 OR s.osl <> ?4 OR s.conc <> ?5) LIMIT 1`,
		&sqlitex.ExecOptions{Args: []any{s.run, team, s.ISL, s.OSL, s.Conc}, ResultFunc: func(st *sqlite.Stmt) error {
			owner = st.ColumnText(0)
			cell = matrix.Cell{Combination: matrix.Combination{ISL: st.ColumnInt(1), OSL: st.ColumnInt(2)},
				Conc: st.ColumnInt(3)}.Name()
			return nil
		}})
	switch {
	case err != nil || cell == "":
		return err
	case owner == "":
		return fmt.Errorf("%w: yours, of %s", ErrOthersRun, cell)
	}
	return fmt.Errorf("%w: %q", ErrOthersRun, owner)
}

func orNull[T any](v *T) any {
	if v == nil {
		return nil
	}
	return *v
}

// entrant is the team that a submission is of.
type entrant struct {
	id     int64  // 0 until a new one is entered
	signed bool   // came with the team's token
	claim  []byte // hash of the token that claims the name; nil: none does
}

// admit finds the team and asks whether this token may submit for it.
func admit(c *sqlite.Conn, s row, token string, policy Policy) (entrant, error) {
	known, hash, err := findTeam(c, s.name)
	if err != nil {
		return entrant{}, err
	}
	given := sha256.Sum256([]byte(token))
	switch {
	case hash != nil && token == "":
		return entrant{}, fmt.Errorf("%w: the name %q is claimed; send its token as Authorization: Bearer … "+
			"(LEADERBOARD_TOKEN)", ErrToken, s.Team)
	case hash != nil && subtle.ConstantTimeCompare(hash, given[:]) != 1:
		return entrant{}, fmt.Errorf("%w: the name %q is claimed with another token", ErrToken, s.Team)
	case hash != nil:
		return entrant{id: known, signed: true}, nil
	case policy == Issued:
		return entrant{}, fmt.Errorf("%w: this board lists teams that its admin gave a token, and %q has none",
			ErrToken, s.Team)
	case token == "" && policy == Claim:
		return entrant{}, fmt.Errorf("%w: this board wants one with every submission (Authorization: Bearer "+
			"…, LEADERBOARD_TOKEN); the first claims the name", ErrToken)
	case token == "":
		return entrant{id: known}, nil
	case len(token) < minToken:
		return entrant{}, fmt.Errorf("%w: %d characters are easily guessed; want %d or more (openssl rand "+
			"-hex 16)", ErrToken, len(token), minToken)
	}
	return entrant{id: known, signed: true, claim: given[:]}, nil
}

// enter makes the team where it is new, and claims its name where a token does.
func (e *entrant) enter(c *sqlite.Conn, s row) (err error) {
	switch {
	case e.id == 0:
		e.id, err = addTeam(c, s.name, e.claim, s.now)
	case e.claim != nil:
		err = claim(c, e.id, e.claim)
	}
	return err
}

// findTeam finds the team that a name is of, in any of the forms that look the
// same.
func findTeam(c *sqlite.Conn, n name) (id int64, hash []byte, err error) {
	err = sqlitex.Execute(c, `SELECT id, token_hash FROM teams WHERE name_key = ?1 OR looks = ?2 OR looks_shown = ?3
		ORDER BY name_key = ?1 DESC, id LIMIT 1`,
		&sqlitex.ExecOptions{Args: []any{n.key, n.looks, n.looksShown}, ResultFunc: func(st *sqlite.Stmt) error {
			id = st.ColumnInt64(0)
			if !st.ColumnIsNull(1) {
				hash = make([]byte, st.ColumnLen(1))
				st.ColumnBytes(1, hash)
			}
			return nil
		}})
	return id, hash, err
}

func addTeam(c *sqlite.Conn, n name, hash []byte, now time.Time) (int64, error) {
	var h any
	if hash != nil {
		h = hash
	}
	err := sqlitex.Execute(c, "INSERT INTO teams (name, name_key, looks, looks_shown, token_hash, created_ms) "+
		"VALUES (?, ?, ?, ?, ?, ?)",
		&sqlitex.ExecOptions{Args: []any{n.shown, n.key, n.looks, n.looksShown, h, now.UnixMilli()}})
	return c.LastInsertRowID(), err
}

// claim guards a name that was free. What was submitted under it before, by
// whomever, stays in its history but leaves the board.
func claim(c *sqlite.Conn, team int64, hash []byte) error {
	err := sqlitex.Execute(c, "UPDATE teams SET token_hash = ? WHERE id = ?", &sqlitex.ExecOptions{Args: []any{hash,
		team}})
	for _, table := range []string{"best", "standings"} {
		if err == nil {
			err = sqlitex.Execute(c, "DELETE FROM "+table+" WHERE team_id = ?", &sqlitex.ExecOptions{Args: []any{team}})
		}
	}
	return err
}

// Issue gives a team a new token, which replaces an older one, and returns it:
// the only time it is seen.
func (b *Board) Issue(ctx context.Context, team string) (string, error) {
	n, err := nameOf(team)
	if err != nil {
		return "", err
	}
	token := "ib_" + rand.Text()
	hash := sha256.Sum256([]byte(token))
	err = b.store.write(ctx, func(c *sqlite.Conn) error {
		id, old, err := findTeam(c, n)
		switch {
		case err != nil:
			return err
		case id == 0:
			_, err = addTeam(c, n, hash[:], time.Now())
			return err
		case old != nil:
			return sqlitex.Execute(c, "UPDATE teams SET token_hash = ? WHERE id = ?",
				&sqlitex.ExecOptions{Args: []any{hash[:], id}})
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
		var at place
		var conc int
		err := sqlitex.Execute(c, "UPDATE submissions SET hidden = ? WHERE id = ? RETURNING isl, osl, apart, team_id, conc",
			&sqlitex.ExecOptions{Args: []any{hidden, id}, ResultFunc: func(st *sqlite.Stmt) error {
				at, conc = place{st.ColumnInt(0), st.ColumnInt(1), st.ColumnText(2), st.ColumnInt64(3)}, st.ColumnInt(4)
				return nil
			}})
		if err != nil {
			return err
		}
		if at.team == 0 {
			return errNotFound
		}
		return b.rankAgain(c, at, conc)
	})
	b.changed.Add(1)
	return err
}

var errNotFound = errors.New("not found")
