package settings

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"strings"

	"github.com/joho/godotenv"

	"inferbench/harness/textfile"
)

// sources are the places that a setting may be given in, by name.
type sources struct {
	flags    map[string]string
	env      map[string]string
	file     map[string]string
	fileName string
	plan     map[string]string // of the batch to resume; nil where there is none
}

func readSources(flags *flag.FlagSet, environ []string, dotenv string) (sources, error) {
	from := sources{flags: map[string]string{}, env: map[string]string{}, fileName: dotenv}
	flags.Visit(func(f *flag.Flag) { from.flags[f.Name] = strings.TrimSpace(f.Value.String()) })
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		from.env[name] = strings.TrimSpace(value)
	}
	var err error
	from.file, err = readDotenv(dotenv)
	return from, err
}

// brokenLine is the line, from 1, without which and what follows the file could be read.
func brokenLine(file []byte) int {
	lines := bytes.SplitAfter(file, []byte{'\n'})
	for n := len(lines) - 1; n > 0; n-- {
		if _, err := godotenv.UnmarshalBytes(bytes.Join(lines[:n], nil)); err == nil {
			return n + 1
		}
	}
	return 1
}

// readDotenv reads the file's settings; none where there is no such file.
func readDotenv(name string) (map[string]string, error) {
	b, err := textfile.Read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	m, err := godotenv.UnmarshalBytes(b)
	if err != nil {
		// godotenv's error quotes the line it failed on, which may hold a key.
		return nil, fmt.Errorf("%s: line %d: want NAME=value lines (see .env.example)", name, brokenLine(b))
	}
	for k, v := range m {
		m[k] = strings.TrimSpace(v)
	}
	return m, nil
}

// environment is where a setting comes from that an export gave.
const environment = "the environment"

// found is a setting's value, the name it was found under, and where.
type found struct {
	name, value, where string
	fallback           bool // nobody gave it: it is the batch's or the default
}

// find looks a setting up in the order of the sources.
func (from sources) find(r row) found {
	if v := from.flags[r.Flag()]; v != "" && !r.Secret {
		return found{r.Env, v, "flag -" + r.Flag(), false}
	}
	names := append([]string{r.Env}, r.Also...)
	for _, name := range names {
		if v := from.env[name]; v != "" {
			return found{name, v, environment, false}
		}
	}
	for _, name := range names {
		if v := from.file[name]; v != "" && (from.plan == nil || r.mayChange()) {
			return found{name, v, from.fileName, false}
		}
	}
	if v := from.plan[r.Env]; v != "" {
		return found{r.Env, v, "the batch to resume", true}
	}
	return found{r.Env, r.Default, "the default", true}
}

// wrong is err with the setting's name, its value and where that came from.
func (f found) wrong(r row, err error) error {
	shown := fmt.Sprintf("%s=%q", f.name, f.value)
	if r.Secret || strings.ContainsAny(f.value, "@?") { // an address may hold a password
		shown = f.name
	}
	return fmt.Errorf("%s (from %s): %w", shown, f.where, err)
}

// Asks reports whether the sources, as for [Load], ask for a sweep: a flag or a
// line of the file does that is not the default, and so does the environment,
// but for what may stand there for other programs' sake (MODEL, PORT, keys, …).
func Asks(flags *flag.FlagSet, environ []string, dotenv string) (bool, error) {
	from, err := readSources(flags, environ, dotenv)
	if err != nil {
		return false, err
	}
	for _, r := range table {
		g := from.find(r)
		exported := r.Exported || r.Secret
		if !g.fallback && g.value != r.Default && !(g.where == environment && exported) {
			return true, nil
		}
	}
	return false, nil
}
