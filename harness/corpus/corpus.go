// Package corpus keeps the public data files that accuracy figures are measured
// on: fetched once from their public homes, held to a digest, and cached.
//
// A file is its digest. Whatever the way it came, zip, parquet or as it is, what
// is handed out has the digest of record, or is not handed out at all.
package corpus

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"inferbench/harness/hint"
)

// File is a public data file.
type File struct {
	Name    string // as results call it
	Base    string // its file name, in the cache too
	Size    int64  // bytes
	SHA256  string // in hexadecimal
	Setting string // the setting that names a local copy
	Sources []Source
}

// Source is one public home of a file.
type Source struct {
	URL    string
	Unpack func([]byte) ([]byte, error) // makes the file of what comes from there; nil where it is the file
}

// ErrUnavailable: no home of the file could be reached, or none had it.
var ErrUnavailable = errors.New("could not be fetched")

// ErrDigest: what came is not the file of record.
var ErrDigest = errors.New("is not the file of record")

// Cache fetches files once. The zero Cache is a good one.
type Cache struct {
	Dir    string        // "" is inferbench in the user's cache folder
	Client *http.Client  // nil: one that gives up connecting after 10 s
	Stall  time.Duration // gives up on a source that sends nothing for so long; default 30 s

	Mirror     string // address of a folder that has the files by their Base; asked first
	HFEndpoint string // where Hugging Face's files are fetched from; "" is https://huggingface.co
	Token      string // a Hugging Face token for its data sets, sent to HFEndpoint's host alone; "": none
	Offline    bool   // fetch nothing

	// OnProgress is told how many bytes have come, of how many (-1 where the
	// source does not say).
	OnProgress func(f File, got, total int64)
}

// maxDownload bounds what a source may send: the largest known one, an archive
// with all of WikiText-2, is under 5 MB.
const maxDownload = 64 << 20

// Get returns the file's content, from the cache or else from the first of its
// sources that has it. Without either the error is one line that says what to
// put where.
func (c *Cache) Get(ctx context.Context, f File) ([]byte, error) {
	path, err := c.path(f)
	if err != nil {
		return nil, err
	}
	cached, err := os.ReadFile(path)
	if err == nil {
		if err := f.Check(cached); err != nil {
			return nil, fmt.Errorf("%s in the cache %w: remove it, and it is fetched anew", path, err)
		}
		return cached, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, hint.Folder(fmt.Errorf("cache (CACHE_DIR): %w", err), "CACHE_DIR")
	}
	if c.Offline {
		return nil, c.missing(f, path, errOffline)
	}
	var first error
	for _, s := range c.sources(f) {
		b, err := c.fetch(ctx, f, s)
		if err == nil {
			return b, c.keep(path, b)
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("fetch %s: %w", f.Base, ctx.Err())
		}
		if first == nil {
			first = err
		}
	}
	return nil, c.missing(f, path, fmt.Errorf("%w from any of %d addresses (%w)", ErrUnavailable, len(c.sources(f)),
		first))
}

var errOffline = fmt.Errorf("%w: HF_HUB_OFFLINE forbids it", ErrUnavailable)

// missing says why a file is not here, and the ways to bring it.
func (c *Cache) missing(f File, path string, err error) error {
	return hint.New(fmt.Errorf("%s (%d bytes, SHA-256 %s) %w", f.Base, f.Size, f.SHA256, err),
		fmt.Sprintf("run make fetch CACHE_DIR=DIR on a machine that has network and carry DIR over (CACHE_DIR), or put "+
			"the file at %s, "+
			"or set %s to where it is, or DATA_MIRROR to a folder on a web server that has it", path, f.Setting))
}

// sources lists where a file may be had, in the order in which they are asked.
func (c *Cache) sources(f File) (out []Source) {
	if c.Mirror != "" {
		out = append(out, Source{URL: strings.TrimRight(c.Mirror, "/") + "/" + f.Base})
	}
	for _, s := range f.Sources {
		if rest, ok := strings.CutPrefix(s.URL, huggingFace); ok && c.HFEndpoint != "" {
			s.URL = strings.TrimRight(c.HFEndpoint, "/") + rest
		}
		out = append(out, s)
	}
	return out
}

const huggingFace = "https://huggingface.co"

// Has reports whether the cache has the file, so that [Cache.Get] needs no
// network.
func (c *Cache) Has(f File) bool {
	path, err := c.path(f)
	if err != nil {
		return false
	}
	b, err := os.ReadFile(path)
	return err == nil && f.Check(b) == nil
}

