package target

import (
	"context"
	"encoding/pem"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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

	for name, tg := range map[string]*Target{"system roots": New(s.URL, "", "k3y", nil)} {
		begin := time.Now()
		err := tg.Wait(context.Background(), WaitOptions{Timeout: time.Hour})
		require.ErrorContains(t, err, "CA_FILE", name)
		assert.Less(t, time.Since(begin), time.Minute, "waiting does not mend a certificate")
		assert.NotContains(t, err.Error(), "k3y")
		assert.False(t, tg.TLSConfig().InsecureSkipVerify)
	}

	_, err = Client(other)
	assert.ErrorContains(t, err, "holds no PEM certificate")
	_, err = Client(filepath.Join(dir, "absent"))
	assert.ErrorContains(t, err, "absent")
}

// An https address of a server that speaks http, and the other way round, are
// mistakes that waiting cannot mend either.
func TestWaitNamesTheWrongScheme(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	err := New("https"+plain.URL[len("http"):], "", "", nil).Wait(context.Background(), WaitOptions{Timeout: time.Hour})
	assert.ErrorContains(t, err, "http://")

	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	err = New("http"+secure.URL[len("https"):], "", "", nil).Wait(context.Background(), WaitOptions{Timeout: time.Hour})
	assert.ErrorContains(t, err, "https://")
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
