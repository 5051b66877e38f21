package sweep

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"inferbench/harness/load"
	"inferbench/harness/settings"
	"inferbench/harness/shard"
	"inferbench/harness/workload"
)

// JoinShards makes this process one of the shards that the settings speak of;
// nil where they speak of none.
func JoinShards(ctx context.Context, s settings.Settings) (*shard.Group, error) {
	p := shard.Place{Index: s.Shard.Index, Count: s.Shard.Count, Dir: s.Shard.Dir}
	if p.Alone() {
		return nil, nil
	}
	for _, combo := range s.Selection.Combinations() {
		for _, c := range s.Selection.Cells(combo) {
			if _, err := p.Options(load.Options{Conc: c.Conc}); err != nil {
				return nil, err
			}
		}
	}
	return shard.Join(ctx, p, s.Given, shard.Limits{Meet: s.Shard.Timeout, Lost: s.Shard.Lost})
}

// load runs a pass: all of it here, or this shard's part and the merging of the
// others'.
func (sw *Sweep) load(ctx context.Context, p pass, src workload.Source, o load.Options) (*load.Recording, error) {
	if sw.Shards == nil {
		rec, err := load.Run(ctx, sw.Target, src, o)
		if why := rampCutOff(rec, o); why != "" {
			rec.Contradictions = append(rec.Contradictions, why)
		}
		return rec, err
	}
	rec, err := sw.Shards.Lead(ctx, p, sw.part(src, o))
	if err != nil {
		return nil, err
	}
	inFlight := 0
	if !o.Shape.Open() {
		inFlight = min(o.Conc, len(rec.Timings))
	}
	if why := rec.Audit.Shards.Contradicts(inFlight, o.Shape.RampUp); why != "" {
		rec.Contradictions = append(rec.Contradictions, why)
	}
	return rec, nil
}

// rampCutOff says that a closed loop's run was over before RAMP_UP had its last slot
// begin, so that there were never CONC in flight; "" where it was not.
func rampCutOff(rec *load.Recording, o load.Options) string {
	last := o.Shape.RampUp * time.Duration(o.Conc-1) / time.Duration(max(o.Conc, 1))
	if rec == nil || o.Shape.Open() || last == 0 || rec.Duration > last || len(rec.Timings) < o.Conc {
		return ""
	}
	return fmt.Sprintf("the run of %s was over before RAMP_UP=%s had brought %d requests in flight: shorten it, or raise "+
		"NUM_PROMPTS or DURATION", rec.Duration.Round(time.Millisecond), o.Shape.RampUp, o.Conc)
}

// part is this shard's part of a pass.
func (sw *Sweep) part(src workload.Source, o load.Options) shard.Measure {
	return func(ctx context.Context, gate func(context.Context) error) (*load.Recording, error) {
		p := sw.Shards.Place()
		own, err := p.Options(o)
		if err != nil {
			return nil, err
		}
		own.Gate = func(ctx context.Context) error {
			if o.Gate != nil {
				if err := o.Gate(ctx); err != nil {
					return err
				}
			}
			return gate(ctx)
		}
		return load.Run(ctx, sw.Target, p.Source(src), own)
	}
}

// Follow runs this shard's parts of whatever passes the leading shard makes,
// until that says that there are no more. It scores no accuracy, writes no
// result and submits nothing: the leader does.
func Follow(ctx context.Context, c Config) error {
	sw := &Sweep{Config: c}
	if sw.Watch == nil {
		sw.Watch = nobody{}
	}
	return c.Shards.Follow(ctx, func(raw json.RawMessage) shard.Measure {
		return func(ctx context.Context, gate func(context.Context) error) (*load.Recording, error) {
			var p pass
			if err := json.Unmarshal(raw, &p); err != nil {
				return nil, fmt.Errorf("the leader's order: %w", err)
			}
			src, o, _, err := load.Open(ctx, sw.Target, sw.plan(p))
			if err != nil {
				return nil, err
			}
			if src, err = sw.withCanaries(ctx, p, src); err != nil {
				return nil, err
			}
			return sw.part(src, o)(ctx, gate)
		}
	})
}
