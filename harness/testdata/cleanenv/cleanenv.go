// Package cleanenv, imported by tests, takes the suite's settings out of the
// environment of their process: who has exported MODEL or BASE_URL, as the
// competition's guide tells people to, gets the same tests as everybody else. Tests
// that start a command hand it an environment that is clean too.
//
// Like its neighbours it lies in testdata because it is for tests alone: it is no
// part of the program, and ./... does not look here.
package cleanenv

import (
	"os"
	"regexp"
	"strings"

	"inferbench/harness/settings"
)

func init() {
	var example strings.Builder
	if err := settings.WriteExample(&example); err != nil {
		panic(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^([A-Z0-9_]+)=`).FindAllStringSubmatch(example.String(), -1) {
		os.Unsetenv(m[1])
	}
	for _, name := range []string{"TEAM_NAME_ENV", "LB_URL_OVERRIDE"} { // the guide's names for two of them
		os.Unsetenv(name)
	}
}
