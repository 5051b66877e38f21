package shard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"inferbench/harness/clock"
	"inferbench/harness/hint"
	"inferbench/harness/load"
	"inferbench/harness/stats"
)

// Limits of waiting for each other. Every shard obeys them by its own clock.
type Limits struct {
	Meet time.Duration // for all shards to come, and to be warmed up; default 10 minutes
	Lost time.Duration // without a sign of life a shard is lost; default 30 s
	Lead time.Duration // from the leader's word to the agreed start; default 2 s, the same in all shards

	now func() time.Time // this machine's clock; default time.Now
}

func (l Limits) withDefaults() Limits {
	if l.Meet <= 0 {
		l.Meet = 10 * time.Minute
	}
	if l.Lost <= 0 {
		l.Lost = 30 * time.Second
	}
	if l.Lead <= 0 {
		l.Lead = 2 * time.Second
	}
	if l.now == nil {
		l.now = time.Now
	}
	return l
}

// Measure runs this shard's part of a pass. It must call gate once it is warmed
// up, and start its clock when gate returns: [load.Options.Gate].
type Measure func(ctx context.Context, gate func(context.Context) error) (*load.Recording, error)

// Group is this process among the shards of a run.
type Group struct {
	f        folder
	limits   Limits
	settings map[string]string
	pass     int
	failed   error  // of this shard, in the last pass that did
	stop     func() // ends the signs of life, and returns when the last is written
}

