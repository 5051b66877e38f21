package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/batch"
	"inferbench/harness/engine/process"
	"inferbench/harness/tune"
)

// freePort is a port on which nothing listens.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// recipe writes a recipe of engines into dir; rest comes after its port and its
// settings.
func recipe(t *testing.T, dir string, port int, settings, rest string) {
	t.Helper()
	text := fmt.Sprintf("port: %d\nsettings: {ISL: 16, OSL: 8, %s}\n%s\n", port, settings,
		strings.ReplaceAll(rest, "ENGINE", command+" engine -port $PORT"))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tune.yaml"), []byte(text), 0o600))
}

const quick = "CONC: [1, 2], NUM_PROMPTS: 4, ACC_AT: once"

// startTune starts tune in dir, without a terminal.
func startTune(t *testing.T, dir string, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	cmd := exec.Command(command, append([]string{"tune"}, args...)...)
	out := new(bytes.Buffer)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	require.NoError(t, cmd.Start())
	watchdog := time.AfterFunc(2*time.Minute, func() { cmd.Process.Kill() })
	t.Cleanup(func() { watchdog.Stop(); cmd.Process.Kill() })
	return cmd, out
}

func runTune(t *testing.T, dir string, args ...string) (int, string) {
	t.Helper()
	cmd, out := startTune(t, dir, args...)
	_ = cmd.Wait()
	return cmd.ProcessState.ExitCode(), out.String()
}

// tuned is the folder of the one recipe that was tried in dir, and its state.
func tuned(t *testing.T, dir string) *tune.State {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(dir, "tune_*"))
	require.NoError(t, err)
	require.Len(t, dirs, 1)
	s, err := tune.Open(dirs[0])
	require.NoError(t, err)
	return s
}

func TestTune(t *testing.T) {
	dir, port := t.TempDir(), freePort(t)
	recipe(t, dir, port, quick, `command: ENGINE
vary: {--max-num-seqs: [1, 64]}
arms:
  - name: broken
    flags: {--no-such-flag: 1}
  - name: for an SLO
    settings: {CONC: 2, SLO: "e2el:mean<60s"}
  - name: for another
    settings: {CONC: 2, SLO: "e2el:mean<0.001"}`)
	exit, out := runTune(t, dir, "tune.yaml")
	require.Equal(t, 1, exit, out)
	assert.Regexp(t, `ISL 16, OSL 8: 6 cells of 5 commands\n +CONC +tok/s/GPU +tok/s/user +E2EL p50 \(ms\) +TTFT p99 \(ms\) +front +command\n`, out)
	assert.Regexp(t, `(?m)^ +[12] +\d.* (both|tok/s/user|E2EL)  (max-num-seqs=(1|64)|for an SLO)`, out, "a front")
	assert.Regexp(t, `(?m)^ +2 +\d.*  for another: SLO missed`, out, "an answer, not a failure")
	exact := regexp.QuoteMeta(fmt.Sprintf("(export PORT=%d; %s engine -port $PORT", port, command))
	assert.Regexp(t, `(?m)^Lowest latency: .* at CONC [12], .* ms E2EL p50.*\n    `+exact, out)
	assert.Regexp(t, `(?m)^Most throughput: .* at CONC [12], .* tok/s/GPU.*\n    `+exact, out)
	assert.Regexp(t, `(?m)^Most throughput that keeps the SLO: for an SLO at CONC 2, .*\n    `+exact, out)
	assert.Regexp(t, `(?m)^FAILED broken: the server ended \(exit status 2\) after .*, before it took requests\n`+
		`    \| inferbench engine: unknown flag: --no-such-flag .*\n    `+exact+`.* --no-such-flag 1\)$`, out)

	s := tuned(t, dir)
	for i, want := range []batch.Status{batch.Passed, batch.Passed, batch.Failed, batch.Passed, batch.Passed} {
		a := s.Arms[i]
		assert.Equal(t, want, a.Status, a.Reason)
		folders, err := s.Batches(a)
		require.NoError(t, err)
		if want == batch.Failed {
			assert.Empty(t, folders)
			continue
		}
		require.Len(t, folders, 1)
		args := folders[0].Cells[0].Result.Args
		assert.Equal(t, a.Name, args.Label)
		assert.Equal(t, a.Line(port), args.Remarks, "the exact command stands in each result")
		assert.Equal(t, "on", args.Settings["CACHE_RESET"], "the server is tune's own")
	}
	log, err := os.ReadFile(filepath.Join(s.Path(s.Arms[0]), tune.LogFile))
	require.NoError(t, err)
	assert.Contains(t, string(log), "ready on http://127.0.0.1:")

	// Nothing is left to do but what FAILED.
	exit, again := runTune(t, dir, "-resume", filepath.Base(s.Dir))
	assert.Equal(t, 1, exit)
	assert.Equal(t, out[strings.Index(out, "\nISL 16, OSL 8: 6 cells"):], again)
	_, again = runTune(t, dir, "-resume", filepath.Base(s.Dir), "-failed")
	assert.Contains(t, again, "\n[3/5] broken\n")
	assert.NotContains(t, again, "\n[1/5]")
}

