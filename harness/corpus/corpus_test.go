package corpus

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/hint"
)

const text = " \n = A = \n \n Some words . \n"

func fileAt(urls ...string) File {
	f := File{Name: "a text", Base: "a.raw", Size: int64(len(text)), SHA256: Digest([]byte(text)), Setting: "WIKITEXT"}
	for _, u := range urls {
		f.Sources = append(f.Sources, Source{URL: u, Unpack: func(b []byte) ([]byte, error) { return Wikitext(b, "a.raw") }})
	}
	return f
}

func zipOf(t *testing.T, files ...string) []byte {
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for i := 0; i < len(files); i += 2 {
		f, err := w.Create(files[i])
		require.NoError(t, err)
		_, err = f.Write([]byte(files[i+1]))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return buf.Bytes()
}

// hub answers each path with its bytes, and counts.
func hub(t *testing.T, answers map[string][]byte) (*httptest.Server, *atomic.Int32) {
	var n atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.Add(1)
		b, ok := answers[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Write(b)
	}))
	t.Cleanup(s.Close)
	return s, &n
}

func TestFetchedOnceCheckedAndCached(t *testing.T) {
	s, asked := hub(t, map[string][]byte{
		"/wrong":  []byte("something else"),
		"/no.zip": zipOf(t, "x/other", "1", "y/another", "2"),
		"/a.zip":  zipOf(t, "w/readme", "hello", "w/a.raw", text),
	})
	var got, total int64
	c := &Cache{Dir: filepath.Join(t.TempDir(), "made", "on the way"), OnProgress: func(_ File, g, tot int64) { got, total = g, tot }}
	f := fileAt(s.URL+"/missing", s.URL+"/wrong", s.URL+"/no.zip", s.URL+"/a.zip")
	b, err := c.Get(context.Background(), f)
	require.NoError(t, err)
	assert.Equal(t, text, string(b))
	assert.EqualValues(t, 4, asked.Load(), "each home was tried, in order")
	assert.Equal(t, total, got)
	assert.Positive(t, got)

	b, err = c.Get(context.Background(), f)
	require.NoError(t, err)
	assert.Equal(t, text, string(b))
	assert.EqualValues(t, 4, asked.Load(), "the second time it is in the cache")

	require.NoError(t, os.WriteFile(filepath.Join(c.Dir, "a.raw"), []byte("spoilt"), 0o644))
	_, err = c.Get(context.Background(), f)
	require.ErrorIs(t, err, ErrDigest)
	assert.ErrorContains(t, err, "remove it, and it is fetched anew")
}

func TestWithoutNetworkOneLineSaysWhatToPutWhere(t *testing.T) {
	c := &Cache{Dir: t.TempDir()}
	_, err := c.Get(context.Background(), fileAt("http://127.0.0.1:1/a.raw", "http://127.0.0.1:1/b.raw"))
	require.ErrorIs(t, err, ErrUnavailable)
	assert.ErrorContains(t, err, fmt.Sprintf("a.raw (%d bytes, SHA-256 %s) could not be fetched from any of 2 addresses", len(text), Digest([]byte(text))))
	line := hint.Line(err)
	assert.Contains(t, line, "run make fetch CACHE_DIR=DIR on a machine that has network and carry DIR over")
	assert.Contains(t, line, "put the file at "+filepath.Join(c.Dir, "a.raw")+", or set WIKITEXT to where it is")
	assert.NotContains(t, line, "\n")
	entries, _ := os.ReadDir(c.Dir)
	assert.Empty(t, entries, "nothing half-written")
}

// A mirror is asked first, Hugging Face where HF_ENDPOINT says it is, and nobody
// where HF_HUB_OFFLINE forbids it.
func TestWhereFilesAreFetchedFrom(t *testing.T) {
	f := fileAt(huggingFace+"/a/text", "http://127.0.0.1:1/b.raw")
	s, asked := hub(t, map[string][]byte{"/folder/a.raw": []byte(text)})
	c := &Cache{Dir: t.TempDir(), Mirror: s.URL + "/folder/"}
	assert.False(t, c.Has(f))
	_, err := c.Get(context.Background(), f)
	require.NoError(t, err)
	assert.EqualValues(t, 1, asked.Load())
	assert.True(t, c.Has(f))

	s, asked = hub(t, map[string][]byte{"/hf/a/text": []byte(text)})
	c = &Cache{Dir: t.TempDir(), HFEndpoint: s.URL + "/hf"}
	_, err = c.Get(context.Background(), f)
	require.NoError(t, err)
	assert.EqualValues(t, 1, asked.Load())

	c = &Cache{Dir: t.TempDir(), HFEndpoint: s.URL + "/hf", Offline: true}
	_, err = c.Get(context.Background(), f)
	require.ErrorIs(t, err, ErrUnavailable)
	assert.ErrorContains(t, err, "could not be fetched: HF_HUB_OFFLINE forbids it")
	assert.EqualValues(t, 1, asked.Load(), "nobody was asked")
}

