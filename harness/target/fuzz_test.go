package target

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// answer is a server that says the same to everything, without a socket: a
// fuzzer needs the speed.
type answer struct {
	status int
	body   []byte
}

func (a answer) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: a.status, Header: http.Header{"Retry-After": {string(a.body)}},
		Body: io.NopCloser(strings.NewReader(string(a.body))), Request: r}, nil
}

// Whatever a server answers to the questions that are asked before a run,
// waiting ends, in a target or in one line.
func FuzzServerAnswer(f *testing.F) {
	for _, s := range []string{
		twoModels, `{"data":[]}`, `{"data":null}`, `[]`, `{"data":[{"id":"A","max_model_len":-1,"meta":{"n_vocab":1e99}}]}`,
		`{"error":{"message":"too long"}}`, `{"detail":[{"loc":["body"]}]}`, `{"error":"x"}`, "<html>502</html>", "\x00\xff", "",
	} {
		f.Add(200, []byte(s))
		f.Add(503, []byte(s))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 200 || status > 599 || status/100 == 3 {
			return
		}
		tg := New("http://server", "", "k3y", &http.Client{Transport: answer{status, body}})
		err := tg.Wait(context.Background(), WaitOptions{Timeout: time.Nanosecond, Every: time.Nanosecond})
		if err != nil {
			require.NotContains(t, err.Error(), "\n")
			return
		}
		require.NotEmpty(t, tg.Model)
		require.GreaterOrEqual(t, tg.MaxLen, 0)
		require.GreaterOrEqual(t, tg.Vocab, 0)
	})
}
