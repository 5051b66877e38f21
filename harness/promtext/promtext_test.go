package promtext_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/promtext"
)

// Every page here says the same: two requests run, on one engine or on two, and 3 of
// 4 first tokens came within 100 ms.
func TestReadTakesWhatIsWrittenOutThere(t *testing.T) {
	const (
		gauge = "# HELP running Requests.\n# TYPE running gauge\n"
		ttft  = "# TYPE ttft histogram\nttft_bucket{le=\"0.1\"} 3\nttft_bucket{le=\"+Inf\"} 4\nttft_sum 0.5\nttft_count 4\n"
	)
	for name, page := range map[string]string{
		"plain":                    gauge + "running{model=\"m\"} 2\n" + ttft,
		"no labels":                gauge + "running 2\n" + ttft,
		"blanks":                   gauge + "  running { model = \"a } # b\" , }\t2  \n" + ttft,
		"marks, line ends":         "\ufeff# HELP running Requests.\r\n# TYPE running gauge\r\nrunning 2\r\n" + ttft[:len(ttft)-1],
		"timestamps":               gauge + "running 2 1700000000123\n" + ttft,
		"fractional timestamps":    gauge + "running{model=\"m\"} 2 1700000000.123\n" + ttft,
		"exemplars":                gauge + "running 2 # {trace=\"x\"} 1\n# TYPE ttft histogram\nttft_bucket{le=\"0.1\"} 3 # {trace_id=\"a # } b\"} 0.05 1.7e9\nttft_bucket{le=\"+Inf\"} 4\nttft_sum 0.5\nttft_count 4\n# EOF\n",
		"units, comments":          "# a remark\n#\n# UNIT running requests\n" + gauge + "running 2.0\n\n" + ttft + "# EOF\n",
		"names in quotes":          "# TYPE \"running\" gauge\n{\"running\",model=\"m\"} 2\n" + ttft,
		"told again":               gauge + gauge + "running 2\n" + gauge + ttft + "# TYPE ttft histogram\n",
		"told otherwise, later":    gauge + "running 2\n# TYPE running counter\n# HELP running Others.\n" + ttft,
		"a type behind its sample": "running 2\n# TYPE running gauge\n" + ttft,
		"two workers' pages":       gauge + "running{worker=\"0\"} 1\n" + ttft + gauge + "running{worker=\"1\"} 1\n",
		"escapes":                  gauge + `running{model="a\\",path="\"} 9\n"} 2` + "\n" + ttft,
	} {
		t.Run(name, func(t *testing.T) {
			families, err := promtext.Read([]byte(page))
			require.NoError(t, err)
			sum := 0.0
			for _, m := range families["running"].GetMetric() {
				sum += m.GetGauge().GetValue() + m.GetUntyped().GetValue()
			}
			assert.Equal(t, 2.0, sum)
			h := families["ttft"].GetMetric()[0].GetHistogram()
			assert.Equal(t, uint64(4), h.GetSampleCount())
			assert.Equal(t, uint64(3), h.GetBucket()[0].GetCumulativeCount())
		})
	}
}

func TestReadSaysWhatAPageIsInstead(t *testing.T) {
	for page, want := range map[string]string{
		"<html><body>Sign in</body></html>": `this is no metrics page (it starts "<html>`,
		"\n {\"detail\":\"Not Found\"}":     `this is no metrics page (it starts "{\"detail\"`,
		"# TYPE a gauge\na x\n":             "line 2",
		"a{b=\"c} 1\n":                      "line 1",
	} {
		_, err := promtext.Read([]byte(page))
		assert.ErrorContains(t, err, want, page)
	}
	families, err := promtext.Read(nil)
	assert.NoError(t, err)
	assert.Empty(t, families)
}
