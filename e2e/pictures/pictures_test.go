// Package pictures draws what users see, from a run on the embedded engine: the live
// view, the report and the board's page. `make pictures` keeps them for the README.
package pictures

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"html"
	"image"
	"image/color"
	"image/png"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/testdata/browsertest"
	_ "inferbench/harness/testdata/cleanenv" // the user's settings are not the tests'
	"inferbench/harness/testdata/terminal"
)

// largest is how many bytes a picture may have.
const largest = 100_000

func TestPictures(t *testing.T) {
	browsertest.Open(t, "about:blank", 100, false) // skips where there is no browser
	dir, sweep := os.Getenv("PICTURES"), []string{"ISL=1024", "OSL=1024", "NUM_PROMPTS=3x", "WARMUP=4", "ENGINE_PROFILE=b200-dsr1-fp4"}
	if dir == "" {
		dir, sweep = t.TempDir(), []string{"ISL=16", "OSL=64", "CONC=1,2", "NUM_PROMPTS=8", "ENGINE_PROFILE=b200-dsr1-fp4"}
	}
	results := t.TempDir()
	command := filepath.Join(results, "inferbench")
	build := exec.Command("go", "build", "-o", command, "inferbench/cmd/inferbench")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))

	board := serveBoard(t, command, results)
	screen := run(t, command, results, append(sweep, "MODE=submit", "TEAM=two cores", "LEADERBOARD_URL="+board, "BASE_URL=embedded", "ACC_AT=once",
		"LABEL=the embedded engine at a B200's pace"))
	require.NoError(t, os.MkdirAll(dir, 0o755))
	keep := func(name, url, from string, width, height int) {
		p := browsertest.Open(t, url, width, false)
		browsertest.Eval[bool](p, fmt.Sprintf("(document.querySelector(%q).scrollIntoView(), true)", from))
		picture := small(t, p.Picture(height))
		assert.Empty(t, p.Errors(), name)
		assert.Less(t, len(picture), largest, name)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644))
	}
	page := filepath.Join(results, "live.html")
	require.NoError(t, os.WriteFile(page, []byte(`<!doctype html><meta charset="utf-8"><title>live</title><style>
html { background: #12161d } pre { color: #e6eaf0; font: 14px/1.35 "DejaVu Sans Mono", monospace; margin: 14px; white-space: pre }</style><pre>`+
		html.EscapeString(strings.Join(screen, "\n"))+`</pre>`), 0o644))
	keep("live", "file://"+page, "body", 1040, 40+19*len(screen))
	reports, err := filepath.Glob(filepath.Join(results, "batch_*", "report.html"))
	require.NoError(t, err)
	require.Len(t, reports, 1)
	keep("report", "file://"+reports[0], "section:has(#h-front)", 1200, 1000)
	isl, osl := strings.TrimPrefix(sweep[0], "ISL="), strings.TrimPrefix(sweep[1], "OSL=")
	keep("board", fmt.Sprintf("%s/isl%s_osl%s", board, isl, osl), "body", 1200, 1080)
}

// serveBoard serves a board and returns its address.
func serveBoard(t *testing.T, command, dir string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().String()
	l.Close()
	cmd := exec.Command(command, "board", "serve")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "LEADERBOARD_DB=board.db", "LEADERBOARD_LISTEN="+address)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	require.Eventually(t, func() bool {
		resp, err := http.Get("http://" + address)
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	}, time.Minute, 100*time.Millisecond)
	return "http://" + address
}

var ofCells = regexp.MustCompile(`sweep: (\d+) of (\d+) cells ended`)

// run runs a sweep on a terminal, and returns what stood there in the middle of it,
// at most a window of it.
func run(t *testing.T, command, dir string, env []string) (middle []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, command, "run")
	cmd.Dir, cmd.Env = dir, append(append(os.Environ(), "TERM=linux"), env...)
	out, err := os.Create(filepath.Join(dir, "out.txt")) // where the view is not
	require.NoError(t, err)
	defer out.Close()
	cmd.Stdout = out
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 120})
	require.NoError(t, err)
	defer tty.Close()
	screen := &terminal.Screen{Columns: 120}
	for chunk := make([]byte, 1<<16); ; {
		n, err := tty.Read(chunk)
		if err != nil {
			break // the run has ended
		}
		require.NoError(t, screen.Write(string(chunk[:n])))
		last := strings.Join(screen.Lines[max(0, len(screen.Lines)-4):], "\n")
		m := ofCells.FindStringSubmatch(last)
		if m == nil || !strings.Contains(last, " benchmark ") || strings.Contains(last, "checking") && middle != nil {
			continue
		}
		ended, _ := strconv.Atoi(m[1])
		if all, _ := strconv.Atoi(m[2]); ended == all/2 {
			middle = slices.Clone(screen.Lines[max(0, len(screen.Lines)-12):])
		}
	}
	_ = cmd.Wait()
	require.Zero(t, cmd.ProcessState.ExitCode(), strings.Join(screen.Lines, "\n"))
	require.NotEmpty(t, middle, "the live view was seen")
	return middle
}

// small is a PNG with at most 256 colours, the most frequent ones.
func small(t *testing.T, picture []byte) []byte {
	t.Helper()
	full, err := png.Decode(bytes.NewReader(picture))
	require.NoError(t, err)
	counts := map[color.RGBA]int{}
	at := func(x, y int) color.RGBA {
		r, g, b, _ := full.At(x, y).RGBA()
		step := func(v uint32) uint8 { return uint8((v*63 + 1<<15) / 0xffff * 255 / 63) } // what the eye can tell
		return color.RGBA{step(r), step(g), step(b), 255}
	}
	bounds := full.Bounds()
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			counts[at(x, y)]++
		}
	}
	var colours []color.RGBA
	for c := range counts {
		colours = append(colours, c)
	}
	slices.SortFunc(colours, func(a, b color.RGBA) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a.R, b.R), cmp.Compare(a.G, b.G), cmp.Compare(a.B, b.B))
	})
	var palette color.Palette
	for _, c := range colours[:min(len(colours), 128)] {
		palette = append(palette, c)
	}
	out := image.NewPaletted(bounds, palette)
	index := map[color.RGBA]uint8{}
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			c := at(x, y)
			i, known := index[c]
			if !known {
				i = uint8(palette.Index(c))
				index[c] = i
			}
			out.SetColorIndex(x, y, i)
		}
	}
	var b bytes.Buffer
	require.NoError(t, (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, out))
	return b.Bytes()
}
