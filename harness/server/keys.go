package server

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Keys says which keys of a request's body, of those that the suite sends by
// itself, a server does not take, or takes under another name.
type Keys struct {
	LeftOut   []string // as ignore_eos
	MaxTokens string   // what it calls max_tokens, as max_completion_tokens; empty: so
}

// Called is the name under which the server takes a key; "" where it takes none.
func (k Keys) Called(key string) string {
	switch {
	case slices.Contains(k.LeftOut, key):
		return ""
	case key == "max_tokens" && k.MaxTokens != "":
		return k.MaxTokens
	}
	return key
}

// fit is a body with the keys as the server takes them.
func (k Keys) fit(body map[string]any) map[string]any {
	fitted := maps.Clone(body)
	for _, key := range []string{"max_tokens", "temperature", "ignore_eos"} {
		v, ok := fitted[key]
		if !ok {
			continue
		}
		delete(fitted, key)
		if name := k.Called(key); name != "" {
			fitted[name] = v
		}
	}
	return fitted
}

// refusedKeys are the keys that some servers refuse, as they name them.
var refusedKeys = regexp.MustCompile(`\b(stream_options|max_tokens|ignore_eos|temperature)\b`)

// forKey is what to do where a server refuses one of the keys; "" where says names
// none of them.
func forKey(says string) string {
	switch key := refusedKeys.FindString(says); {
	case key == "":
		return ""
	case key == "max_tokens" && strings.Contains(says, "max_completion_tokens"):
		return "set MAX_TOKENS_KEY=max_completion_tokens"
	case key == "max_tokens":
		return "set MAX_TOKENS_KEY to what the server calls max_tokens, as max_completion_tokens"
	case key == "temperature":
		return `set TEMPERATURE to what the server takes, or EXTRA_BODY='{"temperature":null}', which leaves it out`
	default:
		return fmt.Sprintf(`set EXTRA_BODY='{"%s":null}', which leaves %s out`, key, key)
	}
}
