package leaderboard

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"slices"
	"strings"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"inferbench/baselines"
	"inferbench/harness/pareto"
	"inferbench/harness/rules"
)

// place is where a team stands: the standings of a combination.
type place struct {
	isl, osl int
	apart    string
	team     int64
}

func (p place) args(more ...any) []any { return append([]any{p.isl, p.osl, p.apart, p.team}, more...) }

const ofPlace = " isl = ?1 AND osl = ?2 AND apart = ?3 AND team_id = ?4"

// rank puts a new submission among the team's bests, where it is one. The best
// of a cell is the highest throughput per GPU; of two alike, the quicker.
func (b *Board) rank(c *sqlite.Conn, at place, conc int, id int64, tput, e2e float64, interactivity *float64) error {
	first, better := true, true
	err := sqlitex.Execute(c, "SELECT tput_per_gpu, e2e_ms FROM best WHERE"+ofPlace+" AND conc = ?5",
		&sqlitex.ExecOptions{Args: at.args(conc), ResultFunc: func(st *sqlite.Stmt) error {
			first = false
			better = tput > st.ColumnFloat(0) || tput == st.ColumnFloat(0) && e2e < st.ColumnFloat(1)
			return nil
		}})
	if err != nil || !better {
		return err
	}
	put := "UPDATE best SET submission_id = ?6, tput_per_gpu = ?7, e2e_ms = ?8, interactivity = ?9 WHERE" + ofPlace +
		" AND conc = ?5"
	if first {
		put = `INSERT INTO best (isl, osl, apart, team_id, conc, submission_id, tput_per_gpu, e2e_ms, interactivity)
			VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)`
	}
	err = sqlitex.Execute(c, put, &sqlitex.ExecOptions{Args: at.args(conc, id, tput, e2e, orNull(interactivity))})
	if err != nil {
		return err
	}
	return b.stand(c, at)
}

// rankAgain finds the best of a cell among what is not hidden.
func (b *Board) rankAgain(c *sqlite.Conn, at place, conc int) error {
	err := sqlitex.Execute(c, "DELETE FROM best WHERE"+ofPlace+" AND conc = ?5", &sqlitex.ExecOptions{Args: at.args(conc)})
	if err == nil {
		err = sqlitex.Execute(c, `INSERT INTO best (isl, osl, apart, team_id, conc, submission_id, tput_per_gpu, e2e_ms, interactivity)
			SELECT s.isl, s.osl, s.apart, s.team_id, s.conc, s.id, s.tput_per_gpu, s.e2e_ms, s.interactivity
			FROM submissions s JOIN teams t ON t.id = s.team_id
			WHERE`+ofPlace+` AND conc = ?5 AND NOT s.hidden AND (s.signed OR t.token_hash IS NULL)
			ORDER BY s.tput_per_gpu DESC, s.e2e_ms LIMIT 1`, &sqlitex.ExecOptions{Args: at.args(conc)})
	}
	if err != nil {
		return err
	}
	return b.stand(c, at)
}

