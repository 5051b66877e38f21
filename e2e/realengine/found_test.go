package realengine

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/e2e/testdata/external"
	"inferbench/e2e/testdata/records"
	"inferbench/harness/engine"
	"inferbench/harness/server"
)

// found asks an engine every question of the table of engines. With -update the
// answers are kept, with version and day; without it they are those that were.
func found(t *testing.T, name, version, url, model string) {
	t.Helper()
	s := server.New(url, model, "", nil)
	require.NoError(t, s.Wait(t.Context(), server.WaitOptions{Timeout: 2 * time.Minute, Every: 200 * time.Millisecond}))
	got := records.Ask(t, s)
	if *update {
		records.Write(t, name, records.Engine{Version: version, Date: records.Today(), Test: t.Name(), Answers: got})
	}
	var kept records.Engine
	if !records.Read(t, name, &kept) {
		t.Skipf("no record of a run, so that no page says that there was one: go test ./e2e/realengine -run %s -update", t.Name())
	}
	for _, answers := range []map[string]string{kept.Answers, got} { // who overtakes whom is a matter of time
		delete(answers, "a second request meanwhile")
	}
	assert.Equal(t, kept.Answers, got, "as on %s with %s: where the engine has changed, -update keeps what it says now", kept.Date, kept.Version)
}

func TestFoundEmbedded(t *testing.T) {
	e, err := engine.Start(engine.Config{Dialect: engine.VLLM})
	require.NoError(t, err)
	defer e.Close()
	found(t, "embedded", engine.Version, e.URL(), "")
}

func TestFoundVLLM(t *testing.T) {
	s := vllm(t, nil)
	tg := server.New(s.URL, "", "", nil)
	require.NoError(t, tg.Wait(t.Context(), server.WaitOptions{Timeout: time.Minute}))
	found(t, "vllm", tg.Version, s.URL, "")
}

func TestFoundLlamaServer(t *testing.T) {
	found(t, "llama-server", "of llama-cpp-python 0.3.16", serve(t, "llama-server"), "")
}

func TestFoundLlamaCppPython(t *testing.T) {
	url := serve(t, "llama-cpp-python") // first: it skips where there is none
	found(t, "llama-cpp-python", version(t, "../../.venv-llamacpp", "llama_cpp_python"), url, "")
}

func TestFoundLlamaWheel(t *testing.T) {
	url := serve(t, "llama-wheel")
	found(t, "llama-wheel", version(t, "../../.venv-llamacpp-wheel", "xllamacpp"), url, "")
}

func TestFoundTransformers(t *testing.T) {
	url := transformers(t)
	found(t, "transformers", version(t, "../../.venv-vllm", "transformers"), url, ".venv-vllm/tiny")
}

// transformers starts transformers serve with the model that vLLM serves too.
func transformers(t *testing.T) string {
	t.Helper()
	for _, need := range []string{"tiny/config.json", ".done-accelerate"} {
		if _, err := os.Stat("../../.venv-vllm/" + need); err != nil {
			t.Skip("transformers serve is not installed: make real-engine ENGINE=transformers (some 9 GB)")
		}
	}
	port := external.Port(t)
	cmd := exec.Command("../../scripts/real_vllm.sh", "transformers")
	cmd.Env = append(os.Environ(), "PORT="+strconv.Itoa(port), "HF_HUB_OFFLINE=1")
	return external.Start(t, cmd, port, "/health", 5*time.Minute).URL
}

// version is that of a package in a virtual environment.
func version(t *testing.T, venv, name string) string {
	t.Helper()
	out, err := exec.Command(venv+"/bin/python", "-c", "import importlib.metadata as m; print(m.version('"+name+"'))").Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}

// docs/engines.md has the tables that the records make: an entry says that it was
// run where a record of the run is kept, and nowhere else.
func TestTheTablesAreThoseOfTheRecords(t *testing.T) {
	const path = "../../docs/engines.md"
	page, err := os.ReadFile(path)
	require.NoError(t, err)
	want := string(page)
	for name, table := range map[string]string{"engines": records.EngineTable(t), "gateways": records.GatewayTable(t),
		"figures": records.BesideTable(t)} {
		want, err = records.Put(want, name, "make engines-table", table)
		require.NoError(t, err)
	}
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(want), 0o644))
	}
	assert.Equal(t, want, string(page), "make engines-table")
}
