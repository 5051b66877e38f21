package e2e

import (
	"encoding/json"
	"encoding/xml"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	_ "inferbench/harness/testdata/cleanenv" // the user's settings are not the tests'
)

// sweepBy runs a sweep by the command or by the test binary, in an empty folder.
func sweepBy(t *testing.T, door string, args ...string) (exit int, dir, out string) {
	t.Helper()
	if door == "go test" {
		return finish(t, nil, append([]string{"-test.run", "TestAccuracy|TestServing"}, args...)...)
	}
	dir = t.TempDir()
	cmd := exec.Command(command, append([]string{"run"}, args...)...)
	cmd.Dir = dir
	text, err := cmd.CombinedOutput()
	if _, ok := err.(*exec.ExitError); err != nil && !ok {
		require.NoError(t, err)
	}
	return cmd.ProcessState.ExitCode(), dir, string(text)
}

// keys lists the paths of all keys of a JSON value.
func keys(v any, path string) (out []string) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			out = append(append(out, path+"."+k), keys(e, path+"."+k)...)
		}
	case []any:
		for _, e := range v {
			out = append(out, keys(e, path+"[]")...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// The command leaves what go test leaves: the same files with the same keys, and
// the same arguments but for times.
func TestTheCommandLeavesTheSameBatch(t *testing.T) {
	type batch struct {
		files   []string
		keys    map[string][]string
		args    map[string]any
		summary string
	}
	read := func(door string) (b batch) {
		exit, dir, out := sweepBy(t, door, "-isl", "64", "-osl", "16", "-conc", "2", "--num-prompts=40")
		require.Zero(t, exit, out)
		assert.Regexp(t, `(?m)^BenchmarkServing/isl=64/osl=16/conc=2`, out)
		folders, err := filepath.Glob(filepath.Join(dir, "batch_*"))
		require.NoError(t, err)
		require.Len(t, folders, 1)
		files, err := os.ReadDir(folders[0])
		require.NoError(t, err)
		b.keys = map[string][]string{}
		for _, f := range files {
			b.files = append(b.files, f.Name())
			text, err := os.ReadFile(filepath.Join(folders[0], f.Name()))
			require.NoError(t, err)
			var v map[string]any
			if filepath.Ext(f.Name()) == ".json" && json.Unmarshal(text, &v) == nil && !strings.HasPrefix(f.Name(), "server_") {
				// What a measurement may or may not find to say:
				maps.DeleteFunc(v, func(k string, _ any) bool {
					return k == "notes" || k == "steady" || k == "server_metrics" || k == "client_audit"
				})
				b.keys[f.Name()] = keys(v, "")
				if args, ok := v["benchmark_args"].(map[string]any); ok {
					b.args = args
				}
			}
			if f.Name() == "summary.txt" {
				b.summary = regexp.MustCompile(`Time: .*|\(\d+s\)|batch_isl64_osl16_\d+_\d+`).ReplaceAllString(string(text), "…")
			}
		}
		for _, k := range []string{"started_at", "base_url"} { // the embedded engine takes any free port
			assert.NotEmpty(t, b.args[k])
			delete(b.args, k)
		}
		return b
	}
	goTest, command := read("go test"), read("inferbench run")
	assert.Equal(t, goTest, command)
}

// The exit code tells how the sweep ended, by either way.
func TestExitCodes(t *testing.T) {
	for _, door := range []string{"go test", "inferbench run"} {
		for want, args := range map[int][]string{
			1: append([]string{"-engine-decode-noise", "1"}, small...),
			2: {"-isl", "abc"},
		} {
			exit, _, out := sweepBy(t, door, args...)
			assert.Equal(t, want, exit, "%s: %s", door, out)
		}
	}
}

type junitFile struct {
	Failures int `xml:"failures,attr"`
	Suite    struct {
		Properties []struct {
			Name  string `xml:"name,attr"`
			Value string `xml:"value,attr"`
		} `xml:"properties>property"`
		Cases []struct {
			Name    string `xml:"name,attr"`
			Failure *struct {
				Message string `xml:"message,attr"`
			} `xml:"failure"`
		} `xml:"testcase"`
	} `xml:"testsuite"`
}

// In the JUnit report failures are cells, not the tests that they belong to, and
// a failure's message is its reason.
func TestJUnitSaysWhyACellFailed(t *testing.T) {
	for _, door := range []string{"go test", "inferbench run"} {
		exit, dir, out := sweepBy(t, door, append([]string{"-engine-decode-noise", "1", "-junit", "junit.xml"}, small...)...)
		assert.Equal(t, 1, exit, out)
		b, err := os.ReadFile(filepath.Join(dir, "junit.xml"))
		require.NoError(t, err)
		var report junitFile
		require.NoError(t, xml.Unmarshal(b, &report))
		assert.Equal(t, 2, report.Failures)
		names := map[string]string{}
		for _, c := range report.Suite.Cases {
			names[c.Name] = ""
			if c.Failure != nil {
				names[c.Name] = c.Failure.Message
			}
		}
		reason := result(t, dir, "result_isl16_osl8_conc1.json")["reason"]
		assert.Len(t, names, 4)
		assert.Equal(t, reason, names["TestServing/isl=16/osl=8/conc=1"])
		assert.Empty(t, names["TestAccuracy/isl=16/osl=8/conc=1"])
		properties := map[string]string{}
		for _, p := range report.Suite.Properties {
			properties[p.Name] = p.Value
		}
		assert.Equal(t, "inferbench-ngram", properties["model"])
		assert.Contains(t, properties["server"], "http://127.0.0.1:")
		assert.Contains(t, properties["batch"], "batch_isl16_osl8_")

		exit, dir, _ = sweepBy(t, door, "-isl", "abc", "-junit", "junit.xml")
		assert.Equal(t, 2, exit)
		b, err = os.ReadFile(filepath.Join(dir, "junit.xml"))
		require.NoError(t, err)
		assert.Contains(t, string(b), `<failure message="ISL=&#34;abc&#34; (from flag -isl): want a whole number, 1 or more">`)
	}
}
