package clientcheck

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"inferbench/harness/load"
	"inferbench/harness/server"
	"inferbench/harness/workload"
)

// Ours is the suite's client.
func Ours(ctx context.Context, j Job) error {
	t := server.New(j.URL, "", "", nil)
	if err := t.Wait(ctx, server.WaitOptions{Timeout: time.Minute}); err != nil {
		return err
	}
	src := workload.Random{N: j.N, ISL: j.ISL, OSL: j.OSL, RangeRatio: 1, Vocab: t.Vocab, Seed: 1}
	o := load.Options{Conc: j.Conc}
	if j.IDs {
		o.RequestIDs = "clientcheck-"
	}
	rec, err := load.Run(ctx, t, src, o)
	if err != nil {
		return err
	}
	s := rec.Summary(1)
	if s.Failed > 0 {
		why, _ := s.WhyFailed()
		return fmt.Errorf("%d requests failed: %s", s.Failed, why)
	}
	if j.IDs {
		out := json.NewEncoder(os.Stdout)
		for _, x := range rec.Timings {
			line := seen{Index: x.Index, TTFT: int64(x.TTFT())}
			for gap := range x.ITL.All() {
				line.Gaps = append(line.Gaps, int64(gap))
			}
			if err := out.Encode(line); err != nil {
				return err
			}
		}
	}
	fmt.Printf("%.0f output tok/s, %.2f %% bundled, slots %.2f %% idle, timers %.3f ms late, %d KiB at most\n",
		s.OutputThroughput, rec.Audit.BundledShare*100, rec.Audit.IdleShare*100, rec.Audit.LatenessP99Ms, mostMemory())
	return nil
}

// mostMemory is the most memory that this process had resident, in KiB.
func mostMemory() int64 {
	b, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(b)) {
		var n int64
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &n); err == nil {
			return n
		}
	}
	return 0
}

// Bare is the least that a client can do: it writes a request, and reads until
// the chunk that ends the answer, looking at nothing else.
func Bare(ctx context.Context, j Job) error {
	addr := strings.TrimPrefix(j.URL, "http://")
	ids := strings.Repeat("65,", j.ISL-1) + "65"
	body := fmt.Sprintf(`{"model":"inferbench-ngram","prompt":[%s],"max_tokens":%d,"temperature":0,"ignore_eos":true,"stream":true,"stream_options":{"include_usage":true}}`, ids, j.OSL)
	request := fmt.Appendf(nil, "POST /v1/completions HTTP/1.1\r\nHost: %s\r\nContent-Type: "+
		"application/json\r\nContent-Length: %d\r\n\r\n%s", addr, len(body), body)

	work := make(chan struct{}, j.N)
	for range j.N {
		work <- struct{}{}
	}
	close(work)
	begin := time.Now()
	errs := make(chan error, j.Conc)
	var slots sync.WaitGroup
	for range j.Conc {
		slots.Go(func() { errs <- readAll(ctx, addr, request, work) })
	}
	slots.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	fmt.Printf("%.0f output tok/s, %d KiB at most\n", float64(j.N*j.OSL)/time.Since(begin).Seconds(), mostMemory())
	return nil
}

func readAll(ctx context.Context, addr string, request []byte, work <-chan struct{}) error {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	buf := make([]byte, 16<<10)
	end := []byte("\r\n0\r\n\r\n")
	for range work {
		if _, err := c.Write(request); err != nil {
			return err
		}
		for {
			n, err := c.Read(buf)
			if err != nil {
				if err == io.EOF {
					err = io.ErrUnexpectedEOF
				}
				return err
			}
			if bytes.HasSuffix(buf[:n], end) || bytes.Equal(buf[:n], end[2:]) {
				break
			}
		}
	}
	return nil
}
