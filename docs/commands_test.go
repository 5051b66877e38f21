package docs

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/settings"
)

// commands are the lines of a page's sh blocks, without comments.
func commands(t *testing.T, page string) []string {
	t.Helper()
	b, err := os.ReadFile(page)
	require.NoError(t, err)
	var out []string
	for _, block := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```").FindAllStringSubmatch(string(b), -1) {
		text := strings.ReplaceAll(block[1], "\\\n", " ")
		for _, line := range strings.Split(text, "\n") {
			line, _, _ = strings.Cut(line, " #")
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				out = append(out, line)
			}
		}
	}
	return out
}

// Many of the competition's users read Chinese first: what they are told to
// type is what everybody is told.
func TestBothLanguagesShowTheSameCommands(t *testing.T) {
	for page, translated := range translations {
		english, chinese := commands(t, page), commands(t, translated)
		assert.Greater(t, len(english), 10, page)
		assert.Equal(t, english, chinese, translated)
	}
}

// translations are the pages that there are in Chinese too.
var translations = map[string]string{"quickstart.md": "../README.zh-CN.md", "competition.md": "zh/competition.md"}

var (
	heading = regexp.MustCompile(`(?m)^(#+) `)
	code    = regexp.MustCompile("`[^`]+`")
	block   = regexp.MustCompile("(?ms)^```.*?^```\n")
)

// shape is what two languages of a page share: the levels of its headings, and of
// each row of its tables the number of cells and what is code or a number in them.
func shape(t *testing.T, page string) (headings []string, rows []string) {
	t.Helper()
	b, err := os.ReadFile(page)
	require.NoError(t, err)
	text := block.ReplaceAllString(string(b), "")
	for _, h := range heading.FindAllStringSubmatch(text, -1) {
		headings = append(headings, h[1])
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "|") {
			rows = append(rows, fmt.Sprint(strings.Count(line, "|"), code.FindAllString(line, -1)))
		}
	}
	return headings, rows
}

func TestBothLanguagesHaveTheSameHeadingsAndTables(t *testing.T) {
	for page, translated := range translations {
		headings, rows := shape(t, page)
		assert.Greater(t, len(headings), 4, page)
		assert.NotEmpty(t, rows, page)
		h, r := shape(t, translated)
		assert.Equal(t, headings, h, translated)
		assert.Equal(t, rows, r, translated)
		b, err := os.ReadFile(translated)
		require.NoError(t, err)
		for _, text := range heading.Split(block.ReplaceAllString(string(b), ""), -1)[1:] {
			assert.Regexp(t, `\p{Han}`, text, "a section that is not translated")
		}
	}
	pages, err := filepath.Glob("zh/*.md")
	require.NoError(t, err)
	assert.Len(t, pages, len(translations)-1, "a page of zh/ that is compared with none")
}

