package stats_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/stats"
)

func failed(reasons ...string) (ts []stats.Timing) {
	for _, r := range reasons {
		ts = append(ts, stats.Timing{Err: r})
	}
	return ts
}

// What each request, worker or moment has for itself makes no kind of its own.
func TestReasonsOfOneKind(t *testing.T) {
	for name, reasons := range map[string][]string{
		"numbers":         {"stream ended after 3 of 64 tokens: EOF", "stream ended after 17 of 64 tokens: EOF"},
		"hex ids":         {"HTTP 500: request 9f3c77ab12 failed", "HTTP 500: request 01d4e0c9ff failed", "HTTP 500: request deadbeef failed"},
		"UUIDs":           {"aborted 6f9619ff-8b86-d011-b42d-00c04fc964ff", "aborted 0e37df36-f698-11e6-8dd4-cb9ced3df976"},
		"UUIDs, no dash":  {"aborted 6f9619ff8b86d011b42d00c04fc964ff", "aborted 0e37df36f69811e68dd4cb9ced3df976"},
		"prefixed ids":    {"HTTP 500: cmpl-a8FkQzRrTt was lost", "HTTP 500: cmpl-ZZtopQwErT was lost", "HTTP 500: cmpl-99 was lost"},
		"ids in a row":    {"HTTP 500: request cmpl-b99aB not found", "HTTP 500: request cmpl-abcdE not found"},
		"ids under keys":  {`failed (request_id=aBcDeFgHiJ)`, `failed (request_id=a8FkQz)`},
		"JSON ids":        {`{"id": "a8FkQz/x+", "why": "gone"}`, `{"id": "Zq91==", "why": "gone"}`},
		"short ids":       {"job a1b2c3 died", "job f9e8d7 died"},
		"ULIDs":           {"req_01HXYZABCDEFGHJKMNPQRSTVWX failed", "req_01JAAAABBBBCCCCDDDDEEEEFFF failed"},
		"memory":          {"segfault at 0x7ffd1234abcd", "segfault at 0x55aa00"},
		"IPv4":            {"connect to 10.0.0.1:8000: refused", "connect to 192.168.17.254:18000: refused"},
		"IPv6":            {"connect to [fe80::1ff:fe23:4567:890a]:80: refused", "connect to [2001:db8::1]:8080: refused", "connect to [::1]:80: refused"},
		"addresses":       {"upstream http://gpu-a.local:8000/v1 is down", "upstream http://other.example/v1 is down"},
		"workers":         {"worker-3 is gone", "worker-17 is gone"},
		"sizes":           {"out of memory: tried to allocate 2.00 GiB", "out of memory: tried to allocate 512.00 MiB", "out of memory: tried to allocate 1,024 bytes"},
		"durations":       {"no answer within 1m30s", "no answer within 900ms", "no answer within 2.5 seconds"},
		"times":           {"2026-11-26T10:15:00.123Z overloaded", "2026-12-01T09:00:59Z overloaded"},
		"times, in words": {"Thu, 26 Nov 2026 10:15:00 GMT: overloaded", "Fri, 4 Dec 2026 09:00:59 GMT: overloaded"},
		"lists":           {"tokens [1, 2, 3] are bad", "tokens [7, 8] are bad"},
		"signs":           {"loss was -1.5e-3", "loss was 2.25"},
		"excerpts":        {`not JSON (it starts "a b")`, `not JSON (it starts "c \"d\"")`},
	} {
		assert.Len(t, stats.FailuresOf(failed(reasons...)), 1, "%s: %q", name, reasons)
	}
}

// What says something else is another kind, however alike it looks.
func TestReasonsOfSeveralKinds(t *testing.T) {
	for name, reasons := range map[string][]string{
		"statuses":       {"HTTP 500: failed", "HTTP 503: failed", "HTTP 429: failed"},
		"codes":          {"error code 700", "error code 719"},
		"codes in JSON":  {`{"code": 1, "why": "x"}`, `{"code": 2, "why": "x"}`},
		"CUDA":           {"CUDA error 2", "CUDA error 700"},
		"exit codes":     {"the worker died (exit code 9)", "the worker died (exit code 11)"},
		"servers' words": {"HTTP 500: KV cache is full", "HTTP 500: the worker died"},
		"keys":           {`HTTP 400: unknown parameter "top_k"`, `HTTP 400: unknown parameter "min_p"`},
		"models":         {"model llama-3-8b is unknown", "model qwen2-7b is unknown"},
		"words with -":   {"request-level limit", "request-rate limit"},
		"ids that lack":  {"request id: missing", "request id: invalid"},
		"names":          {"OutOfMemoryError", "ValueErrorException"},
		"types":          {"bfloat16 is not supported", "float16 is not supported"},
	} {
		assert.Len(t, stats.FailuresOf(failed(reasons...)), len(reasons), "%s: %q", name, reasons)
	}
}

func TestFailuresAreToldByKindWithCounts(t *testing.T) {
	const post = "POST http://h:1/v1/completions: "
	ts := failed(post+"stream ended after 3 of 8 tokens", post+"HTTP 500: a", "", post+"HTTP 500: a", post+"stream ended after 4 of 8 tokens", post+"HTTP 500: a")
	ts[1].Advice = "look into the log"
	s := stats.Summarize(ts, 1, 1)
	assert.Equal(t, stats.Failures{{Error: post + "HTTP 500: a", Requests: 3, Advice: "look into the log"},
		{Error: post + "stream ended after 3 of 8 tokens", Requests: 2}}, s.Errors)
	assert.Nil(t, s.OtherErrors)
	text, advice := s.WhyFailed()
	assert.Equal(t, post+"3× HTTP 500: a, 2× stream ended after 3 of 8 tokens", text)
	assert.Equal(t, "look into the log", advice)

	text, _ = stats.Summarize(failed(post+"HTTP 500: a"), 1, 1).WhyFailed()
	assert.Equal(t, post+"HTTP 500: a", text, "one kind needs no count")
}

func TestWhatIsNotListedIsCounted(t *testing.T) {
	var reasons []string
	for i := range 13 {
		for range 20 - i {
			reasons = append(reasons, "refused by "+strings.Repeat("x", i+1))
		}
	}
	s := stats.Summarize(failed(reasons...), 1, 1)
	require.Len(t, s.Errors, stats.MaxErrors)
	assert.Equal(t, 20, s.Errors[0].Requests)
	assert.Equal(t, &stats.OtherErrors{Kinds: 3, Requests: 10 + 9 + 8}, s.OtherErrors)
	text, _ := s.WhyFailed()
	assert.Equal(t, "20× refused by x, 19× refused by xx, 18× refused by xxx, 17× refused by xxxx, 16× refused by xxxxx, 92× for 8 other reasons", text)
	assert.Equal(t, s.Failed, s.Errors.Requests()+s.OtherErrors.Requests)

	long := fmt.Sprintf("HTTP 500: %s", strings.Repeat("é", 300))
	text, _ = stats.Summarize(failed(long, "b"), 1, 1).WhyFailed()
	assert.Equal(t, "1× HTTP 500: "+strings.Repeat("é", 190)+"…, 1× b", text)
}
