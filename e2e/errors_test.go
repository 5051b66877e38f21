package e2e

import (
	"fmt"
	"io"
	"log"
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

// speaking is a server that lists a model, tokenizes, and answers what is
// measured as it is told.
func speaking(t *testing.T, models, answer http.HandlerFunc) *httptest.Server {
	if models == nil {
		models = func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"object":"list","data":[{"id":"m","object":"model","owned_by":"vllm"}]}`)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", models)
	mux.HandleFunc("GET /health", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /tokenize", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"tokens":[1,2,3]}`) })
	mux.HandleFunc("POST /", answer)
	s := httptest.NewUnstartedServer(mux)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(s.Close)
	return s
}

// refusing answers every request with one error, as real servers phrase it.
func refusing(t *testing.T, status int, message string) string {
	s := speaking(t, nil, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"object":"error","message":%q,"type":"BadRequestError","code":%d}`, message, status)
	})
	s.Start()
	return s.URL
}

// meeting is a way to an error, and what the line that tells it must say: what
// happened and, once, what to do.
type meeting struct {
	args          []string
	exit          int
	says, andToDo string
}

// aServer are servers that go wrong, by what they do.
func aServer(t *testing.T) map[string]string {
	started := func(s *httptest.Server) string { s.Start(); return s.URL }
	secure := speaking(t, nil, http.NotFound)
	secure.StartTLS()
	var dying *httptest.Server
	dying = speaking(t, nil, func(http.ResponseWriter, *http.Request) {
		dying.Listener.Close()
		dying.CloseClientConnections()
	})
	status := func(n int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", n) }
	}
	return map[string]string{
		"https":     secure.URL,
		"http":      started(speaking(t, nil, http.NotFound)),
		"401":       started(speaking(t, status(401), http.NotFound)),
		"403":       started(speaking(t, status(403), http.NotFound)),
		"no models": started(speaking(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"data":[]}`) }, http.NotFound)),
		"several":   started(speaking(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"data":[{"id":"a"},{"id":"b"}]}`) }, http.NotFound)),
		"elsewhere": started(speaking(t, nil, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "http://127.0.0.1:9/", 308) })),
		"dying":     started(dying),
		"hanging": started(speaking(t, nil, func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body) // else the client is not seen to go
			<-r.Context().Done()
		})),
		"cutting": started(speaking(t, nil, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, "data: {\"choices\":[{\"index\":0,\"text\":\" a\"}]}\n\n")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		})),
	}
}

func meetings(t *testing.T) map[string]meeting {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	absent := filepath.Join(t.TempDir(), "absent")
	server := aServer(t)
	at := func(url string, more ...string) []string { return append([]string{"-base-url", url}, more...) }
	load := func(url string, more ...string) []string { return append(at(url, "-acc-task", "none"), more...) }
	const (
		longer = "start the server with a longer context (vLLM: --max-model-len"
		memory = "lower CONC, or give it more (vLLM: --gpu-memory-utilization"
		queue  = "the server takes no more at once: lower CONC"
		key    = "put it into API_KEY or a file named by API_KEY_FILE"
	)
	return map[string]meeting{
		// While waiting for the server.
		"port closed": {at("http://127.0.0.1:9", "-ready-timeout", "1s"), 2,
			"no server at http://127.0.0.1:9", "start the server (make serve ENGINE=sglang), or correct PORT or BASE_URL"},
		"a certificate of an unknown authority": {at(server["https"]), 2, "certificate signed by unknown authority", "set CA_FILE to its certificate"},
		"http to a server of https":             {at("http" + strings.TrimPrefix(server["https"], "https")), 2, "HTTP 400", "use https:// in BASE_URL"},
		"https to a server of http":             {at("https" + strings.TrimPrefix(server["http"], "http")), 2, "HTTP response to HTTPS client", "use http:// in BASE_URL"},
		"key missing":                           {at(server["401"]), 2, "HTTP 401", key},
		"key refused":                           {at(server["403"]), 2, "HTTP 403", key},
		"several models":                        {at(server["several"]), 2, "the server lists several models: a, b", "set MODEL to one of them"},
		"no model":                              {at(server["no models"]), 2, "the server lists no model", ""},
		"wrong model":                           {[]string{"-model", "gpt-5"}, 2, `MODEL="gpt-5" is not what the server serves; it lists: inferbench-ngram`, "set MODEL to a name that it lists"},
		// While accuracy is scored.
		"context too short, found out by scoring": {at(refusing(t, 400, "This model's maximum context length is 16 tokens. However, you requested 24 tokens."), "-acc-prefix-token", "1"), 1,
			"maximum context length is 16 tokens", ""},
		"the text is not there":      {[]string{"-wikitext", absent}, 2, "WIKITEXT=", "there is no such file"},
		"the tokenizer is not there": {[]string{"-tokenizer", absent}, 2, "TOKENIZER=", "there is no such file"},
		"unknown accuracy baseline":  {[]string{"-acc-baseline", "gpt"}, 2, "accuracy baseline gpt: none of that name; there are: ", "or give the path of a .json file"},
		// In mid-sweep.
		"context too short, and the server says so first": {[]string{"-isl", "200000", "-osl", "100000"}, 2,
			"ISL+OSL is 300000, but inferbench-ngram takes 262144 tokens in all", longer},
		"context too short, found out by trying": {load(refusing(t, 400, "This model's maximum context length is 16 tokens. However, you requested 24 tokens.")), 1,
			"maximum context length is 16 tokens", longer},
		"server out of KV cache": {load(refusing(t, 400, "KV cache pool is full. Retract requests.")), 1, "KV cache pool is full", memory},
		"server out of memory":   {load(refusing(t, 500, "CUDA out of memory. Tried to allocate 2.00 GiB")), 1, "CUDA out of memory", memory},
		"queue full":             {load(refusing(t, 503, "The request queue is full.")), 1, "The request queue is full.", queue},
		"too many requests":      {load(refusing(t, 429, "slow down")), 1, "HTTP 429: slow down", queue},
		"model unknown":          {load(refusing(t, 404, "The model `m` does not exist.")), 1, "The model `m` does not exist.", "set MODEL to a name that the server's /v1/models lists"},
		"no such endpoint":       {load(refusing(t, 404, "Not Found")), 1, "HTTP 404: Not Found", "the server has neither /v1/completions nor /v1/chat/completions"},
		"key refused later":      {load(refusing(t, 401, "bad key")), 1, "HTTP 401: bad key", key},
		"request too large":      {load(refusing(t, 413, "Payload Too Large")), 1, "HTTP 413", "raise its limit (nginx: client_max_body_size)"},
		"gateway without server": {load(refusing(t, 502, "Bad Gateway")), 1, "HTTP 502", "look into both logs"},
		"server stumbles":        {load(refusing(t, 500, "Internal Server Error")), 1, "HTTP 500", "the server's log says why"},
		"redirected":             {load(server["elsewhere"]), 1, "redirects are not followed", "set BASE_URL to where the server is"},
		"server dies":            {load(server["dying"]), 1, "CONC 1: all ", "the server has gone: look into its log, start it again, then go on with make resume"},
		"server hangs":           {load(server["hanging"], "-request-timeout", "200ms"), 1, "no answer within REQUEST_TIMEOUT", "raise REQUEST_TIMEOUT or lower CONC"},
		"connection cut":         {load(server["cutting"]), 1, "the server closed the connection", "for why it closed the connection"},
		// Settings, files, folders.
		"not a number":              {[]string{"-osl", "abc"}, 2, `OSL="abc"`, "want a whole number"},
		"unknown mode":              {[]string{"-mode", "fast"}, 2, `MODE="fast"`, "want acc, perf or submit"},
		"no team":                   {[]string{"-mode", "submit"}, 2, "TEAM is empty", "make submit TEAM=x"},
		"unknown hardware baseline": {[]string{"-hw-baseline", "b900"}, 2, "hardware baseline b900: none of that name; there are: ", "or give the path of a .json file"},
		"the data set is not there": {[]string{"-dataset", "jsonl", "-dataset-path", absent}, 2, "DATASET_PATH=", "there is no such file"},
		"the data set is not named": {[]string{"-dataset", "sharegpt"}, 2, "DATASET=sharegpt needs DATASET_PATH", "the file to read"},
		"folder not writable":       {[]string{"-results-dir", file}, 2, "results folder (RESULTS_DIR)", "choose a folder that you may write to, as RESULTS_DIR=$HOME/results"},
		"nothing to resume":         {[]string{"-resume", absent}, 2, "RESUME=", "want a batch folder with its plan.json"},
		"a sweep that go test would kill": {[]string{"-isl", "1024", "-osl", "8192", "-num-prompts", "900000", "-test.timeout", "70s"}, 2,
			"go test would kill it in 1m", "add -timeout 0"},
		// Shards.
		"no folder to meet in":       {at(server["http"], "-shard", "0/2"), 2, "SHARD=0/2", "set SHARD_DIR to a folder that all shards see"},
		"a folder that cannot be":    {at(server["http"], "-shard", "0/2", "-shard-dir", file, "-conc", "2"), 2, "SHARD_DIR", "choose a folder that you may write to, as SHARD_DIR=$HOME/shard"},
		"more shards than CONC":      {at(server["http"], "-shard", "0/2", "-shard-dir", t.TempDir()), 2, "CONC 1 cannot be shared out among 2 shards", "use at most 1"},
		"the others do not come":     {load(server["http"], "-shard", "0/2", "-shard-dir", t.TempDir(), "-conc", "2", "-shard-timeout", "1s", "-warmup", "0"), 1, "shard 1 of 2", "was it started, and does it see SHARD_DIR="},
		"the leader does not answer": {at(server["http"], "-shard", "1/2", "-shard-dir", t.TempDir(), "-conc", "2", "-shard-timeout", "1s"), 2, "shard 0 of 2", "was it started, and does it see SHARD_DIR="},
	}
}

// Every error that a person can meet says on one line what happened and what to
// do: once, and not what another error would ask for.
func TestErrorsPeopleMake(t *testing.T) {
	text := filepath.Join(t.TempDir(), "wiki.raw")
	require.NoError(t, os.WriteFile(text, []byte(" \n = A title = \n \n A few words of text . \n"), 0o600))
	all := meetings(t)
	for name, c := range all {
		t.Run(name, func(t *testing.T) {
			exit, _, out := finish(t, nil, append([]string{"-isl", "16", "-osl", "8", "-conc", "1", "-num-prompts", "2", "-ready-timeout", "5s",
				"-wikitext", text, "-test.run", "TestServing", "-warmup", "2"}, c.args...)...)
			assert.Equal(t, c.exit, exit, out)
			line := lineWith(t, out, c.says)
			if c.andToDo != "" {
				assert.Equal(t, 1, strings.Count(line, c.andToDo), line)
			}
			for _, other := range all {
				if other.andToDo != c.andToDo && other.andToDo != "" {
					assert.NotContains(t, line, other.andToDo)
				}
			}
			assert.NotContains(t, out, "goroutine ", "no stack trace")
		})
	}
}

// smallDisk is a folder that takes so much; the test is skipped where none can be made.
func smallDisk(t *testing.T, size string) string {
	disk := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", disk).CombinedOutput(); err != nil {
		t.Skipf("cannot mount a small disk here (it takes root): %s", out)
	}
	t.Cleanup(func() { exec.Command("umount", disk).Run() })
	return disk
}

// A disk that has no room for a batch to begin in is left as it was.
func TestDiskFullAtOnce(t *testing.T) {
	disk := smallDisk(t, "4k")
	exit, _, out := finish(t, nil, append(small, "-results-dir", disk)...)
	assert.Equal(t, 2, exit, out)
	line := lineWith(t, out, "no space left on device")
	assert.Contains(t, line, "free some space, or choose another folder with RESULTS_DIR")
	assert.NotContains(t, line, "make resume", "there is nothing to go on with")
	left, err := os.ReadDir(disk)
	require.NoError(t, err)
	assert.Empty(t, left)
}

// Where only the report has no room any more, the results stand, and the line says how
// to write it.
func TestDiskFullAtTheReport(t *testing.T) {
	disk := smallDisk(t, "60k")
	exit, _, out := finish(t, nil, append(small, "-results-dir", disk)...)
	assert.Equal(t, 1, exit, out)
	assert.Contains(t, lineWith(t, out, "report.html"), "free some space, then write it anew with make report BATCH="+disk)
	assert.Contains(t, batchFile(t, disk, "summary.txt"), "Passed: 2\n")
}

// A full disk fails the cell that it hit, in words, and leaves no half a file.
func TestDiskFull(t *testing.T) {
	disk := smallDisk(t, "24k")
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
