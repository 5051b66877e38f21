package progress

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"inferbench/harness/matrix"
)

func TestPaceSaysHowMuchIsLeft(t *testing.T) {
	var p Pace
	at := func(s int) time.Time { return time.Unix(1000+int64(s), 0) }
	a, b := matrix.Cell{Conc: 4}, matrix.Cell{Conc: 8}
	assert.Equal(t, "", p.Left(a, 1, 101, at(0)), "nothing to go by yet")
	assert.Equal(t, ", about 40s left", p.Left(a, 21, 101, at(10)))
	assert.Equal(t, "", p.Left(a, 101, 101, at(50)))
	assert.Equal(t, "", p.Left(b, 1, 11, at(60)), "another cell begins anew")
	assert.Equal(t, ", about 8s left", p.Left(b, 3, 11, at(62)))
	assert.Equal(t, "", p.Left(b, 1, 11, at(70)), "and so does a second pass over the same")
}
