package suite

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"inferbench/harness/batch"
	"inferbench/harness/clock"
	"inferbench/harness/hint"
	"inferbench/harness/matrix"
	"inferbench/harness/server"
	"inferbench/harness/settings"
	"inferbench/harness/supervise"
	"inferbench/harness/textfile"
	"inferbench/harness/tune"
)

// TuneOptions say what [Tune] is to try.
type TuneOptions struct {
	Recipe string // file; may be empty with Resume
	Resume string // folder of a recipe that was begun; empty: begin
	Failed bool   // with Resume: commands that FAILED are tried again
}

// Tune starts each server command of a recipe, measures the server, ends it with all
// that it started, and says which is best. The exit code is 0 when every command
// PASSED, 1 when one did not, 2 when nothing could be run.
func Tune(o TuneOptions, w io.Writer) int {
	keepWriting()
	ctx, stop := stopped()
	defer stop()
	t := &tuner{w: w, logSecrets: secretNames(os.Environ())}
	if err := t.prepare(o); err != nil {
		return refuse(ctx, err)
	}
	var err error
	for i := range t.state.Arms {
		if a := &t.state.Arms[i]; a.Status == "" && ctx.Err() == nil && err == nil {
			fmt.Fprintf(w, "\n[%d/%d] %s\n    %s\n", i+1, len(t.state.Arms), a.Name, a.Line(t.state.Port))
			t.try(ctx, a)
			if a.Status == batch.Failed {
				fmt.Fprintln(w, "FAILED:", a.Reason)
			}
			err = t.state.Save()
		}
	}
	err = errors.Join(err, t.state.WriteTable(w))
	if t.state.Left() > 0 {
		err = errors.Join(err, hint.New(fmt.Errorf("%d of %d commands are left", t.state.Left(), len(t.state.Arms)),
			"to go on: make tune RESUME="+t.state.Dir))
	}
	if err != nil {
		fmt.Fprintln(w, "inferbench:", hint.Line(err))
		return 1
	}
	if slices.ContainsFunc(t.state.Arms, func(a tune.Tried) bool { return a.Status != batch.Passed }) {
		return 1
	}
	return 0
}

// tuner is a recipe that goes on.
type tuner struct {
	w          io.Writer
	state      *tune.State
	logSecrets []string // names of variables that a server may write into its log
}

// prepare reads the recipe and checks all of it, before anything is started.
func (t *tuner) prepare(o TuneOptions) error {
	switch {
	case o.Recipe == "" && o.Resume == "":
		return errors.New("RECIPE is empty: say which commands to try, as make tune RECIPE=tune.yaml")
	case o.Failed && o.Resume == "":
		return errors.New("-failed tries again what FAILED before: give the folder with -resume")
	}
	recipe, err := t.open(o)
	if err == nil {
		err = t.check()
	}
	if err != nil {
		return err
	}
	for i := range t.state.Arms {
		if a := &t.state.Arms[i]; o.Failed && a.Status == batch.Failed {
			a.Status, a.Reason, a.Log = "", "", nil
		}
	}
	if t.state.Left() == 0 {
		return nil // the table alone
	}
	if o.Resume != "" {
		if err := t.state.Hold(); err != nil {
			return err
		}
	}
	if err := portFree(context.Background(), t.state.Port, 0); err != nil || o.Resume != "" {
		return err
	}
	set, err := t.settings(t.state.Arms[0], nil)
	if err != nil {
		return err
	}
	return hint.Folder(t.state.Create(set.Results.Dir, recipe.Text), "RESULTS_DIR")
}

// open reads the folder to go on with, or the recipe to begin, of which it makes
// no folder yet.
func (t *tuner) open(o TuneOptions) (recipe *tune.Recipe, err error) {
	if o.Recipe != "" {
		if recipe, err = tune.Read(o.Recipe); err != nil {
			return nil, err
		}
	}
	if o.Resume == "" {
		port, err := portOf(recipe)
		t.state = tune.New(recipe, port, time.Now())
		return recipe, err
	}
	if t.state, err = tune.Open(o.Resume); err != nil {
		return nil, err
	}
	was, err := os.ReadFile(filepath.Join(o.Resume, tune.RecipeFile))
	if recipe != nil && (err != nil || !bytes.Equal(was, recipe.Text)) {
		return nil, hint.New(fmt.Errorf("%s is not the recipe that %s began with", o.Recipe, o.Resume),
			"leave RECIPE out to go on with that one, or RESUME to begin anew")
	}
	return recipe, nil
}

// check checks the settings of every arm's sweep.
func (t *tuner) check() error {
	for i, a := range t.state.Arms {
		set, err := t.settings(a, nil)
		for _, note := range set.Notes {
			if i == 0 { // they are of the environment, which all arms share
				fmt.Fprintln(os.Stderr, "inferbench:", note)
			}
		}
		if err == nil && set.Mode == settings.ModeSubmit {
			err = errors.New("MODE=submit: tune measures, and submits nothing")
		}
		if err == nil && set.Shard.Count > 1 {
			err = errors.New("SHARD: tune runs on one machine")
		}
		if err != nil {
			return fmt.Errorf("%s: %w", a.Name, err)
		}
	}
	return nil
}

