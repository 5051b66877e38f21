package sweep

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestClockJump(t *testing.T) {
	for _, c := range []struct {
		byDay, monotonic time.Duration
		want             string
	}{
		{10 * time.Second, 10 * time.Second, ""},
		{10*time.Second + 900*time.Millisecond, 10 * time.Second, ""},
		{time.Hour + 3*time.Second, time.Hour, ""}, // slewed for an hour
		{3610 * time.Second, 10 * time.Second, "jumped by +3600 s"},
		{-50 * time.Second, 10 * time.Second, "jumped by -60 s"},
	} {
		got := jump(c.byDay, c.monotonic)
		if c.want == "" {
			assert.Empty(t, got, "%+v", c)
		} else {
			assert.Contains(t, got, c.want)
		}
	}
	now := time.Now()
	assert.Empty(t, clockJump(now, now.Add(time.Minute)))
}
