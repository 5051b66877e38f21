package power

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/stats"
)

// counting tells a counter of joules at once and often, and power ten times a second
// from 300 ms on.
type counting struct{}

func (counting) Name() string { return "counting" }

func (counting) Collect(ctx context.Context, add func(Reading)) error {
	begin := time.Now()
	for i := 0; ctx.Err() == nil; i++ {
		now := time.Now()
		joules := 400 * now.Sub(begin).Seconds()
		add(Reading{At: now, GPU: "0", Watts: math.NaN(), Joules: &joules})
		if i >= 30 && i%10 == 0 {
			add(Reading{At: now, GPU: "0", Watts: 400})
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}

// A run neither begins nor ends with a counter's reading: its window needs power on
// either side.
func TestACounterIsNoReadingOfPower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := Start(t.Context(), nil, counting{})
		w.Ready(t.Context())
		w.Measuring(time.Now())
		time.Sleep(345 * time.Millisecond)
		p, _ := w.Stop(t.Context(), &stats.Summary{Duration: 0.345, OutputTokens: 138}, 1)
		require.NotNil(t, p)
		assert.True(t, p.Valid, p.Reasons)
		assert.InDelta(t, 1, *p.JoulesPerOutputToken, 1e-6, "400 W for 0.345 s and 138 tokens")
	})
}
