package stats

import "slices"

// KeptGaps is how many gaps between tokens a [Collector] keeps whole: 128 MiB
// of them. The largest cell of a standard sweep, 1,280 requests of 8,192
// tokens, has a third as many.
const KeptGaps = 1 << 25

// Collector gathers the timings of a run as its requests finish. Timings are
// kept whole. So are their gaps, and percentiles of ITL are exact, until there
// are more than Limit of them: then all gaps, of earlier and later requests,
// are folded into one [Histogram].
type Collector struct {
	Limit int // gaps; 0 means KeptGaps

	timings []Timing
	gaps    int
	folded  *Histogram // of the gaps between chunks
	tokens  *Histogram // of the gaps a token
}

// Add takes the timing of a request that finished or failed. The gaps of a
// failed one count in no figure.
func (c *Collector) Add(t Timing) {
	if c.Limit == 0 {
		c.Limit = KeptGaps
	}
	c.gaps += t.ITL.Len() + t.Known.ITL.Len()
	c.timings = append(c.timings, t)
	switch {
	case c.folded != nil:
		c.fold(len(c.timings) - 1)
	case c.gaps > c.Limit:
		c.Fold()
	}
}

// Fold folds the gaps at once, whatever their number, and those to come.
func (c *Collector) Fold() {
	if c.folded != nil {
		return
	}
	c.folded, c.tokens = NewHistogram(), NewHistogram()
	for i := range c.timings {
		c.fold(i)
	}
}

func (c *Collector) fold(i int) {
	t := &c.timings[i]
	if t.Err == "" && !t.Apart {
		c.folded.RecordAll(t.ITL)
		c.tokens.RecordAll(t.perToken())
	}
	t.ITL, t.Known.ITL = Gaps{}, Gaps{}
}

// Len is how many timings were gathered so far.
func (c *Collector) Len() int { return len(c.timings) }

// Timings are those gathered so far, in order of index. They are good until the
// next call of Add.
func (c *Collector) Timings() []Timing {
	slices.SortStableFunc(c.timings, func(a, b Timing) int { return a.Index - b.Index })
	return c.timings
}

// Folded is the histogram of all gaps, nil where they were kept whole.
func (c *Collector) Folded() *Histogram { return c.folded }

// FoldedTokens is the histogram of all gaps a token, of the answers whose chunks
// carried counts; nil where gaps were kept whole.
func (c *Collector) FoldedTokens() *Histogram { return c.tokens }
