package accuracy

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"

	"inferbench/harness/target"
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
	Documents int    `json:"documents"` // articles
	Words     int    `json:"words"`
	Bytes     int    `json:"bytes"`  // of the documents, as they are counted
	Tokens    int    `json:"tokens"` // that were predicted, each once
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
	sum := sha256.Sum256([]byte(raw))
	t := &Text{ID: TextID{Name: name, SHA256: hex.EncodeToString(sum[:])}, Documents: SplitDocuments(raw)}
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

func loadText(ctx context.Context, t *target.Target, o Options) (*Text, error) {
	switch {
	case o.Wikitext != "":
		b, err := os.ReadFile(o.Wikitext)
		if err != nil {
			return nil, fmt.Errorf("WIKITEXT: %w", err)
		}
		return NewText(filepath.Base(o.Wikitext), string(b))
	case t.Loopback:
		return HeldOut(), nil
	}
	return nil, fmt.Errorf("no text to score: set WIKITEXT to the path of WikiText-2's raw test file (wiki.test.raw)")
}
