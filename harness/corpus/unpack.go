package corpus

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
)

// Wikitext makes a raw WikiText file of b, whatever form it has: the raw file
// itself, a zip archive with a file named base in it (or a single file), or a
// parquet file of the data sets Salesforce/wikitext (a row for each line) and
// EleutherAI/wikitext_document_level (a row for each article).
func Wikitext(b []byte, base string) ([]byte, error) {
	switch {
	case bytes.HasPrefix(b, []byte("PK\x03\x04")), bytes.HasPrefix(b, []byte("PK\x05\x06")):
		// the latter begins an empty one
		return unzip(b, base)
	case bytes.HasPrefix(b, []byte("PAR1")):
		return inTime(b, fromParquet)
	}
	return b, nil
}

// unpackLimit is how long a file may take to unpack. Those known take a tenth of
// a second; a parquet file made to harm can keep its reader busy for ever.
const unpackLimit = 20 * time.Second

func inTime(b []byte, unpack func([]byte) ([]byte, error)) ([]byte, error) {
	type result struct {
		raw []byte
		err error
	}
	done := make(chan result, 1)
	go func() {
		raw, err := unpack(b)
		done <- result{raw, err}
	}()
	select {
	case r := <-done:
		return r.raw, r.err
	case <-time.After(unpackLimit):
		return nil, fmt.Errorf("parquet file: not read after %s: it is broken", unpackLimit)
	}
}

func unzip(b []byte, base string) ([]byte, error) {
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, fmt.Errorf("zip archive: %w", err)
	}
	var files []*zip.File
	for _, f := range z.File {
		if path.Base(f.Name) == base && !f.FileInfo().IsDir() {
			files = []*zip.File{f}
			break
		}
		if !f.FileInfo().IsDir() {
			files = append(files, f)
		}
	}
	if len(files) != 1 {
		return nil, fmt.Errorf("zip archive: it has %d files, none of them named %s", len(files), base)
	}
	r, err := files[0].Open()
	if err != nil {
		return nil, fmt.Errorf("zip archive: %s: %w", files[0].Name, err)
	}
	defer r.Close()
	out, err := io.ReadAll(io.LimitReader(r, maxDownload+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("zip archive: %s: %w", files[0].Name, err)
	case len(out) > maxDownload:
		return nil, fmt.Errorf("zip archive: %s has more than %d MiB", files[0].Name, maxDownload>>20)
	}
	return out, nil
}

// fromParquet puts the raw file together again. In Salesforce/wikitext a blank
// line of the raw file, " \n", is an empty row. EleutherAI's articles are the
// raw file cut at its titles, without the one blank line before the first.
func fromParquet(b []byte) (raw []byte, err error) {
	defer func() { // the library panics on some broken files
		if r := recover(); r != nil {
			raw, err = nil, fmt.Errorf("parquet file: %v", r)
		}
	}()
	file, err := parquet.OpenFile(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, fmt.Errorf("parquet file: %w", err)
	}
	column := func(name string) ([]string, bool, error) {
		leaf, ok := file.Schema().Lookup(name)
		if !ok {
			return nil, false, nil
		}
		if kind := leaf.Node.Type().Kind(); kind != parquet.ByteArray {
			return nil, true, fmt.Errorf("parquet file: column %q is of %s, not of text", name, kind)
		}
		rows, err := columnOf(file, leaf.ColumnIndex)
		return rows, true, err
	}
	if lines, ok, err := column("text"); ok || err != nil {
		if err != nil {
			return nil, err
		}
		for i, l := range lines {
			if l == "" {
				lines[i] = " \n"
			}
		}
		return []byte(strings.Join(lines, "")), nil
	}
	pages, ok, err := column("page")
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errors.New(`parquet file: it has neither a column "text" (a line a row) nor "page" (an article a row)`)
	}
	return []byte(" \n" + strings.Join(pages, "\n")), nil
}

// maxRows bounds a column: WikiText-2's test split has 4,358 lines.
const maxRows = 1 << 20

// columnOf returns a column's values, in order; null is the empty string.
func columnOf(file *parquet.File, index int) ([]string, error) {
	var out []string
	for _, group := range file.RowGroups() {
		pages := group.ColumnChunks()[index].Pages()
		for {
			page, err := pages.ReadPage()
			if err == io.EOF {
				break
			}
			if err != nil {
				pages.Close()
				return nil, fmt.Errorf("parquet file: %w", err)
			}
			if n := page.NumValues(); n < 0 || int64(len(out))+n > maxRows {
				pages.Close()
				return nil, fmt.Errorf("parquet file: more than %d rows", maxRows)
			}
			values := make([]parquet.Value, page.NumValues())
			n, err := page.Values().ReadValues(values)
			if n < len(values) && (err == nil || err == io.EOF) {
				err = io.ErrUnexpectedEOF // a row less would be another text
			}
			if err != nil && err != io.EOF {
				pages.Close()
				return nil, fmt.Errorf("parquet file: %w", err)
			}
			for _, v := range values[:n] {
				if v.IsNull() {
					out = append(out, "")
				} else {
					out = append(out, string(v.ByteArray()))
				}
			}
			parquet.Release(page)
		}
		pages.Close()
	}
	return out, nil
}
