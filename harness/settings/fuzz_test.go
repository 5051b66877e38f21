package settings

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever .env holds, loading ends in checked settings or in one line that
// shows no key.
func FuzzDotenv(f *testing.F) {
	var example bytes.Buffer
	require.NoError(f, WriteExample(&example))
	f.Add(example.Bytes())
	f.Add([]byte("ISL=1024\nOSL='1024'\nCONC=\"4,8\"\n# note\nexport PORT=1\n"))
	f.Add([]byte("API_KEY=\"not closed\nISL=\x00"))
	f.Add([]byte("RANDOM_RANGE_RATIO=NaN\nBASE_URL=http://u:p@h\nCONC=99999999999999999999"))
	path := filepath.Join(f.TempDir(), ".env")
	f.Fuzz(func(t *testing.T, b []byte) {
		if bytes.Contains(b, []byte("k3y")) {
			return // the fuzzer put the key where it does not belong by itself
		}
		require.NoError(t, os.WriteFile(path, append(b, "\nAPI_KEY=k3y-that-nobody-sees\n"...), 0o600))
		flags := flag.NewFlagSet("fuzz", flag.ContinueOnError)
		Register(flags)
		require.NoError(t, flags.Parse(nil))
		s, err := Load(flags, nil, path)
		if err != nil {
			require.NotContains(t, err.Error(), "k3y-that-nobody-sees")
			require.NotContains(t, strings.TrimSpace(err.Error()), "\n")
			return
		}
		require.Positive(t, s.Server.TP)
		require.Positive(t, s.Server.ReadyTimeout)
		require.True(t, s.Workload.RangeRatio > 0 && s.Workload.RangeRatio <= 1)
		for _, combo := range s.Selection.Combinations() {
			for _, cell := range s.Selection.Cells(combo) {
				require.Positive(t, cell.Conc)
			}
		}
	})
}
