package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/hint"
)

func TestTLSTrustsTheCAFileAndNothingElse(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"data":[{"id":"A"}]}`)
	}))
	defer s.Close()
	dir := t.TempDir()
	own, other := filepath.Join(dir, "own.pem"), filepath.Join(dir, "other.pem")
	require.NoError(t, os.WriteFile(own, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600))
	require.NoError(t, os.WriteFile(other, []byte("no certificate"), 0o600))

	client, err := Client(own)
	require.NoError(t, err)
	tg := New(s.URL, "", "", client)
	require.NoError(t, tg.Wait(context.Background(), WaitOptions{}))
	assert.NotNil(t, tg.TLSConfig().RootCAs, "a client that dials by itself trusts the same CA")

	for name, tg := range map[string]*Server{"system roots": New(s.URL, "", "k3y", nil)} {
		begin := time.Now()
		err := tg.Wait(context.Background(), WaitOptions{Timeout: time.Hour})
		require.Error(t, err, name)
		assert.Contains(t, hint.For(err), "CA_FILE", name)
		assert.Less(t, time.Since(begin), time.Minute, "waiting does not mend a certificate")
		assert.NotContains(t, err.Error(), "k3y")
		assert.False(t, tg.TLSConfig().InsecureSkipVerify)
	}

	_, err = Client(other)
	assert.ErrorContains(t, err, "holds no PEM certificate")
	_, err = Client(filepath.Join(dir, "absent"))
	assert.ErrorContains(t, err, "absent")
}

// What is wrong with a certificate is said, since each mends otherwise.
func TestACertificateThatIsNotRight(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	serve := func(until time.Time) (url, caFile string) {
		cert := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until,
			IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
		der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
		require.NoError(t, err)
		s := httptest.NewUnstartedServer(http.NotFoundHandler())
		s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
		t.Cleanup(s.Close)
		caFile = filepath.Join(t.TempDir(), "ca.pem")
		require.NoError(t, os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
		return s.URL, caFile
	}
	expired, expiredCA := serve(time.Now().Add(-time.Hour))
	good, goodCA := serve(time.Now().Add(time.Hour))
	for want, c := range map[string]struct{ url, ca string }{
		"set this machine's clock":    {expired, expiredCA},
		"that the certificate is for": {strings.Replace(good, "127.0.0.1", "localhost", 1), goodCA},
		"set CA_FILE":                 {good, expiredCA},
	} {
		client, err := Client(c.ca)
		require.NoError(t, err)
		err = New(c.url, "", "", client).Wait(context.Background(), WaitOptions{Timeout: time.Hour})
		require.Error(t, err)
		assert.Contains(t, hint.For(err), want)
		if want != "set CA_FILE" {
			assert.NotContains(t, hint.Line(err), "CA_FILE")
		}
	}
}

// A redirect to another server ends the wait: neither key nor headers go there.
func TestARedirectElsewhereIsNotFollowed(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("asked for %s with %v", r.URL, r.Header)
	}))
	defer other.Close()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/health":
			http.Redirect(w, r, "/health/", http.StatusTemporaryRedirect)
		case "/health/":
		default:
			http.Redirect(w, r, other.URL+r.URL.Path+"?key=k3y-that-nobody-sees", http.StatusTemporaryRedirect)
		}
	}))
	defer s.Close()
	tg := New(s.URL, "", "k3y-that-nobody-sees", nil)
	tg.Headers = http.Header{"X-Key": {"k3y-that-nobody-sees"}}
	err := tg.Wait(context.Background(), WaitOptions{Timeout: time.Hour})
	require.ErrorContains(t, err, "the server redirects to "+other.URL+", ")
	assert.Equal(t, "set BASE_URL to where the server is", hint.For(err))
	assert.NotContains(t, err.Error(), "k3y-that-nobody-sees")
}

// An https address of a server that speaks http, and the other way round, are
// mistakes that waiting cannot mend either.
func TestWaitNamesTheWrongScheme(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	err := New("https"+plain.URL[len("http"):], "", "", nil).Wait(context.Background(), WaitOptions{Timeout: time.Hour})
	assert.Equal(t, "use http:// in BASE_URL", hint.For(err))

	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	err = New("http"+secure.URL[len("https"):], "", "", nil).Wait(context.Background(), WaitOptions{Timeout: time.Hour})
	assert.Equal(t, "use https:// in BASE_URL", hint.For(err))
}

// No code of the suite, tests aside, can turn the check off.
func TestNothingSkipsVerification(t *testing.T) {
	found := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "../.." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules"):
			return filepath.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		found++
		b, err := os.ReadFile(path)
		assert.NotContains(t, string(b), "InsecureSkipVerify", path)
		return err
	})
	require.NoError(t, err)
	assert.Greater(t, found, 50, "the walk must have seen the code")
}
