//go:build unix

package power

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/stats"
)

// install makes a shell script that stands for a tool, and returns its folder.
func install(t *testing.T, name, script string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o755))
	return dir
}

// standIn is the tool of that name, with a script in its place.
func standIn(t *testing.T, name, script string) *Tool {
	t.Helper()
	dir := install(t, name, script)
	for _, tool := range tools {
		if tool.name == name {
			tool.name = filepath.Join(dir, name)
			return &tool
		}
	}
	t.Fatal("no such tool: " + name)
	return nil
}

const nvidiaHeader = `echo "timestamp, index, power.draw [W], temperature.gpu, clocks.current.sm [MHz], clocks.current.memory [MHz], utilization.gpu [%], utilization.memory [%]"
now() { date +"%Y/%m/%d %H:%M:%S.%3N"; }
`

// row writes one GPU's row, forty times a second at most.
const nvidiaRows = nvidiaHeader + `while :; do echo "$(now), 0, 400.00 W, 61, 1980 MHz, 2619 MHz, 98 %, 45 %"; sleep 0.1; done`

// beside runs a pass of 0.3 s beside a tool.
func beside(t *testing.T, tool *Tool) *stats.Power {
	t.Helper()
	w := Start(t.Context(), nil, tool)
	w.Ready(t.Context())
	begin := time.Now()
	w.Measuring(begin)
	time.Sleep(300 * time.Millisecond)
	p, _ := w.Stop(t.Context(), &stats.Summary{Duration: 0.3, OutputTokens: 120}, 1)
	require.NotNil(t, p)
	return p
}

func TestAToolIsRunBesideAPass(t *testing.T) {
	for name, c := range map[string]struct{ tool, script, why string }{
		"nvidia-smi": {"nvidia-smi", nvidiaRows, ""},
		"amd-smi": {"amd-smi", `if [ "$2" = -E ]; then echo gpu,total_energy_consumption; echo "0,$(date +%s%3N)" | sed 's/...$/.&/' ; exit; fi
echo "timestamp,gpu,socket_power,power_management"; while :; do echo "$(date +%s.%3N),0,1,ENABLED"; sleep 0.1; done`, ""},
		"it dies": {"nvidia-smi", nvidiaHeader + `echo "$(now), 0, 400.00 W, 61, 1980 MHz, 2619 MHz, 98 %, 45 %"; echo "GPU is lost" >&2; exit 15`,
			"nvidia-smi: exit status 15: GPU is lost"},
		"it has no driver": {"nvidia-smi", `echo "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."; exit 9`,
			"exit status 9: NVIDIA-SMI has failed because it couldn't communicate"},
		"it hangs":               {"nvidia-smi", nvidiaHeader + `echo "$(now), 0, 400.00 W, 61, 1980 MHz, 2619 MHz, 98 %, 45 %"; sleep 60`, "not sampled both before and after"},
		"it prints garbage":      {"nvidia-smi", `while :; do head -c 70000 /dev/zero | tr '\0' x; echo; sleep 0.1; done`, "it has no header line"},
		"it has another column":  {"nvidia-smi", `echo "timestamp, index, power.limit [W]"; while :; do echo "1800000000, 0, 700 W"; sleep 0.1; done`, "its header has no column of power"},
		"it tells negative draw": {"nvidia-smi", nvidiaHeader + `while :; do echo "$(now), 0, -400.00 W, 61, 1980 MHz, 2619 MHz, 98 %, 45 %"; sleep 0.1; done`, "lines have no time or no power that can be"},
		"its GPUs are idle":      {"nvidia-smi", strings.ReplaceAll(nvidiaRows, "98 %", "0 %"), "idle all the time"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := beside(t, standIn(t, c.tool, c.script))
			assert.Equal(t, c.tool, p.From)
			assert.Equal(t, c.why == "", p.Valid, p.Reasons)
			assert.Contains(t, strings.Join(p.Reasons, "; "), c.why)
			if p.Valid && c.tool == "nvidia-smi" {
				assert.InDelta(t, 1, *p.JoulesPerOutputToken, 1e-6, "400 W for 0.3 s and 120 tokens")
			}
		})
	}
}

func TestTheToolOfThisMachineIsFound(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	assert.Nil(t, FindTool())
	t.Setenv("PATH", install(t, "amd-smi", "exit"))
	assert.Equal(t, "amd-smi", FindTool().Name())
	t.Setenv("PATH", os.Getenv("PATH")+":"+install(t, "nvidia-smi", "exit"))
	assert.Equal(t, "nvidia-smi", FindTool().Name())
}

// What a tool has started ends with it.
func TestNothingOfAToolIsLeft(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "pid")
	tool := standIn(t, "nvidia-smi", "sleep 60 & echo $! > "+pid+"\n"+nvidiaRows)
	ctx, cancel := context.WithCancel(t.Context())
	w := Start(ctx, nil, tool)
	w.Ready(ctx)
	cancel() // as Ctrl+C does
	p, _ := w.Stop(ctx, nil, 1)
	assert.Nil(t, p)
	b, err := os.ReadFile(pid)
	require.NoError(t, err)
	child, err := strconv.Atoi(strings.TrimSpace(string(b)))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return gone(child) }, 10*time.Second, 20*time.Millisecond)
}

// gone reports whether a process has ended, be it that nobody has buried it.
func gone(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return true
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && strings.Contains(string(b), ") Z ")
}
