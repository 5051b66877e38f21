package workload

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// JSONL is the kind of files of prompts or of a trace, one JSON object a line.
var JSONL = &Kind{Name: "jsonl", What: "a file of prompts, one JSON object a line", File: true, Times: true,
	Vocab: true, Open: fromFile(readJSONL)}

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

	InputLength *whole  `json:"input_length"`
	HashIDs     []whole `json:"hash_ids"` // of blocks of 512 tokens: equal ids are equal blocks

	OutputLen    *whole `json:"output_len"`
	MaxTokens    *whole `json:"max_tokens"`
	OutputTokens *whole `json:"output_tokens"`
	OutputLength *whole `json:"output_length"`

	Timestamp *float64 `json:"timestamp"` // see [unitOf]
}

// unread are keys by which others' tools change what is sent or when, and that are
// not followed here. A file that has one would be measured as another workload
// than it is, so it is refused.
var unread = []string{
	"session_id", "session", "conversation_id", "turn", "turns", "parent", "parent_id", "depends_on", "delay", "delay_ms",
	"think_time", "tools", "raw_tools", "tool_choice", "functions", "extra", "extra_body", "extra_args", "body",
	"system", "system_prompt", "prefix", "suffix", "image", "images", "image_url", "audio", "audios", "video", "videos",
	"multi_modal_data", "mm_content", "temperature", "top_p", "top_k", "min_p", "stop", "n", "best_of",
	"response_format", "structured_outputs", "guided_json", "guided_regex", "json_schema",
	"lora", "lora_name", "lora_path",
	"priority", "texts",
}

// errUnread is for a line with one of the unread keys.
type errUnread struct{ key string }

func (e errUnread) Error() string {
	return fmt.Sprintf("%q changes what is sent, and it is not followed here: take it out where it may be left out "+
		"(for all requests alike, EXTRA_BODY adds keys)", e.key)
}

// checkKeys is an error where the line has an unread key with something in it, or
// hash_ids beside a prompt, which they do not make.
func (x row) checkKeys(line []byte) error {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(line, &keys); err != nil {
		return err
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if slices.Contains(unread, strings.ToLower(k)) && !idle(strings.ToLower(k), string(keys[k])) {
			return errUnread{k}
		}
	}
	if len(x.HashIDs) > 0 && x.InputLength == nil {
		return errUnread{"hash_ids"}
	}
	return nil
}

// idle reports whether a key has a value that changes nothing.
func idle(key, value string) bool {
	switch value {
	case "null", "false", `""`, "[]", "{}":
		return true
	}
	n, err := strconv.ParseFloat(value, 64)
	return err == nil && (n == 0 || n == 1 && (key == "n" || key == "best_of" || key == "top_p"))
}

// whole is a whole number, also as Python writes one that came of a division: 8.0.
type whole int64

func (w *whole) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	if n, err := strconv.ParseInt(string(b), 10, 64); err == nil {
		*w = whole(n)
		return nil
	}
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return fmt.Errorf("%s is not a whole number", b)
	}
	*w = whole(f)
	return nil
}

// tokenIDs reads a list of token ids.
func tokenIDs(list json.RawMessage) ([]int32, error) {
	var ids []int32
	if json.Unmarshal(list, &ids) == nil {
		return ids, nil
	}
	var numbers []whole
	if err := json.Unmarshal(list, &numbers); err != nil {
		return nil, err
	}
	ids = make([]int32, len(numbers))
	for i, n := range numbers {
		if ids[i] = int32(n); whole(ids[i]) != n {
			return nil, fmt.Errorf("%d is not a token id", n)
		}
	}
	return ids, nil
}

// unitOf is the unit of a trace's timestamps, by the size of the first: a time of
// day since 1970 tells it, and whatever is smaller counts milliseconds from the
// start, as in Mooncake's traces.
func unitOf(first float64) time.Duration {
	switch {
	case first >= 1e17:
		return time.Nanosecond
	case first >= 1e14:
		return time.Microsecond
	case first >= 1e9 && first < 1e11:
		return time.Second
	}
	return time.Millisecond
}

// stampUnits are the names of a trace's units.
var stampUnits = map[time.Duration]string{
	time.Nanosecond: "ns", time.Microsecond: "µs", time.Millisecond: "ms", time.Second: "s",
}

// stamped is a request and its timestamp.
type stamped struct {
	Request
	stamp float64
}

