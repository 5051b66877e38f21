package charts

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestScriptMayStandInAPage(t *testing.T) {
	assert.Contains(t, JS[:100], "Chart.js v"+Version)
	assert.NotContains(t, strings.ToLower(JS), "</script", "it would end the script element it stands in")
	assert.NotContains(t, JS, "sourceMappingURL", "a browser would ask for a file that is not there")
}
