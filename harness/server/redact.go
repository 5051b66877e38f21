package server

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

// shortestSecret keeps a key of a letter or two, as tests and habits have them,
// from taking every such letter out of a message.
const shortestSecret = 4

// Redact takes the API key and the values of the target's headers out of a text
// that the server had a hand in: servers and gateways in front of them echo
// headers in their error answers.
func (t *Server) Redact(text string) string { return Redact(text, t.secrets()...) }

// ErrorMessage is [ErrorMessage] without the target's secrets.
func (t *Server) ErrorMessage(body []byte) string { return ErrorMessage(body, t.secrets()...) }

func (t *Server) secrets() []string {
	secrets := []string{t.key}
	for _, values := range t.Headers {
		for _, v := range values {
			secrets = append(secrets, v)
			if _, credentials, ok := strings.Cut(v, " "); ok { // as in Bearer KEY
				secrets = append(secrets, credentials)
			}
		}
	}
	return secrets
}

// Redact takes secrets out of a text, as they are and as JSON and addresses
// write them. What is cut off at the end of a text may hold the beginning of
// one, so redact before you shorten.
func Redact(text string, secrets ...string) string {
	for _, s := range secrets {
		if len(s) < shortestSecret {
			continue
		}
		for _, form := range written(s) {
			text = strings.ReplaceAll(text, form, "[secret]")
		}
	}
	return text
}

// written are the forms in which a secret may stand in a text, each once.
func written(s string) []string {
	quoted, _ := json.Marshal(s) // escapes <, > and & too; strings do not fail
	forms := []string{s, string(quoted[1 : len(quoted)-1]), strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s)}
	for _, f := range forms {
		forms = append(forms, strings.ReplaceAll(f, "/", `\/`))
	}
	forms = append(forms, url.QueryEscape(s), url.PathEscape(s))
	slices.Sort(forms)
	return slices.Compact(forms)
}
