package leaderboard

import (
	"context"
	"sync"
	"time"

	"inferbench/harness/matrix"
)

type viewKey struct{ matrix.Combination }

// kept is a view that was read a moment ago, and the page made of it. Its lock
// makes readers that come together wait for one query.
type kept struct {
	mu      sync.Mutex
	view    *View
	changed int64
	at      time.Time

	html    []byte
	htmlFor string // address and boards that the page names
}

// recheck is how long a view is believed although this process changed nothing:
// another one (leaderboard issue) may have.
const recheck = 2 * time.Second

// board is the board of one combination as of now or later: a view that was
// read after this call began will do, so however many read a busy board, they
// share one query after another.
func (b *Board) board(ctx context.Context, c matrix.Combination) (*View, error) {
	now := b.changed.Load()
	k := b.keep(c)
	defer k.mu.Unlock()
	err := b.refresh(ctx, k, c, now)
	return k.view, err
}

// keep gives the locked place of a combination's view.
func (b *Board) keep(c matrix.Combination) *kept {
	k, ok := b.views.Get(viewKey{c})
	if !ok {
		k = &kept{}
		if old, found, _ := b.views.PeekOrAdd(viewKey{c}, k); found {
			k = old
		}
	}
	k.mu.Lock()
	return k
}

func (b *Board) refresh(ctx context.Context, k *kept, c matrix.Combination, asOf int64) error {
	if k.view != nil && k.changed >= asOf && time.Since(k.at) < recheck {
		return nil
	}
	now := b.changed.Load()
	rows, err := b.best(ctx, c)
	if err != nil {
		return err
	}
	k.view, k.changed, k.at, k.html = b.build(c, rows), now, time.Now(), nil
	return nil
}
