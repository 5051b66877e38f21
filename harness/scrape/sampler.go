package scrape

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"inferbench/harness/stats"
)

// Source gives a server's /metrics pages. A page that did not answer says why;
// an error is that none did.
type Source func(ctx context.Context) ([]Page, error)

// Report is what a pass showed of the server. Figures that it does not publish
// are nil. Times are the server's own: from a request's arrival there.
type Report struct {
	MaxRunning   *float64           `json:"max_running"`
	MaxWaiting   *float64           `json:"max_waiting"`
	MeanWaiting  *float64           `json:"mean_waiting"`
	MeanKVCache  *float64           `json:"mean_kv_cache"` // share in use
	MaxKVCache   *float64           `json:"max_kv_cache"`
	Preemptions  *float64           `json:"preemptions"`                     // requests put back for want of KV cache
	PrefixHits   *float64           `json:"prefix_hits"`                     // share of prompt tokens found in the prefix cache
	CachedTokens *float64           `json:"cached_tokens"`                   // those tokens
	Queried      *float64           `json:"prefix_queries"`                  // prompt tokens that were looked up there
	HitsBySource map[string]float64 `json:"prefix_hits_by_source,omitempty"` // likewise, by where they were
	MeanTTFT     *float64           `json:"server_mean_ttft_ms"`
	MedianTTFT   *float64           `json:"server_median_ttft_ms"` // as fine as the server's buckets
	P99TTFT      *float64           `json:"server_p99_ttft_ms"`
	TTFTOf       *float64           `json:"server_ttft_requests"` // requests that these are of: the server's, whoever sent them
	Ranks        []Rank             `json:"ranks,omitempty"`      // where there are several
	Balance      *float64           `json:"balance,omitempty"`    // the busiest rank's mean of running requests over the mean of all
	Speculation  *stats.Speculation `json:"-"`                    // a section of its own
	Every        float64            `json:"sampled_every_s"`
	Transfer     *Transfer          `json:"transfer,omitempty"` // of KV cache from prefill to decode
	Queues       map[string]Queue   `json:"queues,omitempty"`   // those of disaggregated serving, and of what waits for a reason
	Missing      []string           `json:"missing,omitempty"`  // pages whose figures are left out, and why
	Dropped      string             `json:"dropped,omitempty"`  // which figures cannot be, and why
	Samples      []Sample           `json:"-"`                  // kept in a file of their own

	ttft cumulative // of the measured run
}

// Sampler looks at a server again and again.
type Sampler struct {
	source Source
	names  Names
	every  time.Duration
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	samples []*Sample
	start   time.Time // of the measured run; zero before it
	why     error     // why the last look showed nothing
	base    *Sample   // the look before the measured run's first request
	pages   pages
}

// tries is how many looks may show nothing before the server is taken to have
// no metrics: a busy one may be late with its first answer.
const tries = 3

// Start begins to look, at once and every so often, until Stop. Figures are
// looked for under the names of each of several makes of server. It gives up for
// good where the first looks show none of them.
func Start(ctx context.Context, source Source, names []Names, every time.Duration) *Sampler {
	ctx, cancel := context.WithCancel(ctx)
	s := &Sampler{source: source, names: join(names), every: every, cancel: cancel, done: make(chan struct{})}
	go s.run(ctx)
	return s
}