// Check holds b to the file's size and digest; the error wraps [ErrDigest].
func (f File) Check(b []byte) error {
	if sum := Digest(b); sum != f.SHA256 {
		return fmt.Errorf("%w: it has %d bytes, SHA-256 %s; that has %d, %s", ErrDigest, len(b), sum, f.Size, f.SHA256)
	}
	return nil
}

// Digest returns the SHA-256 of b in hexadecimal.
func Digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Path returns where the cache keeps the file.
func (c *Cache) Path(f File) string {
	path, _ := c.path(f)
	return path
}

func (c *Cache) path(f File) (string, error) {
	dir := c.Dir
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("no folder to keep %s in: %w: set CACHE_DIR, or %s to where the file is", f.Base, err,
				f.Setting)
		}
		dir = filepath.Join(user, "inferbench")
	}
	return filepath.Join(dir, f.Base), nil
}

// keep writes a fetched file to the cache, whole or not at all.
func (c *Cache) keep(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return hint.Folder(fmt.Errorf("cache (CACHE_DIR): %w", err), "CACHE_DIR")
	}
	if err := renameio.WriteFile(path, b, 0o644); err != nil {
		return hint.Folder(fmt.Errorf("cache (CACHE_DIR): %w", err), "CACHE_DIR")
	}
	return nil
}

// patient connects within 10 s and waits 30 s for an answer to begin.
var patient = &http.Client{Transport: &http.Transport{
	Proxy:                 http.ProxyFromEnvironment,
	DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
	TLSHandshakeTimeout:   10 * time.Second,
	ResponseHeaderTimeout: 30 * time.Second,
	ForceAttemptHTTP2:     true,
}}

func (c *Cache) fetch(ctx context.Context, f File, s Source) (b []byte, err error) {
	err = c.download(ctx, s.URL, maxDownload, func(chunk []byte, total int64) error {
		b = append(b, chunk...)
		if c.OnProgress != nil {
			c.OnProgress(f, int64(len(b)), total)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if s.Unpack != nil {
		if b, err = s.Unpack(b); err != nil {
			return nil, fmt.Errorf("GET %s: %w", s.URL, err)
		}
	}
	if err := f.Check(b); err != nil {
		return nil, fmt.Errorf("GET %s: what came %w", s.URL, err)
	}
	return b, nil
}

// download hands what comes from address to take, piece by piece; total is -1 where the
// server does not say. More than most bytes are an error.
func (c *Cache) download(ctx context.Context, address string, most int64,
	take func(chunk []byte, total int64) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := c.Stall
	if stall == 0 {
		stall = 30 * time.Second
	}
	watchdog := time.AfterFunc(stall, func() { cancel(fmt.Errorf("nothing came for %s", stall)) })
	defer watchdog.Stop()

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	resp, err := c.authorized(req).Do(req)
	if err != nil {
		return because(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		err := fmt.Errorf("GET %s: HTTP %d", address, resp.StatusCode)
		if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden {
			err = fmt.Errorf("%w: %w", err, errDenied)
		}
		return err
	}
	var got int64
	for chunk := make([]byte, 64<<10); ; {
		n, err := resp.Body.Read(chunk)
		if got += int64(n); n > 0 {
			watchdog.Reset(stall)
			if err := take(chunk[:n], resp.ContentLength); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("GET %s: after %d bytes: %w", address, got, because(ctx, err))
		case got > most:
			return fmt.Errorf("GET %s: more than %d MiB came", address, most>>20)
		}
	}
}

// errDenied: who asks may not have it.
var errDenied = errors.New("not without permission")

// home is the address of Hugging Face, or of what stands in its place.
func (c *Cache) home() string {
	if c.HFEndpoint == "" {
		return huggingFace
	}
	return strings.TrimRight(c.HFEndpoint, "/")
}

// authorized gives a request the token if it goes to the hub, and returns the client to
// send it with: one that takes the token along to no other host.
func (c *Cache) authorized(req *http.Request) *http.Client {
	client := c.Client
	if client == nil {
		client = patient
	}
	home, err := url.Parse(c.home())
	if err != nil || c.Token == "" || req.URL.Host != home.Host || req.URL.Scheme != home.Scheme {
		return client
	}
	req.Header.Set("Authorization", "Bearer "+c.Token)
	careful := *client
	careful.CheckRedirect = func(next *http.Request, via []*http.Request) error {
		if next.URL.Host != home.Host || next.URL.Scheme != home.Scheme {
			next.Header.Del("Authorization")
		}
		if len(via) >= 10 {
			return errors.New("stopped after 10 redirects")
		}
		return nil
	}
	return &careful
}

// because is why the context ended, where it was the watchdog that ended it.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return fmt.Errorf("%w (%w)", cause, err)
	}
	return err
}
