package suite

import (
	"context"
	"os"

	"inferbench/harness/settings"
	"inferbench/harness/sweep"
	"inferbench/leaderboard/local"
)

// submit sends what passed to the leaderboard, where the mode asks for it.
func submit(ctx context.Context, sw *sweep.Sweep) error {
	if sw.Mode() != settings.ModeSubmit {
		return nil
	}
	client, err := local.Client(sw.Settings, os.Stdout)
	if err != nil {
		return err
	}
	defer client.Close()
	return sw.Submit(ctx, client)
}
