// Package tokenizer turns text into a model's tokens from its tokenizer.json,
// the file that models carry on Hugging Face, for servers that have no
// /tokenize of their own.
//
// It does what Hugging Face's tokenizers library does, for the parts that
// language models use: BPE (byte-level as GPT-2, Llama 3, Qwen, DeepSeek and
// GPT-OSS have it, and SentencePiece-like with byte fallback) and Unigram. A
// file that asks for anything else is refused by name: a token that is nearly
// right would spoil a figure without a word. Tests hold it to that library's own
// answers; see docs/accuracy.md for why no Go library is used instead.
package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"inferbench/harness/textfile"
)

// Tokenizer is a loaded tokenizer.json. It may be used by several goroutines.
type Tokenizer struct {
	added     *addedTokens
	normalize normalizer
	split     preTokenizer
	model     model
	decoder   *decoder
	bos, eos  string // names of the tokens that begin and end a text; empty where unknown
}

// model cuts a piece of text, which the steps before it made, into tokens.
type model interface {
	// encode appends the piece's tokens.
	encode(ids []int32, piece string) []int32
	// id is the id of a token by its name.
	id(name string) (int32, bool)
	// top is the highest id.
	top() int32
	// all is every token by its name.
	all() map[string]int32
}

// file is tokenizer.json, as far as it is read.
type file struct {
	AddedTokens   []addedToken    `json:"added_tokens"`
	Normalizer    json.RawMessage `json:"normalizer"`
	PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
	PostProcessor json.RawMessage `json:"post_processor"`
	Decoder       json.RawMessage `json:"decoder"`
	Model         json.RawMessage `json:"model"`
}

// Load reads a tokenizer.json, or the one in a folder. Which tokens begin and
// end a text it finds in tokenizer_config.json beside it, or else, for the
// beginning, in the file's own post-processor.
func Load(path string) (*Tokenizer, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, "tokenizer.json")
	}
	b, err := textfile.Read(path)
	if err != nil {
		return nil, err
	}
	t, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if c, err := textfile.Read(filepath.Join(filepath.Dir(path), "tokenizer_config.json")); err == nil {
		var config struct {
			BOS name `json:"bos_token"`
			EOS name `json:"eos_token"`
		}
		if err := json.Unmarshal(c, &config); err != nil {
			return nil, fmt.Errorf("tokenizer_config.json beside %s: %w", path, err)
		}
		t.bos, t.eos = string(config.BOS), string(config.EOS)
	}
	return t, nil
}

func parse(b []byte) (*Tokenizer, error) {
	var f file
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, fmt.Errorf("not a tokenizer.json: %w", err)
	}
	t := new(Tokenizer)
	var err error
	if t.normalize, err = newNormalizer(f.Normalizer); err != nil {
		return nil, err
	}
	if t.split, err = newPreTokenizer(f.PreTokenizer); err != nil {
		return nil, err
	}
	if t.model, err = newModel(f.Model); err != nil {
		return nil, err
	}
	t.added = newAddedTokens(f.AddedTokens, t.normalize)
	t.bos, t.decoder = firstSpecial(f.PostProcessor), newDecoder(f.Decoder)
	return t, nil
}

// Encode returns the tokens of text, without any that the tokenizer would add of
// itself. The names of special tokens in the text are those tokens, as with
// Hugging Face.
func (t *Tokenizer) Encode(text string) (ids []int32, err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case patternError:
			ids, err = nil, fmt.Errorf("tokenize: %s", oneLine(r.Error()))
		default:
			panic(r)
		}
	}()
	if !utf8.ValidString(text) {
		return nil, errors.New("tokenize: the text is not UTF-8")
	}
	ids = make([]int32, 0, len(text)/3+8)
	for _, p := range t.added.cut(text, t.normalize) {
		if p.isToken {
			ids = append(ids, p.id)
			continue
		}
		for _, q := range t.split([]piece{p}) {
			ids = t.model.encode(ids, q.text)
		}
	}
	return ids, nil
}

// ID returns the id of a token by its name, as <s>.
func (t *Tokenizer) ID(name string) (int32, bool) {
	if id, ok := t.added.ids[name]; ok {
		return id, true
	}
	return t.model.id(name)
}

// Size returns how many ids there are, from 0 to the highest: some may name nothing.
func (t *Tokenizer) Size() int {
	top := t.model.top()
	for _, id := range t.added.ids {
		top = max(top, id)
	}
	return int(top) + 1
}

// ErrNoPrefix: the files do not say which token begins or ends a text.
var ErrNoPrefix = errors.New("neither tokenizer_config.json nor the tokenizer's post-processor names a token that " +
	"begins a text (BOS) or ends one (EOS)")

// Prefix returns the token that a text's first token is conditioned on, as
// lm-evaluation-harness picks it: BOS, or EOS where there is none.
func (t *Tokenizer) Prefix() (int32, error) {
	for _, name := range []string{t.bos, t.eos} {
		if name == "" {
			continue
		}
		if id, ok := t.ID(name); ok {
			return id, nil
		}
		return 0, fmt.Errorf("tokenizer_config.json names %q, which is no token", name)
	}
	return 0, ErrNoPrefix
}

// name is a special token as tokenizer_config.json writes it: a string, an
// object whose content is one, or null.
type name string

func (n *name) UnmarshalJSON(b []byte) error {
	if json.Unmarshal(b, (*string)(n)) == nil {
		return nil
	}
	var obj struct{ Content string }
	err := json.Unmarshal(b, &obj)
	*n = name(obj.Content)
	return err
}

// firstSpecial returns the special token that a post-processor puts before a text.
func firstSpecial(raw json.RawMessage) string {
	var p struct {
		Type       string            `json:"type"`
		Processors []json.RawMessage `json:"processors"` // of a Sequence
		Single     []struct {
			Special *struct {
				ID string `json:"id"`
			} `json:"SpecialToken"`
		} `json:"single"` // of a TemplateProcessing
	}
	if json.Unmarshal(raw, &p) != nil {
		return ""
	}
	for _, sub := range p.Processors {
		if s := firstSpecial(sub); s != "" {
			return s
		}
	}
	if len(p.Single) > 0 && p.Single[0].Special != nil {
		return p.Single[0].Special.ID
	}
	return ""
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
