package leaderboard

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"inferbench/baselines"
	"inferbench/harness/pareto"
)

// Whatever is sent to either way in, the board never fails, never lists what is
// not finite and positive, and always answers with JSON.
func FuzzSubmissions(f *testing.F) {
	f.Add([]byte(fmt.Sprintf(eleven, "x")), true)
	f.Add([]byte(`{"data":[null,1e999,-0,"",[],{}]}`), true)
	f.Add([]byte(`{"team":"x","isl":1024,"osl":1024,"conc":4,"e2e_ms":6854,"tput_per_gpu":131,"bits_per_byte":0.4485,"byte_perplexity":1.3646,"word_perplexity":3.2522,"result":"{\"benchmark_args\":{}}"}`), false)
	f.Add([]byte(`{"team":"\u0000","isl":1e30}`), false)
	b, err := Open(f.Context(), Config{DB: filepath.Join(f.TempDir(), "x.db")})
	if err != nil {
		f.Fatal(err)
	}
	defer b.Close()
	handler := b.Handler(true)
	f.Fuzz(func(t *testing.T, body []byte, gradio bool) {
		path := "/api/v1/submissions"
		if gradio {
			path = "/gradio_api/call/submit_results"
		}
		r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1"+path, strings.NewReader(string(body)))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code >= 500 || !json.Valid(w.Body.Bytes()) {
			t.Fatalf("HTTP %d: %s", w.Code, w.Body)
		}
		if w.Code != http.StatusCreated {
			return
		}
		var got receiptJSON
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		s, err := b.submission(t.Context(), got.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range []*float64{&s.E2EMs, &s.TputPerGPU, s.BitsPerByte, s.BytePerplexity, s.WordPerplexity, s.Interactivity} {
			if v != nil && !(*v > 0) || v != nil && math.IsInf(*v, 0) {
				t.Fatalf("listed: %+v", s)
			}
		}
		if s.Team == "" || strings.ContainsAny(s.Team, "\x00\n\r") {
			t.Fatalf("listed the name %q", s.Team)
		}
	})
}

// A front has no point that another one beats, and no point of a curve lies
// above it.
func FuzzFrontier(f *testing.F) {
	hw, err := baselines.LoadHardware(baselines.DefaultHardware)
	if err != nil {
		f.Fatal(err)
	}
	p := hw.Points
	f.Add(p[0].Interactivity, p[0].TputPerGPU, p[1].Interactivity, p[1].TputPerGPU, p[2].Interactivity, p[2].TputPerGPU, true)
	f.Add(1.0, 1.0, 1.0, 1.0, 1.0, 2.0, false)
	f.Fuzz(func(t *testing.T, x1, y1, x2, y2, x3, y3 float64, up bool) {
		points := []pareto.Point{{X: x1, Y: y1}, {X: x2, Y: y2}, {X: x3, Y: y3}}
		for _, p := range points {
			if !(p.X > 0 && p.X < maxFigure && p.Y > 0 && p.Y < maxFigure) {
				t.Skip()
			}
		}
		x := pareto.Low
		if up {
			x = pareto.High
		}
		front := pareto.Front(points, x)
		if len(front) == 0 {
			t.Fatal("no front")
		}
		for _, a := range front {
			for _, b := range points {
				if b != a && float64(x)*(b.X-a.X) >= 0 && b.Y >= a.Y {
					t.Fatalf("%v of the front %v is beaten by %v", a, front, b)
				}
			}
			if pareto.Above(a, points, x) {
				t.Fatalf("%v lies above the curve %v of which it is a corner", a, front)
			}
		}
	})
}
