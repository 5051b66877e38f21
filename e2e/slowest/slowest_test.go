// Package slowest makes causes of slow requests on purpose, on the embedded engine,
// and sees that a batch's summary.md names them.
package slowest

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	_ "inferbench/harness/testdata/cleanenv" // the user's settings are not the tests'
)

var update = flag.Bool("update", false, "run every situation, five minutes in all, and write docs/why-slow.md")

const page = "../../docs/why-slow.md"

// situation is a cause that is made while a sweep runs.
type situation struct {
	name    string   // of the page's row
	made    string   // how, for a reader
	want    string   // what the sentence must say
	engine  []string // flags of the engine
	sweep   []string // flags of the sweep, beside those of all
	gpus    bool     // a DCGM exporter's page of eight GPUs is looked at
	disturb func(s *stand)
}

var situations = []situation{
	{name: "nothing", made: "left alone", want: "there is nothing to explain"},
	{name: "queue", made: "8 requests run at once; another client sends 8 more, with 150 tokens of output each",
		want: "while the server's queue was longer", engine: []string{"--max-num-seqs", "8"},
		disturb: func(s *stand) { s.others(8, 16, 150) }},
	{name: "preemption", made: "a KV cache of 3,072 tokens; another client sends 2 requests of 600 + 300 tokens",
		want: "while the server put requests back for want of KV cache", engine: []string{"--kv-cache-tokens", "3072"},
		disturb: func(s *stand) { s.others(2, 600, 300) }},
	{name: "others' prompts", made: "another client sends 6 prompts of 20,000 tokens",
		want: "while the server computed more prompts", disturb: func(s *stand) { s.others(6, 20000, 1) }},
	{name: "silence", made: "the server's process is stopped for 1.5 s (SIGSTOP)",
		want: "while the server did not answer at /metrics either", disturb: func(s *stand) { stop(s.engine, 1500*time.Millisecond) }},
	{name: "the client", made: "the client's process is stopped for 3 s (SIGSTOP) at a REQUEST_RATE of 6",
		want: "while the client itself stood still", sweep: []string{"-request-rate", "6", "-num-prompts", "150"},
		disturb: func(s *stand) { stop(s.client, 3*time.Second) }},
	{name: "transfer", made: "each prompt's KV cache takes 20 ms to come from elsewhere (the fault kv-transfer); that of 8 requests takes 1.5 s",
		want:    "waited for their KV cache to come from elsewhere",
		engine:  []string{"-faults", "kv-transfer:for=20ms"},
		disturb: func(s *stand) { s.fault("kv-transfer:for=1500ms:count=8,kv-transfer:for=20ms") }},
	{name: "throttling", made: "steps take 3 times as long for 4 s (the fault throttle), while a DCGM exporter's page shows clocks of 660 MHz, not 1,980",
		want: "while the GPUs' clocks were lower", gpus: true,
		disturb: func(s *stand) {
			s.fault("throttle:for=4s:times=3:count=1")
			s.clock.Store(660)
			time.Sleep(4 * time.Second)
			s.clock.Store(1980)
		}},
	{name: "waiting for CONC", made: "a REQUEST_RATE of 12 in bursts (BURSTINESS=0.05)",
		want: "had waited longer here", sweep: []string{"-request-rate", "12", "-burstiness", "0.05"}},
}

// stand is what a situation has to disturb.
type stand struct {
	url            string
	engine, client *exec.Cmd
	clock          atomic.Int64 // MHz, that the GPUs' page shows
}

// fault has the engine do something wrong from now on.
func (s *stand) fault(rules string) {
	r, _ := http.NewRequest(http.MethodPut, s.url+"/inferbench/faults", strings.NewReader(fmt.Sprintf(`{"faults":%q}`, rules)))
	if a, err := http.DefaultClient.Do(r); err == nil {
		a.Body.Close()
	}
}

// ServeHTTP is a DCGM exporter's page of eight busy GPUs.
func (s *stand) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	for _, m := range []struct {
		name  string
		value int64
	}{{"POWER_USAGE", 700}, {"SM_CLOCK", s.clock.Load()}, {"GPU_UTIL", 97}} {
		fmt.Fprintf(w, "# TYPE DCGM_FI_DEV_%s gauge\n", m.name)
		for i := range 8 {
			fmt.Fprintf(w, "DCGM_FI_DEV_%s{gpu=\"%d\",UUID=\"GPU-%d\"} %d\n", m.name, i, i, m.value)
		}
	}
}

// others sends requests that are not the sweep's, at once.
func (s *stand) others(n, prompt, output int) {
	var sent sync.WaitGroup
	for i := range n {
		ids := make([]int, prompt)
		for k := range ids {
			ids[k] = (i*7919+k*31)%240 + 10
		}
		body, _ := json.Marshal(map[string]any{"model": "inferbench-ngram", "prompt": ids, "max_tokens": output, "ignore_eos": true})
		sent.Go(func() {
			if r, err := http.Post(s.url+"/v1/completions", "application/json", bytes.NewReader(body)); err == nil {
				r.Body.Close()
			}
		})
	}
	sent.Wait()
}

