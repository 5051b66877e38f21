package leaderboard

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"inferbench/harness/matrix"
)

// One address cannot fill the board, by whichever way it tries.
func TestQuotas(t *testing.T) {
	junk := make([]byte, 300<<10)
	_, _ = rand.Read(junk)
	for name, c := range map[string]struct {
		quota Quota
		next  func(i int) Entry
		takes int
		want  string
	}{
		"submissions": {Quota{Submissions: 3}, func(i int) Entry { return entry(t, "a", 1024, 1024, 4, 1+float64(i)/100, 1, 0) }, 3, "3 submissions of a day"},
		"teams":       {Quota{Teams: 2}, func(i int) Entry { return entry(t, fmt.Sprint("team ", i), 1024, 1024, 4, 1, 1, 0) }, 2, "2 new teams of a day"},
		"bytes": {Quota{Bytes: 1 << 20}, func(i int) Entry {
			return with(t, entry(t, "a", 1024, 1024, 4, 1+float64(i)/100, 1, 1), "junk", base64.StdEncoding.EncodeToString(junk)+fmt.Sprint(i))
		}, 3, "1024 KiB of result files of a day"},
	} {
		t.Run(name, func(t *testing.T) {
			server, _ := serve(t, Config{Quota: c.quota})
			for i := range c.takes {
				submitOK(t, server.URL, c.next(i))
			}
			status, answer := call(t, "POST", server.URL+"/api/v1/submissions", c.next(c.takes))
			assert.Equal(t, http.StatusTooManyRequests, status)
			assert.Contains(t, answer, c.want)
			status, _ = call(t, "POST", server.URL+"/api/v1/submissions", c.next(0))
			assert.Equal(t, http.StatusOK, status, "what is there is said to be there")
		})
	}
}

// A subscriber has a whole network of IPv6 addresses, and is one.
func TestAddressesOfOneNetworkAreOne(t *testing.T) {
	l := newLimits(Quota{Rate: 1})
	of := func(address string) *usage {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = address
		return l.from(r)
	}
	assert.Same(t, of("[2001:db8:1:2:3::4]:80"), of("[2001:db8:1:2:ffff::1]:81"))
	assert.NotSame(t, of("[2001:db8:1:2::4]:80"), of("[2001:db8:1:3::4]:80"))
	assert.NotSame(t, of("192.0.2.1:80"), of("192.0.2.2:80"))
	assert.Same(t, of("192.0.2.1:80"), of("[::ffff:192.0.2.1]:80"))
}

func TestAFullBoardTakesNoMore(t *testing.T) {
	server, b := serve(t, Config{})
	submitOK(t, server.URL, entry(t, "a", 1024, 1024, 4, 1, 1, 0))
	b.maxBytes = 1
	status, answer := call(t, "POST", server.URL+"/api/v1/submissions", entry(t, "a", 1024, 1024, 4, 1.1, 1, 0))
	assert.Equal(t, http.StatusInsufficientStorage, status, answer)
	assert.Len(t, get[View](t, server.URL+"/api/v1/boards/1024/1024").Rows, 1, "and still shows what it has")
}

// Two readers must not see two submissions in one.
func TestAKeyThatComesTwice(t *testing.T) {
	server, _ := serve(t, Config{})
	b, err := json.Marshal(entry(t, "a", 1024, 1024, 4, 1, 1, 0))
	require.NoError(t, err)
	twice := strings.Replace(string(b), "{", `{"team": "b", `, 1)
	status, answer := call(t, "POST", server.URL+"/api/v1/submissions", twice)
	assert.Equal(t, http.StatusUnprocessableEntity, status, answer)
	assert.Contains(t, answer, "duplicate")
	status, _ = call(t, "POST", server.URL+"/api/v1/submissions", string(b)+" {}")
	assert.Equal(t, http.StatusUnprocessableEntity, status, "nor two values")
}

func TestMethodsThatAreNotOffered(t *testing.T) {
	server, _ := serve(t, Config{})
	for path, allow := range map[string]string{
		"/api/v1/submissions": "POST", "/api/v1/boards": "GET, HEAD", "/api/v1/submissions/1": "GET, HEAD", "/api/v1/admin/submissions/1/hidden": "PUT",
		"/isl1024_osl1024": "GET, HEAD", "/": "GET, HEAD", "/isl1024_osl1024/gradio_api/call/submit_results": "POST", "/assets/board.css": "GET, HEAD",
	} {
		for _, method := range []string{"DELETE", "PATCH", "OPTIONS"} {
			req, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
			require.NoError(t, err)
			resp, err := http.DefaultClient.Do(req)
			require.NoError(t, err)
			resp.Body.Close()
			assert.Equal(t, http.StatusMethodNotAllowed, resp.StatusCode, "%s %s", method, path)
			assert.Equal(t, allow, resp.Header.Get("Allow"), "%s %s", method, path)
		}
	}
	for _, path := range []string{"/api/v1/nothing", "/a/b/c"} {
		status, _ := call(t, "DELETE", server.URL+path, nil)
		assert.Equal(t, http.StatusNotFound, status, path)
	}
}