// Every command of every page names make verbs, settings, flags, programs and
// scripts that exist.
func TestCommandsExist(t *testing.T) {
	makefile, err := os.ReadFile("../Makefile")
	require.NoError(t, err)
	dev, err := os.ReadFile("../dev.mk")
	require.NoError(t, err)
	makefile = append(makefile, dev...)
	inferbench := ""
	sources, err := filepath.Glob("../cmd/inferbench/*.go")
	require.NoError(t, err)
	for _, f := range sources {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		inferbench += string(b)
	}
	example, err := os.ReadFile("../.env.example")
	require.NoError(t, err)
	verb := func(name string) bool {
		return regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + `:`).Match(makefile)
	}
	variable := func(name string) bool {
		inMake := strings.Contains(string(makefile), "$("+name+")") || strings.Contains(string(makefile), "$${"+name)
		return inMake || regexp.MustCompile(`(?m)^`+name+`=`).Match(example) || usedByScripts(t, name)
	}
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	settings.Register(flags)

	pages, err := filepath.Glob("*.md")
	require.NoError(t, err)
	chinese, err := filepath.Glob("zh/*.md")
	require.NoError(t, err)
	pages = append(pages, chinese...)
	top, err := filepath.Glob("../*.md")
	require.NoError(t, err)
	n := 0
	for _, page := range append(pages, top...) {
		for _, line := range commands(t, page) {
			n++
			words := strings.Fields(line)
			for len(words) > 0 && regexp.MustCompile(`^[A-Z_]+=`).MatchString(words[0]) {
				name, _, _ := strings.Cut(words[0], "=")
				assert.True(t, variable(name), "%s: %s: no setting %s", page, line, name)
				words = words[1:]
			}
			if len(words) == 0 {
				continue
			}
			switch {
			case words[0] == "make":
				for _, w := range words[1:] {
					name, _, isVariable := strings.Cut(w, "=")
					switch {
					case isVariable && regexp.MustCompile(`^[A-Z_]+$`).MatchString(name):
						assert.True(t, variable(name), "%s: %s: no variable %s", page, line, name)
					case regexp.MustCompile(`^[a-z-]+$`).MatchString(w) && !strings.HasPrefix(w, "-"):
						assert.True(t, verb(w), "%s: %s: no verb %s", page, line, w)
					}
				}
			case words[0] == "go" && len(words) > 1 && words[1] == "test":
				for _, w := range words[2:] {
					if name, ok := strings.CutPrefix(w, "-"); ok {
						name, _, _ = strings.Cut(name, "=")
						own := slices.Contains(strings.Fields("run bench count timeout v race tags json list c o fuzz fuzztime update short cpu"), name)
						assert.True(t, own || flags.Lookup(name) != nil, "%s: %s: no flag -%s", page, line, name)
					}
				}
			case strings.TrimPrefix(words[0], "./") == "inferbench" && len(words) > 1:
				assert.Regexp(t, `(Use: "|sweepCommand\(")`+words[1]+`\b`, inferbench, "%s: %s: no such command", page, line)
			case words[0] == "go" && len(words) > 2 && words[1] == "run" && strings.HasPrefix(words[2], "./"):
				assert.DirExists(t, filepath.Join("..", words[2]), "%s: %s", page, line)
			case strings.HasPrefix(words[0], "scripts/") || strings.HasPrefix(words[0], "./scripts/"):
				assert.FileExists(t, filepath.Join("..", words[0]), "%s: %s", page, line)
			}
		}
	}
	assert.Greater(t, n, 40, "the pages' commands were found")
}

// usedByScripts reports whether a script takes the variable.
func usedByScripts(t *testing.T, name string) bool {
	t.Helper()
	scripts, err := filepath.Glob("../scripts/*.sh")
	require.NoError(t, err)
	for _, s := range scripts {
		b, err := os.ReadFile(s)
		require.NoError(t, err)
		if strings.Contains(string(b), "${"+name) {
			return true
		}
	}
	return false
}

// A page's links lead to files that are there.
func TestLinksLeadSomewhere(t *testing.T) {
	for _, dir := range []string{".", ".."} {
		pages, err := filepath.Glob(filepath.Join(dir, "*.md"))
		require.NoError(t, err)
		for _, page := range pages {
			b, err := os.ReadFile(page)
			require.NoError(t, err)
			for _, m := range regexp.MustCompile(`\]\(([^)#\s]+)`).FindAllStringSubmatch(string(b), -1) {
				if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
					continue
				}
				_, err := os.Stat(filepath.Join(dir, m[1]))
				assert.NoError(t, err, "%s links to %s", page, m[1])
			}
		}
	}
}

// The pages that code and scripts send a reader to are there.
func TestPagesThatTheCodeNamesExist(t *testing.T) {
	named := regexp.MustCompile(`\bdocs/[a-z-]+\.md`)
	require.NoError(t, filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != ".." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules") {
			return fs.SkipDir
		}
		if ext := filepath.Ext(path); ext != ".go" && ext != ".sh" && d.Name() != "Makefile" && d.Name() != "dev.mk" {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, page := range named.FindAllString(string(b), -1) {
			assert.FileExists(t, filepath.Join("..", page), "%s names it", path)
		}
		return nil
	}))
}

// The index leads to every page, and the README to the index.
func TestEveryPageIsInTheIndex(t *testing.T) {
	index, err := os.ReadFile("README.md")
	require.NoError(t, err)
	pages, err := filepath.Glob("*.md")
	require.NoError(t, err)
	for _, page := range pages {
		if page != "README.md" {
			assert.Contains(t, string(index), "]("+page+")", "docs/README.md does not lead to it")
		}
	}
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	assert.Contains(t, string(readme), "](docs/README.md)")
}
