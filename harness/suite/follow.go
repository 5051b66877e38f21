package suite

import (
	"context"
	"fmt"

	"inferbench/harness/sweep"
)

// follow is what a shard that does not lead does instead of the tests.
func follow(ctx context.Context, c sweep.Config) int {
	if err := sweep.Follow(ctx, c); err != nil {
		return refuse(ctx, err)
	}
	if err := c.Shards.Failed(); err != nil {
		// By now the leader has said that it is through, so a scheduler that ends all
		// tasks where one fails takes nothing away.
		fmt.Printf("shard %d of %d: a pass failed, which the leader knows; the last: %v\n", c.Shards.Place().Index,
			c.Shards.Place().Count, err)
		return 1
	}
	fmt.Printf("PASS\nshard %d of %d: its part is with the leader\n", c.Shards.Place().Index, c.Shards.Place().Count)
	return 0
}