func stop(c *exec.Cmd, d time.Duration) {
	_ = c.Process.Signal(syscall.SIGSTOP)
	time.Sleep(d)
	_ = c.Process.Signal(syscall.SIGCONT)
}

// run measures a cell of 400 requests while the situation is made, and returns the
// sentence of its summary.md.
func (s situation) run(t *testing.T, command string) string {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var out bytes.Buffer
	engine := exec.CommandContext(ctx, command, append([]string{"engine", "-port", "0", "-profile", "b200-dsr1-fp4"}, s.engine...)...)
	told, err := engine.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, engine.Start())
	defer func() { _ = engine.Process.Kill(); _ = engine.Wait() }()
	line := make([]byte, 500)
	n, err := told.Read(line)
	require.NoError(t, err)
	url := regexp.MustCompile(`http://[\d.:]+`).FindString(string(line[:n]))
	require.NotEmpty(t, url, string(line[:n]))

	dir, at := t.TempDir(), &stand{url: url, engine: engine}
	at.clock.Store(1980)
	page := httptest.NewServer(at)
	defer page.Close()
	sweep := s.sweep
	if s.gpus {
		sweep = append([]string{"-power-urls", page.URL}, sweep...)
	}
	client := exec.CommandContext(ctx, command, append([]string{"run", "-isl", "256", "-osl", "64", "-conc", "8", "-num-prompts", "400", "-acc-task", "none",
		"-base-url", url, "-tp", "8", "-scrape-every", "200ms", "-results-dir", dir}, sweep...)...)
	client.Stdout, client.Stderr = &out, &out
	require.NoError(t, client.Start())
	if s.disturb != nil {
		time.Sleep(9 * time.Second)
		at.client = client
		s.disturb(at)
	}
	require.NoError(t, client.Wait(), out.String())
	files, err := filepath.Glob(filepath.Join(dir, "batch_*", "summary.md"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	b, err := os.ReadFile(files[0])
	require.NoError(t, err)
	found := regexp.MustCompile(`(?m)^\* CONC 8: (The slowest .*)$`).FindStringSubmatch(string(b))
	require.NotNil(t, found, string(b))
	return found[1]
}

const head = `# Why it was slow: causes made on purpose

What ` + "`summary.md`" + ` said of a cell of ISL 256, OSL 64, CONC 8 on the embedded engine (profile b200-dsr1-fp4), in which a cause was made nine seconds after the start. ` + "`make why-slow`" + ` runs them all and writes this page; the same causes are held in virtual time by ` + "`harness/slowest`" + `.

| cause | how it was made | the sentence |
| --- | --- | --- |
`

// row is what the page says of a situation; "" where it has no such row.
func (s situation) row(text string) string {
	found := regexp.MustCompile(`(?m)^\| ` + regexp.QuoteMeta(s.name+" | "+s.made) + ` \| (.*) \|$`).FindStringSubmatch(text)
	if found == nil {
		return ""
	}
	return found[1]
}

// With -update the situations are run, and each that is named gets its row anew. The
// page must have them all, with what names each.
func TestCausesMadeOnPurposeAreNamed(t *testing.T) {
	command := filepath.Join(t.TempDir(), "inferbench")
	if *update {
		out, err := exec.Command("go", "build", "-o", command, "inferbench/cmd/inferbench").CombinedOutput()
		require.NoError(t, err, string(out))
	}
	for _, s := range situations {
		t.Run(s.name, func(t *testing.T) {
			if *update {
				said := s.run(t, command)
				for range 2 { // this machine itself stood still, for other work on it: a run of its own
					if strings.Contains(said, s.want) || !strings.Contains(said, "stood still") && !strings.Contains(said, "did not answer") {
						break
					}
					t.Log("again: " + said)
					said = s.run(t, command)
				}
				require.Contains(t, said, s.want)
				s.write(t, said)
			}
			b, err := os.ReadFile(page)
			require.NoError(t, err)
			assert.Contains(t, s.row(string(b)), s.want, "make why-slow")
		})
	}
}

// write gives the page its row for the situation.
func (s situation) write(t *testing.T, said string) {
	b, _ := os.ReadFile(page) // none before the first time
	var text strings.Builder
	text.WriteString(head)
	for _, o := range situations {
		row := o.row(string(b))
		if o.name == s.name {
			row = said
		}
		if row != "" {
			fmt.Fprintf(&text, "| %s | %s | %s |\n", o.name, o.made, row)
		}
	}
	require.NoError(t, os.WriteFile(page, []byte(text.String()), 0o644))
}
