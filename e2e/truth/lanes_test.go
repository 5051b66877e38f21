package truth

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Sessions of long prompts are replayed by a client in a process of its own, which keeps
// within 4 GiB and has every body ready when its turn is due. Words are of five bytes, as
// those of a real tokenizer, so that a chat of a million tokens is of five megabytes.
func TestClientHoldsLongSessions(t *testing.T) {
	sizes := []struct{ lanes, tokens int }{{4, 64 << 10}}
	if *update {
		sizes = []struct{ lanes, tokens int }{{64, 256 << 10}, {8, 1 << 20}}
	}
	binary := command(t)
	s := httptest.NewServer(listener())
	defer s.Close()
	for _, size := range sizes {
		for _, wire := range []string{"chat", "completions"} {
			t.Run(fmt.Sprintf("lanes=%d/tokens=%d/wire=%s", size.lanes, size.tokens, wire), func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
				defer cancel()
				r, mib := replay(ctx, t, binary, s.URL, wire, size.lanes, size.tokens)
				assert.Less(t, mib, 4096)
				worst := slices.Max(r.Audit.Lanes)
				if *update { // how long a lane waits depends on what else the machine does
					assert.Less(t, worst, 0.01)
				}
				t.Logf("%d turns of %.0f tokens on average, client's peak memory %d MiB, slot_idle_share %.2f %%, of the worst lane "+
					"%.2f %%", r.Turns, r.Input/float64(r.Turns), mib, 100*r.Audit.Idle, 100*worst)
			})
		}
	}
}

// replayed is what a result says of a replay.
type replayed struct {
	Status string  `json:"status"`
	Turns  int     `json:"turns_completed"`
	Input  float64 `json:"total_input_tokens"`
	Audit  struct {
		Idle  float64   `json:"slot_idle_share"`
		Lanes []float64 `json:"slot_idle_share_by_lane"`
	} `json:"client_audit"`
}

// replay runs the command on sessions whose prompts grow from half of the tokens to all
// of them, and says how much memory it had resident at most, in MiB.
func replay(ctx context.Context, t *testing.T, binary, url, wire string, lanes, tokens int) (r replayed, mib int) {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(ctx, binary, "run")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "BASE_URL="+url, "RESULTS_DIR="+dir, "ENDPOINT="+wire, "VOCAB_SIZE=128000",
		"DATASET=sessions", fmt.Sprint("CONC=", lanes), fmt.Sprint("SESSIONS=", lanes), "SESSION_TURNS=6",
		fmt.Sprint("SESSION_SYSTEM_TOKENS=", tokens/2), fmt.Sprint("SESSION_INPUT_TOKENS=", tokens/12-10),
		"SESSION_OUTPUT_TOKENS=2", "SESSION_COMPACTION=none", "SESSION_SUBAGENTS=0", "ACC_TASK=none")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	files, err := filepath.Glob(filepath.Join(dir, "batch_*", "result_*.json"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	text, err := os.ReadFile(files[0])
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &r))
	require.Equal(t, 6*lanes, r.Turns)
	require.Len(t, r.Audit.Lanes, lanes)
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok || runtime.GOOS != "linux" {
		t.Skip("memory cannot be read here")
	}
	return r, int(usage.Maxrss >> 10)
}

// listener is a server that hears prompts of any length and answers with two tokens in a
// second.
func listener() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"object":"list","data":[{"id":"m","object":"model","max_model_len":2097152}]}`)
	})
	answer := func(count string, more int, chunk string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			n := bytes.Count(body[bytes.IndexByte(body, '['):bytes.LastIndexByte(body, ']')+1], []byte(count)) + more
			w.Header().Set("Content-Type", "text/event-stream")
			for range 2 {
				fmt.Fprintf(w, "data: {\"choices\":[{\"index\":0,%s}]}\n\n", chunk)
				w.(http.Flusher).Flush()
				time.Sleep(500 * time.Millisecond)
			}
			fmt.Fprintf(w, "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":%d,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n", n)
		}
	}
	mux.HandleFunc("POST /v1/chat/completions", answer(" ", 0, `"delta":{"content":"a"}`))
	mux.HandleFunc("POST /v1/completions", answer(",", 1, `"text":"a"`))
	return mux
}
