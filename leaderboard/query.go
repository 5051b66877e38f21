package leaderboard

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"io"
	"slices"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"inferbench/baselines"
	"inferbench/harness/matrix"
	"inferbench/harness/pareto"
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
	BitsPerByte    float64   `json:"bits_per_byte"`
	BytePerplexity float64   `json:"byte_perplexity"`
	WordPerplexity float64   `json:"word_perplexity"`
	Model          string    `json:"model"`
	Engine         string    `json:"engine"`
	RangeRatio     *float64  `json:"random_range_ratio"`
	GPUs           *int      `json:"gpus"`
	ClientLimited  bool      `json:"client_limited"`
	Signed         bool      `json:"signed"` // came with the team's token
	Hidden         bool      `json:"hidden"`
	ResultSHA256   string    `json:"result_sha256"` // empty: no result file came with it
	Submitted      time.Time `json:"submitted"`
}

const columns = `s.id, t.name, s.isl, s.osl, s.conc, s.e2e_ms, s.tput_per_gpu, s.interactivity,
	s.bits_per_byte, s.byte_perplexity, s.word_perplexity, s.model, s.engine, s.range_ratio, s.gpus,
	s.client_limited, s.signed, s.hidden, s.result_sha256, s.created_ms`

func (b *Board) scan(st *sqlite.Stmt) Submission {
	s := Submission{ID: st.ColumnInt64(0), Team: st.ColumnText(1), ISL: st.ColumnInt(2), OSL: st.ColumnInt(3), Conc: st.ColumnInt(4),
		E2EMs: st.ColumnFloat(5), TputPerGPU: st.ColumnFloat(6), BitsPerByte: st.ColumnFloat(8), BytePerplexity: st.ColumnFloat(9),
		WordPerplexity: st.ColumnFloat(10), Model: st.ColumnText(11), Engine: st.ColumnText(12),
		ClientLimited: st.ColumnBool(15), Signed: st.ColumnBool(16), Hidden: st.ColumnBool(17), ResultSHA256: st.ColumnText(18),
		Submitted: time.UnixMilli(st.ColumnInt64(19)).UTC()}
	for col, field := range map[int]**float64{7: &s.Interactivity, 13: &s.RangeRatio} {
		if !st.ColumnIsNull(col) {
			v := st.ColumnFloat(col)
			*field = &v
		}
	}
	if !st.ColumnIsNull(14) {
		n := st.ColumnInt(14)
		s.GPUs = &n
	}
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

// Most rows that one answer holds.
const maxRows = 2000

// best are a combination's best submissions per team and CONC: by CONC, then
// by throughput.
func (b *Board) best(ctx context.Context, c matrix.Combination) ([]Submission, error) {
	return b.list(ctx, "SELECT "+columns+` FROM best b JOIN submissions s ON s.id = b.submission_id JOIN teams t ON t.id = s.team_id
		WHERE b.isl = ? AND b.osl = ? ORDER BY b.conc, b.tput_per_gpu DESC, b.e2e_ms, s.id LIMIT ?`, c.ISL, c.OSL, maxRows)
}

// history is everything a team submitted, newest first, from before the
// submission with id before (0: from the newest). errNotFound without any.
func (b *Board) history(ctx context.Context, team string, before int64, limit int) ([]Submission, error) {
	_, key, err := nameOf(team)
	if err != nil {
		return nil, errNotFound
	}
	if before <= 0 {
		before = 1 << 62
	}
	rows, err := b.list(ctx, "SELECT "+columns+` FROM submissions s JOIN teams t ON t.id = s.team_id
		WHERE t.name_key = ? AND s.id < ? ORDER BY s.id DESC LIMIT ?`, key, before, limit)
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
	rows, err := b.list(ctx, "SELECT "+columns+" FROM submissions s JOIN teams t ON t.id = s.team_id WHERE s.event_id = ?", eventID)
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
		return sqlitex.Execute(c, "SELECT r.content FROM results r JOIN submissions s ON s.result_sha256 = r.sha256 WHERE s.id = ?",
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
	z, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// combinations are those that have a baseline and those that were submitted.
func (b *Board) combinations(ctx context.Context) ([]matrix.Combination, error) {
	out := slices.Clone(matrix.Standard)
	err := b.store.read(ctx, func(c *sqlite.Conn) error {
		return sqlitex.Execute(c, "SELECT DISTINCT isl, osl FROM best ORDER BY isl, osl LIMIT 200", &sqlitex.ExecOptions{ResultFunc: func(st *sqlite.Stmt) error {
			c := matrix.Combination{ISL: st.ColumnInt(0), OSL: st.ColumnInt(1)}
			if !c.IsStandard() {
				out = append(out, c)
			}
			return nil
		}})
	})
	return out, err
}

// Share is how many of a team's points lie above the reference's curve.
type Share struct {
	Above int `json:"above"`
	Of    int `json:"of"` // points whose x is known
}

// Qualifies reports whether at least half lies above: the competition's bar.
func (s Share) Qualifies() bool { return s.Of > 0 && 2*s.Above >= s.Of }

// Percent is the share in percent, 0 where there is no point.
func (s Share) Percent() float64 {
	if s.Of == 0 {
		return 0
	}
	return 100 * float64(s.Above) / float64(s.Of)
}

// Standing is a team's place on the board of one combination.
type Standing struct {
	Team          string   `json:"team"`
	Interactivity Share    `json:"above_by_interactivity"` // throughput/GPU against interactivity
	E2E           Share    `json:"above_by_e2e"`           // throughput/GPU against E2E
	BestTput      float64  `json:"best_tput_per_gpu"`
	BestTputRatio *float64 `json:"best_tput_ratio"`
}

// PlotPoint is a corner of a Pareto front.
type PlotPoint struct {
	X float64 `json:"x"`
	Y float64 `json:"tput_per_gpu"`
}

// View is the board of one combination.
type View struct {
	ISL      int               `json:"isl"`
	OSL      int               `json:"osl"`
	Hardware string            `json:"hardware"` // of the baseline
	Baseline []baselines.Point `json:"baseline"`
	Rows     []Submission      `json:"submissions"` // best per team and CONC
	Teams    []Standing        `json:"teams"`

	FrontInteractivity []PlotPoint `json:"pareto_interactivity"` // over all teams
	FrontE2E           []PlotPoint `json:"pareto_e2e"`
}

// Combination is the view's combination.
func (v *View) Combination() matrix.Combination { return matrix.Combination{ISL: v.ISL, OSL: v.OSL} }

// build works out a combination's board from its best submissions.
func (b *Board) build(c matrix.Combination, rows []Submission) *View {
	v := &View{ISL: c.ISL, OSL: c.OSL, Hardware: b.baseline.Hardware, Rows: rows, Teams: []Standing{}, Baseline: []baselines.Point{}}
	var refI, refE, allI, allE []pareto.Point
	for _, p := range b.baseline.Points {
		if p.ISL == c.ISL && p.OSL == c.OSL {
			v.Baseline = append(v.Baseline, p)
			refI = append(refI, pareto.Point{X: p.Interactivity, Y: p.TputPerGPU})
			refE = append(refE, pareto.Point{X: p.MedianE2E, Y: p.TputPerGPU})
		}
	}
	at := map[string]int{}
	for _, s := range rows {
		i, ok := at[s.Team]
		if !ok {
			i = len(v.Teams)
			at[s.Team] = i
			v.Teams = append(v.Teams, Standing{Team: s.Team})
		}
		t := &v.Teams[i]
		count := func(share *Share, p pareto.Point, ref []pareto.Point, x pareto.Better) {
			if len(ref) > 0 {
				share.Of++
				if pareto.Above(p, ref, x) {
					share.Above++
				}
			}
		}
		if s.Interactivity != nil {
			p := pareto.Point{X: *s.Interactivity, Y: s.TputPerGPU}
			allI = append(allI, p)
			count(&t.Interactivity, p, refI, pareto.High)
		}
		p := pareto.Point{X: s.E2EMs, Y: s.TputPerGPU}
		allE = append(allE, p)
		count(&t.E2E, p, refE, pareto.Low)
		t.BestTput = max(t.BestTput, s.TputPerGPU)
		if s.TputRatio != nil && (t.BestTputRatio == nil || *s.TputRatio > *t.BestTputRatio) {
			t.BestTputRatio = s.TputRatio
		}
	}
	slices.SortStableFunc(v.Teams, func(a, b Standing) int {
		return cmp.Or(cmp.Compare(b.Interactivity.Percent(), a.Interactivity.Percent()), cmp.Compare(b.E2E.Percent(), a.E2E.Percent()),
			cmp.Compare(b.BestTput, a.BestTput), cmp.Compare(a.Team, b.Team))
	})
	v.FrontInteractivity, v.FrontE2E = plot(pareto.Front(allI, pareto.High)), plot(pareto.Front(allE, pareto.Low))
	return v
}

func plot(ps []pareto.Point) []PlotPoint {
	out := make([]PlotPoint, len(ps))
	for i, p := range ps {
		out[i] = PlotPoint{p.X, p.Y}
	}
	return out
}
