package settings

import (
	"errors"
	"slices"

	"inferbench/harness/matrix"
)

// At says at which CONC of a combination accuracy is scored; the zero At is at
// every one.
type At struct {
	Once, Ends bool  // at the highest alone; at the lowest and the highest
	Conc       []int // at these, ascending
}

// For is the CONC whose score a cell stands on: its own where that is scored,
// else the next higher one that is, since more load is the harder test, else the
// highest. All are the CONC of the combination's cells.
func (a At) For(conc int, all []int) int {
	at := slices.Clone(a.Conc)
	switch {
	case a.Once:
		at = []int{slices.Max(all)}
	case a.Ends:
		at = []int{slices.Min(all), slices.Max(all)}
	case len(at) == 0:
		return conc
	}
	for _, n := range at {
		if n >= conc {
			return n
		}
	}
	return at[len(at)-1]
}

// Scores lists the scores that the cells stand on, by combination and CONC.
func (a At) Scores(cells []matrix.Cell) (scores []matrix.Cell) {
	conc := map[matrix.Combination][]int{}
	for _, c := range cells {
		conc[c.Combination] = append(conc[c.Combination], c.Conc)
	}
	for _, c := range cells {
		at := matrix.Cell{Combination: c.Combination, Conc: a.For(c.Conc, conc[c.Combination])}
		if !slices.Contains(scores, at) {
			scores = append(scores, at)
		}
	}
	return scores
}

func setAccuracyAt(s *Settings, v string) error {
	switch v {
	case "once":
		s.Accuracy.At = At{Once: true}
	case "ends":
		s.Accuracy.At = At{Ends: true}
	default:
		list, err := concList(v)
		if err != nil {
			return errors.New("want once, ends, or whole numbers as 16,64")
		}
		slices.Sort(list)
		s.Accuracy.At = At{Conc: list}
	}
	return nil
}
