// Package tune reads a recipe of server commands to try, keeps what became of each,
// and says which is best. It runs nothing: package suite does.
package tune

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"inferbench/harness/textfile"
)

// Recipe says which server commands are tried, and how each is measured.
type Recipe struct {
	Name string // the file's, without its end
	Port int    // on which every server listens; 0: not said
	Arms []Arm
	Text []byte // as it was read
}

// Arm is one command of a recipe.
type Arm struct {
	Name     string `json:"name"`
	Command  string `json:"command"` // a line for the shell
	Env      []Pair `json:"env,omitempty"`
	Settings []Pair `json:"settings,omitempty"` // of its sweep
}

// Pair is a name and its value.
type Pair struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// most is how many arms a recipe may have: each takes minutes at the least.
const most = 500

// Read reads a recipe. The error is one line that says where in the file what is
// wrong.
func Read(path string) (*Recipe, error) {
	text, err := textfile.Read(path)
	if err != nil {
		return nil, err
	}
	r, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	base := filepath.Base(path)
	r.Name = strings.TrimSuffix(base, filepath.Ext(base))
	return r, nil
}

// Parse reads the text of a recipe.
func Parse(text []byte) (*Recipe, error) {
	var doc yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	err := decoder.Decode(&doc)
	switch {
	case errors.Is(err, io.EOF), err == nil && len(doc.Content) == 1 && doc.Content[0].Tag == "!!null":
		return nil, errors.New("the recipe is empty: want a command, and vary or arms")
	case err != nil:
		return nil, errors.New(strings.ReplaceAll(strings.TrimPrefix(err.Error(), "yaml: "), "\n", " "))
	case decoder.Decode(new(yaml.Node)) != io.EOF:
		return nil, errors.New("want one document: what follows --- would not be read")
	}
	var d draft
	if err := d.read(doc.Content[0]); err != nil {
		return nil, err
	}
	r := &Recipe{Port: d.port, Text: text}
	if r.Arms, err = d.arms(); err != nil {
		return nil, err
	}
	return r, nil
}

// draft is a recipe as it is written.
type draft struct {
	base   written
	port   int
	vary   []choice
	listed []written
}

// written is an arm as it is written, or what all arms have in common.
type written struct {
	name, command string
	line          int
	flags         []flag
	env, settings []Pair
}

// choice is a flag or a variable with the values that it takes in turn.
type choice struct {
	key    string
	values []flag
	line   int
}

// flag is a flag or variable with a value.
type flag struct {
	key   string
	words []string
	truth *bool // the value is true or false
}

func (d *draft) read(n *yaml.Node) error {
	return eachKey(n, "command, port, env, settings, flags, vary or arms", func(key string, v *yaml.Node) (err error) {
		switch key {
		case "port":
			if d.port, err = strconv.Atoi(v.Value); err != nil || d.port < 1 || d.port > 65535 {
				return at(v, "port: %q: want a number from 1 to 65535", v.Value)
			}
		case "vary":
			d.vary, err = choices(v)
		case "arms":
			d.listed, err = list(v)
		case "name":
			return errUnknown
		default:
			err = d.base.read(key, v)
		}
		return err
	})
}

// errUnknown is the error for a key that is none.
var errUnknown = errors.New("unknown key")

// read reads a key that an arm may have.
func (w *written) read(key string, v *yaml.Node) (err error) {
	switch key {
	case "name":
		w.name, err = text(v)
	case "command":
		if w.command, err = text(v); err == nil && strings.TrimSpace(w.command) == "" {
			err = at(v, "command is empty")
		}
	case "flags":
		w.flags, err = flags(v)
	case "env":
		w.env, err = pairs(v, variable)
	case "settings":
		w.settings, err = pairs(v, setting)
	default:
		return errUnknown
	}
	return err
}

func list(n *yaml.Node) (out []written, err error) {
	if n = real(n); n.Kind != yaml.SequenceNode {
		return nil, at(n, "arms: want a list")
	}
	for _, item := range n.Content {
		w := written{line: item.Line}
		if err := eachKey(item, "name, command, flags, env or settings", w.read); err != nil {
			return nil, err
		}
		out = append(out, w)
	}
	return out, nil
}

func choices(n *yaml.Node) (out []choice, err error) {
	err = eachKey(n, "", func(key string, v *yaml.Node) error {
		c := choice{key: key, line: v.Line}
		if !isFlag(key) && !variableName.MatchString(key) {
			return at(v, "vary: %q: want a flag, as --max-num-seqs, or a variable in capitals, as VLLM_USE_V1", key)
		}
		items := []*yaml.Node{v}
		if v.Kind == yaml.SequenceNode {
			items = v.Content
		}
		for _, item := range items {
			f, err := value(key, item)
			if err != nil {
				return err
			}
			c.values = append(c.values, f)
		}
		if len(c.values) == 0 {
			return at(v, "vary: %s has no values", key)
		}
		out = append(out, c)
		return nil
	})
	return out, err
}

