package batch

import (
	"bytes"
	"compress/gzip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Whatever a requests file holds, reading it ends in an error or in as many
// requests as its head names.
func FuzzRequestsFile(f *testing.F) {
	f.Add([]byte("{\"format\":\"inferbench-requests/1\",\"isl\":1,\"osl\":1,\"conc\":1,\"duration_ns\":5,\"requests\":1}\n{\"i\":0,\"sent_ns\":1,\"first_ns\":2,\"last_ns\":3,\"done_ns\":4,\"chunks\":2,\"input_tokens\":1,\"output_tokens\":2,\"itl_us\":[1]}\n"))
	f.Add([]byte("{\"format\":\"inferbench-requests/1\",\"requests\":-1}"))
	f.Add([]byte("{\"format\":\"inferbench-requests/2\"}"))
	f.Add([]byte("{\"format\":\"inferbench-requests/1\",\"requests\":1}\n{\"itl_us\":[9223372036854775807,-1]}"))
	f.Fuzz(func(t *testing.T, lines []byte) {
		var b bytes.Buffer
		zip := gzip.NewWriter(&b)
		zip.Write(lines)
		require.NoError(t, zip.Close())
		r, _, err := readRequests(&b)
		if err != nil {
			return
		}
		require.Len(t, r.Timings, r.Requests)
		for _, x := range r.Timings {
			for g := range x.ITL.All() {
				require.GreaterOrEqual(t, g, time.Duration(0))
			}
		}
		_, _, err = readRequests(bytes.NewReader(lines)) // not gzip
		_ = err
	})
}
