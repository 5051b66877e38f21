package leaderboard

import (
	"context"
	"slices"
	"strings"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"inferbench/harness/matrix"
)

// Submission is a submission as the board shows it. The ratios are the board's
// own: ours / its baseline, absent where the baseline has no such cell.
type Submission struct {
	ID             int64     `json:"id"`
	Team           string    `json:"team"`
	ISL            int       `json:"isl"`
	OSL            int       `json:"osl"`
	Conc           int       `json:"conc"`
	E2EMs          float64   `json:"e2e_ms"`
	TputPerGPU     float64   `json:"tput_per_gpu"`
	Interactivity  *float64  `json:"interactivity"` // tok/s/user; null: no result file came with it
	E2ERatio       *float64  `json:"e2e_ratio"`
	TputRatio      *float64  `json:"tput_ratio"`
	BitsPerByte    *float64  `json:"bits_per_byte"` // null: not of that task, as the next three
	BytePerplexity *float64  `json:"byte_perplexity"`
	WordPerplexity *float64  `json:"word_perplexity"`
	GSM8K          *float64  `json:"gsm8k_metric"`
	Task           string    `json:"task"` // accuracy task, empty where unknown
	Model          string    `json:"model"`
	Engine         string    `json:"engine"`
	RangeRatio     *float64  `json:"random_range_ratio"`
	GPUs           *int      `json:"gpus"`
	Prompts        *int      `json:"num_prompts"`
	Apart          string    `json:"apart"`  // the standings that it is in: see [Group]
	Marks          []string  `json:"marks"`  // of the rules: client_limited, embedded, …
	Unlike         string    `json:"unlike"` // in what its workload is not the baseline's; empty where in nothing
	ClientLimited  bool      `json:"client_limited"`
	Signed         bool      `json:"signed"` // came with the team's token
	Hidden         bool      `json:"hidden"`
	ResultSHA256   string    `json:"result_sha256"` // empty: no result file came with it
	Submitted      time.Time `json:"submitted"`
}

const columns = `s.id, t.name, s.isl, s.osl, s.conc, s.e2e_ms, s.tput_per_gpu, s.interactivity,
	s.bits_per_byte, s.byte_perplexity, s.word_perplexity, s.gsm8k, s.task, s.model, s.engine, s.range_ratio, s.gpus, s.prompts,
	s.apart, s.marks, s.unlike, s.client_limited, s.signed, s.hidden, s.result_sha256, s.created_ms`

// floatOf is a column's figure, nil for NULL.
func floatOf(st *sqlite.Stmt, col int) *float64 {
	if st.ColumnIsNull(col) {
		return nil
	}
	v := st.ColumnFloat(col)
	return &v
}

// intOf is a column's count, nil for NULL.
func intOf(st *sqlite.Stmt, col int) *int {
	if st.ColumnIsNull(col) {
		return nil
	}
	v := st.ColumnInt(col)
	return &v
}

// positive is a column's figure, nil for 0, which stands for an absent one.
func positive(st *sqlite.Stmt, col int) *float64 {
	if v := floatOf(st, col); v != nil && *v > 0 {
		return v
	}
	return nil
}

func (b *Board) scan(st *sqlite.Stmt) Submission {
	s := Submission{ID: st.ColumnInt64(0), Team: st.ColumnText(1), ISL: st.ColumnInt(2), OSL: st.ColumnInt(3),
		Conc:  st.ColumnInt(4),
		E2EMs: st.ColumnFloat(5), TputPerGPU: st.ColumnFloat(6), Interactivity: floatOf(st, 7),
		BitsPerByte: positive(st, 8), BytePerplexity: positive(st, 9), WordPerplexity: positive(st,
			10), GSM8K: floatOf(st, 11),
		Task: st.ColumnText(12), Model: st.ColumnText(13), Engine: st.ColumnText(14), RangeRatio: floatOf(st,
			15), GPUs: intOf(st, 16), Prompts: intOf(st, 17),
		Apart: st.ColumnText(18), Marks: strings.Fields(st.ColumnText(19)), Unlike: st.ColumnText(20),
		ClientLimited: st.ColumnBool(21), Signed: st.ColumnBool(22), Hidden: st.ColumnBool(23),
		ResultSHA256: st.ColumnText(24),
		Submitted:    time.UnixMilli(st.ColumnInt64(25)).UTC()}
	if p, ok := b.baseline.Point(s.ISL, s.OSL, s.Conc); ok {
		e2e, tput := s.E2EMs/p.MedianE2E, s.TputPerGPU/p.TputPerGPU
		s.E2ERatio, s.TputRatio = &e2e, &tput
	}
	return s
}

