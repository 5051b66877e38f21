package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// decoder turns tokens back into text. The table is made when it is first needed.
type decoder struct {
	once      sync.Once
	names     []string // by id; "" for one that names nothing
	added     map[int32]bool
	byteLevel bool // tokens are written in GPT-2's characters for bytes
	strip     bool // the space that begins a text was put there
}

// newDecoder reads a tokenizer.json's decoder, of which only the kinds matter: the
// replacement of spaces is the same everywhere.
func newDecoder(raw json.RawMessage) *decoder {
	return &decoder{byteLevel: bytes.Contains(raw, []byte(`"ByteLevel"`)),
		strip: bytes.Contains(raw, []byte(`"Strip"`)) || bytes.Contains(raw, []byte(`"Metaspace"`))}
}

// byteOf is the byte that one of GPT-2's characters stands for.
var byteOf = func() map[rune]byte {
	table := make(map[rune]byte, len(byteChar))
	for b, char := range byteChar {
		for _, r := range char {
			table[r] = byte(b)
		}
	}
	return table
}()

// Decode returns the text of tokens, added ones by their names, as Hugging Face's
// decode does. Bytes that are no UTF-8 become U+FFFD. Encode need not give the same
// tokens for it. It is an error where an id names no token.
func (t *Tokenizer) Decode(ids []int32) (string, error) {
	d := t.decoder
	d.once.Do(func() { d.names, d.added = t.table() })
	var b strings.Builder
	for i, id := range ids {
		if id < 0 || int(id) >= len(d.names) || d.names[id] == "" {
			return "", fmt.Errorf("detokenize: %d names no token", id)
		}
		name := d.names[id]
		switch {
		case d.added[id]:
			b.WriteString(name)
		case d.byteLevel:
			for _, r := range name {
				if c, ok := byteOf[r]; ok {
					b.WriteByte(c)
				}
			}
		default:
			if c, ok := byteToken(name); ok {
				b.WriteByte(c)
				continue
			}
			name = strings.ReplaceAll(name, "▁", " ")
			if i == 0 && d.strip {
				name = strings.TrimPrefix(name, " ")
			}
			b.WriteString(name)
		}
	}
	return strings.ToValidUTF8(b.String(), "\uFFFD"), nil
}

// byteToken reads <0x0A>, as SentencePiece writes a byte.
func byteToken(name string) (byte, bool) {
	if len(name) != 6 || !strings.HasPrefix(name, "<0x") || name[5] != '>' {
		return 0, false
	}
	b, err := strconv.ParseUint(name[3:5], 16, 8)
	return byte(b), err == nil
}

// table lists all tokens by id, and which were added.
func (t *Tokenizer) table() (names []string, added map[int32]bool) {
	names, added = make([]string, t.Size()), map[int32]bool{}
	for name, id := range t.model.all() {
		if id >= 0 {
			names[id] = name
		}
	}
	for name, id := range t.added.ids {
		if id >= 0 {
			names[id], added[id] = name, true
		}
	}
	return names, added
}