func (s *Sampler) run(ctx context.Context) {
	defer close(s.done)
	tick := time.NewTicker(s.every)
	defer tick.Stop()
	for known, n := false, 1; ; n++ {
		known = s.look(ctx, between) != nil || known
		if !known && n == tries {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look takes a sample; nil where there is none to take. One look may take five
// seconds: a busy server answers late, and is not asked again meanwhile.
func (s *Sampler) look(ctx context.Context, when moment) *Sample {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	found, err := s.source(ctx)
	at := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	none := !slices.ContainsFunc(found, func(p Page) bool { return p.Err == nil })
	if none && errors.Is(ctx.Err(), context.Canceled) { // the run ended meanwhile: that says nothing of the pages
		return nil
	}
	var sample *Sample
	if err == nil {
		if found, err = s.pages.take(found, when); err == nil {
			sample, err = parse(found, s.names, at)
		}
	}
	if err == nil && sample.empty() {
		err = ErrNothing
	}
	if s.why = err; err != nil {
		return nil
	}
	s.samples = append(s.samples, sample)
	return sample
}

// ErrNothing: there is a page, and no figure on it is one that is known.
var ErrNothing = errors.New("no figure there is one that is known")

// Why says why the last look showed nothing; nil where it showed something.
func (s *Sampler) Why() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.why
}

// Begin looks once more before the measured run's first request is sent, so that
// what the counters have counted by then, the warm-up, is not counted to the run.
func (s *Sampler) Begin(ctx context.Context) {
	select {
	case <-s.done: // there is nothing to see
		return
	default:
	}
	base := s.look(ctx, begins)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.base = base
}

// Measuring says that the measured run began at start. Only the first call
// counts.
func (s *Sampler) Measuring(start time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.start.IsZero() {
		s.start = start
	}
}

// Stop looks a last time and says what was seen; nil where nothing was.
func (s *Sampler) Stop(ctx context.Context) *Report {
	s.cancel()
	<-s.done
	s.mu.Lock()
	during := len(s.samples)
	s.mu.Unlock()
	if during == 0 || s.start.IsZero() {
		return nil
	}
	s.look(ctx, ends)
	return s.report(during)
}

// report says what the looks showed. Counters count from the look before the run
// to the one after it; what is running or in use is told of the first so many
// alone, since after the run a server is idle.
func (s *Sampler) report(during int) *Report {
	r := &Report{Every: s.every.Seconds(), Missing: s.pages.missing()}
	slices.SortFunc(s.samples, func(a, b *Sample) int { return a.at.Compare(b.at) })
	base, last := s.ofWhole(during)
	alike := s.samples // looks at the same pages
	if len(r.Missing) > 0 {
		alike = s.samples[:during]
	}
	if r.Dropped = cmp.Or(backwards(alike, s.base), backwards([]*Sample{base, last}, base)); r.Dropped != "" {
		for _, p := range s.samples {
			p.AtS = p.at.Sub(s.start).Seconds()
			r.Samples = append(r.Samples, *p)
		}
		return r
	}
	var running, waiting, kv []float64
	var of []*Sample
	for i, p := range s.samples {
		p.AtS = p.at.Sub(s.start).Seconds()
		r.Samples = append(r.Samples, *p)
		if p.AtS < 0 || i >= during {
			continue
		}
		of = append(of, p)
		running, waiting, kv = with(running, p.Running), with(waiting, p.Waiting), with(kv, p.KVCache)
	}
	r.MaxRunning, _ = maxMean(running)
	r.MaxWaiting, r.MeanWaiting = maxMean(waiting)
	r.MaxKVCache, r.MeanKVCache = maxMean(kv)
	r.Ranks, r.Balance = byRank(of)
	r.Queues = byQueue(of)
	if base != nil && last != nil {
		r.count(last, base, of)
	}
	return r
}

// ofWhole are the looks just before the run and just after it, of those pages that
// were there at both; nil where there was none.
func (s *Sampler) ofWhole(during int) (base, last *Sample) {
	if base = s.base; base == nil || len(s.samples) == during {
		return base, nil
	}
	last = s.samples[len(s.samples)-1]
	before, after, again := s.pages.whole()
	if !again {
		return base, last
	}
	b, err1 := parse(before, s.names, base.at)
	l, err2 := parse(after, s.names, last.at)
	if err1 != nil || err2 != nil {
		return nil, nil
	}
	return b, l
}

// count fills in what counters counted from one look to another. of are the looks
// between.
func (r *Report) count(last, base *Sample, of []*Sample) {
	if r.Dropped = cmp.Or(last.odd, base.odd); r.Dropped != "" {
		return
	}
	r.Preemptions = difference(last.Preemptions, base.Preemptions)
	r.cache(last, base)
	r.Speculation = last.spec.since(base.spec)
	if r.Transfer = last.transfer.since(base.transfer); r.Transfer != nil && r.Transfer.MeanMs == nil {
		var told []float64
		for _, s := range of {
			told = with(told, s.transfer.latency)
		}
		_, r.Transfer.MeanMs = maxMean(told)
	}
	if d, ok := last.ttft.since(base.ttft); ok {
		r.ttft, r.TTFTOf = d, &d.n
		r.tellTTFT(math.Inf(1))
	}
}

// tellTTFT fills in the server's TTFT, of which nothing is above most seconds.
func (r *Report) tellTTFT(most float64) {
	mean := r.ttft.sum / r.ttft.n
	median, _ := r.ttft.quantile(0.5, most)
	p99, _ := r.ttft.quantile(0.99, most)
	r.MeanTTFT, r.MedianTTFT, r.P99TTFT = ms(&mean), ms(median), ms(p99)
}

// cache says what was found in the prefix cache between two looks; nothing where
// a counter began again in between.
func (r *Report) cache(last, base *Sample) {
	looked := difference(last.Prompts, base.Prompts)
	if looked == nil || *looked <= 0 {
		return
	}
	found, by := 0.0, map[string]float64{}
	for source, now := range last.hits {
		n := now - base.hits[source]
		if n < 0 {
			return
		}
		found += n
		if source != "" && n > 0 {
			by[source] = n / *looked
		}
	}
	if found > *looked {
		return // these counters are not of the same tokens
	}
	share := found / *looked
	r.PrefixHits, r.CachedTokens, r.Queried = &share, &found, looked
	if len(by) > 0 {
		r.HitsBySource = by
	}
}

func with(list []float64, v *float64) []float64 {
	if v == nil {
		return list
	}
	return append(list, *v)
}

func maxMean(v []float64) (top, mean *float64) {
	if len(v) == 0 {
		return nil, nil
	}
	t, sum := v[0], 0.0
	for _, x := range v {
		t = max(t, x)
		sum += x
	}
	m := sum / float64(len(v))
	return &t, &m
}

// difference is how far a counter has come; nil where it began again.
func difference(now, then *float64) *float64 {
	if now == nil || then == nil || *now < *then {
		return nil
	}
	d := *now - *then
	return &d
}

func ms(s *float64) *float64 {
	if s == nil {
		return nil
	}
	v := *s * 1e3
	return &v
}
