package leaderboard

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// Quota is what one address may do. A limit of 0 is none.
type Quota struct {
	Rate        float64 // submissions a second
	Submissions int     // a day
	Teams       int     // new names a day
	Bytes       int64   // of result files a day, as they are stored (compressed)
}

// DefaultQuota is that of a board that others reach. It has room for a team that
// sweeps all day, and not for one that fills the disk.
var DefaultQuota = Quota{Rate: 20, Submissions: 5000, Teams: 50, Bytes: 16 << 20}

// quotaError is a submission beyond what its address may do.
type quotaError struct {
	reason string
	again  time.Duration // until it may
}

func (e *quotaError) Error() string { return e.reason }

// errFull is a database that has reached its size.
var errFull = errors.New("the board's database has reached the size that its admin allows")

// limits is what each address has done of its quota.
type limits struct {
	quota Quota
	mu    sync.Mutex
	of    *lru.Cache[netip.Prefix, *usage] // the addresses seen last
}

// usage is what one address has done since a moment.
type usage struct {
	quota   Quota
	limiter *rate.Limiter // nil: no limit

	mu                 sync.Mutex // guards what follows
	since              time.Time
	submissions, teams int
	bytes              int64
}

const quotaWindow = 24 * time.Hour

func newLimits(q Quota) *limits {
	of, _ := lru.New[netip.Prefix, *usage](8192) // a fixed size: no error
	return &limits{quota: q, of: of}
}

// from finds the usage of a request's address. Addresses of one IPv6 network
// (/64) are one: each subscriber has all of them.
func (l *limits) from(r *http.Request) *usage {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	address, err := netip.ParseAddr(host)
	bits := 64
	if err != nil {
		address = netip.IPv4Unspecified()
	}
	if address = address.Unmap().WithZone(""); address.Is4() {
		bits = 32
	}
	network, _ := address.Prefix(bits) // bits fit: no error
	l.mu.Lock()
	defer l.mu.Unlock()
	u, ok := l.of.Get(network)
	if !ok {
		u = &usage{quota: l.quota}
		if l.quota.Rate > 0 {
			u.limiter = rate.NewLimiter(rate.Limit(l.quota.Rate), max(int(10*l.quota.Rate), 20))
		}
		l.of.Add(network, u)
	}
	return u
}

// allow reports whether the address may submit now, as far as its rate goes.
func (u *usage) allow() bool { return u.limiter == nil || u.limiter.Allow() }

// may reports whether the address may store a submission of so many bytes, and
// a new team where it makes one.
func (u *usage) may(bytes int, newTeam bool) error {
	if u == nil {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if time.Since(u.since) > quotaWindow {
		u.since, u.submissions, u.teams, u.bytes = time.Now(), 0, 0, 0
	}
	q, over := u.quota, ""
	switch {
	case q.Submissions > 0 && u.submissions >= q.Submissions:
		over = fmt.Sprintf("%d submissions", q.Submissions)
	case q.Teams > 0 && newTeam && u.teams >= q.Teams:
		over = fmt.Sprintf("%d new teams", q.Teams)
	case q.Bytes > 0 && u.bytes+int64(bytes) > q.Bytes:
		over = fmt.Sprintf("%d KiB of result files", q.Bytes>>10)
	default:
		return nil
	}
	return &quotaError{fmt.Sprintf("this address has had its %s of a day", over), time.Until(u.since.Add(quotaWindow))}
}

// did counts a submission that was stored.
func (u *usage) did(bytes int, newTeam bool) {
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.submissions++
	u.bytes += int64(bytes)
	if newTeam {
		u.teams++
	}
}

// hasRoom reports [errFull] where the database has reached its size.
func (b *Board) hasRoom(c *sqlite.Conn) error {
	if b.maxBytes <= 0 {
		return nil
	}
	size := int64(1)
	for _, pragma := range []string{"PRAGMA page_count", "PRAGMA page_size"} {
		err := sqlitex.Execute(c, pragma, &sqlitex.ExecOptions{ResultFunc: func(st *sqlite.Stmt) error {
			size *= st.ColumnInt64(0)
			return nil
		}})
		if err != nil {
			return err
		}
	}
	if size >= b.maxBytes {
		return errFull
	}
	return nil
}
