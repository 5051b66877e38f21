package suite

import (
	"context"
	"io"

	"inferbench/harness/engine"
	"inferbench/harness/server"
	"inferbench/harness/settings"
)

// connect waits for the server that the settings name, or starts the embedded
// engine, and completes the settings with its address and profile. Call
// disconnect at the end; it is never nil.
func connect(ctx context.Context, set *settings.Settings, plain io.Writer) (t *server.Server, disconnect func(), err error) {
	disconnect = func() {}
	client, err := server.Client(set.Server.CAFile)
	if err != nil {
		return nil, disconnect, err
	}
	within := set.Embedded()
	if within {
		e, err := startEngine(*set)
		if err != nil {
			return nil, disconnect, err
		}
		disconnect = func() { e.Close() }
		set.Server.BaseURL = e.URL()
	}
	t = server.New(set.Server.BaseURL, set.Server.Model, set.Server.APIKey, client)
	t.Headers, t.TokenizerFile = set.Workload.Headers, set.Accuracy.Tokenizer
	err = t.Wait(ctx, server.WaitOptions{Timeout: set.Server.ReadyTimeout, OnWait: waiting(plain, set.Server.BaseURL)})
	if err == nil && !t.Loopback {
		err = t.FindTextOnly(ctx, server.Retry{Each: set.Server.RequestTimeout})
	}
	if err != nil {
		disconnect()
		return nil, func() {}, err
	}
	if set.Server.VocabSize > 0 {
		t.Vocab = set.Server.VocabSize
	}
	if t.Within = within; !within {
		set.Engine.Profile = t.Profile // of an engine in a process of its own
	}
	return t, disconnect, nil
}

// startEngine starts the embedded engine as the settings describe it.
func startEngine(set settings.Settings) (*engine.Engine, error) {
	return engine.Start(engine.Config{Profile: set.Engine.Profile, APIKey: set.Server.APIKey, Dialect: engine.Dialect(set.Engine.Dialect),
		Noise: set.Engine.Noise, DecodeNoise: set.Engine.DecodeNoise, Faults: set.Engine.Faults})
}