func TestWhatIsNotTheFileIsNeverHandedOut(t *testing.T) {
	s, _ := hub(t, map[string][]byte{"/wrong": []byte("something else"), "/cut": zipOf(t, "a.raw", text)[:60]})
	for path, want := range map[string]string{"/wrong": "is not the file of record: it has 14 bytes", "/cut": "zip archive", "/none": "HTTP 404"} {
		c := &Cache{Dir: t.TempDir()}
		_, err := c.Get(context.Background(), fileAt(s.URL+path))
		require.ErrorIs(t, err, ErrUnavailable)
		assert.ErrorContains(t, err, want)
		entries, _ := os.ReadDir(c.Dir)
		assert.Empty(t, entries)
	}
}

// What has come counts, and is told, at once: a slow source is not a stalled one,
// though it takes long to fill a buffer.
func TestASlowSourceIsWaitedFor(t *testing.T) {
	told := make(chan struct{}, len(text))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i := range len(text) {
			_, _ = w.Write([]byte(text[i : i+1]))
			w.(http.Flusher).Flush()
			select {
			case <-told:
			case <-r.Context().Done():
			}
		}
	}))
	defer s.Close()
	c := &Cache{Dir: t.TempDir(), OnProgress: func(File, int64, int64) { told <- struct{}{} }}
	b, err := c.Get(context.Background(), fileAt(s.URL))
	require.NoError(t, err)
	assert.Equal(t, text, string(b))
}

// Half a file is no file: a connection that breaks, and an interrupt, leave the
// cache as it was.
func TestHalfADownloadIsNotKept(t *testing.T) {
	half := func(then func(r *http.Request)) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(text)))
			_, _ = w.Write([]byte(text[:len(text)/2]))
			w.(http.Flusher).Flush()
			then(r)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	c := &Cache{Dir: filepath.Join(t.TempDir(), "cache")}
	_, err := c.Get(context.Background(), fileAt(half(func(*http.Request) {})))
	require.ErrorIs(t, err, ErrUnavailable)
	assert.ErrorContains(t, err, fmt.Sprintf("after %d bytes: unexpected EOF", len(text)/2))

	ctx, cancel := context.WithCancel(context.Background())
	c.OnProgress = func(File, int64, int64) { cancel() }
	_, err = c.Get(ctx, fileAt(half(func(r *http.Request) { <-r.Context().Done() }), "http://127.0.0.1:1/never-asked"))
	require.ErrorIs(t, err, context.Canceled)
	assert.NotErrorIs(t, err, ErrUnavailable, "an interrupt does not say what to put where")
	assert.NoDirExists(t, c.Dir)
}

func TestNeitherSourceNorArchiveFillsTheMemory(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		block := make([]byte, 1<<20)
		for range 2 * maxDownload >> 20 {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}))
	defer s.Close()
	c := &Cache{Dir: t.TempDir()}
	_, err := c.Get(context.Background(), fileAt(s.URL))
	assert.ErrorContains(t, err, "more than 64 MiB came")

	_, err = Wikitext(zipOf(t, "a.raw", string(make([]byte, maxDownload+1))), "a.raw")
	assert.ErrorContains(t, err, "a.raw has more than 64 MiB")
}

func TestASourceThatStallsIsGivenUp(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("a"))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	defer s.Close()
	c := &Cache{Dir: t.TempDir(), Stall: 20 * time.Millisecond}
	_, err := c.Get(context.Background(), fileAt(s.URL))
	assert.ErrorContains(t, err, "nothing came for 20ms")

	ctx, cancel := context.WithCancel(context.Background())
	c = &Cache{Dir: t.TempDir(), OnProgress: func(File, int64, int64) { cancel() }}
	time.AfterFunc(50*time.Millisecond, cancel)
	_, err = c.Get(ctx, fileAt(s.URL))
	assert.ErrorIs(t, err, context.Canceled)
}

