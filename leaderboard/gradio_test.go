package leaderboard

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/submit"
	"inferbench/harness/testdata/browsertest"
	_ "inferbench/harness/testdata/cleanenv" // the user's settings are not the tests'
)

// eleven are the fields of the bounty's own page, CONC 16, its slip included.
const eleven = `{"data": ["%s", 16, 15979.59, 251.5, 10407, 344.564, 1.5349, 0.7299, 0.4485, 1.3646, 3.2522]}`

// The bounty's curl line, as its users have it in their scripts: the POST, awk
// for the event's id, the GET. The board's address is all that changes.
func TestTheBountysCurlLine(t *testing.T) {
	for _, tool := range []string{"curl", "awk", "bash"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(tool + " is not installed")
		}
	}
	server, _ := serve(t, Config{})
	for _, at := range []string{"", "/isl1024_osl1024"} {
		script := fmt.Sprintf(`set -e
BOARD=%s
EVENT_ID=$(curl -s -X POST $BOARD/gradio_api/call/submit_results -s -H "Content-Type: application/json" -d '%s' | awk -F'"' '{ print $4}')
curl -s -N $BOARD/gradio_api/call/submit_results/$EVENT_ID`, server.URL+at, fmt.Sprintf(eleven, "curl "+at))
		out, err := exec.CommandContext(t.Context(), "bash", "-c", script).CombinedOutput()
		require.NoError(t, err, "%s", out)
		assert.Regexp(t, `^event: complete\ndata: \["submission \d of curl .*is stored"\]\n\n$`, string(out))
	}
	v := get[View](t, server.URL+"/api/v1/boards/1024/1024")
	require.Len(t, v.Rows, 2, "without a path, the baseline's figures say which board it is")
	assert.InDelta(t, 1.5355, *v.Rows[0].E2ERatio, 5e-5, "the board's ratio, not the request's")
}

func TestRefusedCallsSayWhy(t *testing.T) {
	server, _ := serve(t, Config{})
	stream := func(at, body string) string {
		status, answer := call(t, "POST", server.URL+at+"/gradio_api/call/submit_results", body)
		require.Equal(t, http.StatusOK, status, answer)
		id := strings.Split(answer, `"`)[3]
		status, answer = call(t, "GET", server.URL+at+"/gradio_api/call/submit_results/"+id, nil)
		require.Equal(t, http.StatusOK, status)
		return answer
	}
	good := fmt.Sprintf(eleven, "x")
	for name, c := range map[string]struct{ at, body, want string }{
		"ten fields":        {"", `{"data": ["x", 16, 15979.59]}`, "data has 3 values: want 11 (team, conc"},
		"text for a number": {"", strings.Replace(good, "16,", `"16",`, 1), "data[1] (conc) must be a number"},
		"null for a figure": {"", strings.Replace(good, "15979.59", "null", 1), "data[2] (e2e_ms) must be a number"},
		"half a request":    {"", strings.Replace(good, "16,", "16.5,", 1), "whole number"},
		"huge conc":         {"/isl1024_osl1024", strings.Replace(good, "16,", "1e300,", 1), "whole number"},
		"which board":       {"", strings.Replace(good, "10407", "10500", 1), "submit to a board by its path"},
		"no such board":     {"/nowhere", good, "names no board"},
		"rule":              {"/isl1024_osl1024", strings.Replace(good, "15979.59", "-1", 1), "e2e_ms is -1"},
	} {
		answer := stream(c.at, c.body)
		assert.True(t, strings.HasPrefix(answer, "event: error\ndata: "), "%s: %s", name, answer)
		assert.Contains(t, answer, c.want, name)
	}
	status, answer := call(t, "GET", server.URL+"/gradio_api/call/submit_results/no-such-event", nil)
	assert.Equal(t, http.StatusOK, status)
	assert.Contains(t, answer, "Session not found", "in Gradio's words")
	for path, body := range map[string]string{"submit_results": `{"data":`, "other": good} {
		status, answer := call(t, "POST", server.URL+"/gradio_api/call/"+path, body)
		assert.GreaterOrEqual(t, status, 400, "%s: %s", path, answer)
		assert.Contains(t, answer, `"detail"`)
	}
	assert.Empty(t, get[View](t, server.URL+"/api/v1/boards/1024/1024").Rows, "nothing that was refused is listed")
}

