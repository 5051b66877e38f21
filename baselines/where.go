package baselines

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// fieldError is what is wrong with one value of a file, and where it stands:
// keys, and for the elements of a list their positions from 0.
type fieldError struct {
	path []any
	what string
}

func wrong(what string, path ...any) error { return &fieldError{path, what} }

func (e *fieldError) Error() string {
	var b strings.Builder
	for i, p := range e.path {
		switch p := p.(type) {
		case string:
			if i > 0 {
				b.WriteString(": ")
			}
			b.WriteString(p)
		case int:
			fmt.Fprintf(&b, " %d", p+1)
		}
	}
	return b.String() + " " + e.what
}

// withLine puts the line of the offending value before the error, where the
// file has it: a value that is missing belongs to no line.
func withLine(file []byte, err error) error {
	field, ok := err.(*fieldError)
	if !ok {
		return err
	}
	for n := len(field.path); n > 0; n-- {
		if offset, ok := find(file, field.path[:n]); ok {
			return fmt.Errorf("line %d: %w", 1+bytes.Count(file[:offset], []byte("\n")), err)
		}
	}
	return err
}

// find gives the offset at which the value at path begins.
func find(file []byte, path []any) (offset int64, ok bool) {
	dec := json.NewDecoder(bytes.NewReader(file))
	for _, step := range path {
		open, err := dec.Token()
		if err != nil {
			return 0, false
		}
		for i := 0; ; i++ {
			if !dec.More() {
				return 0, false
			}
			if key, isKey := step.(string); isKey {
				if open != json.Delim('{') {
					return 0, false
				}
				k, err := dec.Token()
				if err != nil {
					return 0, false
				}
				if k == key {
					break
				}
			} else if open != json.Delim('[') || i == step.(int) {
				break
			}
			var skipped json.RawMessage
			if err := dec.Decode(&skipped); err != nil {
				return 0, false
			}
		}
	}
	// The decoder stands before the value, maybe still before a colon or comma.
	offset = dec.InputOffset()
	rest := file[offset:]
	return offset + int64(len(rest)-len(bytes.TrimLeft(rest, " \t\r\n:,"))), true
}
