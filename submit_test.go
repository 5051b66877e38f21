package inferbench

import (
	"context"
	"os"

	"inferbench/harness/settings"
	"inferbench/leaderboard/local"
)

// submit sends what passed to the leaderboard, where the mode asks for it.
func submit(ctx context.Context, set settings.Settings) error {
	if run.Mode() != settings.ModeSubmit {
		return nil
	}
	client, err := local.Client(set, os.Stdout)
	if err != nil {
		return err
	}
	defer client.Close()
	return run.Submit(ctx, client)
}
