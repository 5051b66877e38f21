package submit

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The fakes of the other tests behave as Gradio's source reads; here is Gradio.
func TestARealGradioBoard(t *testing.T) {
	python := "../../.venv-gradio/bin/python"
	if _, err := os.Stat(python); err != nil {
		t.Skip("Gradio is not installed: make gradio-deps")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := l.Addr().(*net.TCPAddr).Port
	require.NoError(t, l.Close())
	app := exec.Command(python, "../../scripts/gradio/app.py", fmt.Sprint(port))
	app.Env = append(os.Environ(), "GRADIO_ANALYTICS_ENABLED=False", "HF_HUB_OFFLINE=1")
	require.NoError(t, app.Start())
	t.Cleanup(func() {
		_ = app.Process.Kill()
		_ = app.Wait()
	})
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	require.Eventually(t, func() bool {
		resp, err := http.Get(url + "/config")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, time.Minute, 100*time.Millisecond)

	submit := func(team string) (Outcome, Submission) {
		f := figures()
		f.Team = team
		dir := t.TempDir()
		report, err := New(quick(Options{URL: url})).Submit(t.Context(), dir, []Figures{f})
		require.NoError(t, err)
		return report[0], readOne(t, dir)
	}
	o, kept := submit("x")
	assert.Equal(t, Confirmed, o.Status, o.Reason)
	assert.Equal(t, "x 16 15979.59 251.5 10407 344.564 1.5355 0.7299 0.4485 1.3646 3.2522", o.Answer, "the eleven fields, in order, as the app sees them")
	assert.NotEmpty(t, kept.EventID)
	o, _ = submit("slow")
	assert.Equal(t, Confirmed, o.Status, o.Reason)
	for team, want := range map[string]string{"refused": "this team is not registered", "bug": "(event: error)"} {
		o, _ = submit(team)
		assert.Equal(t, Pending, o.Status)
		assert.ErrorContains(t, Report{o}.Err(), want)
		assert.Contains(t, o.Reason, "rejected the submission")
	}
	o, kept = submit("dies") // in the middle of the call
	assert.Equal(t, Pending, o.Status)
	assert.Equal(t, Pending, kept.Status)
	t.Log(o.Reason)
}
