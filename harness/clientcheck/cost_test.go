package clientcheck

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// Ratios are of runs of one round: a round in which the machine had other work
// counts as any other.
func TestCostsAreComparedRoundByRound(t *testing.T) {
	m := measured{"bare loop": {5, 50, 6}, "inferbench": {10, 90, 12}, "peer": {20, 200, 21}}
	var out strings.Builder
	m.print(&out, []string{"bare loop", "inferbench", "peer", "absent"}, map[string]string{"absent": "is not installed: make cost-deps"}, 3)
	assert.Equal(t, `client                   µs/token     least to most  × bare loop       × ours
bare loop                    6.00     5.00 to 50.00         1.00         0.50
inferbench                  12.00    10.00 to 90.00         2.00         1.00
peer                        21.00   20.00 to 200.00         4.00         2.00
absent                 is not installed: make cost-deps
`, out.String())
}

// One that was interrupted tells of the rounds that were finished.
func TestCostsOfAnUnfinishedRoundAreLeftOut(t *testing.T) {
	m := measured{"bare loop": {5}, "inferbench": {10, 90}}
	var out strings.Builder
	m.print(&out, []string{"bare loop", "inferbench"}, nil, 1)
	assert.Contains(t, out.String(), "inferbench                  10.00    10.00 to 10.00         2.00         1.00\n")
	out.Reset()
	m.print(&out, []string{"bare loop", "inferbench"}, nil, 0)
	assert.Empty(t, out.String())
}

func TestRoundsRunForwardsAndBackwards(t *testing.T) {
	names := func(round int) (out []string) {
		for _, c := range inTurn([]client{{name: "a"}, {name: "b"}}, round) {
			out = append(out, c.name)
		}
		return out
	}
	assert.Equal(t, []string{"a", "b"}, names(0))
	assert.Equal(t, []string{"b", "a"}, names(1))
}