// The suite's own client, by both ways in.
func TestTheSuitesClient(t *testing.T) {
	server, _ := serve(t, Config{})
	e := entry(t, "own", 1024, 1024, 16, 1.1, 0.9, 1.2)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "result_x.json"), []byte(e.Result), 0o600))
	f := submit.Figures{Team: e.Team, ISL: e.ISL, OSL: e.OSL, Conc: e.Conc, E2EMs: e.E2EMs, TputPerGPU: e.TputPerGPU, BaselineE2EMs: 10407, BaselineTputPerGPU: 344.564,
		BitsPerByte: e.BitsPerByte, BytePerplexity: e.BytePerplexity, WordPerplexity: e.WordPerplexity, Passed: true, ResultFile: "result_x.json"}
	report, err := submit.New(submit.Options{URL: server.URL}).Submit(t.Context(), dir, []submit.Figures{f})
	require.NoError(t, err)
	require.NoError(t, report.Err())
	rows := get[View](t, server.URL+"/api/v1/boards/1024/1024").Rows
	require.Len(t, rows, 1)
	assert.NotNil(t, rows[0].Interactivity)

	// As to any Gradio app: a board behind a path has no /api beside it.
	f.Team, f.ResultFile = "gradio", ""
	report, err = submit.New(submit.Options{URL: server.URL + "/isl1024_osl1024"}).Submit(t.Context(), t.TempDir(), []submit.Figures{f})
	require.NoError(t, err)
	require.NoError(t, report.Err())
	assert.Contains(t, report[0].Answer, "of gradio is stored")
	f.E2EMs = 1e11
	report, err = submit.New(submit.Options{URL: server.URL + "/isl1024_osl1024"}).Submit(t.Context(), t.TempDir(), []submit.Figures{f})
	require.NoError(t, err)
	assert.ErrorContains(t, report.Err(), "implausible")
}

// The official client from npm: connect, look at the endpoint, call it one by
// one and side by side, and see a refusal as an error.
func TestTheOfficialClient(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed: make browser-deps")
	}
	modules := browsertest.NodeModules(t)
	server, _ := serve(t, Config{})
	script := `import { Client } from "@gradio/client";
const client = await Client.connect(process.env.BOARD + "/isl1024_osl1024", { headers: { Authorization: "Bearer official-client-token" } });
const api = await client.view_api();
console.log("parameters", api.named_endpoints["/submit_results"].parameters.length);
const args = e2e => ["official", 16, e2e, 251.5, 10407, 344.564, 1.5349, 0.7299, 0.4485, 1.3646, 3.2522];
console.log((await client.predict("/submit_results", args(15979.59))).data[0]);
const many = await Promise.all([1, 2, 3, 4].map(i => client.predict("/submit_results", args(16000 + i))));
console.log(many.map(r => r.data.length).join());
console.log((await client.predict("/submit_results", { team: "official", conc: 32, e2e_ms: 20000, tput_per_gpu: 300, b200_e2e_ms: 1, b200_tput_per_gpu: 1,
  e2e_ratio: 1, tput_ratio: 1, bits_per_byte: 0.4485, byte_perplexity: 1.3646, word_perplexity: 3.2522 })).data[0]);
await client.predict("/submit_results", args(-1)).then(() => console.log("taken"), e => console.log("refused:", e.message));
process.exit(0);`
	file := filepath.Join(modules, "..", "node_modules", fmt.Sprintf("inferbench-test-%d.mjs", os.Getpid()))
	require.NoError(t, os.WriteFile(file, []byte(script), 0o600)) // beside the packages: that is where node looks
	defer os.Remove(file)
	ctx, cancel := context.WithTimeout(t.Context(), 6*limitOfTests)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, file)
	cmd.Env = append(os.Environ(), "BOARD="+server.URL)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s%s", out, stderr.String())
	assert.Equal(t, `parameters 11
submission 1 of official is stored
1,1,1,1
submission 6 of official is stored
refused: e2e_ms is -1: want a finite number above 0
`, string(out), "%s", stderr.String())
	history := get[map[string][]Submission](t, server.URL+"/api/v1/teams/official/submissions")["submissions"]
	require.Len(t, history, 6)
	assert.True(t, history[0].Signed, "its headers reach the board")
}

// A stream that nobody feeds ends by itself.
func TestQueueStreamEnds(t *testing.T) {
	server, _ := serve(t, Config{})
	resp, err := http.Get(server.URL + "/gradio_api/queue/data?session_hash=x")
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Contains(t, string(b), `"msg":"close_stream"`)
}

// And Gradio's official client for Python.
func TestTheOfficialPythonClient(t *testing.T) {
	python := "../.venv-gradio/bin/python"
	if _, err := os.Stat(python); err != nil {
		t.Skip("Gradio is not installed: make gradio-deps")
	}
	server, _ := serve(t, Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 6*limitOfTests)
	defer cancel()
	cmd := exec.CommandContext(ctx, python, "../scripts/gradio/client.py", server.URL+"/isl1024_osl1024")
	cmd.Env = append(os.Environ(), "HF_HUB_OFFLINE=1", "HF_HUB_DISABLE_TELEMETRY=1")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Equal(t, "submission 1 of python is stored\nrefused: e2e_ms is -1: want a finite number above 0\n", string(out))
}