func (b *Board) list(ctx context.Context, sql string, args ...any) ([]Submission, error) {
	out := []Submission{}
	err := b.store.read(ctx, func(c *sqlite.Conn) error {
		return sqlitex.Execute(c, sql, &sqlitex.ExecOptions{Args: args, ResultFunc: func(st *sqlite.Stmt) error {
			out = append(out, b.scan(st))
			return nil
		}})
	})
	return out, err
}

// Most rows that one answer holds, and most teams that one list of standings
// does: the others are found by name.
const (
	maxRows  = 2000
	maxTeams = 100
)

// history is everything a team submitted, newest first, from before the
// submission with id before (0: from the newest). errNotFound without any.
func (b *Board) history(ctx context.Context, team string, before int64, limit int) ([]Submission, error) {
	n, err := nameOf(team)
	if err != nil {
		return nil, errNotFound
	}
	if before <= 0 {
		before = 1 << 62
	}
	rows, err := b.list(ctx, "SELECT "+columns+` FROM submissions s JOIN teams t ON t.id = s.team_id
		WHERE t.name_key = ? AND s.id < ? ORDER BY s.id DESC LIMIT ?`, n.key, before, limit)
	if err == nil && len(rows) == 0 && before == 1<<62 {
		return nil, errNotFound
	}
	return rows, err
}

func (b *Board) submission(ctx context.Context, id int64) (Submission, error) {
	rows, err := b.list(ctx, "SELECT "+columns+" FROM submissions s JOIN teams t ON t.id = s.team_id WHERE s.id = ?", id)
	if err == nil && len(rows) == 0 {
		err = errNotFound
	}
	if err != nil {
		return Submission{}, err
	}
	return rows[0], nil
}

// byEvent finds the submission that a Gradio call made.
func (b *Board) byEvent(ctx context.Context, eventID string) (Submission, error) {
	rows, err := b.list(ctx, "SELECT "+columns+" FROM submissions s JOIN teams t ON t.id = s.team_id WHERE "+
		"s.event_id = ?", eventID)
	if err == nil && len(rows) == 0 {
		err = errNotFound
	}
	if err != nil {
		return Submission{}, err
	}
	return rows[0], nil
}

// resultFile is the result file of a submission, byte for byte as it came.
func (b *Board) resultFile(ctx context.Context, id int64) ([]byte, error) {
	var zipped []byte
	err := b.store.read(ctx, func(c *sqlite.Conn) error {
		return sqlitex.Execute(c, "SELECT r.content FROM results r JOIN submissions s ON s.result_sha256 = "+
			"r.sha256 WHERE s.id = ?",
			&sqlitex.ExecOptions{Args: []any{id}, ResultFunc: func(st *sqlite.Stmt) error {
				zipped = make([]byte, st.ColumnLen(0))
				st.ColumnBytes(0, zipped)
				return nil
			}})
	})
	if err != nil {
		return nil, err
	}
	if zipped == nil {
		return nil, errNotFound
	}
	return unzip(zipped)
}

// combinations are those that have a baseline and those that were submitted.
func (b *Board) combinations(ctx context.Context) ([]matrix.Combination, error) {
	out := slices.Clone(matrix.Standard)
	err := b.store.read(ctx, func(c *sqlite.Conn) error {
		return sqlitex.Execute(c, "SELECT DISTINCT isl, osl FROM standings ORDER BY isl, osl LIMIT 200",
			&sqlitex.ExecOptions{ResultFunc: func(st *sqlite.Stmt) error {
				c := matrix.Combination{ISL: st.ColumnInt(0), OSL: st.ColumnInt(1)}
				if !c.IsStandard() {
					out = append(out, c)
				}
				return nil
			}})
	})
	return out, err
}
