package target

import "strings"

// shortestSecret keeps a key of a letter or two, as tests and habits have them,
// from taking every such letter out of a message.
const shortestSecret = 4

// Redact takes the API key out of a text that the server had a hand in: servers
// and gateways in front of them echo headers in their error answers.
func (t *Target) Redact(text string) string { return Redact(text, t.key) }

// Redact takes secrets out of a text. What is cut off at the end of a text may
// hold the beginning of one, so redact before you shorten.
func Redact(text string, secrets ...string) string {
	for _, s := range secrets {
		if len(s) >= shortestSecret {
			text = strings.ReplaceAll(text, s, "[secret]")
		}
	}
	return text
}
