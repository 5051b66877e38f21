// Package shards runs one sweep from several processes of the suite: started by
// hand, and as the tasks of a Slurm job. It also checks the Kubernetes manifest.
package shards

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/batch"
	"inferbench/harness/engine"
	_ "inferbench/harness/testdata/cleanenv" // the user's settings are not the tests'
)

var binary string // the command inferbench

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "inferbench-shards")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "inferbench")
	if out, err := exec.Command("go", "build", "-o", binary, "inferbench/cmd/inferbench").CombinedOutput(); err != nil {
		panic(string(out))
	}
	forgetSettings()
	return m.Run()
}

// forgetSettings takes the settings out of the environment: what a user has
// exported is none of the tests' business.
func forgetSettings() {
	example, err := os.ReadFile("../../.env.example")
	if err != nil {
		panic(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^([A-Z0-9_]+)=`).FindAllSubmatch(example, -1) {
		os.Unsetenv(string(m[1]))
	}
}

const count = 3

// environment is what every shard is started with.
func environment(t *testing.T, dir string) []string {
	t.Helper()
	e, err := engine.Start(engine.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { e.Close() })
	return append(os.Environ(), "BASE_URL="+e.URL(), "ISL=64", "OSL=32", "CONC=8,16", "NUM_PROMPTS=100", "TP=1",
		"SHARD_DIR="+filepath.Join(dir, "meet"), "SHARD_TIMEOUT=20s", "RESULTS_DIR="+dir)
}

type process struct {
	cmd *exec.Cmd
	out bytes.Buffer
}

func start(t *testing.T, i int, dir string, env []string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(binary, "run", "-run", "TestServing")}
	p.cmd.Dir, p.cmd.Env = dir, append(env, fmt.Sprintf("SHARD=%d/%d", i, count))
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	require.NoError(t, p.cmd.Start())
	watchdog := time.AfterFunc(2*time.Minute, func() { p.cmd.Process.Kill() })
	t.Cleanup(func() { watchdog.Stop(); p.cmd.Process.Kill() })
	return p
}

// batchFile finds a file of the one batch that the leader wrote.
func batchFile(t *testing.T, dir, name string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "batch_*", name))
	require.NoError(t, err)
	require.Len(t, files, 1, name)
	return files[0]
}

// whole checks that the leader's batch is of the whole load, each request once.
func whole(t *testing.T, dir string) {
	t.Helper()
	for _, conc := range []int{8, 16} {
		b, err := os.ReadFile(batchFile(t, dir, fmt.Sprintf("result_isl64_osl32_conc%d.json", conc)))
		require.NoError(t, err)
		var r map[string]any
		require.NoError(t, json.Unmarshal(b, &r))
		assert.EqualValues(t, 100, r["successful_requests"])
		assert.EqualValues(t, 100*64, r["total_input_tokens"])
		assert.EqualValues(t, 100*32, r["total_generated_tokens"])
		canaries := r["canaries"].(map[string]any)
		assert.Equal(t, "PASSED", canaries["status"], canaries["reason"])
		assert.EqualValues(t, 8, canaries["asked"], "of all shards together")
		assert.EqualValues(t, 1, canaries["exact_share"])
		together := r["client_audit"].(map[string]any)["shards"].(map[string]any)
		assert.EqualValues(t, count, together["count"])
		assert.EqualValues(t, conc, together["peak_in_flight"])
		reqs, err := batch.ReadRequests(batchFile(t, dir, fmt.Sprintf("requests_isl64_osl32_conc%d.jsonl.gz", conc)))
		require.NoError(t, err)
		require.Len(t, reqs.Timings, 100)
		for i, x := range reqs.Timings {
			assert.Equal(t, i, x.Index)
		}
	}
}

func TestThreeProcesses(t *testing.T) {
	dir := t.TempDir()
	env := environment(t, dir)
	var all [count]*process
	for i := range all {
		all[i] = start(t, i, dir, env)
	}
	for i, p := range all {
		require.NoError(t, p.cmd.Wait(), "shard %d: %s", i, p.out.String())
	}
	assert.Contains(t, all[1].out.String(), "shard 1 of 3: its part is with the leader")
	whole(t, dir)
}

// A shard that is killed while it works makes the cell FAILED, by name; no
// figure is made of the rest.
func TestALostShardFailsTheCell(t *testing.T) {
	dir := t.TempDir()
	e, err := engine.Start(engine.Config{})
	require.NoError(t, err)
	defer e.Close()
	env := append(environment(t, dir), "BASE_URL="+e.URL(), "CONC=6", "NUM_PROMPTS=12", "WARMUP=0", "SHARD_LOST=4s")
	var all [count]*process
	for i := range all {
		all[i] = start(t, i, dir, env)
	}
	require.Eventually(t, func() bool {
		_, err := os.Stat(filepath.Join(dir, "meet", "start-1"))
		return err == nil
	}, time.Minute, 20*time.Millisecond, "the shards never met")
	require.NoError(t, e.SetFaults("stall-first:for=4s")) // so that there is a middle to kill in
	time.Sleep(3 * time.Second)                           // past the agreed start
	require.NoError(t, all[2].cmd.Process.Kill())
	leader := all[0].cmd.Wait()
	assert.Error(t, leader, "exit code")
	all[1].cmd.Wait()
	out := all[0].out.String()
	assert.Contains(t, out, "shard 2 of 3 is lost")
	b, err := os.ReadFile(batchFile(t, dir, "summary.txt"))
	require.NoError(t, err)
	assert.Contains(t, string(b), "CONC=6: FAILED")
	b, err = os.ReadFile(batchFile(t, dir, "verdict_isl64_osl32_conc6.json"))
	require.NoError(t, err)
	assert.NotContains(t, string(b), `"successful_requests"`)
}

// What cannot be right ends every shard before anything runs: none waits for a
// leader that has ended so too.
func TestAFollowerRefusesWhatTheLeaderRefuses(t *testing.T) {
	dir := t.TempDir()
	env := append(environment(t, dir), "ACC_TASK=gsm8k", "ACC_SHOTS=100000")
	for i := range 2 {
		p := start(t, i, dir, env)
		begin := time.Now()
		assert.Error(t, p.cmd.Wait())
		assert.Equal(t, 2, p.cmd.ProcessState.ExitCode(), "shard %d", i)
		assert.Contains(t, p.out.String(), "ACC_SHOTS=100000: there are", "shard %d", i)
		assert.Less(t, time.Since(begin), 15*time.Second)
	}
}

// A shard that was told something else takes no part, says so by its exit code
// too, and makes the cell FAILED.
func TestARefusedShardExitsNonZero(t *testing.T) {
	dir := t.TempDir()
	env := append(environment(t, dir), "CONC=6", "NUM_PROMPTS=12")
	var all [count]*process
	for i := range all {
		own := env
		if i == 1 {
			own = append(env[:len(env):len(env)], "SEED=7")
		}
		all[i] = start(t, i, dir, own)
	}
	for i, p := range all {
		assert.Error(t, p.cmd.Wait(), "shard %d: %s", i, p.out.String())
		assert.Equal(t, 1, p.cmd.ProcessState.ExitCode(), p.out.String())
	}
	assert.Contains(t, all[1].out.String(), `SEED is "7" here and "" at the leader`)
	assert.Contains(t, all[0].out.String(), `shard 1 of 3 failed: SEED is "7" here`)
	b, err := os.ReadFile(batchFile(t, dir, "summary.txt"))
	require.NoError(t, err)
	assert.Contains(t, string(b), "CONC=6: FAILED")
}

func TestSettingsThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	for want, env := range map[string][]string{
		"set SHARD_DIR to a folder":   {"SHARD=0/2", "BASE_URL=http://127.0.0.1:1"},
		"set BASE_URL":                {"SHARD=0/2", "SHARD_DIR=" + dir},
		"want INDEX/COUNT":            {"SHARD=2/2", "SHARD_DIR=" + dir},
		"CONC 4 cannot be shared out": nil, // below: it needs a server
	} {
		if env == nil {
			env = append(environment(t, dir), "CONC=4", "SHARD=0/8")
		}
		cmd := exec.Command(binary, "run", "-run", "TestServing")
		cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
		out, err := cmd.CombinedOutput()
		assert.Error(t, err)
		assert.Contains(t, string(out), want)
	}
}

// The same binary as tasks of a Slurm job, on a cluster of one node that the
// test starts.
func TestSlurm(t *testing.T) {
	for _, need := range []string{"slurmctld", "slurmd", "munged", "srun", "sbatch"} {
		if _, err := exec.LookPath(need); err != nil {
			if _, err := os.Stat("/usr/sbin/" + need); err != nil {
				t.Skipf("%s is not installed: make slurm-deps", need)
			}
		}
	}
	if os.Getuid() != 0 {
		t.Skip("a cluster of one's own wants root")
	}
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o755))
	script, err := filepath.Abs("../../scripts/slurm_one_node.sh")
	require.NoError(t, err)
	cluster := filepath.Join(dir, "slurm")
	t.Cleanup(func() { exec.Command(script, "stop", cluster).Run() })
	out, err := exec.Command(script, "start", cluster).Output()
	require.NoError(t, err, "%s", out)
	job, err := filepath.Abs("../../deploy/sweep.sbatch")
	require.NoError(t, err)

	cmd := exec.Command("sbatch", "--wait", "--ntasks", fmt.Sprint(count), "--ntasks-per-node", fmt.Sprint(count), "--output", filepath.Join(dir, "job.log"), job)
	cmd.Dir = dir
	cmd.Env = append(environment(t, dir), strings.TrimSpace(string(out)), "SUITE="+binary)
	kill := time.AfterFunc(2*time.Minute, func() { cmd.Process.Kill() })
	defer kill.Stop()
	said, err := cmd.CombinedOutput()
	log, _ := os.ReadFile(filepath.Join(dir, "job.log"))
	require.NoError(t, err, "%s\n%s", said, log)
	whole(t, dir)
	assert.Contains(t, string(log), "shard 2 of 3: its part is with the leader")
}

// The manifest is checked in a module of its own, with Kubernetes' types.
func TestKubernetesManifest(t *testing.T) {
	cmd := exec.Command("go", "test", "-count", "1", "./...")
	cmd.Dir = "../../deploy/check"
	out, err := cmd.CombinedOutput()
	assert.NoError(t, err, string(out))
}
