// Package scripts holds no Go but this: tests of the shell scripts beside it.
package scripts

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	_ "inferbench/harness/testdata/cleanenv" // the user's settings are not the tests'
)

// run starts a script with nothing in its environment but PATH and env.
func run(t *testing.T, script string, env ...string) (string, error) {
	t.Helper()
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("bash is not installed")
	}
	cmd := exec.Command("bash", script)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestDryRunPrintsTheCompetitionsSettings(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		env    []string
		want   []string
	}{
		"sglang": {"launch_sglang_server.sh", nil, []string{
			"SGLANG_USE_AITER=1", "--disable-radix-cache", "--chunked-prefill-size 196608", "--mem-fraction-static 0.8",
			"--cuda-graph-max-bs 128", "--num-continuous-decode-steps 4", "--port 8888", "--tensor-parallel-size 8", "/scripts/server_sglang_"}},
		"sglang, many long prompts":    {"launch_sglang_server.sh", []string{"ISL=8192", "CONC=4,64"}, []string{"--chunked-prefill-size 32768"}},
		"sglang, whole 8192 sweep":     {"launch_sglang_server.sh", []string{"ISL=8192"}, []string{"--chunked-prefill-size 32768"}},
		"sglang, CONC 32":              {"launch_sglang_server.sh", []string{"ISL=8192", "CONC=32"}, []string{"--chunked-prefill-size 196608"}},
		"sglang, long answers":         {"launch_sglang_server.sh", []string{"OSL=8192", "CONC=64"}, []string{"--chunked-prefill-size 196608"}},
		"own values":                   {"launch_sglang_server.sh", []string{"MODEL=/m/a b", "PORT=9", "TP=4", "EXTRA_ARGS=--a\n--b 1"}, []string{`--model-path /m/a\ b`, "--port 9", "--tensor-parallel-size 4", "--a --b 1"}},
		"vllm":                         {"launch_vllm_server.sh", []string{"ISL=8192"}, []string{"VLLM_ROCM_USE_AITER=1", "vllm serve", "--no-enable-prefix-caching", "--max-num-batched-tokens 32768", "--gpu-memory-utilization 0.8", "/scripts/server_vllm_"}},
		"vllm, the largest CONC first": {"launch_vllm_server.sh", []string{"ISL=8192", "CONC=64,4"}, []string{"--max-num-batched-tokens 32768"}},
		"settings of one's own": {"launch_sglang_server.sh", []string{"MEM_FRACTION=0.85", "CUDA_GRAPH_MAX_BS=256", "DISABLE_RADIX_CACHE=false",
			"CHUNKED_PREFILL_SIZE=65536", "KV_CACHE_DTYPE=auto", "HOST=0.0.0.0", "LOG_DIR=/tmp/logs/"}, []string{"--mem-fraction-static 0.85",
			"--cuda-graph-max-bs 256", "!radix", "--chunked-prefill-size 65536", "--max-prefill-tokens 65536", "--kv-cache-dtype auto",
			"--host 0.0.0.0", "log: /tmp/logs/server_sglang_"}},
		"vllm, settings of one's own": {"launch_vllm_server.sh", []string{"MEM_FRACTION=.9", "CUDA_GRAPH_MAX_BS=256", "DISABLE_RADIX_CACHE=0",
			"CHUNKED_PREFILL_SIZE=65536", "KV_CACHE_DTYPE=auto"}, []string{"--gpu-memory-utilization .9", "capture_size\\\":256", " --enable-prefix-caching",
			"--max-num-batched-tokens 65536", "--kv-cache-dtype auto"}},
		"sglang on NVIDIA": {"launch_sglang_server.sh", []string{"GPU=nvidia"}, []string{"!AITER", "!aiter", "!ROCM", "--attention-backend trtllm_mla",
			"--enable-flashinfer-allreduce-fusion", "--chunked-prefill-size 16384", "--model-path nvidia/"}},
		"vllm on NVIDIA": {"launch_vllm_server.sh", []string{"GPU=nvidia"}, []string{"!ROCM", "!--block-size", "vllm serve nvidia/"}},
		"on AMD":         {"launch_sglang_server.sh", []string{"GPU=amd"}, []string{"!flashinfer", "!trtllm", "--attention-backend aiter"}},
		"sglang, drafts": {"launch_sglang_server.sh", []string{"SPECULATION=mtp"}, []string{"--speculative-algorithm EAGLE", "--speculative-num-steps 3",
			"--speculative-num-draft-tokens 4"}},
		"vllm, drafts":            {"launch_vllm_server.sh", []string{"SPECULATION=mtp", "SPECULATION_TOKENS=1"}, []string{"num_speculative_tokens\\\":1"}},
		"no drafts":               {"launch_vllm_server.sh", nil, []string{"!speculative"}},
		"a log file of one's own": {"launch_vllm_server.sh", []string{"SERVER_LOG=my.log"}, []string{"/scripts/my.log"}},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := run(t, c.script, append(c.env, "DRY_RUN=1")...)
			require.NoError(t, err, out)
			for _, want := range c.want {
				if not, ok := strings.CutPrefix(want, "!"); ok {
					assert.NotContains(t, out, not)
				} else {
					assert.Contains(t, out, want)
				}
			}
		})
	}
}

