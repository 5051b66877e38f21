package clock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"inferbench/harness/clock"
)

func TestSleepEndsWithItsTimeOrItsContext(t *testing.T) {
	begin := time.Now()
	assert.NoError(t, clock.Sleep(t.Context(), 5*time.Millisecond))
	assert.GreaterOrEqual(t, time.Since(begin), 5*time.Millisecond)
	assert.NoError(t, clock.Sleep(t.Context(), -time.Second), "no time, no wait")

	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(5*time.Millisecond, func() { cancel(why) })
	assert.ErrorIs(t, clock.Sleep(ctx, time.Hour), why)
	assert.ErrorIs(t, clock.Sleep(ctx, 0), why, "a context that has ended is told of, however short the wait")
}
