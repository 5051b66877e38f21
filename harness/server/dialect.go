package server

import (
	"context"
	"slices"

	"inferbench/harness/scrape"
)

// Dialect is how one make of server differs from the others. Each has a file of
// its own, dialect_NAME.go, and a place in [Dialects]; nothing outside these
// files asks for a make by its name. What is left out is as [OpenAI] has it.
type Dialect struct {
	Name    string   // as results record it
	OwnedBy []string // what its model list says in owned_by, by which it is recognised

	TextOnly bool // it takes prompts as text alone, not as token ids

	// Tokenize gives the tokens of text, with those that the tokenizer adds of
	// itself where special is set; see [Server.Tokenize]. Left out, it is
	// POST /tokenize with a prompt.
	Tokenize func(t *Server, ctx context.Context, r Retry, text string, special bool) ([]int32, error)

	Detokenize string // the path that gives the text of tokens, where not /detokenize

	// Prefix finds the token that a text begins with; see [Server.Prefix]. Left
	// out, the server is asked for BOS and EOS by name.
	Prefix func(t *Server, ctx context.Context, r Retry) (int32, error)

	// Ways lists how log-probabilities may be had, in the order in which they
	// are tried; see [Server.Scorer]. Left out, they are those of [OpenAI].
	Ways []Way

	RepetitionPenalty string // what it calls repetition_penalty, where not so

	// Describe fills in what the server says of itself beside its model list.
	// Left out, there is nothing more.
	Describe func(t *Server, ctx context.Context)

	// Pages lists where it says how it was started; see [Server.About]. Left out,
	// they are those of [OpenAI].
	Pages []Page

	// Resets lists what is posted, one after another, to make it forget its prefix
	// cache; see [Server.ResetCache]. Left out, they are those of [OpenAI].
	Resets []Reset

	// Profiler says how it records where its time goes; see [Server.StartProfile].
	// Left out, it is [OpenAI]'s.
	Profiler *Profiler

	// SaltKey is the key of a request's body whose value keeps its entries of the
	// prefix cache apart from those of other values. Left out, there is none.
	SaltKey string

	// TiersKey is the key of a request's body that asks where a prompt's cached tokens
	// were. Left out, there is none.
	TiersKey string

	// Metrics names the figures of its /metrics page. NoMetrics says how to start it
	// where it shows none.
	Metrics   scrape.Names
	NoMetrics string
}

// Dialects lists the dialects that are known, the one that is assumed of an
// unknown server last. The figures of a /metrics page are looked for in this
// order, since a router may hide whose page it is.
var Dialects = []*Dialect{VLLM, SGLang, LlamaCpp, LlamaCppPython, Embedded, OpenAI}

// dialectOf recognises a server by the owner that its model list names.
func dialectOf(owner string) *Dialect {
	for _, d := range Dialects {
		if slices.Contains(d.OwnedBy, owner) {
			return d
		}
	}
	return OpenAI
}

// MetricNames lists what the dialects call the figures of a /metrics page.
func MetricNames() []scrape.Names {
	names := make([]scrape.Names, len(Dialects))
	for i, d := range Dialects {
		names[i] = d.Metrics
	}
	return append(names, others...)
}

// ways lists the dialect's ways of scoring.
func (d *Dialect) ways() []Way {
	if d.Ways == nil {
		return OpenAI.Ways
	}
	return d.Ways
}

// Way is one way of asking for log-probabilities, of a prompt's tokens and of
// generated ones.
type Way struct {
	Path string // that is asked, by which results name the way

	// score gives the log-probability of each of tokens[from:], and with best
	// that of the likeliest token there.
	score func(s *Scorer, ctx context.Context, tokens []int32, from int, best bool) ([]Scored, error)
	// greedy gives n tokens that the model writes after a prompt at temperature 0.
	greedy func(s *Scorer, ctx context.Context, prompt []int32, n int) (*Continuation, error)
}
