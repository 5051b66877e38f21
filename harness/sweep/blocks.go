package sweep

import (
	"context"
	"errors"
	"time"

	"inferbench/harness/accuracy"
	"inferbench/harness/batch"
	"inferbench/harness/load"
	"inferbench/harness/matrix"
	"inferbench/harness/shard"
	"inferbench/harness/stats"
)

// Block is a part of a cell's requests, sent with a warm-up of its own.
type Block struct {
	Performance stats.Summary `json:"performance"`
	Marks       []batch.Mark  `json:"marks,omitempty"`
}

// Result is the block as a result, for whoever takes figures from one.
func (b *Block) Result() *batch.Result {
	return &batch.Result{Status: batch.Passed, Performance: &b.Performance, Marks: b.Marks}
}

// Ready scores a cell's accuracy, so that no block waits for that. The error is an
// interrupt or [AccuracyFailed].
func (sw *Sweep) Ready(ctx context.Context, c matrix.Cell) error {
	_, err := sw.scored(ctx, c)
	return err
}

// Block measures so many requests of a cell, which are those of no block with
// another number, and keeps them with those of the blocks before: [Sweep.EndBlocks]
// makes them one result. The error is why the block did not do what it should, an
// interrupt, or an accuracy that failed ([AccuracyFailed]).
func (sw *Sweep) Block(ctx context.Context, c matrix.Cell, number, requests int) (*Block, error) {
	st, err := sw.scored(ctx, c)
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	p := pass{Cell: c, Number: number}
	p.Cell.NumPrompts = requests
	m, err := sw.measure(ctx, p)
	st.unbooked += time.Since(begin)
	switch {
	case ctx.Err() != nil:
		return nil, ErrInterrupted
	case m == nil || m.rec == nil:
		return nil, err
	}
	st.addBlock(m.rec, m.canaries)
	if err == nil {
		err = m.judge(&m.sum)
	}
	if err != nil {
		return nil, sw.Target.Explain(ctx, err)
	}
	r := &batch.Result{}
	if m.rec.Audit.ClientLimited {
		r.Mark(batch.ClientLimited)
	}
	if m.rec.Audit.HeldBack {
		r.Mark(batch.HeldBack)
	}
	rec, _ := st.joined()
	return &Block{m.sum, r.Marks}, sw.batches[c.Combination].WriteRequests(c, rec.Timings, rec.Duration)
}

// Earlier takes up the requests of blocks that another process measured.
func (sw *Sweep) Earlier(c matrix.Cell, kept *batch.Requests) {
	if st := sw.states[c]; st != nil {
		st.addBlock(&load.Recording{Timings: kept.Timings, Duration: kept.Duration(), SLO: sw.Settings.Shape.SLO}, canaries{})
	}
}

// block is what is kept of a block: its recording, behind those before it.
type block struct {
	shard.Part
	canaries
	from int // index of its first request
}

func (st *state) addBlock(rec *load.Recording, own canaries) {
	b := block{canaries: own}
	var end time.Duration
	for _, earlier := range st.blocks {
		end = max(end, earlier.Recording.Duration)
		b.from += len(earlier.Recording.Timings)
	}
	b.Part = shard.Part{Kind: "block", Index: len(st.blocks) + 1,
		Recording: *rec.Later(end, func(i int) int { return i + b.from })}
	st.blocks = append(st.blocks, b)
}

// joined is one recording of all blocks, with the canaries of each.
func (st *state) joined() (*load.Recording, canaries) {
	var parts []shard.Part
	var c canaries
	for _, b := range st.blocks {
		parts = append(parts, b.Part)
		if b.before != nil || c.before == nil {
			c = b.canaries
		}
	}
	if c.before != nil {
		c.before = func(index int) *accuracy.Recording {
			for _, b := range st.blocks {
				if at := index - b.from; b.before != nil && at >= 0 && at < len(b.Recording.Timings) {
					return b.before(at)
				}
			}
			return nil
		}
	}
	return shard.Merge(parts), c
}

// EndBlocks judges a cell by all of its blocks, or as failed where why says so, and
// writes its result.
func (sw *Sweep) EndBlocks(ctx context.Context, c matrix.Cell, why error) (*batch.Result, error) {
	st, err := sw.enter(ctx, c)
	if err == nil && st.accuracy == nil { // an earlier process measured all blocks
		_, err = sw.Accuracy(ctx, c)
	}
	if err != nil {
		return nil, err
	}
	p := pass{Cell: c}
	src, o, notes, err := load.Open(ctx, sw.Target, sw.plan(p))
	if why == nil {
		why = err
	}
	var m *measured
	if err == nil && len(st.blocks) > 0 {
		m = &measured{src: src, shape: o.Shape, notes: notes}
		m.rec, m.canaries = st.joined()
		m.sum = m.rec.Summary(sw.Settings.Server.TP)
	}
	if m == nil && why == nil {
		why = errors.New("no block was measured")
	}
	r, rec := sw.assess(ctx, p, m, why, st.accuracy.Baseline)
	if ctx.Err() != nil {
		return nil, ErrInterrupted
	}
	return r, sw.keep(c, st, r, rec)
}
