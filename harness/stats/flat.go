package stats

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
)

// statistic is one statistic of a [Dist] under its name in a result file.
type statistic struct {
	name  string
	value **float64
}

func (d *Dist) statistics() []statistic {
	return []statistic{
		{"mean", &d.Mean}, {"median", &d.Median}, {"std", &d.Std}, {"p90", &d.P90}, {"p95", &d.P95}, {"p99", &d.P99},
		{"p99.9", &d.P99_9}, {"max", &d.Max},
	}
}

// MarshalJSON writes the summary under the flat keys of a result file.
func (s Summary) MarshalJSON() ([]byte, error) {
	type plain Summary // without this method
	return marshalFlat(plain(s))
}

// UnmarshalJSON reads what [Summary.MarshalJSON] writes. A key that is not
// there leaves its field as it is.
func (s *Summary) UnmarshalJSON(b []byte) error {
	type plain Summary
	return unmarshalFlat(b, (*plain)(s))
}

// MarshalJSON writes the steady part with its latencies under flat keys.
func (s Steady) MarshalJSON() ([]byte, error) {
	type plain Steady
	return marshalFlat(plain(s))
}

// UnmarshalJSON reads what [Steady.MarshalJSON] writes.
func (s *Steady) UnmarshalJSON(b []byte) error {
	type plain Steady
	return unmarshalFlat(b, (*plain)(s))
}

// marshalFlat writes a struct as JSON, with each [Dist] in it as eight keys in
// its place: the star of the field's tag becomes the statistic's name, so that
// "*_ttft_ms" is written as mean_ttft_ms and so on.
func marshalFlat(v any) ([]byte, error) {
	nested, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	out := bytes.NewBufferString("{")
	write := func(key string, value []byte) {
		if out.Len() > 1 {
			out.WriteByte(',')
		}
		out.WriteString(`"` + key + `":`)
		out.Write(value)
	}
	dec := json.NewDecoder(bytes.NewReader(nested))
	if _, err := dec.Token(); err != nil { // the opening brace
		return nil, err
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		name := key.(string)
		if !strings.Contains(name, "*") {
			write(name, value)
			continue
		}
		var d Dist
		if err := json.Unmarshal(value, &d); err != nil {
			return nil, err
		}
		for _, s := range d.statistics() {
			number, err := json.Marshal(*s.value)
			if err != nil {
				return nil, err
			}
			write(strings.Replace(name, "*", s.name, 1), number)
		}
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// unmarshalFlat reads what marshalFlat wrote into the struct that v points to.
func unmarshalFlat(b []byte, v any) error {
	if err := json.Unmarshal(b, v); err != nil {
		return err
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(b, &keys); err != nil {
		return err
	}
	fields := reflect.ValueOf(v).Elem()
	for i := range fields.NumField() {
		d := new(Dist)
		optional := false
		switch field := fields.Field(i).Addr().Interface().(type) {
		case *Dist:
			d = field
		case **Dist:
			optional = true
		default:
			continue
		}
		tag, _, _ := strings.Cut(fields.Type().Field(i).Tag.Get("json"), ",")
		for _, s := range d.statistics() {
			raw, there := keys[strings.Replace(tag, "*", s.name, 1)]
			if !there {
				continue
			}
			if err := json.Unmarshal(raw, s.value); err != nil {
				return err
			}
		}
		if optional && *d != (Dist{}) {
			fields.Field(i).Set(reflect.ValueOf(d))
		}
	}
	return nil
}
