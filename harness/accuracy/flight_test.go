package accuracy

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// gsm8k's 1,319 questions at CONC 64 keep 64 in flight to the last: a server that
// answers one request only when 64 are there, until too few are left, answers all.
func TestGSM8KKeepsItsRequestsInFlight(t *testing.T) {
	const questions, conc = 1319, 64
	var test strings.Builder
	for i := range questions {
		fmt.Fprintf(&test, `{"question":"What is %d?","answer":"#### %d"}`+"\n", i, i)
	}
	file := filepath.Join(t.TempDir(), "test.jsonl")
	require.NoError(t, os.WriteFile(file, []byte(test.String()), 0o600))

	var mu sync.Mutex
	full := sync.NewCond(&mu)
	came, answered, late := 0, 0, false
	due := func() int { return min(conc, questions-answered) } // how many can be in flight
	giveUp := time.AfterFunc(time.Minute, func() {
		mu.Lock()
		late = true
		mu.Unlock()
		full.Broadcast()
	})
	defer giveUp.Stop()
	tg, _ := chatServer(t, func(_ int, asked string) string {
		mu.Lock()
		defer mu.Unlock()
		came++
		full.Broadcast()
		for came-answered < due() && !late {
			full.Wait()
		}
		answered++
		full.Broadcast()
		number, _, _ := strings.Cut(strings.TrimPrefix(asked, "Question: What is "), "?")
		return says("#### " + number)
	})
	r, err := Score(t.Context(), tg, Options{Task: "gsm8k-chat", Conc: conc, Shots: 3, GenTokens: 16, Files: map[string]string{"GSM8K": file}})
	require.NoError(t, err)
	require.False(t, late, "%d requests came, %d were answered: fewer than %d were in flight", came, answered, conc)
	assert.Equal(t, 1.0, r.Figure("exact_match_strict"))
	assert.Equal(t, questions, came)
}