// waitFor waits until a file with that pattern holds a text.
func waitFor(t *testing.T, pattern, text string) {
	t.Helper()
	require.Eventually(t, func() bool {
		paths, _ := filepath.Glob(pattern)
		for _, p := range paths {
			if b, _ := os.ReadFile(p); strings.Contains(string(b), text) {
				return true
			}
		}
		return false
	}, time.Minute, 20*time.Millisecond, "%s: %s", pattern, text)
}

// marked counts the processes that have a word on their command lines.
func marked(word string) (n int) {
	paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range paths {
		if b, _ := os.ReadFile(p); bytes.Contains(b, []byte(word)) && !bytes.HasPrefix(b, []byte("bash\x00-c")) {
			n++
		}
	}
	return n
}

// A recipe that was cut off goes on where it was: nothing is measured twice.
func TestTuneGoesOn(t *testing.T) {
	dir, port := t.TempDir(), freePort(t)
	recipe(t, dir, port, "CONC: [1, 2], DURATION: 2s, ACC_TASK: none", `command: ENGINE
vary: {--max-num-seqs: [1, 64]}`)
	cmd, _ := startTune(t, dir, "tune.yaml")
	waitFor(t, filepath.Join(dir, "tune_*/01_*/batch_*/summary.txt"), "[1/2]")
	exit, out := runTune(t, dir, "-resume", filepath.Base(tuned(t, dir).Dir))
	assert.Equal(t, 2, exit)
	assert.Contains(t, out, "another process is trying this recipe: wait for it to end, or stop it\n")
	require.NoError(t, cmd.Process.Signal(syscall.SIGKILL))
	_ = cmd.Wait()
	require.Eventually(t, func() bool {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			l.Close()
		}
		return err == nil
	}, time.Minute, 50*time.Millisecond, "the server ends with tune")
	s := tuned(t, dir)
	folders, err := s.Batches(s.Arms[0])
	require.NoError(t, err)
	require.Len(t, folders, 1)
	first := folders[0].Cells[0].Result.Args.StartedAt

	exit, out = runTune(t, dir, "-resume", filepath.Base(s.Dir), "tune.yaml")
	require.Zero(t, exit, out)
	assert.Contains(t, out, ": goes on with CONC 2 (INCOMPLETE)\n")
	rows, err := tuned(t, dir).Rows()
	require.NoError(t, err)
	assert.Len(t, rows, 4)
	assert.Equal(t, first, rows[0].Cell.Result.Args.StartedAt)

	require.NoError(t, os.WriteFile(filepath.Join(dir, "tune.yaml"), []byte("command: x\nvary: {--a: [1]}"), 0o600))
	exit, out = runTune(t, dir, "-resume", filepath.Base(s.Dir), "tune.yaml")
	assert.Equal(t, 2, exit)
	assert.Contains(t, out, "tune.yaml is not the recipe that "+filepath.Base(s.Dir)+" began with")
}

// Whatever ends tune, nothing of a server outlives it.
func TestNothingOutlivesTune(t *testing.T) {
	for _, how := range []syscall.Signal{syscall.SIGKILL, syscall.SIGINT, syscall.SIGHUP} {
		t.Run(how.String(), func(t *testing.T) {
			t.Parallel()
			dir, port := t.TempDir(), freePort(t)
			mark := fmt.Sprintf("outlives-%d-%d", how, port)
			away := "sh -c 'sleep 5000; : " + mark + "'"
			recipe(t, dir, port, "CONC: 1, DURATION: 60s, ACC_TASK: none", `vary: {--max-num-seqs: [1, 64]}
command: "`+away+` & setsid `+away+` & (setsid `+away+` &) ; ENGINE -model `+mark+`"`)
			cmd, out := startTune(t, dir, "tune.yaml")
			waitFor(t, filepath.Join(dir, "tune_*/01_*/batch_*/plan.json"), mark)
			require.GreaterOrEqual(t, marked(mark), 4, out)
			require.NoError(t, cmd.Process.Signal(how))
			_ = cmd.Wait()
			require.Eventually(t, func() bool { return marked(mark) == 0 }, time.Minute, 50*time.Millisecond)
			if how != syscall.SIGKILL {
				assert.Equal(t, 1, cmd.ProcessState.ExitCode())
				assert.Regexp(t, `inferbench: 2 of 2 commands are left: to go on: make tune RESUME=tune_\d+_\d+\n$`, out.String())
			}
		})
	}
}

