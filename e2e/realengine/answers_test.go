package realengine

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// gsm8k by chat, gpqa and each RULER task beside lm-evaluation-harness, on the real
// vLLM: the same prompts to the byte, the same answers, the same scores.
func TestParityOfAnswers(t *testing.T) {
	if os.Getenv("PARITY") == "" {
		t.Skip("a comparison with lm-evaluation-harness, some five minutes: run `make parity-vllm`")
	}
	s := vllm(t, nil)
	tokenizer, err := filepath.Abs("../../.venv-vllm/tiny")
	require.NoError(t, err)
	cmd := exec.Command("go", "test", "../../harness/accuracy", "-count", "1", "-v", "-timeout", "20m",
		"-run", "^TestParity(GSM8KByChat|GPQA|RULER)WithLMEval$")
	cmd.Env = append(os.Environ(), "PARITY_URL="+s.URL, "PARITY_TOKENIZER="+tokenizer)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output() // as it comes: some minutes
	require.NoError(t, cmd.Run())
}
