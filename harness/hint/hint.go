// Package hint knows what people do about the errors that they meet most: a
// server that is not there, a context too short, a full disk. An error says
// what was tried and what happened; the advice says, on the same line, what to
// do next. It is found by the error's text, since most of these texts come from
// servers of other makers.
package hint

import (
	"regexp"
	"strings"
)

// known is a table of what errors say and what to do, the more special first.
var known = []struct {
	says *regexp.Regexp
	do   string
}{
	{regexp.MustCompile(`could not be fetched from|set (CA_FILE|SHARD_DIR|BASE_URL|DATASET=)|^[A-Z0-9_]+(=".*")? \(from `), ""}, // these say it themselves
	{regexp.MustCompile(`no space left on device|disk quota exceeded`),
		"free some space, or choose another folder with RESULTS_DIR, then go on with make resume"},
	{regexp.MustCompile(`RESULTS_DIR.*(permission denied|read-only file system|not a directory|no such file|not permitted)`),
		"choose a folder that you may write to, as RESULTS_DIR=$HOME/results"},
	{regexp.MustCompile(`^write .*(permission denied|read-only file system)`),
		"choose a folder that you may write to, as RESULTS_DIR=$HOME/results"},
	{regexp.MustCompile(`READY_TIMEOUT.*connection refused|connection refused.*READY_TIMEOUT`),
		"start the server (make serve ENGINE=sglang), or correct PORT or BASE_URL"},
	{regexp.MustCompile(`connection refused`),
		"the server has gone: look into its log, start it again, then go on with make resume"},
	{regexp.MustCompile(`no such host`), "correct the host name in BASE_URL"},
	{regexp.MustCompile(`no route to host|network is unreachable`), "correct BASE_URL, or see to the network or firewall between here and the server"},
	{regexp.MustCompile(`HTTP 40[13]`), "the server wants a key: put it into API_KEY or a file named by API_KEY_FILE"},
	{regexp.MustCompile(`certificate signed by unknown authority`), "name the authority's certificate with CA_FILE"},
	{regexp.MustCompile(`\(READY_TIMEOUT\)`), "look into the server's log, and give it longer with READY_TIMEOUT if it is merely loading"},
	{regexp.MustCompile(`is not what the server serves`), "set MODEL to a name that it lists, or leave MODEL out"},
	// vLLM, SGLang, llama.cpp and TensorRT-LLM, in their own words.
	{regexp.MustCompile(`(?i)maximum context length|max(imum)? model len|longer than the (model's context|maximum model length)|exceeds? the (available context|maximum (allowed )?(input )?(length|sequence))|context (size|length).*exceeded|max_seq_len|takes \d+ tokens in all`),
		"start the server with a longer context (vLLM: --max-model-len, SGLang: --context-length, llama.cpp: -c), or choose a smaller ISL or OSL"},
	{regexp.MustCompile(`(?i)out of memory|kv[ -]?cache|memory slot|cache blocks|no free blocks`),
		"the server ran out of KV cache: lower CONC, or give it more (vLLM: --gpu-memory-utilization, SGLang: --mem-fraction-static)"},
	{regexp.MustCompile(`(?i)queue is full|too many requests|HTTP 429|HTTP 503`),
		"the server takes no more at once: lower CONC, or let it queue more (SGLang: --max-queued-requests)"},
	{regexp.MustCompile(`(?i)HTTP 404.*model.*(does not exist|not found)`), "set MODEL to a name that the server's /v1/models lists"},
	{regexp.MustCompile(`/v1/completions: HTTP 404|HTTP 404: there is no POST /v1/completions`), "the server has no completions endpoint: try ENDPOINT=chat"},
	{regexp.MustCompile(`too many open files`), "raise the limit in this shell: ulimit -n 65536"},
	{regexp.MustCompile(`REQUEST_TIMEOUT|context deadline exceeded|timed out|i/o timeout`),
		"if the server is merely slow, raise REQUEST_TIMEOUT or lower CONC; if it hangs, its log says why"},
}

// For says what to do about an error's text; "" where nothing is known.
func For(text string) string {
	for _, k := range known {
		if k.says.MatchString(text) {
			if strings.Contains(text, k.do) {
				return "" // it has been told
			}
			return k.do
		}
	}
	return ""
}

// Add appends the advice to a text, if there is any: one line stays one line.
func Add(text string) string {
	if do := For(text); do != "" {
		return text + ": " + do
	}
	return text
}

// Err is err with its advice. It stays what it was for [errors.Is] and
// [errors.As].
func Err(err error) error {
	if err == nil || For(err.Error()) == "" {
		return err
	}
	return &advised{err}
}

type advised struct{ error }

func (a *advised) Error() string { return Add(a.error.Error()) }
func (a *advised) Unwrap() error { return a.error }
