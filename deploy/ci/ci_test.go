// Package ci holds no Go but this: a test of the examples beside it.
package ci

import (
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	_ "inferbench/harness/testdata/cleanenv" // the user's settings are not the tests'
)

// The shell part of the examples runs here: a sweep that passes and one that does
// not, each with its report, its batch and the job's summary.
func TestMeasure(t *testing.T) {
	for _, tool := range []string{"bash", "make"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(tool + " is not installed")
		}
	}
	for name, c := range map[string]struct {
		env    string
		passes bool
	}{
		"passes":         {"SEED=1", true},
		"does not":       {"ENGINE_NOISE=5", false},
		"cannot be done": {"CONC=0", false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			summary, results := filepath.Join(dir, "summary"), filepath.Join(dir, "results")
			cmd := exec.Command("./measure.sh")
			cmd.Env = append(os.Environ(), "BASE_URL=embedded", "ISL=16", "OSL=4", "CONC=1", "NUM_PROMPTS=2", "RESULTS_DIR="+results,
				"GITHUB_STEP_SUMMARY="+summary, c.env)
			out, err := cmd.CombinedOutput()
			assert.Equal(t, c.passes, err == nil, string(out))
			if c.env == "CONC=0" {
				assert.Contains(t, string(out), `CONC="0"`)
				return
			}
			b, err := os.ReadFile(summary)
			require.NoError(t, err, string(out))
			assert.Contains(t, string(b), "ISL 16, OSL 4")
			var report struct {
				Failures int `xml:"failures,attr"`
			}
			b, err = os.ReadFile(filepath.Join(results, "junit.xml"))
			require.NoError(t, err)
			require.NoError(t, xml.Unmarshal(b, &report))
			assert.Equal(t, c.passes, report.Failures == 0)
			batches, err := filepath.Glob(filepath.Join(results, "batch_*", "summary.txt"))
			require.NoError(t, err)
			assert.Len(t, batches, 1)
		})
	}
}

// Each example runs that script, and keeps what it leaves also where it fails.
func TestExamplesRunTheScript(t *testing.T) {
	for file, always := range map[string]string{"github-actions.yml": "if: always()", "gitlab-ci.yml": "when: always", "Jenkinsfile": "always {"} {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, want := range []string{"deploy/ci/measure.sh", always, "results/", "API_KEY", "BASE_URL"} {
			assert.Contains(t, string(b), want, file)
		}
	}
}