// A board of before these rules: what it holds is held to them when it is
// opened, and so is what a board with another baseline holds.
func TestWhatIsStoredIsHeldToTheRules(t *testing.T) {
	db := t.TempDir() + "/board.db"
	b, err := Open(t.Context(), Config{DB: db})
	require.NoError(t, err)
	good := entry(t, "good", 1024, 1024, 4, 1.2, 0.85, 1.15)
	_, err = b.submit(t.Context(), good, "", "", nil)
	require.NoError(t, err)
	// As the older board had it.
	forged := with(t, entry(t, "forged", 1024, 1024, 4, 1.3, 0.8, 1.2), "status", "FAILED")
	require.NoError(t, b.store.write(t.Context(), oldRow(t, forged)))
	require.NoError(t, b.Close())

	server, _ := serve(t, Config{DB: db})
	v := get[View](t, server.URL+"/api/v1/boards/1024/1024")
	require.Len(t, v.Teams, 1)
	assert.Equal(t, Share{1, 5}, v.Teams[0].E2E)
	require.Len(t, v.Others, 1)
	assert.Equal(t, "forged", v.Others[0].Teams[0].Team)
	assert.Equal(t, unchecked, v.Others[0].Apart)
	status, _ := call(t, "POST", server.URL+"/api/v1/submissions", entry(t, "fоrged", 1024, 1024, 4, 1.01, 1, 0)) // a Cyrillic о
	assert.Equal(t, http.StatusCreated, status)
	assert.Len(t, get[map[string][]Submission](t, server.URL+"/api/v1/teams/forged/submissions")["submissions"], 2, "old names have their skeletons too")
}

// Ten thousand teams are counted, and found by name.
func TestManyTeams(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	server, b := serve(t, Config{})
	const teams = 3000
	manyTeams(t, b, teams)
	v := get[View](t, server.URL+"/api/v1/boards/1024/1024")
	assert.Equal(t, teams, v.Total)
	assert.Len(t, v.Teams, maxTeams)
	assert.Equal(t, "team 2999", v.Teams[0].Team, "the best come first, whoever they are")
	found, err := b.view(t.Context(), matrix.Combination{ISL: 1024, OSL: 1024}, "TEAM 17")
	require.NoError(t, err)
	require.Equal(t, 111, found.Total)
	assert.True(t, strings.HasPrefix(found.Teams[0].Team, "team 17"))
}

// manyTeams puts so many teams with five cells each on the board, the later the
// better.
func manyTeams(t *testing.T, b *Board, teams int) {
	t.Helper()
	require.NoError(t, b.store.write(t.Context(), func(c *sqlite.Conn) error {
		for i := range teams {
			n, err := nameOf(fmt.Sprint("team ", i))
			if err != nil {
				return err
			}
			id, err := addTeam(c, n, nil, time.Now())
			if err != nil {
				return err
			}
			for _, conc := range matrix.Concurrencies {
				p, _ := b.baseline.Point(1024, 1024, conc)
				f := 0.5 + float64(i)/float64(teams)
				err := sqlitex.Execute(c, `INSERT INTO submissions (team_id, idempotency_key, payload_sha256, event_id, isl, osl, conc, e2e_ms, tput_per_gpu, interactivity,
					bits_per_byte, byte_perplexity, word_perplexity, model, engine, client_limited, signed, created_ms)
					VALUES (?1, ?2, '', ?2 || ' ' || ?1, 1024, 1024, ?2, ?3, ?4, ?5, 0.4485, 1.3646, 3.2522, 'm', 'sglang', 0, 0, 0)`,
					&sqlitex.ExecOptions{Args: []any{id, conc, p.MedianE2E / f, p.TputPerGPU * f, p.Interactivity * f}})
				if err != nil {
					return err
				}
			}
		}
		return b.rankAll(c)
	}))
}

// oldRow stores an entry as a board did that knew no rules.
func oldRow(t *testing.T, e Entry) func(*sqlite.Conn) error {
	gz, err := zip(e.Result)
	require.NoError(t, err)
	return func(c *sqlite.Conn) error {
		if err := sqlitex.Execute(c, "INSERT INTO results (sha256, content) VALUES ('x', ?)", &sqlitex.ExecOptions{Args: []any{gz}}); err != nil {
			return err
		}
		if err := sqlitex.Execute(c, "INSERT INTO teams (name, name_key, created_ms) VALUES (?, ?, 0)", &sqlitex.ExecOptions{Args: []any{e.Team, e.Team}}); err != nil {
			return err
		}
		if err := sqlitex.Execute(c, `INSERT INTO submissions (team_id, idempotency_key, payload_sha256, event_id, isl, osl, conc, e2e_ms, tput_per_gpu, interactivity,
			bits_per_byte, byte_perplexity, word_perplexity, model, engine, client_limited, signed, result_sha256, created_ms)
			VALUES (?, 'k', '', 'e', ?, ?, ?, ?, ?, 1e303, ?, ?, ?, 'm', 'sglang', 0, 0, 'x', 0)`, &sqlitex.ExecOptions{Args: []any{c.LastInsertRowID(),
			e.ISL, e.OSL, e.Conc, e.E2EMs, e.TputPerGPU, e.BitsPerByte, e.BytePerplexity, e.WordPerplexity}}); err != nil {
			return err
		}
		return sqlitex.Execute(c, "DELETE FROM settings", nil)
	}
}
