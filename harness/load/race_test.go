package load

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What the phase's mutex guards is written under it, whoever writes: run with
// -race.
func TestNotesOfAPhaseAreGuarded(t *testing.T) {
	p := &phase{slots: make([]*slot, MaxInFlight)}
	var writers sync.WaitGroup
	for range 8 {
		writers.Go(func() { assert.Nil(t, p.newSlot()) })
	}
	writers.Wait()
	assert.Equal(t, []string{"16384 requests were in flight, the most that an uncapped load may have: later ones waited"}, p.notes)
}

// The message of a run that was stopped has the streak that stopped it, though a
// request that was in flight meanwhile succeeds at last.
func TestStoppedRunTellsItsStreak(t *testing.T) {
	var failed sync.WaitGroup
	failed.Add(24)
	tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
		if a.number == 1 {
			failed.Wait()
			time.Sleep(50 * time.Millisecond) // the last of them is read by then
			stream(w, 4, 8, 0)
			return
		}
		http.Error(w, "engine busy", http.StatusInternalServerError)
		if a.number <= 25 {
			failed.Done()
		}
	})
	rec := run(t, tg, 100, Options{Conc: 2})
	require.NotEmpty(t, rec.Notes)
	assert.Regexp(t, `^stopped after 24 requests in a row failed: \d+ of 100 requests were not sent$`, rec.Notes[0])
}

// A queue that is full is told as such, and so is what to do about it.
func TestServerThatTurnsRequestsAway(t *testing.T) {
	for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
		tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
			if a.number == 2 {
				w.Header().Set("Retry-After", "1")
				http.Error(w, `{"error":{"message":"too many requests queued"}}`, status)
				return
			}
			stream(w, 4, 8, time.Millisecond)
		})
		rec := run(t, tg, 3, Options{Conc: 1})
		assert.Contains(t, rec.Timings[1].Err, "too many requests queued (Retry-After: 1)")
		assert.Contains(t, rec.Timings[1].Advice, "vLLM: --max-num-queued-reqs")
		assert.Equal(t, []string{"the server turned 1 of 3 requests away (HTTP 429 or 503): " +
			"more are in flight than it takes at once, so its queue is full"}, rec.Notes)
	}
}
