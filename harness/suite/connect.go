package suite

import (
	"context"
	"fmt"
	"io"

	"inferbench/harness/engine"
	"inferbench/harness/hint"
	"inferbench/harness/server"
	"inferbench/harness/settings"
)

// connect waits for the server that the settings name, or starts the embedded
// engine, and completes the settings with its address and profile. Call
// disconnect at the end; it is never nil.
func connect(ctx context.Context, set *settings.Settings, plain io.Writer) (t *server.Server, disconnect func(),
	err error) {
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
	t.Keys = server.Keys{LeftOut: set.Workload.LeftOut(), MaxTokens: set.Server.MaxTokensKey}
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
	if err := agreeOnGPUs(set, t.About.GPUs); err != nil {
		disconnect()
		return nil, func() {}, err
	}
	if t.Within = within; !within {
		set.Engine.Profile = t.Profile // of an engine in a process of its own
	}
	return t, disconnect, nil
}

// agreeOnGPUs takes the number of GPUs that throughput is divided by from the
// server, where it tells and TP says nothing else. A TP that differs is an error:
// it would make every figure a GPU wrong, and nobody would see it.
func agreeOnGPUs(set *settings.Settings, told int) error {
	switch {
	case told == 0 || told == set.Server.TP:
		return nil
	case set.Given["TP"] == "":
		set.Server.TP = told
		return nil
	case len(set.Server.MetricsURLs) > 1: // a router, which tells of one worker perhaps
		return nil
	}
	return hint.New(fmt.Errorf("TP=%d, but the server says that it runs on %d GPUs", set.Server.TP, told),
		fmt.Sprintf("set TP=%d, or leave TP out", told))
}

// startEngine starts the embedded engine as the settings describe it.
func startEngine(set settings.Settings) (*engine.Engine, error) {
	return engine.Start(engine.Config{Profile: set.Engine.Profile, APIKey: set.Server.APIKey,
		Dialect: engine.Dialect(set.Engine.Dialect),
		Noise:   set.Engine.Noise, DecodeNoise: set.Engine.DecodeNoise, Faults: set.Engine.Faults, GPUs: set.Server.TP,
		Ranks: set.Engine.Ranks, KVTokens: set.Engine.KVTokens, HostTokens: set.Engine.HostTokens})
}
