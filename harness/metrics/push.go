package metrics

import (
	"context"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/push"

	"inferbench/harness/server"
)

// pushEvery is how often metrics are pushed, beside once for each cell that ends.
const pushEvery = 10 * time.Second

// pushTimeout is how long one push may take.
const pushTimeout = 5 * time.Second

// pushing pushes until it is stopped. No cell waits for it, and none fails with it.
type pushing struct {
	pusher *push.Pusher
	secret string
	warn   func(string) // nil once it was told
	now    chan struct{}
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}
}

func startPushing(o Options, reg *prometheus.Registry) *pushing {
	p := &pushing{secret: o.PushToken, warn: o.Warn, now: make(chan struct{}, 1), done: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.pusher = push.New(o.PushURL, "inferbench").Gatherer(reg).Client(o.Client)
	if host, err := os.Hostname(); err == nil {
		p.pusher.Grouping("instance", host) // two clients push beside each other
	}
	if user, password, ok := strings.Cut(o.PushToken, ":"); ok {
		p.pusher.BasicAuth(user, password)
		p.secret = password
	} else if o.PushToken != "" {
		p.pusher.Header(http.Header{"Authorization": {"Bearer " + o.PushToken}})
	}
	go p.run()
	return p
}

// run pushes now and then, and as soon as a cell has ended.
func (p *pushing) run() {
	defer close(p.done)
	tick := time.NewTicker(pushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-p.now:
		case <-p.ctx.Done():
			p.push(context.Background()) // the last cell's figures
			return
		}
		p.push(p.ctx)
	}
}

// push pushes once. The first failure is told, without what is secret; later ones
// would only say it again.
func (p *pushing) push(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, pushTimeout)
	defer cancel()
	err := p.pusher.PushContext(limited)
	if err == nil || ctx.Err() != nil || p.warn == nil {
		return
	}
	text := []rune(strings.Join(strings.Fields(server.Redact(err.Error(), p.secret)), " "))
	p.warn("METRICS_PUSH: " + string(text[:min(len(text), 300)]) + "; the sweep goes on, and so does the pushing")
	p.warn = nil
}

// soon pushes without waiting for it.
func (p *pushing) soon() {
	select {
	case p.now <- struct{}{}:
	default:
	}
}

// stop pushes a last time.
func (p *pushing) stop() {
	p.cancel()
	<-p.done
}