// portOf is the port of a recipe's servers: its own, the one that all commands
// name, or the usual one.
func portOf(r *tune.Recipe) (int, error) {
	port := r.Port
	for _, a := range r.Arms {
		named := tune.PortOf(a.Command)
		switch {
		case named == 0 || named == port:
		case port == 0:
			port = named
		default:
			return 0, fmt.Errorf("%s: the command has port %d, another has %d: write --port $PORT, and port: %d once", a.Name,
				named, port, port)
		}
	}
	if port == 0 {
		port = 8888
	}
	return port, nil
}

// portFree waits, for so long at the most, until nothing listens on a port of this
// machine.
func portFree(ctx context.Context, port int, limit time.Duration) error {
	begin := time.Now()
	for {
		var failed error
		for _, host := range []string{"127.0.0.1", ""} {
			l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
			if err != nil {
				failed = err
				continue
			}
			l.Close()
		}
		switch {
		case failed == nil:
			return nil
		case time.Since(begin) >= limit:
			who := strings.Join(supervise.Listening(port), ", ")
			if who == "" {
				who = failed.Error()
			}
			return hint.New(fmt.Errorf("port %d is in use: %s", port, who), "stop that, or give the recipe another port")
		}
		if err := clock.Sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// settings are those of an arm's sweep; more go before the recipe's.
func (t *tuner) settings(a tune.Tried, more []tune.Pair) (settings.Settings, error) {
	given := []tune.Pair{{Name: "BASE_URL", Value: fmt.Sprintf("http://127.0.0.1:%d", t.state.Port)}}
	for _, e := range a.Env {
		if e.Name == "TP" { // launchers take it, and throughput is divided by it
			given = append(given, e)
		}
	}
	given = append(given, a.Settings...)
	if t.state.Dir != "" {
		given = append(given, tune.Pair{Name: "RESULTS_DIR", Value: t.state.Path(a)})
	}
	label := func(name, value string, most int) {
		if !slices.ContainsFunc(a.Settings, func(p tune.Pair) bool { return p.Name == name }) && len([]rune(value)) <= most {
			given = append(given, tune.Pair{Name: name, Value: value})
		}
	}
	if slices.ContainsFunc(more, func(p tune.Pair) bool { return p.Name == "RESUME" }) { // the batch knows its cells
		given = slices.DeleteFunc(given, func(p tune.Pair) bool { return p.Name == "CONC" })
	}
	label("LABEL", a.Name, 100)
	label("NOTES", strings.ReplaceAll(a.Line(t.state.Port), "\n", " "), 2000)
	set, err := load(append(given, more...))
	if err == nil && set.Server.CacheReset == nil {
		given = append(given, tune.Pair{Name: "CACHE_RESET", Value: "on"}) // the server is nobody else's
		set, err = load(append(given, more...))
	}
	return set, err
}

// load loads settings of which some are given as flags.
func load(given []tune.Pair) (settings.Settings, error) {
	flags := flag.NewFlagSet("tune", flag.ContinueOnError)
	Register(flags)
	for _, p := range given {
		name := strings.ReplaceAll(strings.ToLower(p.Name), "_", "-")
		if flags.Lookup(name) == nil {
			return settings.Settings{}, hint.New(fmt.Errorf("settings: %s is no setting, or a secret one", p.Name),
				"make settings lists them; a secret is exported")
		}
		if err := flags.Set(name, p.Value); err != nil {
			return settings.Settings{}, fmt.Errorf("settings: %s=%q: %w", p.Name, p.Value, err)
		}
	}
	environ := slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "RESUME=") || strings.HasPrefix(v, "PORT=")
	})
	return settings.Load(flags, environ, ".env")
}

// secretNames are the variables of an environment that hold secrets.
func secretNames(environ []string) (out []string) {
	for _, v := range environ {
		if name, _, _ := strings.Cut(v, "="); tune.Secret(name) || name == "HEADERS" {
			out = append(out, name)
		}
	}
	return out
}

// try starts an arm's server, measures it and ends it. What became of it is in the
// arm; nothing where ctx ended first.
func (t *tuner) try(ctx context.Context, a *tune.Tried) {
	p, err := t.start(ctx, a)
	if err != nil {
		t.fail(ctx, a, err)
		return
	}
	alive, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-p.Ended():
			cancel()
		case <-alive.Done():
		}
	}()
	begin := time.Now()
	err = t.measure(alive, a, p, begin)
	died := alive.Err() != nil && ctx.Err() == nil
	if stopped := p.Stop(); stopped != nil {
		err = errors.Join(err, stopped)
	}
	if died {
		err = ended(p.End(), time.Since(begin), a.Up > 0)
	}
	if died || a.Up == 0 {
		a.Log = t.tail(a)
	}
	t.fail(ctx, a, err)
}

