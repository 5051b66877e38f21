package load

import "bytes"

// alike recognises an event that is as an earlier one but for its text, as nearly
// all of a stream are: it says the same, so its JSON need not be walked again.
type alike struct {
	before, after []byte // of the text: up to its opening quote, and from behind its closing one
	says          chunk
}

// parse is [parseChunk], to which it leaves what it does not recognise.
func (a *alike) parse(data []byte) (chunk, error) {
	if a.is(data) {
		return a.says, nil
	}
	c, text, err := findText(data)
	plain := chunk{choice: true, text: true, chat: c.chat, role: c.role} // no end, no count, no error
	if err == nil && text.to > 0 && c == plain {
		a.says = c
		a.before, a.after = append(a.before[:0], data[:text.from]...), append(a.after[:0], data[text.to:]...)
	}
	return c, err
}

// is reports whether data is such an event, with a text of its own.
func (a *alike) is(data []byte) bool {
	if len(a.before) == 0 || !bytes.HasPrefix(data, a.before) {
		return false
	}
	s := scanner{b: data, i: len(a.before)}
	text, _ := s.str()
	return !s.bad && len(text) > 0 && bytes.Equal(data[s.i:], a.after)
}
