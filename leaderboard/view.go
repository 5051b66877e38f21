package leaderboard

import (
	"context"
	"sync"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"inferbench/baselines"
	"inferbench/harness/matrix"
	"inferbench/harness/pareto"
)

// Share is how many of the baseline's CONCs a team beats: its point there lies
// above the baseline's curve. A CONC that it has not submitted is not beaten.
type Share struct {
	Above int `json:"above"`
	Of    int `json:"of"` // CONCs of the baseline
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

// Standing is a team's place in the standings of one combination.
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

// Group is standings that are comparable among themselves.
type Group struct {
	Apart string       `json:"apart"` // empty: the baseline's workload; else why it stands apart
	Total int          `json:"teams_total"`
	Teams []Standing   `json:"teams"` // the first [maxTeams]
	Rows  []Submission `json:"-"`

	// Over the teams shown and, on the baseline's workload, the baseline.
	FrontInteractivity []PlotPoint `json:"pareto_interactivity"`
	FrontE2E           []PlotPoint `json:"pareto_e2e"`
}

// Title names the standings.
func (g Group) Title() string { return titles[g.Apart].title }

// Why says why they stand apart; empty for the first.
func (g Group) Why() string { return titles[g.Apart].why }

var apartGroups = []string{otherWorkload, unchecked, marked, embedded}

var titles = map[string]struct{ title, why string }{
	compared: {"On the baseline's workload", ""},
	otherWorkload: {"On another workload", "Other lengths, prompts, GPUs or another model than the baseline's: " +
		"what lies above its curve here did other work. " +
		"The rows say what differs."},
	unchecked: {"Figures alone", "They came without a result file, so nothing says on what workload they were " +
		"measured, and nobody can check them."},
	marked: {"Marked", "True figures that are not comparable: the client was the limit, the run ended early, " +
		"speculation was set, or accuracy did not run. The rows say which."},
	embedded: {"The embedded engine", "The suite's own engine, which says nothing about hardware."},
}

// View is the board of one combination.
type View struct {
	ISL      int               `json:"isl"`
	OSL      int               `json:"osl"`
	Hardware string            `json:"hardware"` // of the baseline
	Baseline []baselines.Point `json:"baseline"`
	// Rows are the best submissions per team and CONC of all standings, by
	// standings, CONC and throughput.
	Rows []Submission `json:"submissions"`
	Group
	Others []Group `json:"others"` // the standings apart, those that are empty left out
}

// Combination is the view's combination.
func (v *View) Combination() matrix.Combination { return matrix.Combination{ISL: v.ISL, OSL: v.OSL} }

// Groups are all standings that have a team.
func (v *View) Groups() []Group {
	var out []Group
	if len(v.Teams) > 0 {
		out = append(out, v.Group)
	}
	return append(out, v.Others...)
}

// view reads a combination's board: the teams whose names hold search, or all.
func (b *Board) view(ctx context.Context, c matrix.Combination, search string) (*View, error) {
	_, _, points := b.curves(c.ISL, c.OSL)
	v := &View{ISL: c.ISL, OSL: c.OSL, Hardware: b.baseline.Hardware, Baseline: append([]baselines.Point{},
		points...), Rows: []Submission{}, Others: []Group{}}
	err := b.store.read(ctx, func(conn *sqlite.Conn) error {
		for _, apart := range append([]string{compared}, apartGroups...) {
			g, err := b.group(conn, c, apart, search, len(points))
			if err != nil {
				return err
			}
			v.Rows = append(v.Rows, g.Rows...)
			if apart == compared {
				v.Group = g
			} else if len(g.Teams) > 0 {
				v.Others = append(v.Others, g)
			}
		}
		return nil
	})
	return v, err
}

const inOrder = ` ORDER BY above_i DESC, above_e DESC, best_tput DESC, team_id LIMIT ?6`

func (b *Board) group(conn *sqlite.Conn, c matrix.Combination, apart, search string, of int) (Group, error) {
	g := Group{Apart: apart, Teams: []Standing{}, Rows: []Submission{}, FrontInteractivity: []PlotPoint{},
		FrontE2E: []PlotPoint{}}
	key := search
	if n, err := nameOf(search); err == nil {
		key = n.key
	}
	args := []any{c.ISL, c.OSL, apart, key, search != "", maxTeams}
	const these = ` FROM standings WHERE isl = ?1 AND osl = ?2 AND apart = ?3 AND (NOT ?5 OR team_id IN (
		SELECT id FROM teams WHERE instr(name_key, ?4) > 0))`
	run := func(sql string, args []any, each func(*sqlite.Stmt)) error {
		return sqlitex.Execute(conn, sql, &sqlitex.ExecOptions{Args: args,
			ResultFunc: func(st *sqlite.Stmt) error { each(st); return nil }})
	}
	err := run("SELECT count(*)"+these, args[:5], func(st *sqlite.Stmt) { g.Total = st.ColumnInt(0) })
	if err != nil || g.Total == 0 && apart != compared {
		return g, err
	}
	err = run(`SELECT t.name, above_i, above_e, best_tput, best_ratio FROM (SELECT *`+these+inOrder+`) JOIN teams t ON t.id = team_id
		ORDER BY above_i DESC, above_e DESC, best_tput DESC, team_id`, args, func(st *sqlite.Stmt) {
		g.Teams = append(g.Teams, Standing{Team: st.ColumnText(0), Interactivity: Share{st.ColumnInt(1), of},
			E2E:      Share{st.ColumnInt(2), of},
			BestTput: st.ColumnFloat(3), BestTputRatio: floatOf(st, 4)})
	})
	if err != nil {
		return g, err
	}
	// CROSS JOIN: the few teams first, not all bests.
	err = run("SELECT "+columns+` FROM (SELECT team_id AS shown`+these+inOrder+`) CROSS JOIN best b ON b.isl = ?1 AND b.osl = ?2 AND b.apart = ?3 AND b.team_id = shown
		JOIN submissions s ON s.id = b.submission_id JOIN teams t ON t.id = s.team_id
		ORDER BY b.conc, b.tput_per_gpu DESC, b.e2e_ms, s.id LIMIT ?7`, append(args, maxRows), func(st *sqlite.Stmt) { g.Rows = append(g.Rows, b.scan(st)) })
	var byI, byE []pareto.Point
	if apart == compared { // the baseline did the same work, so it is one of them
		byI, byE, _ = b.curves(c.ISL, c.OSL)
	}
	for _, s := range g.Rows {
		if s.Interactivity != nil {
			byI = append(byI, pareto.Point{X: *s.Interactivity, Y: s.TputPerGPU})
		}
		byE = append(byE, pareto.Point{X: s.E2EMs, Y: s.TputPerGPU})
	}
	g.FrontInteractivity, g.FrontE2E = plot(pareto.Front(byI, pareto.High)), plot(pareto.Front(byE, pareto.Low))
	return g, err
}

func plot(ps []pareto.Point) []PlotPoint {
	out := make([]PlotPoint, len(ps))
	for i, p := range ps {
		out[i] = PlotPoint{p.X, p.Y}
	}
	return out
}

type viewKey struct{ matrix.Combination }

// kept is a view that was read a moment ago, and the page made of it. Its lock
// makes readers that come together wait for one query.
type kept struct {
	mu      sync.Mutex
	view    *View
	changed int64
	at      time.Time

	html    []byte
	htmlFor string // address and boards that the page names
	tag     string // ETag of html
}

// recheck is how long a view is believed although this process changed nothing:
// another one (inferbench board issue) may have.
const recheck = 2 * time.Second

// board is the board of one combination as of now or later: a view that was
// read after this call began will do, so however many read a busy board, they
// share one query after another.
func (b *Board) board(ctx context.Context, c matrix.Combination) (*View, error) {
	now := b.changed.Load()
	k := b.keep(c)
	defer k.mu.Unlock()
	err := b.refresh(ctx, k, c, now)
	return k.view, err
}

// keep gives the locked place of a combination's view.
func (b *Board) keep(c matrix.Combination) *kept {
	k, ok := b.views.Get(viewKey{c})
	if !ok {
		k = &kept{}
		if old, found, _ := b.views.PeekOrAdd(viewKey{c}, k); found {
			k = old
		}
	}
	k.mu.Lock()
	return k
}

func (b *Board) refresh(ctx context.Context, k *kept, c matrix.Combination, asOf int64) error {
	if k.view != nil && k.changed >= asOf && time.Since(k.at) < recheck {
		return nil
	}
	now := b.changed.Load()
	v, err := b.view(ctx, c, "")
	if err != nil {
		return err
	}
	k.view, k.changed, k.at, k.html = v, now, time.Now(), nil
	return nil
}
