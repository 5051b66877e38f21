package inferbench

import (
	"inferbench/harness/engine"
	"inferbench/harness/settings"
)

// startEngine starts the embedded engine as the settings describe it.
func startEngine(set settings.Settings) (*engine.Engine, error) {
	return engine.Start(engine.Config{Profile: set.EngineProfile, APIKey: set.APIKey, Dialect: engine.Dialect(set.EngineDialect),
		Noise: set.EngineNoise, DecodeNoise: set.EngineDecodeNoise, Faults: set.EngineFaults})
}