// stand works out a team's place anew. Every CONC of the baseline counts: one
// that the team has not submitted is not beaten, and one that the baseline does
// not have is not counted.
func (b *Board) stand(c *sqlite.Conn, at place) error {
	refI, refE, points := b.curves(at.isl, at.osl)
	var above, aboveE, n int
	var best float64
	var ratio *float64
	err := sqlitex.Execute(c, "SELECT conc, tput_per_gpu, e2e_ms, interactivity FROM best WHERE"+ofPlace,
		&sqlitex.ExecOptions{
			Args: at.args(), ResultFunc: func(st *sqlite.Stmt) error {
				n++
				tput := st.ColumnFloat(1)
				best = max(best, tput)
				i := slices.IndexFunc(points, func(p baselines.Point) bool { return p.Conc == st.ColumnInt(0) })
				if i < 0 {
					return nil
				}
				if r := tput / points[i].TputPerGPU; ratio == nil || r > *ratio {
					ratio = &r
				}
				if !st.ColumnIsNull(3) && pareto.Above(pareto.Point{X: st.ColumnFloat(3), Y: tput}, refI, pareto.High) {
					above++
				}
				if pareto.Above(pareto.Point{X: st.ColumnFloat(2), Y: tput}, refE, pareto.Low) {
					aboveE++
				}
				return nil
			}})
	switch {
	case err != nil:
		return err
	case n == 0:
		return sqlitex.Execute(c, "DELETE FROM standings WHERE"+ofPlace, &sqlitex.ExecOptions{Args: at.args()})
	}
	args := &sqlitex.ExecOptions{Args: at.args(above, aboveE, best, orNull(ratio))}
	err = sqlitex.Execute(c, "UPDATE standings SET above_i = ?5, above_e = ?6, best_tput = ?7, best_ratio = ?8 WHERE"+
		ofPlace, args)
	if err != nil || c.Changes() > 0 {
		return err
	}
	return sqlitex.Execute(c, `INSERT INTO standings (isl, osl, apart, team_id, above_i, above_e, best_tput, best_ratio)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)`, args)
}

// curves are the baseline's points of a combination, and as they are plotted
// against interactivity and against E2E.
func (b *Board) curves(isl, osl int) (byInteractivity, byE2E []pareto.Point, points []baselines.Point) {
	for _, p := range b.baseline.Points {
		if p.ISL == isl && p.OSL == osl {
			points = append(points, p)
			byInteractivity = append(byInteractivity, pareto.Point{X: p.Interactivity, Y: p.TputPerGPU})
			byE2E = append(byE2E, pareto.Point{X: p.MedianE2E, Y: p.TputPerGPU})
		}
	}
	return byInteractivity, byE2E, points
}

// rulesVersion changes with the rules, so that what a database holds is held to
// those of today.
const rulesVersion = "4"

// settle holds everything in the database to this board's rules and baseline,
// where it was stored under others, and ranks it anew.
func (b *Board) settle(ctx context.Context) error {
	points, err := json.Marshal(b.baseline)
	if err != nil {
		return err
	}
	now, was := rulesVersion+" "+sha(points), ""
	err = b.store.read(ctx, func(c *sqlite.Conn) error {
		return sqlitex.Execute(c, "SELECT value FROM settings WHERE name = 'rules'", &sqlitex.ExecOptions{
			ResultFunc: func(st *sqlite.Stmt) error { was = st.ColumnText(0); return nil }})
	})
	if err != nil || was == now {
		return err
	}
	return b.store.write(ctx, func(c *sqlite.Conn) error {
		for _, step := range []func(*sqlite.Conn) error{lookAgain, b.checkAgain, b.rankAll} {
			if err := step(c); err != nil {
				return err
			}
		}
		return sqlitex.Execute(c, "INSERT INTO settings (name, value) VALUES ('rules', ?) ON CONFLICT DO UPDATE "+
			"SET value = excluded.value",
			&sqlitex.ExecOptions{Args: []any{now}})
	})
}

// lookAgain fills in the skeletons of names.
func lookAgain(c *sqlite.Conn) error {
	type team struct {
		id         int64
		shown, key string
	}
	var teams []team
	err := sqlitex.Execute(c, "SELECT id, name, name_key FROM teams",
		&sqlitex.ExecOptions{ResultFunc: func(st *sqlite.Stmt) error {
			teams = append(teams, team{st.ColumnInt64(0), st.ColumnText(1), st.ColumnText(2)})
			return nil
		}})
	for _, t := range teams {
		if err != nil {
			return err
		}
		n := withLooks(t.shown, t.key)
		err = sqlitex.Execute(c, "UPDATE teams SET looks = ?, looks_shown = ? WHERE id = ?",
			&sqlitex.ExecOptions{Args: []any{n.looks, n.looksShown, t.id}})
	}
	return err
}