// The parquet files were written by Hugging Face's own library, in the layouts
// of Salesforce/wikitext and EleutherAI/wikitext_document_level.
func TestEveryFormGivesTheSameRawFile(t *testing.T) {
	raw, err := os.ReadFile("../accuracy/texts/heldout.txt")
	require.NoError(t, err)
	forms := map[string][]byte{"raw": raw, "zip": zipOf(t, "d/wiki.test.raw", string(raw), "d/wiki.train.raw", "x"), "zip of one": zipOf(t, "any", string(raw))}
	for _, name := range []string{"lines.parquet", "pages.parquet"} {
		forms[name], err = os.ReadFile("testdata/" + name)
		require.NoError(t, err)
	}
	for name, b := range forms {
		got, err := Wikitext(b, "wiki.test.raw")
		require.NoError(t, err, name)
		assert.Equal(t, Digest(raw), Digest(got), name)
	}
}

func TestABrokenFormIsNamed(t *testing.T) {
	type numbers struct {
		Text int64 `parquet:"text"`
	}
	type others struct {
		Sentence string `parquet:"sentence"`
	}
	good, err := os.ReadFile("testdata/lines.parquet")
	require.NoError(t, err)
	archive := zipOf(t, "a", text)
	for name, c := range map[string]struct {
		b    []byte
		want string
	}{
		"junk for a zip":      {[]byte("PK\x03\x04junk"), "zip archive: zip: not a valid zip file"},
		"half a zip":          {archive[:len(archive)/2], "zip archive: zip: not a valid zip file"},
		"an empty zip":        {zipOf(t), "zip archive: it has 0 files, none of them named x"},
		"a zip of others":     {zipOf(t, "a", "1", "b", "2"), "zip archive: it has 2 files, none of them named x"},
		"junk for a parquet":  {[]byte("PAR1junkjunkPAR1"), "parquet file: "},
		"four bytes of it":    {[]byte("PAR1"), "parquet file: "},
		"half a parquet":      {good[:len(good)/2], "parquet file: "},
		"numbers for a text":  {parquetOf(t, []numbers{{1}, {2}}), `parquet file: column "text" is of INT64, not of text`},
		"columns of no text":  {parquetOf(t, []others{{"a"}}), `parquet file: it has neither a column "text" (a line a row) nor "page" (an article a row)`},
		"a byte of the pages": {append(bytes.Clone(good[:40]), append(bytes.Repeat([]byte{0xff}, 200), good[240:]...)...), "parquet file: "},
	} {
		_, err := Wikitext(c.b, "x")
		if assert.ErrorContains(t, err, c.want, name) {
			assert.NotContains(t, err.Error(), "\n", name)
		}
	}
}

func parquetOf[T any](t *testing.T, rows []T) []byte {
	var buf bytes.Buffer
	require.NoError(t, parquet.Write(&buf, rows))
	return buf.Bytes()
}

// The archive has a digest of its own, which is looked at before it is opened.
func TestAnotherArchiveIsNotOpened(t *testing.T) {
	zips := 0
	for _, s := range WikiText2.Sources {
		if strings.HasSuffix(s.URL, ".zip") {
			zips++
			_, err := s.Unpack(zipOf(t, "wiki.test.raw", text))
			assert.ErrorIs(t, err, ErrDigest, s.URL)
			assert.ErrorContains(t, err, "that has 4721645, ef7edb566e3e2b2d31b29c1fdb0c89a4cc683597484c3dc2517919c615435a11")
		}
	}
	assert.Equal(t, 2, zips)
}

func TestFilesOfRecordAreWellFormed(t *testing.T) {
	for _, f := range []File{WikiText2, GSM8KTest, GSM8KTrain} {
		assert.Len(t, f.SHA256, 64)
		assert.NotEmpty(t, f.Sources)
		assert.NotEmpty(t, f.Setting)
		assert.Positive(t, f.Size)
	}
}

func FuzzWikitext(f *testing.F) {
	b, _ := os.ReadFile("testdata/pages.parquet")
	f.Add(b)
	f.Add([]byte("PK\x03\x04"))
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = Wikitext(b, "x") })
}
