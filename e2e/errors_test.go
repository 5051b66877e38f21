package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// lineWith is the one line of out that holds what; the errors people make are
// answered on one line that says what to do.
func lineWith(t *testing.T, out, what string) string {
	t.Helper()
	for _, line := range strings.Split(out, "\n") {
		if strings.Contains(line, what) {
			return line
		}
	}
	require.Fail(t, "no line with "+what, out)
	return ""
}

// refusing is a server that lists a model and answers every request with one
// error, as real servers phrase it.
func refusing(t *testing.T, status int, message string) string {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"object":"list","data":[{"id":"m","object":"model","owned_by":"vllm"}]}`)
	})
	mux.HandleFunc("GET /health", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"object":"error","message":%q,"type":"BadRequestError","code":%d}`, message, status)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

func TestErrorsPeopleMake(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	text := filepath.Join(t.TempDir(), "wiki.raw")
	require.NoError(t, os.WriteFile(text, []byte(" \n = A title = \n \n A few words of text . \n"), 0o600))
	for name, c := range map[string]struct {
		args          []string
		exit          int
		says, andToDo string
	}{
		"port closed": {[]string{"-base-url", "http://127.0.0.1:9", "-ready-timeout", "1s"}, 2,
			"no server at http://127.0.0.1:9", "start the server (make serve ENGINE=sglang), or correct PORT or BASE_URL"},
		"wrong model": {[]string{"-model", "gpt-5"}, 2,
			`MODEL="gpt-5" is not what the server serves; it lists: inferbench-ngram`, "set MODEL to a name that it lists"},
		"context too short, and the server says so first": {[]string{"-isl", "200000", "-osl", "100000"}, 2,
			"ISL+OSL is 300000, but inferbench-ngram takes 262144 tokens in all", "start the server with a longer context"},
		"context too short, found out by trying": {[]string{"-base-url", refusing(t, 400, "This model's maximum context length is 16 tokens. However, you requested 24 tokens.")}, 1,
			"maximum context length is 16 tokens", "--max-model-len"},
		"server out of KV cache": {[]string{"-base-url", refusing(t, 400, "KV cache pool is full. Retract requests.")}, 1,
			"KV cache pool is full", "lower CONC, or give it more (vLLM: --gpu-memory-utilization"},
		"folder not writable": {[]string{"-results-dir", file}, 2,
			"results folder (RESULTS_DIR)", "choose a folder that you may write to"},
		"a sweep that go test would kill": {[]string{"-isl", "1024", "-osl", "8192", "-num-prompts", "900000", "-test.timeout", "70s"}, 2,
			"go test would kill it in 1m", "add -timeout 0"},
	} {
		t.Run(name, func(t *testing.T) {
			exit, _, out := finish(t, nil, append([]string{"-isl", "16", "-osl", "8", "-conc", "1", "-num-prompts", "2", "-ready-timeout", "5s", "-wikitext", text}, c.args...)...)
			assert.Equal(t, c.exit, exit, out)
			assert.Contains(t, lineWith(t, out, c.says), c.andToDo)
			assert.NotContains(t, out, "goroutine ", "no stack trace")
		})
	}
}

// A full disk fails the cell that it hit, in words, and leaves no half a file.
func TestDiskFull(t *testing.T) {
	disk := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=24k", "tmpfs", disk).CombinedOutput(); err != nil {
		t.Skipf("cannot mount a small disk here (it takes root): %s", out)
	}
	t.Cleanup(func() { exec.Command("umount", disk).Run() })
	exit, _, out := finish(t, nil, append(small, "-results-dir", disk)...)
	assert.Equal(t, 1, exit, out)
	assert.Contains(t, lineWith(t, out, "no space left on device"), "free some space, then go on with make resume BATCH="+disk)
	for _, pattern := range []string{"result_*.json", "requests_*"} {
		left, err := filepath.Glob(filepath.Join(disk, "batch_*", pattern))
		require.NoError(t, err)
		for _, f := range left {
			b, err := os.ReadFile(f)
			require.NoError(t, err)
			assert.NotEmpty(t, b, f)
		}
	}
}
