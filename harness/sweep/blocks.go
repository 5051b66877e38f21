package sweep

import (
	"context"
	"errors"
	"time"

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
	p := pass{c, number}
	p.Cell.NumPrompts = requests
	m, err := sw.measure(ctx, p)
	st.unbooked += time.Since(begin)
	switch {
	case ctx.Err() != nil:
		return nil, ErrInterrupted
	case m == nil || m.rec == nil:
		return nil, err
	}
	sw.addBlock(st, m.rec)
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
	rec := joined(st)
	return &Block{m.sum, r.Marks}, sw.batches[c.Combination].WriteRequests(c, rec.Timings, rec.Duration)
}

// Earlier takes up the requests of blocks that another process measured.
func (sw *Sweep) Earlier(c matrix.Cell, kept *batch.Requests) {
	if st := sw.states[c]; st != nil {
		sw.addBlock(st, &load.Recording{Timings: kept.Timings, Duration: kept.Duration(), SLO: sw.Settings.Shape.SLO})
	}
}

// addBlock puts a block behind those that there are.
func (sw *Sweep) addBlock(st *state, rec *load.Recording) {
	var end time.Duration
	sent := 0
	for _, b := range st.blocks {
		end = max(end, b.Recording.Duration)
		sent += len(b.Recording.Timings)
	}
	later := rec.Later(end, func(i int) int { return i + sent })
	st.blocks = append(st.blocks, shard.Part{Kind: "block", Index: len(st.blocks) + 1, Recording: *later})
}

func joined(st *state) *load.Recording { return shard.Merge(st.blocks) }

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
	p := pass{c, 0}
	src, o, notes, err := load.Open(ctx, sw.Target, sw.plan(p))
	if why == nil {
		why = err
	}
	var m *measured
	if err == nil && len(st.blocks) > 0 {
		m = &measured{src: src, shape: o.Shape, notes: notes, rec: joined(st)}
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
