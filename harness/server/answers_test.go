package server

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/tidwall/gjson"
)

func TestTokenIDs(t *testing.T) {
	for raw, want := range map[string][]int32{
		`[1,22,333]`: {1, 22, 333}, `[1, 22,  333]`: {1, 22, 333}, "[\n 7,\n 8 ]": {7, 8}, `[0]`: {0}, `[]`: {},
		`[2147483647,5]`: {2147483647, 5}, `[123456789,1]`: {123456789, 1},
		`[1,-2]`: nil, `[1.5]`: nil, `[1,2147483648]`: nil, `[1,"2"]`: nil, `[1,null]`: nil, `{"a":1}`: nil, `7`: nil,
	} {
		ids, err := tokenIDs(gjson.Parse(raw))
		if want == nil {
			assert.Error(t, err, raw)
			continue
		}
		assert.NoError(t, err, raw)
		assert.Equal(t, want, ids, raw)
	}
}