// checkAgain says anew which standings each submission is in. One whose file
// breaks a rule counts as one without a file.
func (b *Board) checkAgain(c *sqlite.Conn) error {
	last := int64(0)
	for {
		id, e, err := next(c, last)
		if err != nil || id == 0 {
			return err
		}
		last = id
		d := details{apart: unchecked}
		if e.Result != "" {
			if found, err := check(e, b.baseline); err == nil {
				d = found
			}
		}
		err = sqlitex.Execute(c, `UPDATE submissions SET apart = ?, marks = ?, unlike = ?, run = ?, prompts = ?, client_limited = ?,
			task = CASE WHEN ? = '' THEN task ELSE ? END, interactivity = CASE WHEN result_sha256 IS NULL THEN interactivity ELSE ? END WHERE id = ?`,
			&sqlitex.ExecOptions{Args: []any{d.apart, strings.Join(d.marks, " "), strings.Join(d.unlike, "; "),
				textOrNull(d.run), orNull(d.prompts),
				slices.Contains(d.marks, rules.ClientLimited), d.task, d.task, orNull(d.interactivity), id}})
		if err != nil {
			return err
		}
	}
}

// next reads the entry of the submission after the one with id last; 0 where
// there is none.
func next(c *sqlite.Conn, last int64) (id int64, e Entry, err error) {
	var zipped []byte
	err = sqlitex.Execute(c, `SELECT s.id, s.isl, s.osl, s.conc, s.e2e_ms, s.tput_per_gpu, s.bits_per_byte, s.byte_perplexity, s.word_perplexity, s.gsm8k, r.content
		FROM submissions s LEFT JOIN results r ON r.sha256 = s.result_sha256 WHERE s.id > ? ORDER BY s.id LIMIT 1`,
		&sqlitex.ExecOptions{Args: []any{last}, ResultFunc: func(st *sqlite.Stmt) error {
			id = st.ColumnInt64(0)
			e = Entry{ISL: st.ColumnInt(1), OSL: st.ColumnInt(2), Conc: st.ColumnInt(3), E2EMs: st.ColumnFloat(4),
				TputPerGPU:  st.ColumnFloat(5),
				BitsPerByte: st.ColumnFloat(6), BytePerplexity: st.ColumnFloat(7), WordPerplexity: st.ColumnFloat(8),
				GSM8K: floatOf(st, 9)}
			if !st.ColumnIsNull(10) {
				zipped = make([]byte, st.ColumnLen(10))
				st.ColumnBytes(10, zipped)
			}
			return nil
		}})
	if err != nil || zipped == nil {
		return id, e, err
	}
	file, err := unzip(zipped)
	e.Result = string(file)
	return id, e, err
}

func unzip(b []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// rankAll fills the tables of bests and standings from the submissions.
func (b *Board) rankAll(c *sqlite.Conn) error {
	err := sqlitex.ExecuteScript(c, `DELETE FROM best; DELETE FROM standings;
		INSERT INTO best SELECT isl, osl, apart, team_id, conc, id, tput_per_gpu, e2e_ms, interactivity FROM (
			SELECT s.*, row_number() OVER (PARTITION BY isl, osl, apart, team_id, conc ORDER BY tput_per_gpu DESC, e2e_ms, s.id) AS nth
			FROM submissions s JOIN teams t ON t.id = s.team_id WHERE NOT s.hidden AND (s.signed OR t.token_hash IS NULL))
			WHERE nth = 1;`, nil)
	if err != nil {
		return err
	}
	var all []place
	err = sqlitex.Execute(c, "SELECT DISTINCT isl, osl, apart, team_id FROM best",
		&sqlitex.ExecOptions{ResultFunc: func(st *sqlite.Stmt) error {
			all = append(all, place{st.ColumnInt(0), st.ColumnInt(1), st.ColumnText(2), st.ColumnInt64(3)})
			return nil
		}})
	for _, at := range all {
		if err == nil {
			err = b.stand(c, at)
		}
	}
	return err
}
