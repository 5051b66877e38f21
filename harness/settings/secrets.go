package settings

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"inferbench/harness/textfile"
)

// secret reads a key or a token. It goes into a header, so it is one word.
func secret(field func(*Settings) *string) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		if strings.ContainsFunc(v, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
			return errors.New("want the key alone, on one line and without white space or a word such as Bearer")
		}
		*field(s) = v
		s.secrets = append(s.secrets, v)
		return nil
	}
}

// secretFile reads a secret that was not given by itself from a file.
func secretFile(field func(*Settings) *string) func(*Settings, string) error {
	return func(s *Settings, name string) error {
		b, err := textfile.Read(name)
		if err != nil {
			return err
		}
		v := strings.TrimSpace(string(b))
		if v == "" {
			return errors.New("the file is empty: want the key in it")
		}
		if *field(s) != "" {
			return nil
		}
		return secret(field)(s, v)
	}
}

func apiKey(s *Settings) *string { return &s.Server.APIKey }

func leaderboardToken(s *Settings) *string { return &s.Board.Token }

// shortestSecret is how long a key is at least that nobody uses as a word
// elsewhere, as EMPTY and token are.
const shortestSecret = 8

// checkSecrets refuses a secret in a setting that results record.
func (s Settings) checkSecrets() error {
	for _, r := range table {
		holds := func(key string) bool { return len(key) >= shortestSecret && strings.Contains(s.Given[r.Env], key) }
		if slices.ContainsFunc(s.secrets, holds) {
			return fmt.Errorf("%s holds a key that was also given as a secret, and results record %s: leave the key out of it",
				r.Env, r.Env)
		}
	}
	return nil
}
