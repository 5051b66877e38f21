package engine

import (
	"embed"
	"io/fs"
	"strings"
	"sync"

	"inferbench/harness/engine/ngram"
)

//go:embed prose/*.txt
var prose embed.FS

// order is the longest n-gram of the engine's own model, in bytes.
const order = 6

// own is the model that every engine serves, trained once a process on the
// suite's own prose. The text is part of the model's identity: changing it
// changes every perplexity, so a new text asks for a new accuracy baseline.
var own = sync.OnceValue(func() *ngram.Model { return ngram.Train(order, documents()) })

// documents returns the training text. A file is a document, but of a conversation
// each call is one: the model thus learns that an answer ends.
func documents() []string {
	var docs []string
	names, _ := fs.Glob(prose, "prose/*.txt")
	for _, name := range names {
		b, err := prose.ReadFile(name)
		if err != nil {
			panic(err) // embedded: cannot be missing
		}
		for i, part := range strings.Split(strings.TrimSpace(string(b)), "\n\nUser: ") {
			if i > 0 {
				part = "User: " + part
			}
			docs = append(docs, part)
		}
	}
	return docs
}