// The GPUs' maker is told by the tools that are installed.
func TestWhoseGPUsAreHere(t *testing.T) {
	for tool, want := range map[string]string{"nvidia-smi": "nvidia/", "rocm-smi": "amd/", "amd-smi": "amd/"} {
		bin := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(bin, tool), []byte("#!/bin/sh\necho 9.0\n"), 0o755))
		out, err := run(t, "launch_sglang_server.sh", "PATH="+bin+":"+os.Getenv("PATH"), "DRY_RUN=1")
		require.NoError(t, err, out)
		assert.Contains(t, out, "--model-path "+want)
		assert.NotContains(t, out, "trtllm", "which Hopper has not")
	}
}

func TestBadSettingsStopALauncher(t *testing.T) {
	for _, env := range []string{"TP=0", "PORT=abc", "PORT=99999", "ISL=-1", "CONC=4,x"} {
		out, err := run(t, "launch_sglang_server.sh", env, "DRY_RUN=1")
		require.Error(t, err, env)
		assert.Contains(t, out, "want a")
		assert.Len(t, strings.Split(strings.TrimSpace(out), "\n"), 1, "one line")
	}
	for env, want := range map[string]string{
		"CONC=4,x":               `CONC="4,x": want a whole number`,
		"CONC=*":                 `CONC="*": want a whole number`,
		"TP=99999999999":         `TP="99999999999": want a whole number`,
		"DRY_RUN=perhaps":        `DRY_RUN="perhaps": want 1 or true`,
		"GPU=intel":              `GPU="intel": want amd or nvidia`,
		"MEM_FRACTION=85":        `MEM_FRACTION="85": want a number above 0`,
		"MEM_FRACTION=0.0":       `MEM_FRACTION="0.0": want a number above 0`,
		"KV_CACHE_DTYPE=fp8 --x": `want a type's name`,
		"SPECULATION=yes":        `SPECULATION="yes": want none or mtp`,
		"CHUNKED_PREFILL_SIZE=x": `CHUNKED_PREFILL_SIZE="x": want a whole number`,
		"DISABLE_RADIX_CACHE=no": `DISABLE_RADIX_CACHE="no": want 1 or true`,
		"EXTRA_ARGS=--api-key x": "put the key into API_KEY",
	} {
		out, err := run(t, "launch_vllm_server.sh", env)
		require.Error(t, err, env)
		assert.Contains(t, out, want)
		assert.Len(t, strings.Split(strings.TrimSpace(out), "\n"), 1, "one line")
	}
}

// Where the engine is not installed one line says so, and nothing is left behind.
func TestWithoutTheEngine(t *testing.T) {
	for engine, script := range map[string]string{"sglang": "launch_sglang_server.sh", "vllm": "launch_vllm_server.sh"} {
		if exec.Command("python3", "-c", "import "+engine).Run() == nil {
			t.Skip(engine + " is installed here")
		}
		log := filepath.Join(t.TempDir(), "server.log")
		out, err := run(t, script, "SERVER_LOG="+log)
		require.Error(t, err)
		assert.Equal(t, script+": "+engine+" is not installed here: run this on the GPU machine, in the engine's container; DRY_RUN=1 shows the command\n", out)
		assert.NoFileExists(t, log)
	}
}

