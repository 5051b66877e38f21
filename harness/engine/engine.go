// Package engine is the embedded engine: an LLM server in miniature that speaks
// the wire of vLLM and SGLang, schedules like them, and knows the truth about
// itself. A newcomer meets the suite on it, tests run against it, and its trace
// is the proof behind the suite's measurements.
//
// It is reached over its socket and by nothing else: no package that measures
// imports it.
//
// Inside, HTTP handlers turn requests into jobs; one loop schedules the jobs
// (package schedule), waits until each step's time has passed, draws the step's
// tokens from the language model (package ngram), and hands them to the
// sockets itself. A reader that is slow costs the loop nothing: its tokens are
// left to a goroutine of its own.
package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"inferbench/harness/engine/ngram"
	"inferbench/harness/engine/schedule"
)

// Version is the engine's own version, as /version and /metrics say it.
const Version = "0.1.0"

// Config says how to start an engine. The zero Config is a good one.
type Config struct {
	Profile string // a shipped profile's name or a .json path; "" is fast
	Addr    string // to listen on; "" is a free port on loopback, 127.0.0.1:0
	APIKey  string // asked of clients as a bearer token; "" asks none
	Model   string // the name to serve under; "" is inferbench-ngram
	Dialect Dialect
	GPUs    int // that it says it runs on, all ranks together; 0 says nothing
	Ranks   int // data-parallel replicas, each with a KV cache of its own; 0 is one

	// Noise is the standard deviation, in nats, of noise on all logits: a model
	// damaged. DecodeNoise is the same on decode steps alone, on top of Noise:
	// a model whose decode kernels disagree with its prefill.
	Noise, DecodeNoise float64

	KVTokens   int // capacity of the KV cache; 0: the profile's
	HostTokens int // capacity of the prefix cache's host tier; 0: the profile's

	Faults   string        // what goes wrong on demand: see [ParseFaults]
	LoadTime time.Duration // how long it answers 503 after its start, as if loading weights

	// TraceTokens bounds the trace: the most recent requests are kept as long
	// as their tokens, together, are at most so many. 0 means 1,000,000; a
	// negative number keeps none.
	TraceTokens int

	// Tune changes the profile after it was loaded, before it is checked.
	Tune func(*schedule.Profile)
}

// Dialect says whose endpoints the engine offers.
type Dialect string

const (
	Both   Dialect = ""       // vLLM's and SGLang's
	VLLM   Dialect = "vllm"   // OpenAI's and vLLM's alone
	SGLang Dialect = "sglang" // OpenAI's and SGLang's alone, and no logprobs of an echoed prompt
)

// ModelName is the name that the engine serves its model under unless told
// another.
const ModelName = "inferbench-ngram"

// Engine is a running engine.
type Engine struct {
	cfg     Config
	profile *schedule.Profile
	born    time.Time
	model   *ngram.Model
	views   atomic.Pointer[views]
	faults  atomic.Pointer[faults]

	throttle throttle

	listener *listener
	server   *http.Server
	ranks    []*loop
	trace    *trace

	profiling atomic.Bool // between /start_profile and /stop_profile

	closed context.Context // ends with Close
	shut   context.CancelFunc
	work   sync.WaitGroup // every goroutine that Close waits for
	once   sync.Once
}

// views is the model as prefill and as decode steps see it.
type views struct{ prefill, decode *ngram.View }

// at returns the view that made output token i: the pass over the prompt makes the
// first.
func (v *views) at(i int) *ngram.View {
	if i == 0 {
		return v.prefill
	}
	return v.decode
}

// Start trains the model, listens, and serves until Close.
func Start(cfg Config) (*Engine, error) {
	p, err := schedule.LoadProfile(cfg.Profile)
	if err != nil {
		return nil, err
	}
	p.Limits.KVTokens = cmp.Or(cfg.KVTokens, p.Limits.KVTokens)
	p.Limits.HostTokens = cmp.Or(cfg.HostTokens, p.Limits.HostTokens)
	if cfg.Tune != nil {
		cfg.Tune(p)
	}
	if err := p.Validate(); err != nil {
		return nil, fmt.Errorf("engine profile %s, as tuned: %w", p.Name, err)
	}
	switch cfg.Dialect {
	case Both, VLLM, SGLang:
	default:
		return nil, fmt.Errorf("engine dialect %q: want vllm, sglang or none for both", cfg.Dialect)
	}
	cfg.Ranks = max(cfg.Ranks, 1)
	if cfg.GPUs%cfg.Ranks != 0 {
		return nil, fmt.Errorf("engine: %d ranks do not share %d GPUs evenly", cfg.Ranks, cfg.GPUs)
	}
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	if cfg.Model == "" {
		cfg.Model = ModelName
	}
	if cfg.TraceTokens == 0 {
		cfg.TraceTokens = 1_000_000
	}
	e := &Engine{cfg: cfg, profile: p, born: time.Now(), model: own(), trace: newTrace(cfg.TraceTokens)}
	if err := e.SetFaults(cfg.Faults); err != nil {
		return nil, err
	}
	e.SetNoise(cfg.Noise, cfg.DecodeNoise)
	ln, err := net.Listen("tcp", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("engine: listen on %s: %w", cfg.Addr, err)
	}
	e.closed, e.shut = context.WithCancel(context.Background())
	e.listener = newListener(ln)
	for range cfg.Ranks {
		e.ranks = append(e.ranks, newLoop(e))
	}
	e.server = &http.Server{Handler: e.handler(), BaseContext: func(net.Listener) context.Context { return e.closed },
		ConnContext: withConn, ConnState: idle, ErrorLog: quiet}
	e.work.Go(e.listener.accept)
	for _, l := range e.ranks {
		e.work.Go(l.run)
	}
	e.work.Go(func() { _ = e.server.Serve(e.listener) })
	return e, nil
}

// URL returns the engine's address: http://127.0.0.1:port.
func (e *Engine) URL() string {
	host := e.listener.Addr().String()
	if strings.HasPrefix(host, "[::]") {
		host = "127.0.0.1" + strings.TrimPrefix(host, "[::]")
	}
	return "http://" + host
}

// SetNoise changes the noise on the logits: see [Config].
func (e *Engine) SetNoise(all, decode float64) {
	v := &views{prefill: e.model.View(all)}
	v.decode = v.prefill
	if decode > 0 {
		v.decode = e.model.View(all + decode)
	}
	e.views.Store(v)
}

// Close ends every request, gives the port back and waits until nothing of the
// engine runs any more.
func (e *Engine) Close() error {
	var err error
	e.once.Do(func() {
		e.shut()
		err = e.listener.Close()
		e.listener.closeConns()
		if cerr := e.server.Close(); err == nil && !errors.Is(cerr, net.ErrClosed) {
			err = cerr
		}
		e.work.Wait()
	})
	return err
}

// now returns the engine's clock: monotonic, from its start.
func (e *Engine) now() time.Duration { return time.Since(e.born) }

// loading reports whether the engine still pretends to load its weights.
func (e *Engine) loading() bool { return e.now() < e.cfg.LoadTime }
