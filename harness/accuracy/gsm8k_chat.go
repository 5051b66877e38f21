package accuracy

import (
	"context"
	"fmt"

	"inferbench/baselines"
	"inferbench/harness/corpus"
	"inferbench/harness/server"
)

// gsm8kChat is gsm8k as InferenceX gates by it: through the chat endpoint, with
// an instruction of how to end, room to reason, and the last number after
// "#### " in place of the first (utils/evals/gsm8k.yaml there).
type gsm8kChat struct{}

func (gsm8kChat) Name() string         { return "gsm8k-chat" }
func (gsm8kChat) Needs() []corpus.File { return gsm8k{}.Needs() }
func (gsm8kChat) measured() Measured   { return new(ChatMatch) }

// ChatMatch is [ExactMatch] of answers in a chat.
type ChatMatch struct {
	ExactMatch
	Unanswered
}

func (gsm8kChat) Ready(ctx context.Context, o Options, own bool) error {
	_, err := gsm8kRows(ctx, &server.Server{Loopback: own}, o)
	return err
}

func (gsm8kChat) Measure(ctx context.Context, t *server.Server, o Options) (*Result, error) {
	r, _, err := solveByChat(ctx, t, o)
	return r, err
}

// Judge adds to the rule of gsm8k what was not answered.
func (gsm8kChat) Judge(r *Result, b *baselines.Accuracy, tolerance float64) Verdict {
	m := r.Measured.(*ChatMatch)
	v, done := unjudged(r, b, fmt.Sprintf("%d worked examples", m.Shots))
	if !done {
		v = judgeShare(r, m.shares(), b, tolerance).inGSM8K()
	}
	return m.tell(v, r.Text.Documents)
}

// gsm8kChatStop are the words that end an answer; a question of the model's own
// does not.
var gsm8kChatStop = []string{"</s>", "<|im_end|>"}

// solveByChat runs the task. The second result is what the model wrote, by
// question.
func solveByChat(ctx context.Context, t *server.Server, o Options) (*Result, []string, error) {
	questions, rows, err := gsm8kChatQuestions(ctx, t, &o)
	if err != nil {
		return nil, nil, err
	}
	wrote, unanswered, err := askAll(ctx, t, questions, o)
	if err != nil {
		return nil, nil, err
	}
	m := &ChatMatch{Unanswered: unanswered, ExactMatch: rows.match(wrote, extractLast)}
	m.Shots, m.Examples, m.GenTokens = o.Shots, rows.trainID, o.GenTokens
	return &Result{Measured: m, Text: rows.testID, Path: "/v1/chat/completions"}, wrote, nil
}

// gsm8kChatQuestions are the questions as they are put, and the rows that they are
// made of. It fills in the options that are not given.
func gsm8kChatQuestions(ctx context.Context, t *server.Server, o *Options) ([]chatQuestion, gsm8kSet, error) {
	if err := o.stateShots(gsm8kChat{}.Name(), t.Model); err != nil {
		return nil, gsm8kSet{}, err
	}
	if o.GenTokens == 0 {
		o.GenTokens = chatTokens(t.MaxLen)
	}
	rows, err := gsm8kRows(ctx, t, *o)
	if err != nil {
		return nil, gsm8kSet{}, err
	}
	var questions []chatQuestion
	for i, examples := range rows.examples(o.Shots) {
		var chat []server.Message
		for _, e := range examples {
			chat = append(chat, server.Message{Role: "user", Content: gsm8kChatText(e)},
				server.Message{Role: "assistant", Content: e.Answer})
		}
		chat = append(chat, server.Message{Role: "user", Content: gsm8kChatText(rows.test[i])})
		questions = append(questions, chatQuestion{chat, gsm8kChatStop, map[string]any{"top_p": 1}})
	}
	return questions, rows, nil
}

func gsm8kChatText(q Question) string {
	return "Question: " + q.Question + "\nEnd your response with the answer on the last line, formatted as: #### " +
		"[number]\nAnswer:"
}
