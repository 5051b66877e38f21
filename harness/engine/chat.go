package engine

import (
	"encoding/json"
	"net/http"
	"strings"
)

type chatMessage struct {
	Role    string      `json:"role"`
	Content chatContent `json:"content"`
}

// chatContent is a text, or a list of parts of which the texts count.
type chatContent string

func (c *chatContent) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil {
		*c = chatContent(s)
		return nil
	}
	var parts []struct{ Type, Text string }
	if err := json.Unmarshal(b, &parts); err != nil {
		return err
	}
	var text strings.Builder
	for _, p := range parts {
		text.WriteString(p.Text)
	}
	*c = chatContent(text.String())
	return nil
}

// chatTemplate is what chatPrompt does, in the words of those who write chat
// templates.
const chatTemplate = "{{ bos_token }}{% for m in messages %}{{ m.role | capitalize }}: {{ m.content }}\n\n{% endfor %}{% if add_generation_prompt %}Assistant: {% endif %}"

// chatPrompt applies the chat template.
func chatPrompt(messages []chatMessage, generation bool) []int32 {
	var b strings.Builder
	for _, m := range messages {
		if m.Role != "" {
			b.WriteString(strings.ToUpper(m.Role[:1]) + m.Role[1:])
		}
		b.WriteString(": " + string(m.Content) + "\n\n")
	}
	if generation {
		b.WriteString("Assistant: ")
	}
	return tokenize(b.String(), true)
}

func (e *Engine) chat(w http.ResponseWriter, _ *http.Request) {
	writeError(w, &apiError{http.StatusNotImplemented, "NotImplementedError", "chat is not there yet", ""})
}
