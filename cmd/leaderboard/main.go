// Command leaderboard is the board that one can run: one binary with the page,
// the charts and the database driver in it.
//
//	leaderboard                     serve the board (the default)
//	leaderboard backup [FILE]       copy the database, also while the board runs
//	leaderboard issue TEAM          give a team a token, and print it once
//	leaderboard submit DIR ...      send what PASSED in batch folders, for TEAM
//	leaderboard resubmit [DIR ...]  send the pending submissions of batch folders
//
// The settings LEADERBOARD_* come from the environment or .env; flags go first.
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
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"inferbench/harness/settings"
	"inferbench/harness/suite"
	"inferbench/leaderboard"
	"inferbench/leaderboard/local"
)

const usage = `usage:
  leaderboard [serve]             serve the board
  leaderboard backup [FILE]       copy the database, also while the board runs
  leaderboard issue TEAM          give a team a token, and print it once
  leaderboard submit DIR ...      send what PASSED in batch folders, for TEAM
  leaderboard resubmit [DIR ...]  send the pending submissions of batch folders
flags of %s:
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "leaderboard:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	verb := "serve"
	if len(args) > 0 && args[0] != "" && args[0][0] != '-' {
		verb, args = args[0], args[1:]
	}
	s, err := settings.Load(flag.NewFlagSet("none", flag.ContinueOnError), environ(), ".env")
	if err != nil {
		return err
	}
	flags := flag.NewFlagSet("leaderboard "+verb, flag.ExitOnError)
	flags.Usage = func() {
		fmt.Fprintf(os.Stderr, usage, verb)
		flags.PrintDefaults()
	}
	flags.StringVar(&s.Board.DB, "db", s.Board.DB, "SQLite file [LEADERBOARD_DB]")
	switch verb {
	case "serve":
		flags.StringVar(&s.Board.Listen, "listen", s.Board.Listen, "host:port to listen on [LEADERBOARD_LISTEN]")
		teams := flags.String("teams", "", "who may submit: open (no token needed), claim (the first token under a name claims it) or issued (tokens from the admin); default: open on loopback, else claim")
		q := leaderboard.DefaultQuota
		flags.Float64Var(&q.Rate, "rate", q.Rate, "submissions a second and address; 0: no limit, as for the next three")
		flags.IntVar(&q.Submissions, "day-submissions", q.Submissions, "submissions a day and address")
		flags.IntVar(&q.Teams, "day-teams", q.Teams, "new teams a day and address")
		flags.Int64Var(&q.Bytes, "day-bytes", q.Bytes, "bytes of result files, compressed, a day and address")
		size := flags.Int64("max-bytes", 8<<30, "size in bytes at which the database takes no more; 0: no limit")
		flags.Parse(args)
		return serve(ctx, s, leaderboard.Config{Policy: leaderboard.Policy(*teams), Quota: q, MaxBytes: *size})
	case "backup":
		flags.Parse(args)
		to := flags.Arg(0)
		if to == "" {
			to = fmt.Sprintf("%s-%s.backup", s.Board.DB, time.Now().Format("20060102-150405"))
		}
		n, err := leaderboard.Backup(ctx, s.Board.DB, to)
		if err == nil {
			fmt.Printf("%s: %d submissions, checked; to restore, stop the board and put it in the place of %s\n", to, n, s.Board.DB)
		}
		return err
	case "issue":
		flags.Parse(args)
		if flags.NArg() != 1 {
			return errors.New("issue: want one team name, as in leaderboard issue 'team x'")
		}
		b, err := leaderboard.Open(ctx, leaderboard.Config{DB: s.Board.DB})
		if err != nil {
			return err
		}
		token, err := b.Issue(ctx, flags.Arg(0))
		if err = errors.Join(err, b.Close()); err == nil {
			fmt.Println(token)
		}
		return err
	case "submit", "resubmit":
		flags.BoolVar(&s.Board.DryRun, "dry-run", s.Board.DryRun, "print what would be sent, and send nothing [DRY_RUN]")
		flags.Parse(args)
		if verb == "submit" {
			return submit(ctx, s, flags.Args())
		}
		return resubmit(ctx, s, flags.Args())
	}
	return fmt.Errorf("%q: want serve, backup, issue, submit or resubmit", verb)
}

// environ is the environment without the settings of a sweep that this program
// has no use for, so that a wrong one does not keep the board from starting.
func environ() (out []string) {
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

func serve(ctx context.Context, s settings.Settings, c leaderboard.Config) error {
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

// submit sends batches that were measured before.
func submit(ctx context.Context, s settings.Settings, dirs []string) error {
	switch {
	case len(dirs) == 0:
		return errors.New("submit: want batch folders, as in make submit BATCH=batch_… TEAM=x")
	case s.Team == "":
		return errors.New("submit: TEAM is empty: want a team name, as in make submit BATCH=batch_… TEAM=x")
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

func resubmit(ctx context.Context, s settings.Settings, dirs []string) error {
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
		fmt.Printf("leaderboard: nothing is pending in %d batch folders of %s\n", len(dirs), s.Results.Dir)
	}
	return report.Err()
}
