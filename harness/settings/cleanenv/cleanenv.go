// Package cleanenv, imported by tests, takes the suite's settings out of the
// environment of their process: who has exported MODEL or BASE_URL, as the
// competition's guide tells people to, gets the same tests as everybody else. Tests
// that start a command hand it an environment that is clean too.
package cleanenv

import (
	"os"

	"inferbench/harness/settings"
)

func init() {
	for _, name := range settings.Names() {
		os.Unsetenv(name)
	}
}
