package clientcheck

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// seen is what the client saw of one request, in ns: a line of its output.
type seen struct {
	Index int     `json:"i"`
	TTFT  int64   `json:"ttft"`
	Gaps  []int64 `json:"gaps"`
}

// Timing compares the client's TTFT and gaps with the engine's owN: from the
// request's first byte read to the first token handed to the socket, and
// between tokens handed to the socket. The difference holds the way through the
// kernel in both directions, and what either process waited for a core, as well
// as the client's own delay; the last column is how late the client's timers
// were meanwhile, which is what the machine does to any process.
func Timing(ctx context.Context) error {
	fmt.Printf("%8s %-20s %8s %9s | %-25s | %-25s | %s\n", "streams", "pace", "tokens", "bundled",
		"TTFT error, ms: p50, p99", "ITL error, ms: p50, p99", "timers late, ms: p99")
	for _, level := range []struct {
		conc int
		step time.Duration
		osl  int // so that the engine's trace holds all
	}{{64, 20 * time.Millisecond, 48}, {1024, 100 * time.Millisecond, 48}, {4096, 500 * time.Millisecond, 48},
		{16384, 2 * time.Second, 12}} {
		if err := timingAt(ctx, level.conc, level.step, level.osl); err != nil {
			return fmt.Errorf("%d streams: %w", level.conc, err)
		}
	}
	return nil
}

func timingAt(ctx context.Context, conc int, step time.Duration, osl int) error {
	e, err := startEngine(ctx, step)
	if err != nil {
		return err
	}
	defer e.stop()
	out, err := child(ctx, e.self, "ours", Job{URL: e.URL, Conc: conc, N: 2 * conc, ISL: 64, OSL: osl}, "-ids")
	if err != nil {
		return err
	}
	handed, err := traces(ctx, e.URL)
	if err != nil {
		return err
	}
	var late float64
	if m := lateness.FindSubmatch(out); m != nil {
		late, _ = strconv.ParseFloat(string(m[1]), 64)
	}
	var ttft, itl []int64
	tokens, bundled := 0, 0
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var s seen
		if json.Unmarshal(lines.Bytes(), &s) != nil {
			continue // not a timing: the summary at the end
		}
		h, ok := handed["clientcheck-"+strconv.Itoa(s.Index)]
		if !ok || len(h.HandedNS) != len(s.Gaps)+1 {
			return fmt.Errorf("request %d: the client saw %d tokens, the engine's trace has %d", s.Index,
				len(s.Gaps)+1, len(h.HandedNS))
		}
		err := s.TTFT - (h.HandedNS[0] - h.ArrivedNS)
		ttft = append(ttft, max(err, -err))
		tokens += len(h.HandedNS)
		for i, gap := range s.Gaps {
			err := gap - (h.HandedNS[i+1] - h.HandedNS[i])
			itl = append(itl, max(err, -err))
			if gap == 0 {
				bundled++
			}
		}
	}
	if len(ttft) != 2*conc {
		return fmt.Errorf("%d of %d requests were timed", len(ttft), 2*conc)
	}
	fmt.Printf("%8d %-20s %8d %7.2f %% | %12.3f %12.3f | %12.3f %12.3f | %12.3f\n", conc, pace(step), tokens,
		100*float64(bundled)/float64(tokens),
		at(ttft, 50), at(ttft, 99), at(itl, 50), at(itl, 99), late)
	return nil
}

var lateness = regexp.MustCompile(`timers ([0-9.]+) ms late`)

// at is a percentile in ms.
func at(ns []int64, p int) float64 {
	slices.Sort(ns)
	return float64(ns[(len(ns)-1)*p/100]) / 1e6
}

// trace is a request in the engine's trace.
type trace struct {
	ID        string  `json:"id"`
	ArrivedNS int64   `json:"arrived_ns"`
	HandedNS  []int64 `json:"handed_ns"`
}

func traces(ctx context.Context, url string) (map[string]trace, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/inferbench/trace", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var list struct {
		Requests []trace `json:"requests"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		return nil, fmt.Errorf("read the engine's trace: %w", err)
	}
	out := map[string]trace{}
	for _, t := range list.Requests {
		out[t.ID] = t
	}
	return out, nil
}

// child runs a client in a process of its own and returns what it printed.
func child(ctx context.Context, self, kind string, j Job, more ...string) ([]byte, error) {
	args := append([]string{"client", kind, "-url", j.URL, "-conc", strconv.Itoa(j.Conc), "-n", strconv.Itoa(j.N),
		"-isl", strconv.Itoa(j.ISL), "-osl", strconv.Itoa(j.OSL)}, more...)
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("client %s: %w", kind, err)
	}
	return out, nil
}
