package faults

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
)

// network is a TCP proxy between the suite and a server, whose line can be made
// bad while connections are open.
type network struct {
	t     *testing.T
	proxy *toxiproxy.Proxy
}

func newNetwork(t *testing.T, upstream string) (*network, string) {
	t.Helper()
	u, err := url.Parse(upstream)
	require.NoError(t, err)
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	p := toxiproxy.NewProxy(server, t.Name(), "127.0.0.1:0", u.Host)
	require.NoError(t, p.Start())
	t.Cleanup(p.Stop)
	return &network{t, p}, "http://" + p.Listen
}

// lines are the ways in which a network fails, as toxiproxy's toxics. Toxics
// work on what the server sends.
var lines = []struct{ name, does, toxic, attributes string }{
	{"unreachable", "refuse connections, and close those there are", "", ""},
	{"black hole", "take connections and let nothing through", "timeout", `{"timeout":0}`},
	{"reset", "reset every connection", "reset_peer", `{"timeout":0}`},
	{"cut off", "close every connection after 300 bytes", "limit_data", `{"bytes":300}`},
	{"thin line", "let 20 KB a second through", "bandwidth", `{"rate":20}`},
	{"far away", "delay everything by 20 ms ± 10", "latency", `{"latency":20,"jitter":10}`},
	{"small pieces", "cut everything into pieces of about 16 bytes", "slicer", `{"average_size":16,"size_variation":8,"delay":10}`},
}

// set makes the line bad.
func (n *network) set(name string) {
	for _, l := range lines {
		switch {
		case l.name != name:
		case l.toxic == "":
			n.proxy.Stop()
		default:
			_, err := n.proxy.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(`{"name":"it","type":%q,"stream":"downstream","attributes":%s}`, l.toxic, l.attributes)))
			require.NoError(n.t, err)
		}
	}
}

// clear makes it good again.
func (n *network) clear() {
	n.proxy.Start() // an error if it runs
	if n.proxy.Toxics.GetToxic("it") != nil {
		require.NoError(n.t, n.proxy.Toxics.RemoveToxic(n.t.Context(), "it"))
	}
}
