package compare

import (
	"fmt"
	"math"
	"slices"

	moremath "github.com/aclements/go-moremath/stats"

	"inferbench/harness/batch"
	"inferbench/harness/figures"
	"inferbench/harness/matrix"
)

// MinPairs is the number of pairs of blocks from which their ratios say anything.
const MinPairs = 3

// Pair is a block of requests on either side, one measured right after the other.
type Pair struct{ A, B *batch.Result }

// Paired compares two servers by blocks that were measured in turn. What changes
// slowly, as a machine that heats up, is the same in both blocks of a pair, and
// falls out of their ratio: the interval of a figure is Student's t over the
// logarithms of the pairs' ratios. o.Confidence is of all figures of the cell
// together (Bonferroni).
func Paired(cell matrix.Cell, pairs []Pair, o Options) Cell {
	if o.Confidence == 0 {
		o.Confidence = 0.95
	}
	out := Cell{Name: cell.Name(), Method: fmt.Sprintf("Student's t over %d pairs of blocks", len(pairs))}
	for _, p := range pairs {
		for _, m := range slices.Concat(p.A.Marks, p.B.Marks) {
			if !slices.Contains(out.Marks, m) {
				out.Marks = append(out.Marks, m)
			}
		}
	}
	limited := slices.Contains(out.Marks, batch.ClientLimited)
	if limited {
		out.Method = "ratio only: a block was limited by the client, not by the server"
	}
	for _, fig := range compared {
		if f := pairedFigure(fig, pairs); f != nil {
			out.Figures = append(out.Figures, *f)
		}
	}
	for i := range out.Figures {
		f := &out.Figures[i]
		if !limited && len(pairs) >= MinPairs {
			f.judge(pairedInterval(logRatios(figures.ByKey(f.Key), pairs), (1-o.Confidence)/float64(len(out.Figures))))
		}
	}
	return out
}

// pairedFigure is a figure by the geometric means of both sides; nil where a block
// has it not.
func pairedFigure(fig figures.Figure, pairs []Pair) *Figure {
	logs := logRatios(fig, pairs)
	if len(logs) == 0 || len(logs) < len(pairs) {
		return nil
	}
	f := &Figure{Key: fig.Key, Higher: fig.Better == figures.Higher, Verdict: Untested}
	var a float64
	for _, p := range pairs {
		a += math.Log(*fig.Of(p.A)) / float64(len(pairs))
	}
	f.A, f.Ratio = math.Exp(a), math.Exp(moremath.Mean(logs))
	f.B = f.A * f.Ratio
	return f
}

// logRatios are the logarithms of B/A, of the pairs whose blocks both have the
// figure.
func logRatios(fig figures.Figure, pairs []Pair) (out []float64) {
	for _, p := range pairs {
		if a, b := fig.Of(p.A), fig.Of(p.B); a != nil && b != nil && *a > 0 && *b > 0 {
			out = append(out, math.Log(*b / *a))
		}
	}
	return out
}

// pairedInterval is the interval of the ratio whose logarithms these are.
func pairedInterval(logs []float64, alpha float64) (low, high float64) {
	s := moremath.Sample{Xs: logs}
	t := moremath.InvCDF(moremath.TDist{V: float64(len(logs) - 1)})(1 - alpha/2)
	half := t * s.StdDev() / math.Sqrt(float64(len(logs)))
	return math.Exp(s.Mean() - half), math.Exp(s.Mean() + half)
}
