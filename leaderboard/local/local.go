// Package local joins the leaderboard's client to the board on this machine: it
// makes the client that settings ask for, and starts the board for figures of
// the embedded engine where none is running.
package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"

	"inferbench/baselines"
	"inferbench/harness/server"
	"inferbench/harness/settings"
	"inferbench/harness/submit"
	"inferbench/leaderboard"
)

// Client is the client that the settings ask for. Its lines go to out. Close it
// when the last submission is made.
//
// A board that it starts runs in this process until Close: what was submitted
// is then in the file LEADERBOARD_DB, and `make leaderboard` shows it.
func Client(s settings.Settings, out io.Writer) (*submit.Client, error) {
	client, err := server.Client(s.Server.CAFile)
	if err != nil {
		return nil, err
	}
	// A public board may be behind one; nothing is timed
	client.Transport.(*http.Transport).Proxy = http.ProxyFromEnvironment
	hardware, err := baselines.LoadHardware(cmp.Or(s.Results.HardwareBaseline, baselines.DefaultHardware))
	if err != nil {
		return nil, err
	}
	return submit.New(submit.Options{Hardware: hardware,
		URL: s.Board.URL, Token: s.Board.Token, HFToken: s.Board.HFToken, DryRun: s.Board.DryRun,
		OwnURL: "http://" + s.Board.Listen, Out: out, HTTP: client,
		StartOwn: func(ctx context.Context) (string, func() error, error) {
			c := leaderboard.Config{DB: s.Board.DB, AdminToken: s.Board.AdminToken, Baseline: s.Results.HardwareBaseline}
			server, err := leaderboard.Start(ctx, c, s.Board.Listen)
			if errors.Is(err, syscall.EADDRINUSE) {
				// Another program has the port. The file is what counts.
				host, _, _ := net.SplitHostPort(s.Board.Listen)
				server, err = leaderboard.Start(ctx, c, net.JoinHostPort(host, "0"))
			}
			if err != nil {
				return "", nil, err
			}
			fmt.Fprintf(out, "leaderboard: started for this run at %s; `make leaderboard` shows %s later\n", server.URL, s.Board.DB)
			return server.URL, server.Close, nil
		},
	}), nil
}
