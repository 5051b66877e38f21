package accuracy

import (
	"context"
	"fmt"
	"strings"

	"inferbench/harness/server"
)

// chatQuestion is a question as it is put in a chat.
type chatQuestion struct {
	chat []server.Message
	stop []string
	more map[string]any // body keys beside the usual
}

// Unanswered counts the questions of a chat task that were not answered. A few
// count as wrong; more than a hundredth of them make a score meaningless.
type Unanswered struct {
	Cut     int `json:"answers_cut"`     // at the most tokens that an answer may take
	Empty   int `json:"answers_empty"`   // nothing came after the reasoning
	Refused int `json:"answers_refused"` // by the model or a filter
}

// askAll puts every question, o.Conc at a time. A question that the server does
// not answer at all fails the task; so do too many that are cut, empty or refused.
func askAll(ctx context.Context, t *server.Server, questions []chatQuestion, o Options) ([]string, Unanswered, error) {
	if err := o.writes(); err != nil {
		return nil, Unanswered{}, err
	}
	out := make([]server.Chat, len(questions))
	err := o.eachOf(ctx, len(questions), func(ctx context.Context, i int) (err error) {
		q := questions[i]
		if out[i], err = t.Ask(ctx, o.Retry, q.chat, o.GenTokens, q.stop, q.more); err != nil {
			return fmt.Errorf("question %d of %d: %w", i+1, len(questions), err)
		}
		return nil
	})
	var n Unanswered
	if err != nil {
		return nil, n, err
	}
	texts := make([]string, len(out))
	for i, a := range out {
		texts[i] = a.Text
		switch {
		case a.Refused:
			n.Refused++
		case a.Cut:
			n.Cut++
		case strings.TrimSpace(a.Text) == "":
			n.Empty++
		}
	}
	if 100*(n.Cut+n.Empty+n.Refused) > len(out) {
		return nil, n, n.tooMany(len(out), o.GenTokens)
	}
	return texts, n, nil
}

// tooMany says what the unanswered questions lack, and which setting gives it.
func (n Unanswered) tooMany(questions, genTokens int) error {
	var words []string
	if n.Cut > 0 {
		words = append(words, fmt.Sprintf("%d of %d answers were cut at ACC_GEN_TOKENS=%d: raise it, and the "+
			"server's context with it", n.Cut, questions, genTokens))
	}
	if n.Empty > 0 {
		words = append(words, fmt.Sprintf("%d of %d answers were empty after the reasoning: raise "+
			"ACC_GEN_TOKENS=%d, or look at the server's reasoning parser and chat template", n.Empty, questions, genTokens))
	}
	if n.Refused > 0 {
		words = append(words, fmt.Sprintf("%d of %d answers were refused: look at the server's filters and chat "+
			"template", n.Refused, questions))
	}
	return fmt.Errorf("no score: %s", strings.Join(words, "; "))
}

// tell adds the counts to a verdict's reason.
func (n Unanswered) tell(v Verdict, questions int) Verdict {
	if words := n.String(); words != "" {
		v.Reason += fmt.Sprintf("; of %d answers %s", questions, words)
	}
	return v
}

// String tells the counts that are not 0.
func (n Unanswered) String() string {
	var words []string
	for _, c := range []struct {
		n    int
		what string
	}{{n.Cut, "cut at ACC_GEN_TOKENS"}, {n.Empty, "empty"}, {n.Refused, "refused"}} {
		if c.n > 0 {
			words = append(words, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	return strings.Join(words, ", ")
}

// chatTokens is the most tokens that an answer in a chat may take where none is
// asked for: InferenceX's rule, which leaves 4,096 tokens of the server's context
// to the question, or half of a short one.
func chatTokens(context int) int {
	const most = 16384
	switch {
	case context == 0: // not told
		return most
	case context > 4096:
		return min(most, context-4096)
	}
	return max(context/2, 1)
}
