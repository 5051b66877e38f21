package inferbench

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
	client, err := server.Client(set.CAFile)
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
		set.BaseURL = e.URL()
	}
	t = server.New(set.BaseURL, set.Model, set.APIKey, client)
	t.Headers = set.Traffic.Headers
	if err := t.Wait(ctx, server.WaitOptions{Timeout: set.ReadyTimeout, OnWait: waiting(plain, set.BaseURL)}); err != nil {
		disconnect()
		return nil, func() {}, err
	}
	if t.Within = within; !within {
		set.EngineProfile = t.Profile // of an engine in a process of its own
	}
	return t, disconnect, nil
}

// startEngine starts the embedded engine as the settings describe it.
func startEngine(set settings.Settings) (*engine.Engine, error) {
	return engine.Start(engine.Config{Profile: set.EngineProfile, APIKey: set.APIKey, Dialect: engine.Dialect(set.EngineDialect),
		Noise: set.EngineNoise, DecodeNoise: set.EngineDecodeNoise, Faults: set.EngineFaults})
}
