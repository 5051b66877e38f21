package stats_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/stats"
)

func TestParseSLO(t *testing.T) {
	for text, want := range map[string]stats.SLO{
		"ttft:500":                   {"ttft": 500},
		"ttft:500 tpot:50.5":         {"ttft": 500, "tpot": 50.5},
		" e2el:1e4,\ttpot:50,ttft:1": {"e2el": 1e4, "tpot": 50, "ttft": 1},
	} {
		got, err := stats.ParseSLO(text)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	for text, want := range map[string]string{
		"":              "want KEY:MILLISECONDS",
		"ttft":          `"ttft": want KEY:MILLISECONDS`,
		"ttft:x":        "want KEY",
		"ttft:-1":       "want KEY",
		"ttft:NaN":      "want KEY",
		"ttft:Inf":      "want KEY",
		"itl:5":         "want ttft, tpot or e2el",
		"ttft:5 ttft:5": "given twice",
	} {
		_, err := stats.ParseSLO(text)
		assert.ErrorContains(t, err, want, text)
	}
}

func TestGoodput(t *testing.T) {
	request := func(ttft, tpot time.Duration, tokens int) stats.Timing {
		return stats.Timing{First: ttft, Last: ttft + tpot*time.Duration(tokens-1), OutputTokens: tokens}
	}
	ts := []stats.Timing{
		request(100*msec, 10*msec, 11), // good: at each limit
		request(101*msec, 10*msec, 11), // slow to start
		request(100*msec, 11*msec, 11), // slow after
		request(90*msec, 0, 1),         // good: has no TPOT
		{Err: "HTTP 500", First: 1, Last: 1},
	}
	s := stats.Summarize(ts, 2*time.Second, 1)
	assert.Nil(t, s.Goodput)

	s = stats.Run{Timings: ts, Duration: 2 * time.Second, SLO: stats.SLO{"ttft": 100, "tpot": 10}}.Summary()
	assert.Equal(t, 1.0, s.Goodput.Request)
	assert.Equal(t, 0.4, s.Goodput.Attainment)
	assert.Equal(t, map[string]float64{"ttft": 0.6, "tpot": 0.6}, s.Goodput.AttainmentFor)

	b, err := json.Marshal(s)
	require.NoError(t, err)
	assert.Contains(t, string(b), `"request_goodput":1`)
	assert.NotContains(t, string(b), "client_wait")
}

// A request that waited in the client for a slot is slow to its user.
func TestLatencyCountsFromTheScheduledTime(t *testing.T) {
	ts := []stats.Timing{{Sent: 500 * msec, Waited: 400 * msec, First: 600 * msec, Last: 600 * msec, OutputTokens: 1}}
	s := stats.Run{Timings: ts, Duration: time.Second, SLO: stats.SLO{"ttft": 200}}.Summary()
	assert.Equal(t, 500.0, *s.TTFT.Mean)
	assert.Equal(t, 500.0, *s.E2EL.Mean)
	assert.Equal(t, 400.0, *s.Wait.P99)
	assert.Zero(t, s.Goodput.Attainment)
}
