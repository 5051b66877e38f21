package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"inferbench/harness/settings"
	"inferbench/harness/suite"
	"inferbench/leaderboard"
	"inferbench/leaderboard/local"
)

func boardCommand() *cobra.Command {
	return group(&cobra.Command{
		Use: "board", Short: "Serve a leaderboard, and send batches to one",
		Long: `Board is the leaderboard that one can run, with its page and its database in
this program, and the client of it and of the public boards. The settings
LEADERBOARD_* come from the environment or .env; flags go first.`,
		Example: `  inferbench board serve -listen 127.0.0.1:8090
  TEAM=x inferbench board submit batch_isl1024_osl1024_20251125_150000
  inferbench board resubmit                        what no board has confirmed yet
  inferbench board backup copy.db`,
	}, serveCommand(), backupCommand(), issueCommand(),
		sendCommand("submit DIR ...", "Send what PASSED in batch folders, for TEAM",
			want(1, -1, "batch folders, as in make submit BATCH=batch_… TEAM=x"), submitBatches),
		sendCommand("resubmit [DIR ...]", "Send the pending submissions of batch folders; none named means those "+
			"of RESULTS_DIR",
			want(0, -1, "batch folders"), resubmitBatches))
}

func serveCommand() *cobra.Command {
	c := leaderboard.Config{Quota: leaderboard.DefaultQuota}
	var load func() (settings.Settings, error)
	cmd := &cobra.Command{
		Use: "serve", Short: "Serve the board", Args: want(0, 0, "no words: flags only"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := load()
			if err != nil {
				return err
			}
			return serveBoard(cmd.Context(), s, c)
		},
	}
	load = boardSettings(cmd, "listen", "leaderboard-listen")
	f, q := cmd.Flags(), &c.Quota
	f.StringVar((*string)(&c.Policy), "teams", "", "who may submit: open (no token needed), claim (the first token "+
		"under a name claims it) or issued (tokens from the admin); default: open on loopback, else claim")
	f.Float64Var(&q.Rate, "rate", q.Rate, "submissions a second and address; 0: no limit, as for the next three")
	f.IntVar(&q.Submissions, "day-submissions", q.Submissions, "submissions a day and address")
	f.IntVar(&q.Teams, "day-teams", q.Teams, "new teams a day and address")
	f.Int64Var(&q.Bytes, "day-bytes", q.Bytes, "bytes of result files, compressed, a day and address")
	f.Int64Var(&c.MaxBytes, "max-bytes", 8<<30, "size in bytes at which the database takes no more; 0: no limit")
	return cmd
}

func backupCommand() *cobra.Command {
	var load func() (settings.Settings, error)
	c := &cobra.Command{
		Use: "backup [FILE]", Short: "Copy the database, also while the board runs", Args: want(0, 1, "one file at most"),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := load()
			if err != nil {
				return err
			}
			to := fmt.Sprintf("%s-%s.backup", s.Board.DB, time.Now().Format("20060102-150405"))
			if len(args) > 0 {
				to = args[0]
			}
			n, err := leaderboard.Backup(c.Context(), s.Board.DB, to)
			if err == nil {
				fmt.Fprintf(c.OutOrStdout(), "%s: %d submissions, checked; to restore, stop the board and put it "+
					"in the place of %s\n", to, n, s.Board.DB)
			}
			return err
		},
	}
	load = boardSettings(c)
	return c
}

func issueCommand() *cobra.Command {
	var load func() (settings.Settings, error)
	c := &cobra.Command{
		Use: "issue TEAM", Short: "Give a team a token, and print it once", Args: want(1, 1,
			"one team name, as in inferbench board issue 'team x'"),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := load()
			if err != nil {
				return err
			}
			b, err := leaderboard.Open(c.Context(), leaderboard.Config{DB: s.Board.DB})
			if err != nil {
				return err
			}
			token, err := b.Issue(c.Context(), args[0])
			if err = errors.Join(err, b.Close()); err == nil {
				fmt.Fprintln(c.OutOrStdout(), token)
			}
			return err
		},
	}
	load = boardSettings(c)
	return c
}

// sendCommand is a command that sends what batch folders hold.
func sendCommand(use, short string, args cobra.PositionalArgs, send func(context.Context, settings.Settings,
	[]string) error) *cobra.Command {
	var load func() (settings.Settings, error)
	c := &cobra.Command{Use: use, Short: short, Args: args, RunE: func(c *cobra.Command, dirs []string) error {
		s, err := load()
		if err != nil {
			return err
		}
		return send(c.Context(), s, dirs)
	}}
	load = boardSettings(c, "dry-run", "dry-run", "team", "team")
	return c
}

