package tune

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// arms are the commands that a draft comes to: every combination of what varies,
// then those that are listed.
func (d *draft) arms() ([]Arm, error) {
	if len(d.vary) == 0 && len(d.listed) == 0 {
		return nil, errors.New("nothing varies: want vary, a grid of flags and variables, or arms, a list")
	}
	n := len(d.listed)
	grid := 1
	for _, c := range d.vary {
		if grid *= len(c.values); grid > most {
			break
		}
	}
	if len(d.vary) > 0 {
		n += grid
	}
	if n > most {
		return nil, fmt.Errorf("%d or more commands: want at most %d", n, most)
	}
	var out []Arm
	if len(d.vary) > 0 {
		for i := range grid {
			w := d.combination(i)
			a, err := d.arm(w)
			if err != nil {
				return nil, err
			}
			out = append(out, a)
		}
	}
	for i, w := range d.listed {
		if w.name == "" {
			w.name = strings.TrimSpace(w.describe(strconv.Itoa(i + 1)))
		}
		a, err := d.arm(w)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, distinct(out)
}

// combination is the i-th of the grid; the last key changes fastest.
func (d *draft) combination(i int) (w written) {
	for _, c := range slices.Backward(d.vary) {
		f := c.values[i%len(c.values)]
		i /= len(c.values)
		if isFlag(c.key) {
			w.flags = append(w.flags, f)
		} else {
			w.env = append(w.env, Pair{c.key, strings.Join(f.words, " ")})
		}
		w.line = c.line
	}
	slices.Reverse(w.flags)
	slices.Reverse(w.env)
	var parts []string
	for _, c := range d.vary {
		for _, f := range w.flags {
			if f.key == c.key {
				parts = append(parts, f.name())
			}
		}
		for _, e := range w.env {
			if e.Name == c.key {
				parts = append(parts, e.Name+"="+e.Value)
			}
		}
	}
	w.name = strings.Join(parts, " ")
	return w
}

// describe names an arm that has no name by what it changes, or as a number.
func (w written) describe(number string) string {
	var parts []string
	for _, f := range w.flags {
		parts = append(parts, f.name())
	}
	for _, e := range w.env {
		parts = append(parts, e.Name+"="+e.Value)
	}
	if parts == nil {
		return "command " + number
	}
	return strings.Join(parts, " ")
}

// name is the flag for people: max-num-seqs=64.
func (f flag) name() string {
	return strings.TrimRight(strings.TrimLeft(f.key, "-"), "=") + "=" + strings.Join(f.words, " ")
}

// line is the flag as the shell reads it; "" for one that is false. A key that
// ends in = takes its value in the same word, true and false as well.
func (f flag) line() string {
	var quoted []string
	for _, w := range f.words {
		quoted = append(quoted, quote(w))
	}
	value := strings.Join(quoted, " ")
	switch {
	case strings.HasSuffix(f.key, "="):
		return " " + f.key + value
	case f.truth != nil && !*f.truth:
		return ""
	case f.truth != nil:
		return " " + f.key
	}
	return " " + f.key + " " + value
}

// arm is a command with what it has in common with the others.
func (d *draft) arm(w written) (Arm, error) {
	a := Arm{Name: strings.TrimSpace(w.name), Command: strings.TrimSpace(d.base.command),
		Env: join(d.base.env, w.env), Settings: join(d.base.settings, w.settings)}
	if w.command != "" {
		a.Command = strings.TrimSpace(w.command)
	}
	fail := func(format string, args ...any) (Arm, error) {
		return a, fmt.Errorf("line %d: %w", w.line, fmt.Errorf(format, args...))
	}
	if a.Command == "" {
		return fail("there is no command: give one for all, or each arm its own")
	}
	for _, e := range w.env { // of vary, where it was not checked
		if err := variable(e.Name); err != nil {
			return fail("%w", err)
		}
	}
	for _, f := range override(d.base.flags, w.flags) {
		a.Command += f.line()
	}
	if m := secretFlag.FindStringSubmatch(a.Command); m != nil {
		return fail("%s: a secret in a command can be read by all, and is kept with the results: export it, and write %s "+
			"$ITS_NAME", m[1], m[1])
	}
	if m := portFlag.FindStringSubmatch(a.Command); m != nil && d.port != 0 && m[1] != strconv.Itoa(d.port) {
		return fail("the command has port %s, but the recipe's port is %d: write --port $PORT", m[1], d.port)
	}
	return a, nil
}

var portFlag = regexp.MustCompile(`(?:^|\s)--?port[ =](\d+)(?:\s|$)`)

// PortOf is the port that a command names itself; 0 where it names none.
func PortOf(command string) int {
	if m := portFlag.FindStringSubmatch(command); m != nil {
		n, _ := strconv.Atoi(m[1])
		return n
	}
	return 0
}

// override is base with what over has instead or besides.
func override(base, over []flag) []flag {
	out := slices.Clone(base)
	for _, f := range over {
		if i := slices.IndexFunc(out, func(o flag) bool { return o.key == f.key }); i >= 0 {
			out[i] = f
		} else {
			out = append(out, f)
		}
	}
	return out
}

// join is base with what over has instead or besides.
func join(base, over []Pair) []Pair {
	out := slices.Clone(base)
	for _, p := range over {
		if i := slices.IndexFunc(out, func(o Pair) bool { return o.Name == p.Name }); i >= 0 {
			out[i] = p
		} else {
			out = append(out, p)
		}
	}
	return out
}

// distinct is the error for two arms of one name, or of one command.
func distinct(arms []Arm) error {
	names, lines := map[string]bool{}, map[string]string{}
	for _, a := range arms {
		if names[a.Name] {
			return fmt.Errorf("two commands are called %q: give each a name of its own", a.Name)
		}
		names[a.Name] = true
		line := fmt.Sprint(a.Line(0), a.Settings)
		if other, twice := lines[line]; twice {
			return fmt.Errorf("%q and %q are one command: %s", other, a.Name, a.Line(0))
		}
		lines[line] = a.Name
	}
	return nil
}

// Line is the exact command with its variables, to be pasted into a shell. port is
// that of the server; 0 leaves it out.
func (a Arm) Line(port int) string {
	var vars []string
	if port > 0 {
		vars = append(vars, fmt.Sprintf("PORT=%d", port))
	}
	for _, e := range a.Env {
		vars = append(vars, e.Name+"="+quote(e.Value))
	}
	switch {
	case vars == nil:
		return a.Command
	case strings.ContainsAny(a.Command, "$`;&|()<>\n"): // the shell reads these before it sets variables for one command
		return "(export " + strings.Join(vars, " ") + "; " + a.Command + ")"
	}
	return strings.Join(vars, " ") + " " + a.Command
}

// quote makes one word of the shell of a text.
func quote(s string) string {
	if s != "" && strings.IndexFunc(s, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=:,./@%", r)
	}) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
