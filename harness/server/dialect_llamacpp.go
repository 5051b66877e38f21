package server

import (
	"context"

	"github.com/tidwall/gjson"
)

// LlamaCpp is llama.cpp's own server, llama-server. It tokenizes "content", and
// its context is shared out among its slots.
var LlamaCpp = &Dialect{
	Name:              "llama.cpp",
	OwnedBy:           []string{"llamacpp"},
	Tokenize:          (*Server).contentTokenize,
	RepetitionPenalty: "repeat_penalty",
	Describe:          (*Server).slotContext,
	Pages: []Page{{[]string{"/props"}, func(body []byte) []map[string]string {
		return []map[string]string{leaves(gjson.ParseBytes(body), map[string]string{})}
	}}},
}

func (t *Server) contentTokenize(ctx context.Context, r Retry, text string, special bool) ([]int32, error) {
	return t.tokenize(ctx, r, map[string]any{"content": text, "add_special": special})
}

// slotContext takes the context length of one request; 0 where it is not told.
func (t *Server) slotContext(ctx context.Context) {
	var props struct {
		Default struct {
			Ctx int `json:"n_ctx"`
		} `json:"default_generation_settings"`
	}
	if t.Get(ctx, "/props", &props) != nil {
		props.Default.Ctx = 0
	}
	t.MaxLen = max(props.Default.Ctx, 0)
}
