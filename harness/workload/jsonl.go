package workload

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"
)

// JSONL is the kind of files of prompts or of a trace, one JSON object a line.
var JSONL = &Kind{Name: "jsonl", What: "a file of prompts, one JSON object a line", File: true, Times: true, Vocab: true, Open: fromFile(readJSONL)}

// maxLine is the longest line of a file that is read: a prompt of a million
// tokens is about 8 MiB of ids.
const maxLine = 64 << 20

// row is a line of a JSONL file. A prompt is given as text or token ids
// ("prompt", "text"), as a chat ("messages"), or by its length alone
// ("input_length", as in Mooncake's traces), for which ids are made up.
type row struct {
	Prompt   json.RawMessage `json:"prompt"`
	Text     *string         `json:"text"`
	Messages json.RawMessage `json:"messages"`

	InputLength *int    `json:"input_length"`
	HashIDs     []int64 `json:"hash_ids"` // of blocks of 512 tokens: equal ids are equal blocks

	OutputLen    *int `json:"output_len"`
	MaxTokens    *int `json:"max_tokens"`
	OutputTokens *int `json:"output_tokens"`
	OutputLength *int `json:"output_length"`

	Timestamp *float64 `json:"timestamp"` // ms from the start of the trace
}

// readJSONL reads a file of one JSON object a line. Prompts keep the file's
// order, those of a trace their times'.
func readJSONL(ctx context.Context, f io.Reader, s Spec) (Source, []string, error) {
	d := &dataset{n: s.N}
	skipped := unused{what: "line"}
	in := bufio.NewReaderSize(f, 1<<20)
	lines, total := 0, 0
	for {
		line, err := readLine(in)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, nil, fmt.Errorf("read %s: line %d: %w", s.Path, lines+1, err)
		}
		end := err != nil
		if ctx.Err() != nil {
			return nil, nil, context.Cause(ctx)
		}
		lines++
		if line = bytes.TrimSpace(line); len(line) > 0 {
			total++
			if r, why := parseRow(line, lines, s); why != nil {
				skipped.add(lines, why.Error())
			} else {
				d.requests = append(d.requests, r)
			}
		}
		// Without a trace, later lines than are needed are not looked at.
		if end || !s.Trace && len(d.requests)-s.WarmUp >= s.N {
			break
		}
	}
	if len(d.requests) == 0 {
		return nil, nil, fmt.Errorf("read %s: %w%s", s.Path, errNoPrompt, first(skipped))
	}
	notes := skipped.note(total)
	if s.Trace {
		slices.SortStableFunc(d.requests, func(a, b Request) int { return int(min(max(a.At-b.At, -1), 1)) })
		start := d.requests[0].At
		for i := range d.requests {
			d.requests[i].At -= start
		}
		if d.n = min(s.N, len(d.requests)); d.n < s.N && s.N != Endless {
			notes = append(notes, fmt.Sprintf("the trace has %d requests where %d were asked for", d.n, s.N))
		}
	}
	return d, append(notes, d.repeats(s.WarmUp)...), nil
}

func first(u unused) string {
	if u.n == 0 {
		return ""
	}
	return " (" + u.first[0] + ")"
}

var errLongLine = fmt.Errorf("longer than %d MiB", maxLine>>20)

// readLine is the next line without its end; io.EOF comes with the last one.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxLine {
			return nil, errLongLine
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

// parseRow makes a line's request, or says why it cannot be used.
func parseRow(line []byte, number int, s Spec) (Request, error) {
	var x row
	if err := json.Unmarshal(line, &x); err != nil {
		return Request{}, errors.New("not a JSON object of a prompt: " + jsonReason(err))
	}
	var r Request
	switch {
	case x.Messages != nil && string(x.Messages) != "null":
		var list []map[string]any
		if json.Unmarshal(x.Messages, &list) != nil || len(list) == 0 {
			return r, errors.New(`"messages" is not a list of messages`)
		}
		r.Messages = x.Messages
	case x.Prompt != nil && string(x.Prompt) != "null":
		if json.Unmarshal(x.Prompt, &r.Text) != nil && json.Unmarshal(x.Prompt, &r.Tokens) != nil {
			return r, errors.New(`"prompt" is neither text nor a list of token ids`)
		}
		if r.Tokens != nil && slices.Min(append(r.Tokens, 0)) < 0 {
			return r, errors.New(`"prompt" has a negative token id`)
		}
	case x.Text != nil:
		r.Text = *x.Text
	case x.InputLength != nil:
		n := *x.InputLength
		if n < 1 || n > maxLine/8 {
			return r, fmt.Errorf(`"input_length" %d is not a prompt's`, n)
		}
		r.Tokens = blocks(n, x.HashIDs, number, s)
	}
	if r.Text == "" && len(r.Tokens) == 0 && r.Messages == nil {
		return r, errors.New("no prompt")
	}
	switch {
	case r.Messages != nil && !s.Chat:
		return r, errors.New("messages are for ENDPOINT=chat")
	case r.Tokens != nil && s.Chat:
		return r, errors.New("token ids are not for ENDPOINT=chat")
	}
	r.OutputLen = s.OSL
	for _, n := range []*int{x.OutputLen, x.MaxTokens, x.OutputTokens, x.OutputLength} {
		if n != nil {
			r.OutputLen = *n
			break
		}
	}
	if r.OutputLen < 1 || r.OutputLen > math.MaxInt32 {
		return r, fmt.Errorf("an output of %d tokens", r.OutputLen)
	}
	if s.MaxLen > 0 && len(r.Tokens)+r.OutputLen > s.MaxLen {
		return r, fmt.Errorf("%d + %d tokens are more than the server's context of %d", len(r.Tokens), r.OutputLen, s.MaxLen)
	}
	if s.Trace {
		if x.Timestamp == nil || !(*x.Timestamp >= 0 && *x.Timestamp < 1e12) {
			return r, errors.New("no timestamp (ms)")
		}
		r.At = time.Duration(*x.Timestamp * float64(time.Millisecond))
	}
	return r, nil
}

// blockLen is how many tokens a hash id of a Mooncake trace stands for
// (https://github.com/kvcache-ai/Mooncake, "hash_ids").
const blockLen = 512

// blocks makes up a prompt of n ids in which blocks of equal hash are equal.
// Tokens past the last hash are the line's own.
func blocks(n int, hashes []int64, line int, s Spec) []int32 {
	low, high := Random{Vocab: s.Vocab}.IDs()
	out := make([]int32, 0, n)
	for _, hash := range hashes {
		out = newGenerator(s.Seed, int(hash)).ids(out, min(n, len(out)+blockLen), low, high)
	}
	return newGenerator(s.Seed, -1-line).ids(out, n, low, high)
}

// jsonReason is encoding/json's error without Go's names.
func jsonReason(err error) string {
	var t *json.UnmarshalTypeError
	if errors.As(err, &t) {
		if t.Field == "" {
			return "a " + t.Value
		}
		return fmt.Sprintf("%q is a %s", t.Field, t.Value)
	}
	return err.Error()
}
