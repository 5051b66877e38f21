package load

import "inferbench/harness/stats"

// latencies are those of a run so far, for its progress.
type latencies struct {
	ttft, tpot, e2el *stats.Histogram
	itl              *stats.Histogram // nil where nobody asks for it
}

func newLatencies(itl bool) *latencies {
	l := &latencies{ttft: stats.NewHistogram(), tpot: stats.NewHistogram(), e2el: stats.NewHistogram()}
	if itl {
		l.itl = stats.NewHistogram()
	}
	return l
}

// add adds a request that succeeded.
func (l *latencies) add(t *stats.Timing) {
	l.ttft.Record(t.TTFT())
	l.e2el.Record(t.E2EL())
	if t.HasTPOT() {
		l.tpot.Record(t.TPOT())
	}
	if l.itl != nil {
		l.itl.RecordAll(t.ITL)
	}
}

// tell fills in a progress.
func (l *latencies) tell(p *Progress) {
	for _, of := range []struct {
		h  *stats.Histogram
		to *Spread
	}{{l.ttft, &p.TTFT}, {l.tpot, &p.TPOT}, {l.itl, &p.ITL}, {l.e2el, &p.E2EL}} {
		if of.h != nil && of.h.Len() > 0 {
			*of.to = Spread{of.h.At(50), of.h.At(99)}
		}
	}
}
