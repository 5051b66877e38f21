// Package clock waits. Every wait of the suite can be ended by a context.
package clock

import (
	"context"
	"time"
)

// Sleep waits for d. Its error is the context's cause where that ends first, or
// had ended before. A d of zero or less does not wait.
func Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 || ctx.Err() != nil {
		return context.Cause(ctx)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
