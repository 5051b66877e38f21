package accuracy

import (
	"context"
	"errors"

	"inferbench/baselines"
	"inferbench/harness/corpus"
	"inferbench/harness/server"
)

// none asks nothing: a run for speed alone.
type none struct{}

func (none) Name() string                               { return "none" }
func (none) Needs() []corpus.File                       { return nil }
func (none) Ready(context.Context, Options, bool) error { return nil }

func (none) measured() Measured { return nil }

func (none) Measure(context.Context, *server.Server, Options) (*Result, error) {
	return nil, &Unmeasured{"accuracy was not asked for"}
}

func (none) Judge(*Result, *baselines.Accuracy, float64) Verdict { return Verdict{Status: NotRun} }

// Unmeasured is the error where there is nothing to measure, which is not the
// server's fault: the verdict is NOT_RUN.
type Unmeasured struct{ Reason string }

func (e *Unmeasured) Error() string { return e.Reason }

// NotTheModels is what is said of text that a server writes under synthetic
// acceptance.
const NotTheModels = "synthetic acceptance: text not judged"

// writes refuses to ask for text that would not be the model's.
func (o *Options) writes() error {
	if o.Synthetic {
		return &Unmeasured{NotTheModels}
	}
	return nil
}

// orChatOnly gives a task's error its reason where the server has no completions
// to ask, and answers chats.
func orChatOnly(ctx context.Context, t *server.Server, o Options, err error) error {
	var answered *server.HTTPError
	if ctx.Err() != nil || !errors.As(err, &answered) || !t.ChatOnly(ctx, o.Retry) {
		return err
	}
	return &Unmeasured{"the server answers chats alone, and this task asks /v1/completions; ACC_TASK=gsm8k-chat " +
		"asks in chats"}
}