// What cannot be right is one line, and nothing is started.
func TestTuneBadInput(t *testing.T) {
	dir := t.TempDir()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer busy.Close()
	port := busy.Addr().(*net.TCPAddr).Port
	for name, c := range map[string]struct{ text, want string }{
		"unknown key":     {"commands: x", `tune.yaml: line 1: unknown key "commands": want command, port, env, settings, flags, vary or arms`},
		"empty":           {"", "tune.yaml: the recipe is empty: want a command, and vary or arms"},
		"port in use":     {fmt.Sprintf("command: x\nport: %d\nvary: {--a: [1]}", port), fmt.Sprintf("port %d is in use: e2e.test (process %d): stop that, or give the recipe another port", port, os.Getpid())},
		"two ports":       {"command: x\narms: [{flags: {--port: 1}}, {flags: {--port: 2}}]", "port=2: the command has port 2, another has 1: write --port $PORT, and port: 1 once"},
		"unknown setting": {"command: x\nsettings: {CONCC: 3}\nvary: {--a: [1]}", "a=1: settings: CONCC is no setting, or a secret one: make settings lists them; a secret is exported"},
		"wrong setting":   {"command: x\nsettings: {CONC: x}\nvary: {--a: [1]}", `a=1: CONC="x" (from flag -conc): `},
		"submit":          {"command: x\nsettings: {MODE: submit, TEAM: x}\nvary: {--a: [1]}", "a=1: MODE=submit: tune measures, and submits nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "tune.yaml"), []byte(c.text), 0o600))
			exit, out := runTune(t, dir, "tune.yaml")
			assert.Equal(t, 2, exit, out)
			assert.True(t, strings.HasPrefix(out, "inferbench: "+c.want), out)
			assert.Equal(t, 1, strings.Count(out, "\n"), out)
		})
	}
	exit, out := runTune(t, dir)
	assert.Equal(t, 2, exit)
	assert.Equal(t, "inferbench: RECIPE is empty: say which commands to try, as make tune RECIPE=tune.yaml\n", out)
	made, err := filepath.Glob(filepath.Join(dir, "tune_*"))
	require.NoError(t, err)
	assert.Empty(t, made, "no folder of a recipe that cannot run")
}

// A server that is not the command's own is not measured in its place.
func TestTuneMeasuresItsOwnServer(t *testing.T) {
	dir, port := t.TempDir(), freePort(t)
	recipe(t, dir, port, quick, `arms:
  - {name: away, command: "ENGINE -load-time 1s & exit 0"}
  - {name: idle, command: sleep 5000}`)
	cmd, out := startTune(t, dir, "tune.yaml")
	waitFor(t, filepath.Join(dir, "tune_*", tune.StateFile), "forks away")
	e, err := process.Start(context.Background(), command, "-port", fmt.Sprint(port))
	require.NoError(t, err)
	_ = cmd.Wait()
	require.NoError(t, e.Stop())
	assert.Equal(t, 1, cmd.ProcessState.ExitCode(), out)
	s := tuned(t, dir)
	assert.Regexp(t, `^the command forks away: it ended after .* and left inferbench \(process \d+\) running: keep the server in the foreground$`, s.Arms[0].Reason)
	assert.Equal(t, fmt.Sprintf("inferbench (process %d) listens on port %d, and the command did not start it: two servers are on one port, "+
		"or the server is in a container: stop that, or run tune where the server runs", e.PID, port), s.Arms[1].Reason)
	b, err := json.Marshal(s)
	require.NoError(t, err)
	assert.NotContains(t, string(b), "PASSED")
}

// A launcher's variables are an arm's, and its number of GPUs is what throughput is
// divided by.
func TestTuneOfALauncher(t *testing.T) {
	dir, port := t.TempDir(), freePort(t)
	launcher, err := filepath.Abs("../scripts/launch_vllm_server.sh")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "vllm"), []byte(`#!/bin/bash
while [[ $# -gt 0 ]]; do case $1 in --port) port=$2 ;; --tensor-parallel-size) tp=$2 ;; esac; shift; done
exec `+command+` engine -dialect vllm -port "$port" -tp "$tp"
`), 0o755))
	recipe(t, dir, port, "CONC: 1, NUM_PROMPTS: 4, ACC_TASK: none", "command: "+launcher+`
env: {MODEL: some/model, GPU: nvidia, PATH: "`+dir+":"+os.Getenv("PATH")+`"}
vary: {TP: [2, 4]}`)
	exit, out := runTune(t, dir, "tune.yaml")
	require.Zero(t, exit, out)
	rows, err := tuned(t, dir).Rows()
	require.NoError(t, err)
	require.Len(t, rows, 2)
	for i, gpus := range []int{2, 4} {
		p := rows[i].Cell.Result.Performance
		assert.Equal(t, gpus, rows[i].Cell.Result.Args.TP)
		assert.InDelta(t, *p.TotalThroughput/float64(gpus), *p.TputPerGPU, 1e-6)
	}
}
