package scrape

import (
	"cmp"
	"fmt"
	"slices"

	dto "github.com/prometheus/client_model/go"

	"inferbench/harness/promtext"
)

// Page is the text of one /metrics page. Disaggregated servers have several:
// one a worker, perhaps one a rank.
type Page struct {
	Endpoint string // whose it is
	Text     []byte
	Err      error // why there is no text
}

// endpointLabel is put on every series of a page, so that those of several pages
// stay apart; no server uses such a name.
const endpointLabel = "inferbench:endpoint"

// read reads pages as if they were one.
func read(pages []Page) (map[string]*dto.MetricFamily, error) {
	all := map[string]*dto.MetricFamily{}
	name := endpointLabel
	for _, p := range pages {
		families, err := promtext.Read(p.Text)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", p.Endpoint, err)
		}
		for key, f := range families {
			for _, m := range f.GetMetric() {
				m.Label = append(m.Label, &dto.LabelPair{Name: &name, Value: &p.Endpoint})
			}
			if all[key] == nil {
				all[key] = f
			} else {
				all[key].Metric = append(all[key].Metric, f.Metric...)
			}
		}
	}
	return all, nil
}

// rank is one of those that share a server's work.
type rank struct{ endpoint, name string }

// load is what a rank has to do.
type load struct{ running, kv *float64 }

// rankLabels are what servers call a data-parallel rank: vLLM, SGLang.
var rankLabels = []string{"engine", "dp_rank"}

// ranks tells the series of running requests and of the KV cache apart by
// endpoint and rank.
func ranks(families map[string]*dto.MetricFamily, names Names) map[rank]load {
	out := map[rank]load{}
	each := func(names []string, put func(*load, *float64)) {
		for _, name := range names {
			for _, m := range families[name].GetMetric() {
				v, ok := valueOf(m)
				if !ok {
					continue
				}
				var r rank
				for _, l := range m.GetLabel() {
					switch {
					case l.GetName() == endpointLabel:
						r.endpoint = l.GetValue()
					case slices.Contains(rankLabels, l.GetName()):
						r.name = l.GetValue()
					}
				}
				at := out[r]
				put(&at, &v)
				out[r] = at
			}
			if len(families[name].GetMetric()) > 0 {
				return
			}
		}
	}
	each(names.Running, func(l *load, v *float64) { l.running = v })
	each(names.KVCache, func(l *load, v *float64) { l.kv = v })
	return out
}

// RankNow is how one of several ranks stands at a look.
type RankNow struct {
	Endpoint string   `json:"endpoint"`
	Rank     string   `json:"rank,omitempty"` // as the server names it
	Running  *float64 `json:"running"`
	KVCache  *float64 `json:"kv_cache"`
}

// apart lists ranks in order, where there are several.
func apart(ranks map[rank]load) (out []RankNow) {
	if len(ranks) < 2 {
		return nil
	}
	for r, l := range ranks {
		out = append(out, RankNow{r.endpoint, r.name, l.running, l.kv})
	}
	slices.SortFunc(out, func(a, b RankNow) int { return inOrder(rank{a.Endpoint, a.Rank}, rank{b.Endpoint, b.Rank}) })
	return out
}

// inOrder compares ranks by endpoint, then by number.
func inOrder(a, b rank) int {
	return cmp.Or(cmp.Compare(a.endpoint, b.endpoint), cmp.Compare(len(a.name), len(b.name)), cmp.Compare(a.name, b.name))
}

// Rank is what one of several ranks had to do over a pass.
type Rank struct {
	Endpoint    string   `json:"endpoint"`
	Rank        string   `json:"rank,omitempty"` // as the server names it
	MeanRunning *float64 `json:"mean_running"`
	MaxRunning  *float64 `json:"max_running"`
	MeanKVCache *float64 `json:"mean_kv_cache"`
	MaxKVCache  *float64 `json:"max_kv_cache"`
}

// byRank says what each rank had to do, where there are several, and how uneven
// that was: the busiest's mean of running requests over the mean of all.
func byRank(samples []*Sample) (out []Rank, balance *float64) {
	running, kv := map[rank][]float64{}, map[rank][]float64{}
	for _, s := range samples {
		for r, l := range s.ranks {
			running[r], kv[r] = with(running[r], l.running), with(kv[r], l.kv)
		}
	}
	if len(running) < 2 {
		return nil, nil
	}
	sum, top := 0.0, 0.0
	for r := range running {
		k := Rank{Endpoint: r.endpoint, Rank: r.name}
		k.MaxRunning, k.MeanRunning = maxMean(running[r])
		k.MaxKVCache, k.MeanKVCache = maxMean(kv[r])
		if k.MeanRunning != nil {
			sum, top = sum+*k.MeanRunning, max(top, *k.MeanRunning)
		}
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b Rank) int { return inOrder(rank{a.Endpoint, a.Rank}, rank{b.Endpoint, b.Rank}) })
	if sum > 0 {
		v := top / (sum / float64(len(out)))
		balance = &v
	}
	return out, balance
}
