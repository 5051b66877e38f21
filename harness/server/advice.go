package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"inferbench/harness/hint"
)

// What servers say: vLLM, SGLang, llama.cpp and TensorRT-LLM in
// their own words.
var (
	tooLong = regexp.MustCompile(`(?i)maximum context length|max(imum)? model len|longer than the (model's context|maximum model length)|` +
		`exceeds? the (available context|maximum (allowed )?(input )?(length|sequence))|context (size|length).*exceeded|max_seq_len`)
	noMemory = regexp.MustCompile(`(?i)out of memory|kv[ -]?cache|memory slot|cache blocks|no free blocks`)
	tooMany  = regexp.MustCompile(`(?i)queue is full|too many requests`)
	noModel  = regexp.MustCompile(`(?i)model.*(does not exist|not found|not exist)|unknown model`)
)

// LongerContext is what to do where a request does not fit the server's context.
const LongerContext = "start the server with a longer context (vLLM: --max-model-len, SGLang: --context-length, " +
	"llama.cpp: -c), " +
	"or choose a smaller ISL or OSL"

// Gone is what to do where the server does not answer any more.
const Gone = "the server has gone: look into its log, start it again, then go on with make resume"

const (
	moreMemory = "the server ran out of KV cache: lower CONC, or give it more " +
		"(vLLM: --gpu-memory-utilization, SGLang: --mem-fraction-static)"
	longerQueue = "the server takes no more at once: lower CONC, or let it queue more " +
		"(SGLang: --max-queued-requests, vLLM: --max-num-queued-reqs)"
	anotherModel   = "set MODEL to a name that the server's /v1/models lists"
	aKey           = "the server wants a key: put it into API_KEY or a file named by API_KEY_FILE"
	slowOrHung     = "if the server is merely slow, raise REQUEST_TIMEOUT or lower CONC; if it hangs, its log says why"
	itsLog         = "the server's log says why"
	closed         = "look into the server's log, and into that of any proxy before it, for why it closed the connection"
	tryChat        = "the server has no completions endpoint: try ENDPOINT=chat"
	tryCompletions = "the server has no chat endpoint: try ENDPOINT=completions"
	writesNothing  = "the server has neither /v1/completions nor /v1/chat/completions: correct BASE_URL, or start a " +
		"server that generates text"
	theWay = "correct BASE_URL, or see to the network or firewall between here and the server"
)

// AdviseAnswer returns err, a server's refusal, with what to do about it. The status
// is that of its HTTP answer, 0 for an error in a stream; path is what was
// asked; says is the server's own message.
func AdviseAnswer(err error, status int, path, says string) error {
	return hint.Or(err, forAnswer(status, path, says))
}

// SaysWhy reports whether err is a refusal whose words, whatever was asked, tell
// what the server lacks: context, memory, or room in its queue.
func SaysWhy(err error) bool {
	var refusal *HTTPError
	return errors.As(err, &refusal) && forWords(refusal.Body) != ""
}

func forWords(says string) string {
	switch {
	case tooLong.MatchString(says):
		return LongerContext
	case noMemory.MatchString(says):
		return moreMemory
	case tooMany.MatchString(says):
		return longerQueue
	}
	return ""
}

func forAnswer(status int, path, says string) string {
	if do := forWords(says); do != "" {
		return do
	}
	if outOfVocabulary.MatchString(says) {
		return "set VOCAB_SIZE to how many token ids the model has, or DATASET=text"
	}
	if status == http.StatusBadRequest || status == http.StatusUnprocessableEntity {
		return forKey(says)
	}
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return aKey
	case http.StatusProxyAuthRequired:
		return "a proxy between here and the server wants a password: give an address in BASE_URL that needs no proxy"
	case http.StatusNotFound:
		return notFound(path, says)
	case http.StatusRequestEntityTooLarge:
		return "a proxy before the server takes no request of this size: raise its limit (nginx: client_max_body_size), " +
			"or lower ISL"
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return longerQueue
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return "the gateway had no answer from the server behind it: look into both logs, and into the gateway's time-outs"
	}
	if status >= 500 {
		return itsLog
	}
	return ""
}

func notFound(path, says string) string {
	switch {
	case noModel.MatchString(says):
		return anotherModel
	case path == "/v1/completions":
		return tryChat
	case path == "/v1/chat/completions":
		return tryCompletions
	}
	return ""
}

// AdviseNetwork returns err, a failure of the way to the server, with what to do
// about it.
func AdviseNetwork(err error) error { return hint.Or(err, forNetwork(err)) }

func forNetwork(err error) string {
	if do := certificate(err); do != "" {
		return do
	}
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return ""
	case errors.As(err, &dns) && dns.IsNotFound:
		return "correct the host name in BASE_URL"
	case errors.As(err, &dns):
		return "see to this machine's name server, or give the server's IP address in BASE_URL"
	case is(err, syscall.ECONNREFUSED):
		return Gone
	case is(err, syscall.EHOSTUNREACH, syscall.ENETUNREACH), errors.As(err, &op) && op.Op == "dial" && op.Timeout():
		return theWay
	case is(err, syscall.EMFILE, syscall.ENFILE):
		return "raise the limit in this shell: ulimit -n 65536"
	case is(err, syscall.EADDRNOTAVAIL):
		return "this machine has no free port left: wait a minute, or lower CONC"
	case is(err, context.DeadlineExceeded, os.ErrDeadlineExceeded):
		return slowOrHung
	case is(err, io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE):
		return closed
	}
	return ""
}

// certificate returns what to do about a handshake that failed.
func certificate(err error) string {
	var (
		other   x509.HostnameError
		invalid x509.CertificateInvalidError
		unknown x509.UnknownAuthorityError
		verify  *tls.CertificateVerificationError
		record  tls.RecordHeaderError
	)
	switch {
	case err == nil:
		return ""
	case errors.As(err, &other):
		return "use a name in BASE_URL that the certificate is for"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "give the server a new certificate, or set this machine's clock"
	case errors.As(err, &unknown), errors.As(err, &verify):
		return "if the server's CA is your own, set CA_FILE to its certificate"
	case errors.As(err, &record), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		// net/http has no type for it
		return "use http:// in BASE_URL"
	}
	return ""
}

func is(err error, kinds ...error) bool {
	return slices.ContainsFunc(kinds, func(k error) bool { return errors.Is(err, k) })
}
