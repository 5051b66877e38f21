package textfile_test

import (
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/textfile"
)

// wide is text in UTF-16.
func wide(text string, order binary.AppendByteOrder) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(text)) {
		b = order.AppendUint16(b, u)
	}
	return string(b)
}

func TestClean(t *testing.T) {
	for name, c := range map[string]struct{ in, want, err string }{
		"plain":                   {"a\nb\n", "a\nb\n", ""},
		"empty":                   {"", "", ""},
		"mark":                    {"\ufeffa\nb", "a\nb", ""},
		"mark alone":              {"\ufeff", "", ""},
		"mark within":             {"a\ufeffb", "a\ufeffb", ""},
		"two marks":               {"\ufeff\ufeffa", "\ufeffa", ""},
		"Windows":                 {"a\r\nb\r\n", "a\nb\n", ""},
		"Windows, last line open": {"\ufeffa\r\nb", "a\nb", ""},
		"both kinds of end":       {"a\r\nb\nc", "a\r\nb\nc", ""},
		"a carriage return":       {"a\rb\nc", "a\rb\nc", ""},
		"three bytes":             {"{}\n", "{}\n", ""},
		"a zero":                  {"ab\x00cd", "ab\x00cd", ""},
		"UTF-16LE":                {"\xff\xfe" + wide("ISL=1", binary.LittleEndian), "", "UTF-16 text: save it as UTF-8"},
		"UTF-16BE":                {"\xfe\xff" + wide("ISL=1", binary.BigEndian), "", "UTF-16 text: save it as UTF-8"},
		"UTF-16 without a mark":   {wide("ISL=1", binary.LittleEndian), "", "UTF-16 text: save it as UTF-8"},
		"the other order":         {wide("ISL=1", binary.BigEndian), "", "UTF-16 text: save it as UTF-8"},
		"UTF-32":                  {"\xff\xfe\x00\x00a\x00\x00\x00", "", "UTF-32 text: save it as UTF-8"},
		"gzip":                    {"\x1f\x8b\x08\x00", "", "compressed (gzip): unpack it first"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "f")
			require.NoError(t, os.WriteFile(file, []byte(c.in), 0o600))
			got, err := textfile.Read(file)
			in, streamErr := textfile.NewReader(strings.NewReader(c.in))
			if c.err != "" {
				require.EqualError(t, err, file+": this is "+c.err)
				assert.EqualError(t, streamErr, "this is "+c.err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, c.want, string(got))
			require.NoError(t, streamErr)
			stream, err := io.ReadAll(in)
			require.NoError(t, err)
			assert.Equal(t, strings.TrimPrefix(c.in, "\ufeff"), string(stream))
		})
	}
	_, err := textfile.Read(filepath.Join(t.TempDir(), "none"))
	assert.ErrorIs(t, err, os.ErrNotExist)
}
