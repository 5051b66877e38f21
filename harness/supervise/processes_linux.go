package supervise

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// adoptOrphans makes every descendant of this process whose parent ends a child of
// this process, in place of the first process of the machine.
func adoptOrphans() {
	const setChildSubreaper = 36 // PR_SET_CHILD_SUBREAPER
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, setChildSubreaper, 1, 0)
}

// ownSession starts a process in a session of its own, which dies with whoever
// starts it.
func ownSession() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}

// members are the processes of a keeper's command: all that descend from the keeper.
func members(int) map[int]bool { return descendants(os.Getpid()) }

// descendants are the processes below a process that still run.
func descendants(of int) map[int]bool {
	below := map[int][]int{}
	dead := map[int]bool{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		// pid (name) state ppid …, and the name may hold anything
		end := strings.LastIndexByte(string(text), ')')
		if end < 0 {
			continue
		}
		fields := strings.Fields(string(text[end+1:]))
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if len(fields) < 2 {
			continue
		}
		parent, _ := strconv.Atoi(fields[1])
		below[parent] = append(below[parent], pid)
		dead[pid] = fields[0] == "Z" || fields[0] == "X"
	}
	out := map[int]bool{}
	var add func(int)
	add = func(pid int) {
		for _, child := range below[pid] {
			if !dead[child] {
				out[child] = true
			}
			add(child)
		}
	}
	add(of)
	return out
}

// name is a process for people: its name and id.
func name(pid int) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return strings.TrimSpace(fmt.Sprintf("%s (process %d)", strings.TrimSpace(string(b)), pid))
}

// listeners are the processes that listen on a TCP port, as far as this one may
// see them.
func listeners(port int) (pids []int) {
	sockets := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(table)
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			// sl local_address rem_address st … inode
			fields := strings.Fields(lines.Text())
			if len(fields) < 10 || fields[3] != "0A" { // listening
				continue
			}
			_, hex, _ := strings.Cut(fields[1], ":")
			if n, err := strconv.ParseUint(hex, 16, 16); err == nil && int(n) == port {
				sockets["socket:["+fields[9]+"]"] = true
			}
		}
		f.Close()
	}
	if len(sockets) == 0 {
		return nil
	}
	files, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	seen := map[int]bool{}
	for _, file := range files {
		target, err := os.Readlink(file)
		if err != nil || !sockets[target] {
			continue
		}
		pid, _ := strconv.Atoi(strings.Split(file, "/")[2])
		if !seen[pid] {
			seen[pid] = true
			pids = append(pids, pid)
		}
	}
	return pids
}