// inTime sorts a trace's requests, gives each its time from the first one's, and
// says how long the first n of them take.
func inTime(trace []stamped, unit time.Duration, n int) (requests []Request, note string) {
	slices.SortStableFunc(trace, func(a, b stamped) int { return cmp.Compare(a.stamp, b.stamp) })
	first := trace[0].stamp
	if unit == 0 {
		unit = unitOf(first)
	}
	for _, r := range trace {
		r.At = time.Duration((r.stamp - first) * float64(unit))
		requests = append(requests, r.Request)
	}
	n = min(n, len(requests))
	span := requests[n-1].At
	return requests, fmt.Sprintf("the trace's %d requests span %s, its timestamps read as %s (TRACE_UNIT)",
		n, span.Round(max(span/1000, 1)), stampUnits[unit])
}

// readJSONL reads a file of one JSON object a line. Prompts keep the file's
// order, those of a trace their times'.
func readJSONL(ctx context.Context, f io.Reader, s Spec) (Source, []string, error) {
	d := &dataset{n: s.N}
	var trace []stamped
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
			r, why := parseRow(line, lines, s)
			switch {
			case errors.As(why, new(errUnread)):
				return nil, nil, fmt.Errorf("read %s: line %d: %w", s.Path, lines, why)
			case why != nil:
				skipped.add(lines, why.Error())
			default:
				d.requests = append(d.requests, r.Request)
				if s.Trace {
					trace = append(trace, r)
				}
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
		var span string
		d.requests, span = inTime(trace, s.TraceUnit, s.N)
		notes = append(notes, span)
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
func parseRow(line []byte, number int, s Spec) (r stamped, err error) {
	var x row
	if err := json.Unmarshal(line, &x); err != nil {
		return r, errors.New("not a JSON object of a prompt: " + jsonReason(err))
	}
	if err := x.checkKeys(line); err != nil {
		return r, err
	}
	if r.Request, err = x.prompt(number, s); err != nil {
		return r, err
	}
	if r.OutputLen, err = x.outputLen(s.OSL); err != nil {
		return r, err
	}
	if s.MaxLen > 0 && len(r.Tokens)+r.OutputLen > s.MaxLen {
		return r, fmt.Errorf("%d + %d tokens are more than the server's context of %d", len(r.Tokens), r.OutputLen, s.MaxLen)
	}
	if s.Trace {
		if x.Timestamp == nil || !(*x.Timestamp >= 0 && *x.Timestamp < 1e19) {
			return r, errors.New("no timestamp")
		}
		r.stamp = *x.Timestamp
	}
	return r, nil
}

// prompt takes the prompt in whichever form the line has it, or makes one up for
// lengths and hashes.
func (x *row) prompt(number int, s Spec) (r Request, err error) {
	switch {
	case x.Messages != nil && string(x.Messages) != "null":
		var list []map[string]any
		if json.Unmarshal(x.Messages, &list) != nil || len(list) == 0 {
			return r, errors.New(`"messages" is not a list of messages`)
		}
		r.Messages = x.Messages
	case x.Prompt != nil && string(x.Prompt) != "null":
		if json.Unmarshal(x.Prompt, &r.Text) != nil {
			if r.Tokens, err = tokenIDs(x.Prompt); err != nil {
				return r, errors.New(`"prompt" is neither text nor a list of token ids`)
			}
		}
		if r.Tokens != nil && slices.Min(append(r.Tokens, 0)) < 0 {
			return r, errors.New(`"prompt" has a negative token id`)
		}
	case x.Text != nil:
		r.Text = *x.Text
	case x.InputLength != nil:
		n := int(*x.InputLength)
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
	return r, nil
}

// outputLen is the output's length, under whichever of its names, else osl.
func (x *row) outputLen(osl int) (int, error) {
	n := osl
	for _, given := range []*whole{x.OutputLen, x.MaxTokens, x.OutputTokens, x.OutputLength} {
		if given != nil {
			n = int(*given)
			break
		}
	}
	if n < 1 || n > math.MaxInt32 {
		return 0, fmt.Errorf("an output of %d tokens", n)
	}
	return n, nil
}

// blockLen is how many tokens a hash id of a Mooncake trace stands for
// (https://github.com/kvcache-ai/Mooncake, "hash_ids").
const blockLen = 512

// blocks makes up a prompt of n ids in which blocks of equal hash are equal.
// Tokens past the last hash are the line's own.
func blocks(n int, hashes []whole, line int, s Spec) []int32 {
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
		what := "a " + t.Value
		if strings.ContainsAny(t.Value[:1], "aeiou") {
			what = "an " + t.Value
		}
		if t.Field == "" {
			return what
		}
		return fmt.Sprintf("%q is %s", t.Field, what)
	}
	return err.Error()
}