// The launchers run a stand-in for the engine that shows what it was given: the
// key reaches it, and is on no command line and in no log, though the engine
// says it aloud, as SGLang does with its settings.
func TestTheKeyIsOnNoCommandLine(t *testing.T) {
	bin := t.TempDir()
	const standIn = `#!/bin/sh
echo "args: $*"
for a in "$@"; do case $a in *.yaml) stat -c 'mode %a' "$a"; cp "$a" "` + "$SEEN" + `"; esac; done
printf '%s' "$VLLM_API_KEY" >>"` + "$SEEN" + `"
echo "server_args=ServerArgs(api_key='$(sed "s/api-key: '\\(.*\\)'/\\1/" "$SEEN")')"
`
	for _, name := range []string{"python3", "vllm"} {
		require.NoError(t, os.WriteFile(filepath.Join(bin, name), []byte(standIn), 0o755))
	}
	for _, script := range []string{"launch_sglang_server.sh", "launch_vllm_server.sh"} {
		t.Run(script, func(t *testing.T) {
			dir := t.TempDir()
			seen, log := filepath.Join(dir, "seen"), filepath.Join(dir, "server.log")
			out, err := run(t, script, "PATH="+bin+":"+os.Getenv("PATH"), "API_KEY=s3cret", "SEEN="+seen, "SERVER_LOG="+log, "TMPDIR="+dir)
			require.NoError(t, err, out)
			assert.NotContains(t, out, "s3cret")
			assert.Contains(t, out, "args: ", "the server's output is shown")
			assert.Contains(t, out, "ServerArgs(api_key='[secret]')")
			b, err := os.ReadFile(log)
			require.NoError(t, err)
			assert.Contains(t, string(b), "args: ", "and kept in the log")
			assert.NotContains(t, string(b), "s3cret")
			b, err = os.ReadFile(seen)
			require.NoError(t, err)
			assert.Contains(t, string(b), "s3cret", "the server got its key")
			if strings.Contains(script, "sglang") {
				assert.Contains(t, out, "mode 600")
			}
			left, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
			require.NoError(t, err)
			assert.Empty(t, left, "the key's file goes when the server ends")
		})
	}
}

// A launcher becomes the server: a signal to the one is one to the other, the
// server's last words are kept, and its exit code is the launcher's.
func TestASignalReachesTheServer(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("bash is not installed")
	}
	bin := t.TempDir()
	const standIn = `#!/bin/sh
[ "$1" = -c ] && exit 0 # whether it is installed
trap 'echo last words; exit 7' TERM
echo up
while :; do sleep 0.05; done
`
	for _, name := range []string{"python3", "vllm"} {
		require.NoError(t, os.WriteFile(filepath.Join(bin, name), []byte(standIn), 0o755))
	}
	for _, script := range []string{"launch_sglang_server.sh", "launch_vllm_server.sh"} {
		t.Run(script, func(t *testing.T) {
			dir := t.TempDir()
			log := filepath.Join(dir, "server.log")
			cmd := exec.Command("bash", script)
			cmd.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "API_KEY=s3cret", "SERVER_LOG=" + log, "TMPDIR=" + dir}
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			cmd.WaitDelay = 10 * time.Second // where the server is left behind, it has our pipe
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			require.NoError(t, cmd.Start())
			t.Cleanup(func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
			require.Eventually(t, func() bool {
				b, _ := os.ReadFile(log)
				return strings.Contains(string(b), "up\n")
			}, time.Minute, 10*time.Millisecond)
			require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
			cmd.Wait()
			assert.Equal(t, 7, cmd.ProcessState.ExitCode(), out.String())
			assert.Contains(t, out.String(), "last words")
			b, err := os.ReadFile(log)
			require.NoError(t, err)
			assert.Contains(t, string(b), "last words")
			left, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
			require.NoError(t, err)
			assert.Empty(t, left, "the key's file goes when the server ends")
		})
	}
}

func TestShellcheck(t *testing.T) {
	if _, err := exec.LookPath("shellcheck"); err != nil {
		t.Skip("shellcheck is not installed: make ci-deps")
	}
	scripts, err := filepath.Glob("*.sh")
	require.NoError(t, err)
	require.NotEmpty(t, scripts)
	scripts = append(scripts, "../deploy/sweep.sbatch", "../deploy/ci/measure.sh", "../.ci/run")
	out, err := exec.Command("shellcheck", append([]string{"-x"}, scripts...)...).CombinedOutput()
	assert.NoError(t, err, string(out))
}
