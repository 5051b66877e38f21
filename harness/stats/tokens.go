package stats

// Offset is by how many tokens a server's counts of prompts are above what was
// sent: a BOS token, a chat's template.
type Offset struct {
	Known  bool
	Tokens int
}

// OffsetSlack is by how many tokens an offset may differ from one text to the
// next: at its ends a chat's template may join or split a token.
const OffsetSlack = 2

// Like reports whether two offsets may be of one server.
func (o Offset) Like(p Offset) bool {
	return o.Tokens-p.Tokens <= OffsetSlack && p.Tokens-o.Tokens <= OffsetSlack
}

// inputTokens is the number of input tokens of the requests that succeeded; nil
// where nobody counted those of one of them.
func inputTokens(ts []Timing) *int64 {
	total := int64(0)
	for _, t := range ts {
		switch {
		case t.Err != "":
		case t.Prompt.Unknown:
			return nil
		default:
			total += int64(t.InputTokens)
		}
	}
	return &total
}

// tokens says who counted a run's tokens, and how they came.
func (r Run) tokens() Tokens {
	var (
		out                   Tokens
		usage, chunks         bool // who counted the answers
		sent, counted, server = false, false, int64(0)
		output, pieces        int64
		all, known            int
	)
	if r.InputOffset.Known {
		out.InputOffset = &r.InputOffset.Tokens
	}
	for i := range r.Timings {
		t := &r.Timings[i]
		if t.Err != "" {
			continue
		}
		all++
		usage, chunks = usage || !t.NoUsage, chunks || t.NoUsage
		sent, counted = sent || t.Prompt.Sent > 0, counted || t.Prompt.Sent == 0 && t.Prompt.Counted
		if t.Prompt.Counted {
			known++
			server += int64(t.Prompt.Server)
		}
		output, pieces = output+int64(t.OutputTokens), pieces+int64(t.Chunks)
		out.Untimed += int64(max(t.OutputTokens-t.Chunks, 0))
	}
	out.TokensFrom, out.InputFrom = of(usage, chunks, "usage", "chunks"), of(sent, counted, "sent", "usage")
	if all == 0 {
		return out
	}
	if known == all {
		out.ServerInputTokens = &server
	}
	if pieces > 0 {
		mean := float64(output) / float64(pieces)
		out.PerChunk = &mean
	}
	return out
}

// of names who did a thing: the first, the second, "both", or nobody.
func of(first, second bool, a, b string) string {
	switch {
	case first && second:
		return "both"
	case first:
		return a
	case second:
		return b
	}
	return ""
}

// perToken is the distribution of the gaps a token; nil where the server did not
// say for every answer how many tokens each chunk carried, and where each carried
// one.
func (r Run) perToken() *Dist {
	var gaps []Gaps
	n, several := 0, false
	for i := range r.Timings {
		t := &r.Timings[i]
		switch {
		case t.Err != "", t.Apart:
			continue
		case t.Known.First == 0:
			return nil
		}
		several = several || t.OutputTokens > t.Chunks
		gaps = append(gaps, t.perToken())
		n += gaps[len(gaps)-1].Len()
	}
	if !several {
		return nil
	}
	d := distOfGaps(gaps, n)
	if r.FoldedTokens != nil {
		d = r.FoldedTokens.dist()
	}
	return &d
}

// TooManyCached reports whether the server says of this prompt that more of its
// tokens were in the prefix cache than it has.
func (t *Timing) TooManyCached() bool {
	return t.Err == "" && t.Prompt.CachedTold && t.Prompt.Cached > max(t.InputTokens, t.Prompt.Server)
}

// cache says what the answers tell of the prefix cache: nothing where none tells,
// or where one tells what cannot be.
func (r Run) cache(input *int64) Cache {
	cached, told, wrong, of := int64(0), false, false, [3]int64{}
	for i := range r.Timings {
		t := &r.Timings[i]
		if t.Err != "" {
			continue
		}
		if t.Prompt.CachedTold {
			cached, told, wrong = cached+int64(t.Prompt.Cached), true, wrong || t.TooManyCached()
		}
		if tiers := t.Prompt.Tiers; tiers != nil {
			of[0], of[1], of[2] = of[0]+int64(tiers.Device), of[1]+int64(tiers.Host), of[2]+int64(tiers.Storage)
		}
	}
	if !told || wrong || input != nil && cached > *input {
		return Cache{}
	}
	c := Cache{CachedTokens: &cached, CachedFrom: "usage"}
	if input != nil && *input > 0 {
		rate := float64(cached) / float64(*input)
		c.HitRate = &rate
		for i, name := range []string{"device", "host", "storage"} {
			if of[i] > 0 && of[0]+of[1]+of[2] <= *input {
				if c.BySource == nil {
					c.BySource = map[string]float64{}
				}
				c.BySource[name] = float64(of[i]) / float64(*input)
			}
		}
	}
	return c
}
