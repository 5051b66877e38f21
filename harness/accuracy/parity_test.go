package accuracy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/engine"
	"inferbench/harness/server"
	_ "inferbench/harness/testdata/cleanenv" // the user's settings are not the tests'
)

// python is the interpreter of the virtual environment that `make parity`
// fills, or the test is skipped, saying so.
func python(t *testing.T) string {
	t.Helper()
	if os.Getenv("PARITY") == "" {
		t.Skip("a comparison with other programs, a minute long: run `make parity`")
	}
	path, err := filepath.Abs("../../.venv-parity/bin/python")
	require.NoError(t, err)
	if _, err := os.Stat(path); err != nil {
		t.Skip("lm-evaluation-harness is not installed: run `make parity`")
	}
	return path
}

// parityText is WikiText-2 where it is, else the suite's own text.
func parityText(t *testing.T) string {
	t.Helper()
	const wikitext = "../../../shared/data/wikitext2-test.txt"
	if _, err := os.Stat(wikitext); err != nil {
		t.Log("WikiText-2 is not here; the suite's own text takes its place:", err)
		return "texts/heldout.txt"
	}
	return wikitext
}

// theirs is what scripts/parity/lm_eval_wikitext.py writes.
type theirs struct {
	LMEval         string  `json:"lm_eval"`
	Prefix         int32   `json:"prefix"`
	Seconds        float64 `json:"seconds"`
	CPUSeconds     float64 `json:"cpu_seconds"` // of its own process
	BitsPerByte    float64 `json:"bits_per_byte"`
	BytePerplexity float64 `json:"byte_perplexity"`
	WordPerplexity float64 `json:"word_perplexity"`
	Documents      []struct {
		TargetSHA256  string  `json:"target_sha256"`
		Words         int     `json:"words"`
		Bytes         int     `json:"bytes"`
		LogLikelihood float64 `json:"log_likelihood"`
		Windows       int     `json:"windows"`
		WindowsSHA256 string  `json:"windows_sha256"`
	} `json:"documents"`
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	require.NoError(t, err, "%s %s\n%s", name, strings.Join(args, " "), out)
}

// The suite and lm-evaluation-harness score the same text on the same engine,
// with as many requests in flight: everything that goes into a figure is laid
// side by side, then the figures.
func TestParityWithLMEval(t *testing.T) {
	py, text := python(t), parityText(t)
	tokenizer := t.TempDir()
	run(t, py, "../../scripts/parity/byte_tokenizer.py", tokenizer)
	const conc = 8
	for _, c := range []struct {
		model, path string
		dialect     engine.Dialect
		args        []string
	}{
		{"local-completions", "/v1/completions", engine.VLLM, nil},
		{"sglang-generate", "/generate", engine.Both, []string{"--tokenizer", tokenizer}},
	} {
		t.Run(c.model, func(t *testing.T) {
			e, err := engine.Start(engine.Config{Dialect: c.dialect})
			require.NoError(t, err)
			defer e.Close()
			tg := server.New(e.URL(), "", "", nil)
			require.NoError(t, tg.Wait(context.Background(), server.WaitOptions{}))
			if c.path == "/generate" {
				tg.Dialect = server.SGLang
			}

			out := filepath.Join(t.TempDir(), "out.json")
			used := cpuSeconds()
			run(t, py, append([]string{"../../scripts/parity/lm_eval_wikitext.py", "--model", c.model, "--url", e.URL() + c.path,
				"--served", engine.ModelName, "--text", text, "--conc", fmt.Sprint(conc), "--out", out}, c.args...)...)
			var their theirs
			b, err := os.ReadFile(out)
			require.NoError(t, err)
			require.NoError(t, json.Unmarshal(b, &their))
			their.CPUSeconds += cpuSeconds() - used // the engine's, while lm_eval was served

			begin := time.Now()
			used = cpuSeconds()
			o := Options{Files: wikitextAt(text), Conc: conc}
			o.defaults()
			ours, docs, err := scoreText(context.Background(), tg, o)
			require.NoError(t, err)
			seconds, cpu := time.Since(begin).Seconds(), cpuSeconds()-used
			require.Equal(t, c.path, ours.Path)

			assert.Equal(t, their.Prefix, *ours.Prefix, "prefix")
			require.Equal(t, len(their.Documents), len(docs), "documents")
			for i, d := range docs {
				they := their.Documents[i]
				assert.Equal(t, they.TargetSHA256, digest([]byte(d.Target)), "document %d, detokenised", i)
				assert.Equal(t, they.Words, d.Words, "document %d, words", i)
				assert.Equal(t, they.Bytes, d.Bytes, "document %d, bytes", i)
				assert.Equal(t, they.Windows, d.Windows, "document %d, windows", i)
				tokens, err := tg.Tokenize(context.Background(), server.Retry{}, d.Target, false)
				require.NoError(t, err)
				assert.Equal(t, they.WindowsSHA256, digestOfWindows(RollingWindows(tokens, *ours.Prefix, WindowLength(ours.MaxLength))), "document %d, windows", i)
				assert.InEpsilon(t, they.LogLikelihood, d.LogLikelihood, 1e-6, "document %d, log-likelihood", i)
			}
			assert.InEpsilon(t, their.BitsPerByte, perplexity(ours).BitsPerByte, 1e-6)
			assert.InEpsilon(t, their.BytePerplexity, perplexity(ours).BytePerplexity, 1e-6)
			assert.InEpsilon(t, their.WordPerplexity, perplexity(ours).WordPerplexity, 1e-6)

			n := float64(len(docs))
			t.Logf("lm-evaluation-harness %s, %s, on %s, %d in flight", their.LMEval, c.model, filepath.Base(text), conc)
			t.Logf("%-16s %15s %15s %16s %8s %8s %8s", "", "bits_per_byte", "byte_perplexity", "word_perplexity", "seconds", "CPU s", "docs/s")
			row := func(who string, m Metrics, seconds, cpu float64) {
				t.Logf("%-16s %15.11f %15.11f %16.7f %8.2f %8.2f %8.1f", who, m.BitsPerByte, m.BytePerplexity, m.WordPerplexity, seconds, cpu, n/seconds)
			}
			row("lm_eval "+their.LMEval, Metrics{BitsPerByte: their.BitsPerByte, BytePerplexity: their.BytePerplexity, WordPerplexity: their.WordPerplexity}, their.Seconds, their.CPUSeconds)
			row("inferbench", *perplexity(ours), seconds, cpu)
			t.Logf("inferbench scores %.1f times the documents per second, and %.1f times those per CPU second (client and engine together)", their.Seconds/seconds, their.CPUSeconds/cpu)
		})
	}
}

// cpuSeconds is what this process, client and engine, has used so far.
func cpuSeconds() float64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// digestOfWindows is that of the Python script: ids joined by commas, '|', the
// context's length, newline.
func digestOfWindows(windows []Window) string {
	var b strings.Builder
	for _, w := range windows {
		for i, tok := range w.Tokens {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprint(&b, tok)
		}
		fmt.Fprintf(&b, "|%d\n", w.From)
	}
	return digest([]byte(b.String()))
}
