package load

import (
	"crypto/tls"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/server"
	"inferbench/harness/timedconn"
)

// Over TLS everything is the same but for the handshake, which comes before the
// clock of a request starts.
func TestTLS(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		assert.Equal(t, "HTTP/1.1", r.Proto)
		stream(w, 4, 8, 0)
	}))
	defer s.Close()
	rec := run(t, trusting(t, s), 20, Options{Conc: 3, WarmUp: 3})
	sum := rec.Summary(1)
	assert.Equal(t, 20, sum.Successful, sum.Errors)
	assert.LessOrEqual(t, rec.Audit.Dials, 3, "connections are kept")
	assert.Positive(t, rec.Audit.TLSMaxMs)

	_, err := Run(t.Context(), server.New(s.URL, "m", "", nil), random(4), Options{Conc: 1, WarmUp: 1})
	assert.ErrorContains(t, err, "TLS handshake: tls: failed to verify certificate", "a certificate that nobody vouches for is never accepted")
}

// trusting is a target of the server that knows its certificate.
func trusting(t *testing.T, s *httptest.Server) *server.Server {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600))
	client, err := server.Client(ca)
	require.NoError(t, err)
	return server.New(s.URL, "m", "", client)
}

// corked gathers what is written to its connections until it is let go.
type corked struct{ net.Listener }

func (l corked) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return &cork{Conn: c}, err
}

type cork struct {
	net.Conn
	in   bool
	held []byte
}

func (c *cork) Write(b []byte) (int, error) {
	if !c.in {
		return c.Conn.Write(b)
	}
	c.held = append(c.held, b...)
	return len(b), nil
}

// Tokens that arrive together have no gaps to tell of, though each is a record
// of TLS and so a read of its own.
func TestTokensBundledUnderTLS(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere than on Linux it is not known what arrived together")
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		c, _, err := w.(http.Hijacker).Hijack()
		if !assert.NoError(t, err) {
			return
		}
		defer c.Close()
		under := c.(*tls.Conn).NetConn().(*cork)
		under.in = true
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
		for range 4 {
			io.WriteString(c, event(" a", "null"))
		}
		io.WriteString(c, usage(8, 4)+"data: [DONE]\n\n")
		under.Conn.Write(under.held)
	}))
	s.Listener = corked{s.Listener}
	s.StartTLS()
	defer s.Close()
	tg := trusting(t, s)
	// The kernel begins to stamp a moment after it was first asked to, and stops
	// when the last socket that asked is closed: so one stays open, and it is tried
	// until stamps have come for a while.
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	require.NoError(t, err)
	defer timedconn.New(c.(*net.TCPConn)).Close()
	for right, tries := 0, 0; right < 20; tries++ {
		require.Less(t, tries, 1000, "tokens of one segment were said to have come apart")
		rec := run(t, tg, 1, Options{Conc: 1})
		x := rec.Timings[0]
		require.Empty(t, x.Err)
		if right++; x.Bundled < 3 {
			right = 0
			continue
		}
		assert.Equal(t, []time.Duration{0, 0, 0}, slices.Collect(x.ITL.All()))
		assert.EqualValues(t, 3, rec.Audit.BundledChunks)
	}
}
