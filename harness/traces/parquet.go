package traces

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/parquet-go/parquet-go"

	"inferbench/harness/session"
)

// isParquet reports whether the file's first bytes are those of a parquet file.
func (s *source) isParquet() bool {
	head, _ := s.in.Peek(4)
	return string(head) == "PAR1"
}

// rows calls do with each row of a parquet file as the JSON object that it stands for,
// which is good until do returns. What is null there is left out: a row of one type has
// the columns of all.
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
	w := rowWriter{file: s.file}
	w.root.fill(file.Schema(), 0, 0)
	n := 0
	for _, group := range file.RowGroups() {
		err := w.group(ctx, group, func(row []byte) error {
			n++
			return do(n, row)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// rowWriter writes rows of a parquet file as JSON.
type rowWriter struct {
	file string
	root field
	row  [][]parquet.Value // what is left of it, by leaf column
	text []byte
}

// group calls do with each row of a row group.
func (w *rowWriter) group(ctx context.Context, g parquet.RowGroup, do func([]byte) error) error {
	rows := g.Rows()
	defer rows.Close()
	buf := make([]parquet.Row, 1)
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := rows.ReadRows(buf)
		if n == 1 {
			w.row = w.row[:0]
			buf[0].Range(func(_ int, values []parquet.Value) bool {
				w.row = append(w.row, values)
				return true
			})
			w.text = w.text[:0]
			w.object(&w.root)
			if err := do(w.text); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("%s: parquet: %w", w.file, err)
		}
	}
}

// field is a node of a parquet schema as JSON has it: an object, a list or a value.
type field struct {
	name    string
	fields  []field // of an object
	entry   *field  // of a list: what its entries are
	present int     // definition level from which it is not null
	filled  int     // of a list: from which it has entries
	repeat  int     // of a list: repetition level of its further entries

	first, leaves    int // columns
	unsigned, number bool
}

// newField is the field of a node at those levels, whose columns begin with first.
func newField(node parquet.Field, definition, repetition, first int) field {
	if node.Optional() {
		definition++
	}
	f := field{name: node.Name(), present: definition, first: first}
	repeated := node
	group := !node.Leaf() && len(node.Fields()) == 1 && node.Fields()[0].Repeated() // of a list
	if group {
		repeated = node.Fields()[0]
	}
	if !repeated.Repeated() {
		f.fill(node, definition, repetition)
		return f
	}
	f.filled, f.repeat = definition+1, repetition+1
	entry := field{present: f.filled, first: first}
	if group && !repeated.Leaf() && len(repeated.Fields()) == 1 {
		entry = newField(repeated.Fields()[0], f.filled, f.repeat, first)
	} else {
		entry.fill(repeated, f.filled, f.repeat)
	}
	f.entry, f.leaves = &entry, entry.leaves
	return f
}

// fill makes an object or a value of the field, which is a node's.
func (f *field) fill(node parquet.Node, definition, repetition int) {
	if node.Leaf() {
		kind := node.Type()
		f.leaves, f.unsigned = 1, strings.HasPrefix(kind.String(), "INT(") && strings.HasSuffix(kind.String(), ",false)")
		f.number = kind.Kind() == parquet.Int64 && !f.unsigned
		return
	}
	f.fields = []field{}
	for _, child := range node.Fields() {
		c := newField(child, definition, repetition, f.first+f.leaves)
		f.fields, f.leaves = append(f.fields, c), f.leaves+c.leaves
	}
}

// null reports whether the next of a field is null, and leaves it behind then.
func (w *rowWriter) null(f *field) bool {
	if f.leaves == 0 || w.row[f.first][0].DefinitionLevel() >= f.present {
		return false
	}
	w.skip(f)
	return true
}

func (w *rowWriter) skip(f *field) {
	for i := range f.leaves {
		w.row[f.first+i] = w.row[f.first+i][1:]
	}
}

// write writes the next of a field, which is not null.
func (w *rowWriter) write(f *field) {
	switch {
	case f.entry != nil:
		w.list(f)
	case f.fields != nil:
		w.object(f)
	default:
		v := w.row[f.first][0]
		w.skip(f)
		w.value(f, v)
	}
}

func (w *rowWriter) object(f *field) {
	w.text = append(w.text, '{')
	begin := len(w.text)
	for i := range f.fields {
		if w.null(&f.fields[i]) {
			continue
		}
		if len(w.text) > begin {
			w.text = append(w.text, ',')
		}
		w.text = append(session.AppendQuoted(w.text, f.fields[i].name), ':')
		w.write(&f.fields[i])
	}
	w.text = append(w.text, '}')
}

func (w *rowWriter) list(f *field) {
	w.text = append(w.text, '[')
	if w.row[f.first][0].DefinitionLevel() < f.filled {
		w.skip(f)
		w.text = append(w.text, ']')
		return
	}
	if f.entry.number {
		w.numbers(f)
		return
	}
	for {
		if w.null(f.entry) {
			w.text = append(w.text, "null"...)
		} else {
			w.write(f.entry)
		}
		if left := w.row[f.first]; len(left) == 0 || left[0].RepetitionLevel() != f.repeat {
			break
		}
		w.text = append(w.text, ',')
	}
	w.text = append(w.text, ']')
}

// numbers writes the entries of a list of whole numbers, and its end. Ids of blocks, most
// of a file, are such lists.
func (w *rowWriter) numbers(f *field) {
	values, text, i := w.row[f.first], w.text, 0
	for ; i == 0 || i < len(values) && values[i].RepetitionLevel() == f.repeat; i++ {
		if v := &values[i]; v.DefinitionLevel() >= f.entry.present {
			text = strconv.AppendInt(text, v.Int64(), 10)
		} else {
			text = append(text, "null"...)
		}
		text = append(text, ',')
	}
	text[len(text)-1] = ']'
	w.row[f.first], w.text = values[i:], text
}

// value writes a value. A text in place of a list of requests is the JSON that it is.
func (w *rowWriter) value(f *field, v parquet.Value) {
	switch v.Kind() {
	case parquet.Boolean:
		w.text = strconv.AppendBool(w.text, v.Boolean())
	case parquet.Int32, parquet.Int64:
		w.text = w.integer(f, v)
	case parquet.Float, parquet.Double:
		w.text = w.float(v)
	default:
		if text := jsontext.Value(v.ByteArray()); f.name == "requests" && text.IsValid() {
			w.text = append(w.text, text...)
			return
		}
		w.text = session.AppendQuoted(w.text, v.String())
	}
}

func (w *rowWriter) integer(f *field, v parquet.Value) []byte {
	switch small := v.Kind() == parquet.Int32; {
	case f.unsigned && small:
		return strconv.AppendUint(w.text, uint64(v.Uint32()), 10)
	case f.unsigned:
		return strconv.AppendUint(w.text, v.Uint64(), 10)
	case small:
		return strconv.AppendInt(w.text, int64(v.Int32()), 10)
	}
	return strconv.AppendInt(w.text, v.Int64(), 10)
}

// float writes a number, and as a text what JSON has no number for.
func (w *rowWriter) float(v parquet.Value) []byte {
	x, bits := v.Double(), 64
	if v.Kind() == parquet.Float {
		x, bits = float64(v.Float()), 32
	}
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return session.AppendQuoted(w.text, strconv.FormatFloat(x, 'g', -1, bits))
	}
	return strconv.AppendFloat(w.text, x, 'g', -1, bits)
}

// wekaRows reads a parquet file whose rows are traces.
func wekaRows(ctx context.Context, s *source) error {
	return s.rows(ctx, func(n int, row []byte) error {
		var t wekaTrace
		err := json.Unmarshal(row, &t, json.RejectUnknownMembers(true))
		if err == nil {
			err = s.addWeka(&t)
		}
		if err != nil {
			return s.wrong(n, t.ID, err)
		}
		return nil
	})
}