// fail ends an arm, by what kept it from passing; nil for nothing.
func (t *tuner) fail(ctx context.Context, a *tune.Tried, err error) {
	switch {
	case ctx.Err() != nil:
		a.Log = nil
	case err != nil:
		a.Status, a.Reason = batch.Failed, hint.Line(err)
	default:
		a.Status = batch.Passed
	}
}

// ended says how a server ended that was not told to.
func ended(end supervise.End, after time.Duration, up bool) error {
	after = after.Round(100 * time.Millisecond)
	switch {
	case end.OK && len(end.Left) > 0:
		return hint.New(fmt.Errorf("the command forks away: it ended after %s and left %s running", after,
			strings.Join(end.Left, ", ")), "keep the server in the foreground")
	case up:
		return fmt.Errorf("the server ended (%s) after %s, while it was measured", end.Status, after)
	}
	return fmt.Errorf("the server ended (%s) after %s, before it took requests", end.Status, after)
}

// start starts an arm's server.
func (t *tuner) start(ctx context.Context, a *tune.Tried) (*supervise.Process, error) {
	if err := portFree(ctx, t.state.Port, 10*time.Second); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(t.state.Path(*a), 0o755); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(t.state.Path(*a), tune.LogFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	env := append(os.Environ(), fmt.Sprintf("PORT=%d", t.state.Port))
	for _, e := range a.Env {
		env = append(env, e.Name+"="+e.Value)
	}
	shell := "sh"
	if _, err := exec.LookPath("bash"); err == nil {
		shell = "bash"
	}
	a.Up = 0
	return supervise.Start(supervise.Spec{Args: []string{shell, "-c", a.Command}, Env: env, Log: log,
		Secrets: t.logSecrets})
}

// measure waits for an arm's server and runs its sweep.
func (t *tuner) measure(ctx context.Context, a *tune.Tried, p *supervise.Process, begin time.Time) error {
	set, err := t.settings(*a, nil)
	if err != nil {
		return err
	}
	client, err := server.Client(set.Server.CAFile)
	if err != nil {
		return err
	}
	_, plain := progressOutput()
	s := server.New(set.Server.BaseURL, set.Server.Model, set.Server.APIKey, client)
	s.Headers = set.Workload.Headers
	err = s.Wait(ctx, server.WaitOptions{Timeout: set.Server.ReadyTimeout, OnWait: waiting(plain, set.Server.BaseURL)})
	if err != nil {
		return hint.New(err, "its log may tell why; $PORT is where it must listen")
	}
	a.Up = time.Since(begin).Seconds()
	var failed []string
	for _, combo := range set.Selection.Combinations() {
		if other := p.Stranger(t.state.Port); other != "" {
			return hint.New(fmt.Errorf("%s listens on port %d, and the command did not start it: two servers are on one port, "+
				"or the server is in a container", other, t.state.Port), "stop that, or run tune where the server runs")
		}
		if err := t.sweep(ctx, a, combo); err != nil {
			return err
		}
	}
	folders, err := t.state.Batches(*a)
	if err != nil {
		return err
	}
	for _, f := range folders {
		for _, c := range f.Cells {
			if tune.Stands(c) {
				continue
			}
			failed = append(failed, fmt.Sprintf("%s %s", c.Name(), c.Status))
			if c.Result != nil && c.Result.Reason != "" {
				failed[len(failed)-1] += ": " + c.Result.Reason
			}
		}
	}
	if failed != nil {
		return errors.New(strings.Join(failed, ", "))
	}
	return nil
}

// sweep runs what is left of an arm's sweep of one pair of lengths.
func (t *tuner) sweep(ctx context.Context, a *tune.Tried, combo matrix.Combination) error {
	var more []tune.Pair
	if combo.Scenario == "" {
		more = []tune.Pair{{Name: "ISL", Value: strconv.Itoa(combo.ISL)}, {Name: "OSL", Value: strconv.Itoa(combo.OSL)}}
	}
	folders, err := t.state.Batches(*a)
	if err != nil {
		return err
	}
	for _, f := range folders {
		if f.Summary.Combination != combo {
			continue
		}
		left, err := batch.Unfinished(f.Dir, nil)
		if err != nil || len(left) == 0 {
			return err
		}
		more = append(more, tune.Pair{Name: "RESUME", Value: f.Dir})
	}
	set, err := t.settings(*a, more)
	if err == nil {
		set, err = resume(t.w, set)
	}
	if err != nil {
		return err
	}
	everything, err := newPlan("", "", "")
	if err != nil {
		return err
	}
	_, err = run(ctx, set, choose(set, everything), commandLine{count: 1}, time.Now(), Tests{Out: t.w})
	return err
}

// tail is the end of a server's log.
func (t *tuner) tail(a *tune.Tried) (lines []string) {
	text, err := textfile.Read(filepath.Join(t.state.Path(*a), tune.LogFile))
	if err != nil {
		return nil
	}
	text = text[max(0, len(text)-16<<10):]
	for _, l := range strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' || r == '\r' }) {
		if l = strings.TrimRight(server.Redact(l), " "); l != "" {
			lines = append(lines, l[:min(len(l), 300)])
		}
	}
	return lines[max(0, len(lines)-12):]
}
