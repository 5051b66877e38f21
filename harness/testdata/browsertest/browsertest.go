// Package browsertest opens pages in a real headless Chromium, for tests. A
// test that needs it skips, saying so, where Chromium or an npm package is
// absent: `make browser-deps` installs them.
package browsertest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	cdpruntime "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// limit bounds all that one page does in a test.
const limit = 60 * time.Second

// Page is a tab of a Chromium of its own.
type Page struct {
	Ctx context.Context // for chromedp.Run
	t   *testing.T
	err chan string // what the page complained of
}

// Open starts Chromium with nothing of this machine's in it and goes to url,
// width by 900 pixels, in the dark scheme or the light one. The browser ends
// with the test.
func Open(t *testing.T, url string, width int, dark bool) *Page {
	t.Helper()
	binary := find("chromium", "chromium-browser", "google-chrome")
	if binary == "" {
		t.Skip("Chromium is not installed: make browser-deps")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(binary),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.NoSandbox, // as root, as in CI
		chromedp.DisableGPU,
		chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true),
	)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	ctx, stop := chromedp.NewExecAllocator(ctx, options...)
	ctx, closeTab := chromedp.NewContext(ctx)
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // waits for the browser to go, so that its folder can be removed
		closeTab()
		stop()
		cancel()
	})
	p := &Page{Ctx: ctx, t: t, err: make(chan string, 100)}
	if err := chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *cdpruntime.EventExceptionThrown:
			text := e.ExceptionDetails.Text
			if o := e.ExceptionDetails.Exception; o != nil {
				text += " " + o.Description
			}
			p.complain(text)
		case *log.EventEntryAdded:
			if e.Entry.Level == log.EntryLevelError {
				p.complain(e.Entry.Text + " " + e.Entry.URL)
			}
		}
	}); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	call(p, log.Enable, cdp.Empty{})
	call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
	p.Do(chromedp.EmulateViewport(int64(width), 900), chromedp.Navigate(url))
	return p
}

func call[P, R any](p *Page, command cdp.Command[P, R], params P) {
	p.t.Helper()
	if _, err := chromedp.Call(p.Ctx, command, params); err != nil {
		p.t.Fatalf("browser: %v", err)
	}
}

func (p *Page) complain(text string) {
	select {
	case p.err <- text:
	default:
	}
}

// Do does the steps, and fails the test where one fails.
func (p *Page) Do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.Ctx, steps...); err != nil {
		p.t.Fatalf("browser: %v", err)
	}
}

// Eval is the value of an expression of JavaScript; a promise is awaited.
func Eval[T any](p *Page, expression string) T {
	p.t.Helper()
	v, err := chromedp.Run(p.Ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("browser: %v", err)
	}
	return v
}

// Errors are the exceptions and errors that the page has logged so far.
func (p *Page) Errors() []string {
	var out []string
	for {
		select {
		case text := <-p.err:
			out = append(out, text)
		default:
			return out
		}
	}
}

// Overflow is by how many pixels the page is wider than its window: 0 is none.
func (p *Page) Overflow() int {
	p.t.Helper()
	return Eval[int](p, "document.documentElement.scrollWidth - document.documentElement.clientWidth")
}

// Screenshot keeps a picture of the whole page in the folder that SCREENSHOTS
// names, for people to look at; without it, nothing.
func (p *Page) Screenshot(name string) {
	p.t.Helper()
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return
	}
	// The picture is of the page at its full height; let it draw itself anew.
	height := Eval[int64](p, "document.documentElement.scrollHeight")
	width := Eval[int64](p, "innerWidth")
	p.Do(chromedp.EmulateViewport(width, max(height, 900)))
	Eval[bool](p, "new Promise(done => requestAnimationFrame(() => setTimeout(() => done(true), 200)))")
	picture, err := chromedp.Run(p.Ctx, chromedp.FullScreenshot(100))
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// Picture is what a window of that height shows, as a PNG.
func (p *Page) Picture(height int) []byte {
	p.t.Helper()
	p.Do(chromedp.EmulateViewport(Eval[int64](p, "innerWidth"), int64(height)))
	Eval[bool](p, "new Promise(done => requestAnimationFrame(() => setTimeout(() => done(true), 300)))")
	picture, err := chromedp.Run(p.Ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.t.Fatalf("browser: %v", err)
	}
	return picture
}

// Axe runs axe-core over the page as it is and gives its serious and critical
// violations, a line each. It skips the test where axe-core is not installed.
func (p *Page) Axe() []string {
	p.t.Helper()
	script, err := os.ReadFile(filepath.Join(NodeModules(p.t), "axe-core", "axe.min.js"))
	if err != nil {
		p.t.Fatal(err)
	}
	Eval[int](p, string(script)+";0")
	type violation struct{ ID, Impact, Help, HTML string }
	violations := Eval[[]violation](p, "axe.run().then(r => r.violations.map(v => ({ID: v.id, Impact: v.impact, Help: "+
		"v.help, HTML: v.nodes[0].html})))")
	var out []string
	for _, v := range violations {
		if v.Impact == "serious" || v.Impact == "critical" {
			out = append(out, fmt.Sprintf("%s (%s): %s, as in %s", v.ID, v.Impact, v.Help, v.HTML))
		}
	}
	return out
}

// NodeModules is the folder of the npm packages that tests use. It skips the
// test where they are not installed.
func NodeModules(t *testing.T) string {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	dir := filepath.Join(filepath.Dir(here), "node_modules")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("the npm packages of harness/testdata/browsertest are not installed: make browser-deps")
	}
	return dir
}

func find(names ...string) string {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}