// Join makes this process known to the others. The settings must be the same
// in all of them. Call [Group.Leave] at the end.
func Join(ctx context.Context, p Place, settings map[string]string, l Limits) (*Group, error) {
	if p.Index < 0 || p.Index >= p.Count {
		return nil, fmt.Errorf("shard %d of %d: want 0 to %d", p.Index, p.Count, p.Count-1)
	}
	if err := os.MkdirAll(p.Dir, 0o755); err != nil {
		return nil, hint.Folder(fmt.Errorf("SHARD_DIR: %w", err), "SHARD_DIR")
	}
	l = l.withDefaults()
	f := folder{p}
	if _, used, err := f.read(orderFile, 1); err != nil {
		return nil, hint.Folder(fmt.Errorf("SHARD_DIR: %w", err), "SHARD_DIR")
	} else if used && p.Leads() {
		return nil, fmt.Errorf("SHARD_DIR=%s holds another run: give each run a folder of its own", p.Dir)
	}
	// Every shard's own index is no difference, but their number is.
	settings = maps.Clone(settings)
	if settings == nil {
		settings = map[string]string{}
	}
	settings["SHARD"] = fmt.Sprintf("…/%d", p.Count)
	if err := f.claim(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var beating sync.WaitGroup
	beating.Go(func() { f.beat(ctx, l.now) })
	return &Group{f: f, limits: l, settings: settings,
		stop: func() { cancel(); beating.Wait() }}, nil
}

// Place is which of the shards this process is.
func (g *Group) Place() Place { return g.f.Place }

// Failed is why the last pass that failed in this following shard did; nil where
// all it was told to measure is with the leader. Call it after [Group.Follow].
func (g *Group) Failed() error { return g.failed }

// Leave ends this shard's part; where it leads, the others are told that no
// pass follows.
func (g *Group) Leave() error {
	defer g.stop()
	if g.f.Leads() {
		return g.tell(order{Over: true})
	}
	return nil
}

func (g *Group) tell(o order) error {
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	g.pass++
	return g.f.write(string(b), orderFile, g.pass)
}

// Lead has all shards run a pass, this one among them, and merges what they
// recorded. cell is what the others are told to run, as JSON. An error is a
// shard that is missing, failed or lost, said by its number.
func (g *Group) Lead(ctx context.Context, cell any, measure Measure) (*load.Recording, error) {
	b, err := json.Marshal(cell)
	if err != nil {
		return nil, err
	}
	if err := g.tell(order{Cell: b, Settings: g.settings}); err != nil {
		return nil, err
	}
	own, err := g.run(ctx, measure, g.agree)
	if err != nil {
		g.f.write(err.Error(), failedFile, g.pass, g.f.Index)
		return nil, err
	}
	parts := []Part{own}
	for shard := 1; shard < g.f.Count; shard++ {
		p, err := g.collect(ctx, shard)
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	var timings [][]stats.Timing
	for _, p := range parts {
		timings = append(timings, p.Recording.Timings)
	}
	together := stats.TogetherOf(timings, g.f.offsets())
	rec := Merge(parts)
	rec.Audit.Shards = together
	return rec, nil
}

// Follow runs what the leader says until it says that no pass follows. measure
// is given the cell of each pass.
func (g *Group) Follow(ctx context.Context, measure func(cell json.RawMessage) Measure) error {
	for {
		g.pass++
		o, err := g.await(ctx)
		if err != nil || o.Over {
			return err
		}
		own, err := Part{}, differences(o.Settings, g.settings)
		if err == nil {
			own, err = g.run(ctx, measure(o.Cell), g.obey)
		}
		if err == nil {
			err = g.f.writePart(g.pass, own)
		}
		if err != nil {
			// The leader must know; that this shard goes on is for the passes to come.
			g.failed = err
			if werr := g.f.write(err.Error(), failedFile, g.pass, g.f.Index); werr != nil {
				return werr
			}
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// run measures this shard's part, with a gate that returns at the agreed start.
// It ends at once where the pass has lost its sense, see [Group.watch].
func (g *Group) run(ctx context.Context, measure Measure, agree func(context.Context) (time.Time, error)) (Part,
	error) {
	ctx, giveUp := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { g.watch(ctx, giveUp) })
	defer watching.Wait()
	defer giveUp(nil)
	var late time.Duration
	rec, err := measure(ctx, func(ctx context.Context) error {
		start, err := agree(ctx)
		if err != nil {
			return err
		}
		if late = g.limits.now().Sub(start); late > 0 {
			return fmt.Errorf("the agreed start was %s ago by this machine's clock: are the machines' clocks in step, and "+
				"does SHARD_DIR show new files at once?", late.Round(time.Millisecond))
		}
		if ahead := -late; ahead > 2*g.limits.Lead {
			return fmt.Errorf("the agreed start is in %s by this machine's clock, and the leader named it %s before: are the "+
				"machines' clocks in step?", ahead.Round(time.Millisecond), g.limits.Lead)
		}
		err = clock.Sleep(ctx, -late)
		late = max(g.limits.now().Sub(start), 0)
		return err
	})
	if cause := context.Cause(ctx); cause != nil {
		return Part{}, cause
	}
	if err != nil {
		return Part{}, err
	}
	return newPart(g.f.Place, rec, late), nil
}

// watch gives a pass up that can come to nothing: the leader's, where a shard
// failed or is lost; a follower's, where the leader failed, is lost, or went on.
// Else the others would load the server for nobody, and into the next pass.
func (g *Group) watch(ctx context.Context, giveUp context.CancelCauseFunc) {
	pulses := make([]pulse, g.f.Count)
	others := []int{0}
	if g.f.Leads() {
		others = nil
		for shard := 1; shard < g.f.Count; shard++ {
			others = append(others, shard)
		}
	}
	for clock.Sleep(ctx, beatEvery) == nil {
		g.f.refresh()
		if _, next, _ := g.f.read(orderFile, g.pass+1); next {
			giveUp(errors.New("the leader has given this pass up"))
			return
		}
		for _, shard := range others {
			if _, err := os.Stat(g.f.path(partFile, g.pass, shard)); err == nil {
				continue // it has done what it should
			}
			if err := g.trouble(shard, &pulses[shard]); err != nil {
				giveUp(err)
				return
			}
		}
	}
}

// agree waits until every shard is ready and names the instant of the start.
func (g *Group) agree(ctx context.Context) (time.Time, error) {
	for shard := 1; shard < g.f.Count; shard++ {
		err := g.poll(ctx, shard, g.limits.Meet, "warmed up", func() (bool, error) {
			_, ok, err := g.f.read(readyFile, g.pass, shard)
			return ok, err
		})
		if err != nil {
			return time.Time{}, err
		}
	}
	// Without the monotonic reading: it is the wall clock that is agreed on.
	start := g.limits.now().Add(g.limits.Lead).Round(0)
	return start, g.f.write(strconv.FormatInt(start.UnixNano(), 10), startFile, g.pass)
}

// obey says that this shard is ready and waits for the leader's instant.
func (g *Group) obey(ctx context.Context) (start time.Time, err error) {
	if err := g.f.write("", readyFile, g.pass, g.f.Index); err != nil {
		return start, err
	}
	err = g.poll(ctx, 0, g.limits.Meet, "named the start", func() (bool, error) {
		s, ok, err := g.f.read(startFile, g.pass)
		if !ok {
			return false, err
		}
		ns, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
		start = time.Unix(0, ns)
		return true, err
	})
	return start, err
}

// await waits for the leader's next order, as long as the leader lives.
func (g *Group) await(ctx context.Context) (o order, err error) {
	err = g.poll(ctx, 0, 0, "", func() (ok bool, err error) {
		o, ok, err = g.f.order(g.pass)
		return ok, err
	})
	return o, err
}

// collect waits for a shard's part, as long as the shard lives.
func (g *Group) collect(ctx context.Context, shard int) (p Part, err error) {
	err = g.poll(ctx, shard, 0, "", func() (bool, error) {
		if _, err := os.Stat(g.f.path(partFile, g.pass, shard)); err != nil {
			return false, nil
		}
		p, err = g.f.readPart(g.pass, shard)
		return true, err
	})
	return p, err
}

// poll asks done until it is true. It ends in an error when the shard that is
// waited for has failed, has given no sign of life for the limit, or has not
// done what it should within limit (0: none but its life).
func (g *Group) poll(ctx context.Context, shard int, limit time.Duration, what string,
	done func() (bool, error)) error {
	var p pulse
	begin := time.Now()
	for {
		g.f.refresh()
		if ok, err := done(); ok || err != nil {
			return err
		}
		if err := g.trouble(shard, &p); err != nil {
			return err
		}
		if limit > 0 && time.Since(begin) > limit {
			return fmt.Errorf("shard %d of %d has not %s within %s", shard, g.f.Count, what, limit)
		}
		if err := clock.Sleep(ctx, pollEvery); err != nil {
			return err
		}
	}
}

// trouble is why nothing more can be expected of a shard; nil while it lives.
func (g *Group) trouble(shard int, p *pulse) error {
	if why, failed, _ := g.f.read(failedFile, g.pass, shard); failed {
		return fmt.Errorf("shard %d of %d failed: %s", shard, g.f.Count, why)
	}
	silent := p.silent(g.f, shard)
	switch {
	case p.last == "" && silent > g.limits.Meet:
		return fmt.Errorf("shard %d of %d did not come within %s: was it started, and does it see SHARD_DIR=%s?", shard,
			g.f.Count, g.limits.Meet, g.f.Dir)
	case p.last != "" && silent > g.limits.Lost:
		return fmt.Errorf("shard %d of %d is lost: no sign of life for %s", shard, g.f.Count, silent.Round(time.Second))
	}
	return nil
}

// differences is an error where a shard is set otherwise than the leader.
func differences(leader, own map[string]string) error {
	if maps.Equal(leader, own) {
		return nil
	}
	for _, m := range []map[string]string{leader, own} {
		for name := range m {
			if leader[name] != own[name] {
				return fmt.Errorf("%s is %q here and %q at the leader: start all shards with the same settings", name, own[name],
					leader[name])
			}
		}
	}
	return nil
}
