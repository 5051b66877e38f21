package accuracy

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"

	"inferbench/harness/corpus"
	"inferbench/harness/server"
	"inferbench/harness/textfile"
)

// heldOut is a text of this project's own in WikiText's raw format. The
// embedded engine's model is trained on other prose, so that it has never seen
// it: see docs/accuracy.md.
//
//go:embed texts/heldout.txt
var heldOut string

// HeldOutName is what a result calls the text that fits the embedded engine.
const HeldOutName = "inferbench held-out"

// TextID says exactly which text was scored.
type TextID struct {
	Name      string `json:"name"`
	SHA256    string `json:"sha256"`    // of the raw file
	Documents int    `json:"documents"` // articles; rows of gsm8k
	Bytes     int    `json:"bytes"`     // of the documents, as they are counted; of gsm8k's file
	Words     int    `json:"words,omitempty"`
	Tokens    int    `json:"tokens,omitempty"` // that were predicted, each once
}

// Text is a raw WikiText file, cut into its articles.
type Text struct {
	ID        TextID
	Documents []Document
}

// NewText cuts a raw text up and names it. It must be UTF-8 and hold at least
// one article.
func NewText(name, raw string) (*Text, error) {
	if !validText(raw) {
		return nil, fmt.Errorf("text %s: want UTF-8 in WikiText's raw format, with something in it", name)
	}
	t := &Text{ID: TextID{Name: name, SHA256: corpus.Digest([]byte(raw))}, Documents: SplitDocuments(raw)}
	t.ID.Documents = len(t.Documents)
	for _, d := range t.Documents {
		t.ID.Words += d.Words
		t.ID.Bytes += d.Bytes
	}
	return t, nil
}

// HeldOut is the text that fits the embedded engine.
func HeldOut() *Text {
	t, err := NewText(HeldOutName, heldOut)
	if err != nil {
		panic(err) // it is part of the program, and a test reads it
	}
	return t
}

// loadText is the file that the user names, else the text that fits the server:
// the suite's own for the embedded engine, WikiText-2 for every other. It never
// takes one for another: where WikiText-2 cannot be had, that is an error.
func loadText(ctx context.Context, t *server.Server, o Options) (*Text, error) {
	path := o.Files[corpus.WikiText2.Setting]
	if path == "" && t.Loopback {
		return HeldOut(), nil
	}
	var raw []byte
	var err error
	if path == "" {
		if raw, err = o.cache().Get(ctx, corpus.WikiText2); err != nil {
			return nil, fmt.Errorf("the text to score: %w", err)
		}
	} else {
		if raw, err = os.ReadFile(path); err == nil {
			raw, err = corpus.Wikitext(raw, corpus.WikiText2.Base)
		}
		if err == nil {
			raw, err = textfile.Clean(raw)
		}
		if err != nil {
			return nil, fmt.Errorf("WIKITEXT=%s: %w", path, err)
		}
	}
	name := filepath.Base(path)
	if corpus.WikiText2.Check(raw) == nil { // a copy of the text of record is that text
		name = corpus.WikiText2.Name
	}
	return NewText(name, string(raw))
}

func (o Options) cache() *corpus.Cache {
	c := o.Cache
	c.OnProgress = o.OnFetch
	return &c
}
