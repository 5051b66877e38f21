package load

import (
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/target"
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
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600))
	client, err := target.Client(ca)
	require.NoError(t, err)

	rec := run(t, target.New(s.URL, "m", "", client), 20, Options{Conc: 3, WarmUp: 3})
	sum := rec.Summary(1)
	assert.Equal(t, 20, sum.Successful, sum.Errors)
	assert.LessOrEqual(t, rec.Audit.Dials, 3, "connections are kept")
	assert.Positive(t, rec.Audit.TLSMaxMs)

	_, err = Run(t.Context(), target.New(s.URL, "m", "", nil), random(4), Options{Conc: 1, WarmUp: 1})
	assert.ErrorContains(t, err, "TLS handshake: tls: failed to verify certificate", "a certificate that nobody vouches for is never accepted")
}
