package stats

// Speculation is what a server guessed ahead over a run, and what of it was
// right. The definitions are vLLM's.
type Speculation struct {
	Drafts           *float64  `json:"drafts"`       // times that it guessed; null where the server does not say
	DraftTokens      *float64  `json:"draft_tokens"` // tokens guessed; null where the server does not say
	AcceptedTokens   float64   `json:"accepted_tokens"`
	AcceptanceRate   *float64  `json:"acceptance_rate"`        // accepted / guessed
	AcceptanceLength *float64  `json:"acceptance_length"`      // tokens a decode step: 1 + accepted / drafts
	PerPosition      []float64 `json:"per_position,omitempty"` // share of drafts whose guess at that position was accepted
	Synthetic        bool      `json:"synthetic"`              // the server accepts at a set length, whatever was guessed
	SyntheticLength  *float64  `json:"synthetic_length,omitempty"`
}

// NewSpeculation takes the figures of counts over a run, of which either drafts or
// draftTokens is known; nil where nothing was guessed, or where the counts cannot be
// true together.
func NewSpeculation(drafts, draftTokens *float64, accepted float64, perPosition []float64) *Speculation {
	none := func(v *float64) bool { return v == nil || !(*v > 0) }
	switch {
	case drafts != nil && none(drafts), drafts == nil && none(draftTokens), !(accepted >= 0),
		draftTokens != nil && accepted > *draftTokens:
		return nil
	}
	s := &Speculation{Drafts: drafts, DraftTokens: draftTokens, AcceptedTokens: accepted}
	if !none(draftTokens) {
		rate := accepted / *draftTokens
		s.AcceptanceRate = &rate
	}
	if drafts != nil {
		length := 1 + accepted / *drafts
		s.AcceptanceLength = &length
		for _, n := range perPosition {
			s.PerPosition = append(s.PerPosition, n / *drafts)
		}
	}
	return s
}
