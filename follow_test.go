package inferbench

import (
	"context"
	"fmt"

	"inferbench/harness/sweep"
)

// follow is what a shard that does not lead does instead of the tests.
func follow(ctx context.Context, c sweep.Config) int {
	if err := sweep.Follow(ctx, c); err != nil {
		return refuse(err)
	}
	fmt.Printf("PASS\nshard %d of %d: its part is with the leader\n", c.Shards.Place().Index, c.Shards.Place().Count)
	return 0
}
