package e2e

import (
	"crypto/tls"
	"encoding/pem"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/engine"
)

// terminator takes TLS connections and passes on what is in them.
func terminator(t *testing.T, cfg *tls.Config, to string) string {
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: cfg.Certificates})
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer in.Close()
				out, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer out.Close()
				go io.Copy(out, in)
				io.Copy(in, out)
			}()
		}
	}()
	return "https://" + l.Addr().String()
}

// A whole sweep through TLS with a CA of one's own; without CA_FILE nothing is
// sent, and no setting makes it so.
func TestTLS(t *testing.T) {
	e, err := engine.Start(engine.Config{})
	require.NoError(t, err)
	defer e.Close()
	cert := httptest.NewTLSServer(nil) // for its certificate
	defer cert.Close()
	url := terminator(t, cert.TLS, strings.TrimPrefix(e.URL(), "http://"))
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate().Raw}), 0o600))

	env := append(os.Environ(), "BASE_URL="+url, "TP=1")
	exit, dir, out := finish(t, append(env, "CA_FILE="+ca), append(small, "-test.run=TestServing")...)
	require.Zero(t, exit, out)
	r := result(t, dir, "result_isl16_osl8_conc2.json")
	assert.EqualValues(t, 4, r["successful_requests"])
	audit := r["client_audit"].(map[string]any)
	assert.Greater(t, audit["tls_handshake_max_ms"], 0.0, "the timed requests went through TLS")

	exit, dir, out = finish(t, env, append(small, "-test.run=TestServing")...)
	assert.NotZero(t, exit)
	assert.Contains(t, out, "set CA_FILE to its certificate")
	batches, err := filepath.Glob(filepath.Join(dir, "batch_*"))
	require.NoError(t, err)
	assert.Empty(t, batches)
}
