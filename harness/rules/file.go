package rules

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
)

// maxFigure bounds every figure that is read from a file. It is far outside
// what any server does, and keeps nonsense and overflow out.
const maxFigure = 1e12

// file is a result file as the rules read it: by key, with absent and null
// being the same.
type file struct {
	top map[string]any
	bad string // the first key of a wrong type or range, with what it holds
}

// parse reads a result file. Keys that come twice, keys in other case and text
// that is not UTF-8 are errors: two readers must not see two files in one.
func parse(result []byte) (*file, error) {
	f := &file{}
	if err := json.Unmarshal(result, &f.top); err != nil {
		return nil, fmt.Errorf("the result file cannot be read: %w", err)
	}
	if f.top == nil {
		return nil, fmt.Errorf("the result file cannot be read: it is not a JSON object")
	}
	return f, nil
}

// at finds a value by its path of keys; nil where there is none.
func (f *file) at(path ...string) any {
	var v any = f.top
	for _, key := range path {
		section, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = section[key]
	}
	return v
}

// wrong remembers the first value that cannot be.
func (f *file) wrong(path []string, v any) {
	if f.bad == "" {
		if n, ok := v.(float64); ok {
			v = strconv.FormatFloat(n, 'g', -1, 64)
		}
		f.bad = fmt.Sprintf("%s is %.60v", strings.Join(path, "."), v)
	}
}

// num is a figure: finite, from 0 to maxFigure. false where it is absent.
func (f *file) num(path ...string) (float64, bool) {
	switch v := f.at(path...).(type) {
	case nil:
		return 0, false
	case float64:
		if v >= 0 && v < maxFigure {
			return v, true
		}
		f.wrong(path, v)
	default:
		f.wrong(path, fmt.Sprintf("%T, not a number", v))
	}
	return 0, false
}

// count is a figure that is a whole number.
func (f *file) count(path ...string) (float64, bool) {
	v, ok := f.num(path...)
	if ok && v != math.Trunc(v) {
		f.wrong(path, v)
		return 0, false
	}
	return v, ok
}

// text is a string, "" where it is absent.
func (f *file) text(path ...string) string {
	switch v := f.at(path...).(type) {
	case nil:
		return ""
	case string:
		return v
	default:
		f.wrong(path, fmt.Sprintf("%T, not a text", v))
		return ""
	}
}

// flag is a boolean, false where it is absent.
func (f *file) flag(path ...string) bool {
	switch v := f.at(path...).(type) {
	case nil:
		return false
	case bool:
		return v
	default:
		f.wrong(path, fmt.Sprintf("%T, not true or false", v))
		return false
	}
}