func flags(n *yaml.Node) (out []flag, err error) {
	err = eachKey(n, "", func(key string, v *yaml.Node) error {
		if !isFlag(key) {
			return at(v, "flags: %q: want a flag, as --max-num-seqs", key)
		}
		f, err := value(key, v)
		out = append(out, f)
		return err
	})
	return out, err
}

// value reads a value of a flag or variable: a word, true or false, or a list of
// words.
func value(key string, n *yaml.Node) (flag, error) {
	f := flag{key: key}
	if n = real(n); n.Kind == yaml.SequenceNode {
		for _, item := range n.Content {
			word, err := text(item)
			if err != nil {
				return f, err
			}
			f.words = append(f.words, word)
		}
		return f, nil
	}
	word, err := text(n)
	if err != nil {
		return f, err
	}
	f.words = []string{word}
	if n.Tag == "!!bool" {
		yes := strings.EqualFold(word, "true")
		f.truth = &yes
	}
	return f, nil
}

var (
	variableName = regexp.MustCompile(`^[A-Z_][A-Z0-9_]*$`)
	anyVariable  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	secretName   = regexp.MustCompile(`(?i)(TOKEN|PASSWORD|SECRET|CREDENTIALS|API_?KEY|(^|_)KEY)$`)
	secretFlag   = regexp.MustCompile(`(?i)(--?[a-z-]*(?:api[-_]key|password|secret|auth[-_]token))(?:[ =]+)(["']?[^\s$"']\S*)`)
)

// Secret reports whether a variable of that name holds a secret.
func Secret(name string) bool { return secretName.MatchString(name) }

func isFlag(key string) bool { return len(key) > 1 && key[0] == '-' }

func variable(name string) error {
	switch {
	case !anyVariable.MatchString(name):
		return fmt.Errorf("env: %q is no name of a variable", name)
	case name == "PORT":
		return errors.New("env: PORT: the servers' port is the key port, and every command has it as $PORT")
	case Secret(name):
		return fmt.Errorf("env: %s looks like a secret, and a recipe is kept with its results: export it instead, every "+
			"command has it then", name)
	}
	return nil
}

func setting(name string) error {
	switch {
	case !variableName.MatchString(name):
		return fmt.Errorf("settings: %q: want a setting in capitals, as CONC", name)
	case slices.Contains([]string{"BASE_URL", "PORT", "RESULTS_DIR", "RESUME", "ESTIMATE", "SHARD", "SHARD_DIR", "JUNIT",
		"RESULT_FILENAME"}, name):
		return fmt.Errorf("settings: %s is not an arm's to choose: tune says where each server is and where its results go",
			name)
	}
	return nil
}

func pairs(n *yaml.Node, check func(name string) error) (out []Pair, err error) {
	err = eachKey(n, "", func(key string, v *yaml.Node) error {
		if err := check(key); err != nil {
			return at(v, "%w", err)
		}
		if v = real(v); v.Kind == yaml.SequenceNode { // CONC: [4, 8]
			var words []string
			for _, item := range v.Content {
				word, err := text(item)
				if err != nil {
					return err
				}
				words = append(words, word)
			}
			out = append(out, Pair{key, strings.Join(words, ",")})
			return nil
		}
		word, err := text(v)
		out = append(out, Pair{key, word})
		return err
	})
	return out, err
}

// text is a scalar as it is written.
func text(n *yaml.Node) (string, error) {
	if n = real(n); n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		return "", at(n, "want a word, a number, or true or false")
	}
	if strings.ContainsRune(n.Value, 0) {
		return "", at(n, "a zero byte cannot be handed to a command")
	}
	return n.Value, nil
}

// eachKey calls do for each key of a mapping. known names the keys that there are,
// for the error of one that is not.
func eachKey(n *yaml.Node, known string, do func(string, *yaml.Node) error) error {
	if n = real(n); n.Kind != yaml.MappingNode {
		return at(n, "want keys with values, as command: …")
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, v := n.Content[i], real(n.Content[i+1])
		if seen[key.Value] {
			return at(key, "%q stands here twice", key.Value)
		}
		seen[key.Value] = true
		err := do(key.Value, v)
		if errors.Is(err, errUnknown) {
			return at(key, "unknown key %q: want %s", key.Value, known)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// real is what an alias stands for.
func real(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// at is an error with the line of the file.
func at(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("line %d: %w", n.Line, fmt.Errorf(format, args...))
}
