package power

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/stats"
)

// A file that a tool on the server's machine writes is read while it grows.
func TestAFileIsReadWhileItGrows(t *testing.T) {
	begin := time.Now()
	row := func(at time.Duration, gpu int) string {
		return fmt.Sprintf("%s, %d, 400.00 W\n", begin.Add(at).Format("2006/01/02 15:04:05.000"), gpu)
	}
	const header = "timestamp, index, power.draw [W]\n"
	before := row(-time.Hour, 3) + row(-time.Second, 0) // one from long ago, of a GPU that is gone
	for name, c := range map[string]struct{ before, after, why string }{
		"it grows":             {header + before, row(time.Second/2, 0), ""},
		"written beforehand":   {header + before + row(time.Second, 0), "", ""},
		"a long one":           {header + strings.Repeat(row(-time.Hour, 0), 2*tail/30) + before, row(time.Second/2, 0), ""},
		"it does not grow":     {header + before, "", "not sampled both before and after"},
		"it is empty":          {"", "", "it is empty"},
		"it has other columns": {"timestamp, power.draw [W]\n", "", "its header has no column of GPU"},
		"it is no table":       {strings.Repeat("\x00", 200<<10), "", "it is no table"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "power.csv")
			require.NoError(t, os.WriteFile(path, []byte(c.before), 0o644))
			w := Start(t.Context(), nil, File{path})
			w.Measuring(begin)
			out, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			require.NoError(t, err)
			_, err = out.WriteString(c.after)
			require.NoError(t, err)
			require.NoError(t, out.Close())
			p, _ := w.Stop(t.Context(), &stats.Summary{Duration: 0.4, OutputTokens: 10}, 1)
			assert.Equal(t, c.why == "", p.Valid, p.Reasons)
			assert.Contains(t, strings.Join(p.Reasons, "; "), c.why)
		})
	}
	w := Start(t.Context(), nil, File{filepath.Join(t.TempDir(), "none.csv")})
	w.Measuring(begin)
	p, _ := w.Stop(t.Context(), &stats.Summary{Duration: 0.4}, 1)
	assert.Contains(t, strings.Join(p.Reasons, "; "), "no such file")
}
