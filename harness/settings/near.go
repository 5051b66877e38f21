package settings

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// nearMisses says which names in the environment and in .env are nearly one of
// ours, a line each. A slip of the keyboard would otherwise mean hours of another
// sweep than was asked for.
func (from sources) nearMisses() []string {
	var out []string
	say := func(name, where string, meant string) {
		out = append(out, fmt.Sprintf("%s (in %s) is no setting and is not read: did you mean %s?", name, where, meant))
	}
	for _, name := range slices.Sorted(maps.Keys(from.env)) {
		if r, ok := nearest(name, likely); ok && from.env[name] != "" && from.find(r).fallback {
			say(name, "the environment", r.Env)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(from.file)) {
		if r, ok := nearest(name, possible); ok {
			say(name, from.fileName, r.Env)
		}
	}
	return out
}

// nearest is the setting that name was probably meant to be. Ours itself is
// none, nor is a name that belongs to somebody else.
func nearest(name string, near func(name, ours string) bool) (meant row, ok bool) {
	ours := func(r row) bool { return name == r.Env || slices.Contains(r.Also, name) }
	if foreign[name] || slices.ContainsFunc(table, ours) {
		return row{}, false
	}
	plain := letters(name)
	for _, r := range table {
		same := func(name string) bool { return plain == letters(name) }
		if same(r.Env) || slices.ContainsFunc(r.Elsewhere, same) {
			return r, true
		}
	}
	for _, r := range table {
		ours := letters(r.Env)
		if !near(plain, ours) {
			continue
		}
		if !ok || fumbled(plain, ours) || distance(plain, ours) < distance(plain, letters(meant.Env)) {
			meant, ok = r, true
		}
	}
	return meant, ok
}

// letters is a name without its case and its underscores, which people mix up.
func letters(name string) string {
	return strings.ToUpper(strings.NewReplacer("_", "", "-", "").Replace(name))
}

// likely reports whether name, of the environment that a whole machine shares,
// is a slip of ours. Of a short name another letter makes another word (TEAM and
// TERM, MODE and NODE), so there it must be a slip that makes none.
func likely(name, ours string) bool {
	switch {
	case len(ours) >= 9:
		return distance(name, ours) == 1
	case len(ours) >= 4:
		return fumbled(name, ours)
	}
	return false
}

// possible reports the same of a name in .env, a file that was written for us.
func possible(name, ours string) bool {
	switch {
	case len(ours) >= 9:
		return distance(name, ours) <= 2
	case len(ours) >= 4:
		return distance(name, ours) == 1
	}
	return len(ours) == 3 && fumbled(name, ours)
}

// fumbled reports whether name is ours with a letter doubled or two neighbours
// swapped.
func fumbled(name, ours string) bool {
	if distance(name, ours) != 1 {
		return false
	}
	if len(name) != len(ours)+1 {
		return len(name) == len(ours) && sameLetters(name, ours)
	}
	for i := range ours {
		if name == ours[:i]+ours[i:i+1]+ours[i:] {
			return true
		}
	}
	return false
}

func sameLetters(a, b string) bool {
	x, y := []byte(a), []byte(b)
	slices.Sort(x)
	slices.Sort(y)
	return string(x) == string(y)
}

// distance is how many letters must be added, left out, changed or swapped with
// their neighbour to make b of a (optimal string alignment).
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			changed := 1
			if a[i-1] == b[j-1] {
				changed = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+changed)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

// foreign are names near to one of ours that are known to be somebody else's.
var foreign = func() map[string]bool {
	out := map[string]bool{}
	for _, name := range strings.Fields(`TERM NODE CODE MODELS PORTS POST PART SORT SPEED FEED SEEDS GRACE TRACES SHARE
		STEAM TEAMS API_KEYS DATASETS HEADER CONF CONN CON CONE ENDPOINTS READ_TIMEOUT REQUESTS_TIMEOUT`) {
		out[name] = true
	}
	return out
}()
