package corpus_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/corpus"
	"inferbench/harness/hint"
)

// hub is Hugging Face with one data set of two files, the second of which may be broken
// off.
func hub(t *testing.T, broken *bool) (*httptest.Server, *int) {
	t.Helper()
	asked := 0
	mux := http.NewServeMux()
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	mux.HandleFunc("/api/datasets/owner/set/parquet/default/train", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `["https://huggingface.co/files/0.parquet","%s/files/1.parquet"]`, s.URL)
	})
	mux.HandleFunc("/files/", func(w http.ResponseWriter, r *http.Request) {
		asked++
		if *broken && r.URL.Path == "/files/1.parquet" {
			http.Error(w, "gone", http.StatusNotFound)
			return
		}
		fmt.Fprint(w, "PAR1 ", r.URL.Path)
	})
	return s, &asked
}

func TestDataSet(t *testing.T) {
	broken := true
	s, asked := hub(t, &broken)
	dir := t.TempDir()
	c := corpus.Cache{Dir: dir, HFEndpoint: s.URL}

	_, err := c.DataSet(t.Context(), "owner/set")
	assert.ErrorContains(t, err, "data set owner/set: GET "+s.URL+"/files/1.parquet: HTTP 404")
	left, err := os.ReadDir(filepath.Join(dir, "datasets"))
	require.NoError(t, err)
	assert.Empty(t, left, "it is there whole or not at all")

	broken = false
	folder, err := c.DataSet(t.Context(), "owner/set")
	require.NoError(t, err)
	files, err := filepath.Glob(filepath.Join(folder, "*.parquet"))
	require.NoError(t, err)
	require.Len(t, files, 2)
	text, err := os.ReadFile(files[1])
	require.NoError(t, err)
	assert.Equal(t, "PAR1 /files/1.parquet", string(text))

	before := *asked
	again, err := (&corpus.Cache{Dir: dir, Offline: true}).DataSet(t.Context(), "owner/set")
	require.NoError(t, err, "it is in the cache")
	assert.Equal(t, folder, again)
	assert.Equal(t, before, *asked)

	_, err = (&corpus.Cache{Dir: t.TempDir(), Offline: true}).DataSet(t.Context(), "owner/set")
	assert.ErrorIs(t, err, corpus.ErrUnavailable)
	_, err = c.DataSet(t.Context(), "owner/other")
	assert.ErrorContains(t, err, "HTTP 404")
	for _, bad := range []string{"set", "../x", "a/b/c", "a/..", ""} {
		assert.False(t, corpus.IsDataSet(bad), bad)
	}
}

// The token of a gated data set goes to the hub alone, wherever its files lie, and one
// that may not be read says what to set.
func TestGatedDataSet(t *testing.T) {
	var others []string // what the host of the files was told
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		others = append(others, r.Header.Get("Authorization"))
		fmt.Fprint(w, "PAR1")
	}))
	t.Cleanup(store.Close)
	mux := http.NewServeMux()
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	status := http.StatusUnauthorized
	mux.HandleFunc("/api/datasets/owner/gated/parquet/default/train", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer hf_right" {
			http.Error(w, "gated", status)
			return
		}
		fmt.Fprintf(w, `["https://huggingface.co/files/0.parquet","%s/1.parquet"]`, store.URL)
	})
	mux.HandleFunc("/files/0.parquet", func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "Bearer hf_right", r.Header.Get("Authorization"))
		http.Redirect(w, r, store.URL+"/0.parquet", http.StatusFound)
	})
	c := corpus.Cache{Dir: t.TempDir(), HFEndpoint: s.URL}
	_, err := c.DataSet(t.Context(), "owner/gated")
	assert.ErrorContains(t, err, "HTTP 401")
	assert.Contains(t, hint.For(err), "set HF_TOKEN")
	c.Token, status = "hf_wrong", http.StatusForbidden
	_, err = c.DataSet(t.Context(), "owner/gated")
	assert.ErrorContains(t, err, "HTTP 403")
	assert.Contains(t, hint.For(err), "ask for access at "+s.URL+"/datasets/owner/gated with the account of HF_TOKEN")
	assert.NotContains(t, hint.Line(err), "hf_wrong")
	c.Token = "hf_right"
	_, err = c.DataSet(t.Context(), "owner/gated")
	require.NoError(t, err)
	assert.Equal(t, []string{"", ""}, others)
}
