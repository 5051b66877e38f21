package stats

// Answer is the beginning of what a server wrote for one request. It is kept of
// a few requests only, to be compared with what the same prompt gave before.
type Answer struct {
	Index  int // of the request in the workload
	Pieces []Piece
}

// Piece is the text of one token; or of several, where the server does not say
// how they share it out.
type Piece struct {
	Text string
	Top  []Likely // the likeliest tokens there, where the server was asked for them; in no order
}

// Likely is a token that a model may go on with.
type Likely struct {
	Text    string
	Logprob float64 // natural
}

// Text is the whole of what was kept.
func (a Answer) Text() string {
	n := 0
	for _, p := range a.Pieces {
		n += len(p.Text)
	}
	b := make([]byte, 0, n)
	for _, p := range a.Pieces {
		b = append(b, p.Text...)
	}
	return string(b)
}
