package harness

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"

	"inferbench/harness/testdata/browsertest"
)

// The helpers of browsertest must see what they are there to see: a page with faults.
func TestFaultsAreSeen(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, `<!doctype html><html lang="en"><title>x</title><body style="background:#fff">
			<main><h1>x</h1><p style="color:#ddd">too pale</p><img src="data:,"><div style="width:700px">wide</div></main>
			<script>window.dark = matchMedia("(prefers-color-scheme: dark)").matches; nothing.here</script>`)
	}))
	defer server.Close()
	p := browsertest.Open(t, server.URL, 390, true)
	assert.True(t, browsertest.Eval[bool](p, "Promise.resolve(window.dark)"))
	assert.Positive(t, p.Overflow())
	found := p.Axe()
	assert.Len(t, found, 2, "%v", found)
	assert.Contains(t, found[0]+found[1], "image-alt")
	assert.Contains(t, found[0]+found[1], "color-contrast")
	errors := p.Errors()
	assert.NotEmpty(t, errors)
	assert.Contains(t, errors[0], "nothing is not defined")
}
