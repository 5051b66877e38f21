package traces

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/parquet-go/parquet-go"

	gojson "github.com/go-json-experiment/json"
)

// isParquet reports whether the file's first bytes are those of a parquet file.
func (s *source) isParquet() bool {
	head, _ := s.in.Peek(4)
	return string(head) == "PAR1"
}

// rows calls do with each row of a parquet file as the JSON object that it stands for.
// What is null there is left out: a row of one type has the columns of all.
func (s *source) rows(ctx context.Context, do func(n int, row []byte) error) (err error) {
	defer func() { // the library panics on some broken files
		if r := recover(); r != nil {
			err = fmt.Errorf("%s: not a parquet file that can be read: %v", s.file, r)
		}
	}()
	f, err := os.Open(s.file)
	if err != nil {
		return fmt.Errorf("open the data set: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("read %s: %w", s.file, err)
	}
	file, err := parquet.OpenFile(f, info.Size())
	if err != nil {
		return fmt.Errorf("%s: parquet: %w", s.file, err)
	}
	in := parquet.NewGenericReader[any](file)
	defer in.Close()
	row := make([]any, 1)
	for n := 1; ; n++ {
		row[0] = nil
		got, err := in.Read(row)
		if got == 1 {
			text, err := json.Marshal(withoutNulls(row[0]))
			if err == nil {
				err = do(n, text)
			}
			if err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("%s: parquet: row %d: %w", s.file, n, err)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
	}
}

// withoutNulls leaves out the keys of objects that are null, and reads a text in place
// of a list of requests as the JSON that it is.
func withoutNulls(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			if x = withoutNulls(x); x == nil {
				delete(v, k)
				continue
			}
			if text, ok := x.(string); ok && k == "requests" && json.Valid([]byte(text)) {
				x = json.RawMessage(text)
			}
			v[k] = x
		}
	case []any:
		for i := range v {
			v[i] = withoutNulls(v[i])
		}
	}
	return v
}

// wekaRows reads a parquet file whose rows are traces.
func wekaRows(ctx context.Context, s *source) error {
	return s.rows(ctx, func(n int, row []byte) error {
		var t wekaTrace
		err := gojson.Unmarshal(row, &t, gojson.RejectUnknownMembers(true))
		if err == nil {
			err = s.addWeka(&t)
		}
		if err != nil {
			return s.wrong(n, t.ID, err)
		}
		return nil
	})
}