// boardSettings gives a command the flag -db and, for each pair of names, a flag
// that goes before a setting. It returns what reads the settings when the
// command runs.
func boardSettings(c *cobra.Command, pairs ...string) func() (settings.Settings, error) {
	flags := flag.NewFlagSet(c.Name(), flag.ContinueOnError)
	settings.Register(flags)
	pairs = append(pairs, "db", "leaderboard-db")
	for i := 0; i < len(pairs); i += 2 {
		f := *flags.Lookup(pairs[i+1])
		f.Name = pairs[i]
		one := flag.NewFlagSet("", flag.ContinueOnError)
		one.Var(f.Value, f.Name, f.Usage)
		c.Flags().AddGoFlagSet(one)
	}
	return func() (settings.Settings, error) {
		for i := 0; i < len(pairs); i += 2 {
			if f := c.Flags().Lookup(pairs[i]); f.Changed {
				if err := flags.Set(pairs[i+1], f.Value.String()); err != nil {
					return settings.Settings{}, usageError{err}
				}
			}
		}
		return settings.Load(flags, boardEnviron(), ".env")
	}
}

// boardEnviron is the environment without the settings of a sweep that this program
// has no use for, so that a wrong one does not keep the board from starting.
func boardEnviron() (out []string) {
	for _, pair := range os.Environ() {
		switch name, _, _ := strings.Cut(pair, "="); name {
		case "TEAM", "TEAM_NAME_ENV", "LB_URL_OVERRIDE", "RESULTS_DIR", "DRY_RUN", "HF_TOKEN", "CA_FILE", "HW_BASELINE":
			out = append(out, pair)
		default:
			if strings.HasPrefix(name, "LEADERBOARD_") {
				out = append(out, pair)
			}
		}
	}
	return out
}

func serveBoard(ctx context.Context, s settings.Settings, c leaderboard.Config) error {
	host, _, err := net.SplitHostPort(s.Board.Listen)
	if err != nil {
		return fmt.Errorf("-listen %q: %w", s.Board.Listen, err)
	}
	if ip := net.ParseIP(host); c.Policy == "" && !(host == "localhost" || ip != nil && ip.IsLoopback()) {
		c.Policy = leaderboard.Claim
	}
	// A board's live memory is small and what passes through it is not: with the
	// default of 100 the collector runs all the time under load.
	debug.SetGCPercent(400)
	c.DB, c.AdminToken, c.Baseline = s.Board.DB, s.Board.AdminToken, s.Results.HardwareBaseline
	c.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	server, err := leaderboard.Start(ctx, c, s.Board.Listen)
	if err != nil {
		return err
	}
	fmt.Printf("leaderboard: %s (database %s); Ctrl+C stops it\n", server.URL, s.Board.DB)
	if err := server.Wait(ctx); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return errors.Join(err, server.Close())
	}
	return server.Close()
}

// submitBatches sends batches that were measured before.
func submitBatches(ctx context.Context, s settings.Settings, dirs []string) error {
	if s.Team == "" {
		return errors.New("TEAM is empty: want a team name, as in make submit BATCH=batch_… TEAM=x")
	}
	client, err := local.Client(s, os.Stdout)
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		err = errors.Join(err, suite.SubmitBatch(ctx, client, dir, s.Team))
	}
	return errors.Join(err, client.Close())
}

func resubmitBatches(ctx context.Context, s settings.Settings, dirs []string) error {
	if len(dirs) == 0 {
		names, err := fs.Glob(os.DirFS(s.Results.Dir), "batch_isl*") // RESULTS_DIR itself may hold [ or *
		if err != nil {
			return err
		}
		for _, name := range names {
			dirs = append(dirs, filepath.Join(s.Results.Dir, name))
		}
	}
	client, err := local.Client(s, os.Stdout)
	if err != nil {
		return err
	}
	report, err := client.Resubmit(ctx, dirs...)
	if err = errors.Join(err, client.Close()); err != nil {
		return err
	}
	if len(report) == 0 {
		fmt.Printf("inferbench board: nothing is pending in %d batch folders of %s\n", len(dirs), s.Results.Dir)
	}
	return report.Err()
}
