package server

import (
	"context"
	"net"
	"net/url"
	"slices"
	"time"
)

// OnThisMachine reports whether the server's address is one of this machine's. A
// tunnel's end is, too.
func (t *Server) OnThisMachine(ctx context.Context) bool {
	u, err := url.Parse(t.BaseURL)
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	found, err := net.DefaultResolver.LookupIPAddr(ctx, u.Hostname())
	if err != nil {
		return false
	}
	own, _ := net.InterfaceAddrs() // none where they cannot be told
	return slices.ContainsFunc(found, func(ip net.IPAddr) bool {
		return ip.IP.IsLoopback() || slices.ContainsFunc(own, func(a net.Addr) bool {
			n, ok := a.(*net.IPNet)
			return ok && n.IP.Equal(ip.IP)
		})
	})
}
