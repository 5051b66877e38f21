package leaderboard

import (
	"context"
	"sync"
	"time"

	"inferbench/harness/matrix"
)

type viewKey struct{ matrix.Combination }

// kept is a view that was read a moment ago. Its lock makes readers that come
// together wait for one query.
type kept struct {
	mu      sync.Mutex
	view    *View
	changed int64
	at      time.Time
}

// recheck is how long a view is believed although this process changed nothing:
// another one (leaderboard issue, hide) may have.
const recheck = 2 * time.Second

// board is the board of one combination, read anew when something changed.
func (b *Board) board(ctx context.Context, c matrix.Combination) (*View, error) {
	k, ok := b.views.Get(viewKey{c})
	if !ok {
		k = &kept{}
		if old, found, _ := b.views.PeekOrAdd(viewKey{c}, k); found {
			k = old
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	now := b.changed.Load()
	if k.view != nil && k.changed == now && time.Since(k.at) < recheck {
		return k.view, nil
	}
	rows, err := b.best(ctx, c)
	if err != nil {
		return nil, err
	}
	k.view, k.changed, k.at = b.build(c, rows), now, time.Now()
	return k.view, nil
}
