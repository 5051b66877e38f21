package sweep

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"inferbench/harness/batch"
	"inferbench/harness/load"
	"inferbench/harness/matrix"
	"inferbench/harness/scrape"
	"inferbench/harness/server"
	"inferbench/harness/stats"
)

// watchServer has the server's own /metrics looked at while a pass with the
// options o runs, which it changes to be told when the measured run begins. The
// function it returns ends that; its report is nil where the server has no
// metrics that are known here, or SCRAPE_EVERY is 0s; its error is for a
// reader who should know why: see [Sweep.unseen].
func (sw *Sweep) watchServer(ctx context.Context, o *load.Options) func() (*scrape.Report, error) {
	if sw.Settings.Results.ScrapeEvery <= 0 {
		return func() (*scrape.Report, error) { return nil, nil }
	}
	s := scrape.Start(ctx, sw.pages, server.MetricNames(), sw.Settings.Results.ScrapeEvery)
	beside(o, s.Begin, s.Measuring)
	return func() (*scrape.Report, error) {
		seen := s.Stop(ctx)
		if seen == nil {
			return nil, sw.unseen(s.Why())
		}
		return seen, nil
	}
}

// unseen is why nothing was seen at /metrics, where a reader should know: an address
// of the settings, a page that is there and cannot be read, or a server that was
// started so that it tells nothing of itself.
func (sw *Sweep) unseen(why error) error {
	none := server.Absent(why) || errors.Is(why, scrape.ErrNothing)
	switch start := sw.Target.Dialect.NoMetrics; {
	case why == nil:
		return nil
	case none && start != "":
		return fmt.Errorf("it tells nothing of its engine at /metrics: start it %s", start)
	case none && len(sw.Settings.Server.MetricsURLs) == 0:
		return nil // many have none
	}
	return why
}

// beside has who watches a pass with the options o told of its measured run: ready
// is called before its clock starts, begun with its start, perhaps again and again.
func beside(o *load.Options, ready func(context.Context), begun func(time.Time)) {
	gate, told := o.Gate, o.OnProgress
	o.Gate = func(ctx context.Context) error {
		ready(ctx)
		if gate != nil {
			return gate(ctx)
		}
		return nil
	}
	o.OnProgress = func(p load.Progress) {
		if !p.WarmUp {
			begun(time.Now().Add(-p.Elapsed))
		}
		if told != nil {
			told(p)
		}
	}
}

// pages asks for the server's /metrics, or for those that METRICS_URLS names, at
// once.
func (sw *Sweep) pages(ctx context.Context) ([]scrape.Page, error) {
	urls := sw.Settings.Server.MetricsURLs
	if len(urls) == 0 {
		urls = []string{sw.Target.BaseURL + "/metrics"}
	}
	pages := make([]scrape.Page, len(urls))
	var asked sync.WaitGroup
	begin := time.Now()
	for i, u := range urls {
		asked.Go(func() {
			text, err := sw.Target.PageAt(ctx, u)
			if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
				err = fmt.Errorf("%s did not answer within %s", u, time.Since(begin).Round(100*time.Millisecond))
			}
			pages[i] = scrape.Page{Endpoint: u, Text: text, Err: err}
		})
	}
	asked.Wait()
	return pages, nil
}

// keepServer puts what was seen into the result, and the single looks into a
// file beside it.
func (sw *Sweep) keepServer(c matrix.Cell, r *batch.Result, seen *scrape.Report) error {
	if seen == nil {
		return nil
	}
	var err error
	if r.ServerMetrics, err = batch.Section(seen); err != nil {
		return err
	}
	samples, err := json.Marshal(seen.Samples)
	if err != nil {
		return fmt.Errorf("server metrics of %s: %w", c.Name(), err)
	}
	return sw.batches[c.Combination].WriteFile(batch.ServerFileName(c), append(samples, '\n'))
}

// otherRequests says that the server's own TTFT is of more requests than the
// pass's; "" where it is not, or is not told.
func otherRequests(seen *scrape.Report, sum *stats.Summary) string {
	if seen == nil || seen.TTFTOf == nil {
		return ""
	}
	if n := int(*seen.TTFTOf); n > sum.Successful+sum.Failed {
		return fmt.Sprintf("the server's own TTFT is of %d requests, %d more than this pass sent: others use the "+
			"server too", n, n-sum.Successful-sum.Failed)
	}
	return ""
}

// besideServer lays the client's figures beside the server's own and says what
// comes of it, a line each: what of the server's cannot be, and what something in
// between holds back or takes. It settles the audit's mark.
func besideServer(seen *scrape.Report, sum *stats.Summary, audit *stats.Audit) (notes []string) {
	longest := math.Inf(1)
	if sum.TTFT.Max != nil && sum.Failed == 0 {
		longest = *sum.TTFT.Max
	}
	seen.Beside(longest, sum.Successful)
	if seen != nil && seen.Dropped != "" {
		notes = append(notes, seen.Dropped)
	}
	if seen != nil && len(seen.Missing) > 0 {
		notes = append(notes, "of the server's metrics pages these did not answer, and no figure has theirs: "+
			strings.Join(seen.Missing, "; "))
	}
	if seen != nil && seen.TTFTOf != nil && int(*seen.TTFTOf) == sum.Successful && sum.TTFT.Mean != nil {
		audit.Beside(*sum.TTFT.Mean, *seen.MeanTTFT)
	}
	if audit.HeldBack {
		notes = append(notes, fmt.Sprintf("something between here and the server holds tokens back (%s): turn that off, "+
			"as proxy_buffering off in nginx and option http-no-delay in HAProxy, or measure the server itself",
			audit.HeldBackReason))
	} else if d := audit.BeyondServerMs; d != nil && *d > farBeyondMs && *d > *seen.MeanTTFT && !audit.ClientLimited {
		notes = append(notes, fmt.Sprintf("TTFT is %.4g ms on average here, and %.4g ms by the server's own clock: a "+
			"gateway, the network or the server's own front takes the rest", *sum.TTFT.Mean, *seen.MeanTTFT))
	}
	return notes
}

// farBeyondMs is how much longer than the server's own a TTFT may be before it is
// told, unless the server's is longer still.
const farBeyondMs = 20
