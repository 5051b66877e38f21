// Package textfile reads text files as editors write them: with a byte order
// mark before the text, or with the line ends of Windows. Whatever the suite reads
// that a person may have edited goes through it. It imports nothing of ours.
package textfile

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

const utf8Mark = "\xef\xbb\xbf"

// encodings are those that are not UTF-8, the longer marks first, with how a text
// in them begins: with a byte order mark, or with a zero in every second byte.
var encodings = []struct {
	name  string
	begin func(b []byte) bool
}{
	{"UTF-32", func(b []byte) bool {
		return bytes.HasPrefix(b, []byte("\xff\xfe\x00\x00")) || bytes.HasPrefix(b, []byte("\x00\x00\xfe\xff"))
	}},
	{"UTF-16", func(b []byte) bool {
		return bytes.HasPrefix(b, []byte("\xff\xfe")) || bytes.HasPrefix(b, []byte("\xfe\xff")) ||
			len(b) >= 4 && (b[0] == 0) != (b[1] == 0) && (b[0] == 0) == (b[2] == 0) && (b[1] == 0) == (b[3] == 0)
	}},
}

// packed are compressions, by how their files begin.
var packed = map[string]string{"gzip": "\x1f\x8b", "zip": "PK\x03\x04", "zstd": "\x28\xb5\x2f\xfd", "xz": "\xfd7zX"}

// longestMark is how many bytes tell the encoding.
const longestMark = 4

// mark is how many bytes of a byte order mark b begins with, or an error where it
// is no UTF-8 text.
func mark(b []byte) (int, error) {
	for _, e := range encodings {
		if e.begin(b) {
			return 0, fmt.Errorf("this is %s text: save it as UTF-8", e.name)
		}
	}
	for name, begin := range packed {
		if bytes.HasPrefix(b, []byte(begin)) {
			return 0, fmt.Errorf("this is compressed (%s): unpack it first", name)
		}
	}
	if bytes.HasPrefix(b, []byte(utf8Mark)) {
		return len(utf8Mark), nil
	}
	return 0, nil
}

// Read is [os.ReadFile] and [Clean]. The error names the file.
func Read(name string) ([]byte, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	if b, err = Clean(b); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return b, nil
}

// ReadJSON reads a file of one JSON value into v. The error names the file.
func ReadJSON(name string, v any) error {
	b, err := Read(name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// Clean is a text without its byte order mark and, where all of its lines end as
// Windows' do (CRLF), with line ends of LF. A carriage return anywhere else is the
// text's own and stays. UTF-16, UTF-32 and what is compressed are errors.
func Clean(b []byte) ([]byte, error) {
	n, err := mark(b)
	if err != nil {
		return nil, err
	}
	b = b[n:]
	if ends := bytes.Count(b, []byte("\r\n")); ends > 0 && ends == bytes.Count(b, []byte("\n")) {
		b = bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
	}
	return b, nil
}

// NewReader is r without the byte order mark; for formats in which a carriage
// return is white space, as JSON. UTF-16, UTF-32 and what is compressed are errors.
func NewReader(r io.Reader) (io.Reader, error) {
	in := bufio.NewReader(r)
	begin, err := in.Peek(longestMark)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	n, err := mark(begin)
	if err != nil {
		return nil, err
	}
	_, err = in.Discard(n)
	return in, err
}
