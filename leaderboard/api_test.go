package leaderboard

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const adminToken = "an-admin-token-of-length"

// Every path of the OpenAPI document is called, and every answer is held to
// what the document says of it.
func TestAnswersAreAsTheDocumentSays(t *testing.T) {
	server, _ := serve(t, Config{AdminToken: adminToken})
	doc, err := openapi3.NewLoader().LoadFromData(openAPI)
	require.NoError(t, err)
	require.NoError(t, doc.Validate(t.Context()))
	router, err := gorillamux.NewRouter(doc)
	require.NoError(t, err)
	called := map[string]bool{}

	try := func(want int, method, path string, body any, header ...string) []byte {
		t.Helper()
		var b []byte
		if body != nil {
			b, err = json.Marshal(body)
			require.NoError(t, err)
		}
		req, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, bytes.NewReader(b))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/json")
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, want, resp.StatusCode, "%s %s: %s", method, path, answer)

		asked, err := http.NewRequest(method, path, nil)
		require.NoError(t, err)
		route, params, err := router.FindRoute(asked)
		require.NoError(t, err, "%s %s", method, path)
		called[method+" "+route.Path] = true
		input := &openapi3filter.RequestValidationInput{Request: asked, PathParams: params, Route: route}
		out := &openapi3filter.ResponseValidationInput{RequestValidationInput: input, Status: resp.StatusCode, Header: resp.Header,
			Body: io.NopCloser(bytes.NewReader(answer)), Options: &openapi3filter.Options{IncludeResponseStatus: true}}
		if path != "/api/v1/openapi.yaml" { // which is not JSON
			require.NoError(t, openapi3filter.ValidateResponse(t.Context(), out), "%s %s: %s", method, path, answer)
		}
		return answer
	}

	whole, bare := entry(t, "a/b é", 1024, 1024, 16, 1.1, 0.9, 1.2), entry(t, "bare", 8192, 1024, 4, 1, 1, 0)
	token := []string{"Authorization", "Bearer some-token-of-length"}
	admin := []string{"Authorization", "Bearer " + adminToken}
	try(200, "GET", "/api/v1/health", nil)
	try(200, "GET", "/api/v1/openapi.yaml", nil)
	try(201, "POST", "/api/v1/submissions", whole, token...)
	try(200, "POST", "/api/v1/submissions", whole, token...)
	try(201, "POST", "/api/v1/submissions", bare)
	try(403, "POST", "/api/v1/submissions", whole)
	try(422, "POST", "/api/v1/submissions", Entry{})
	try(201, "POST", "/api/v1/submissions", entry(t, "keyed", 1024, 1024, 4, 1, 1, 0), "Idempotency-Key", "k")
	try(409, "POST", "/api/v1/submissions", entry(t, "keyed", 1024, 1024, 8, 1, 1, 0), "Idempotency-Key", "k")
	try(413, "POST", "/api/v1/submissions", Entry{Team: strings.Repeat("x", maxBody)})
	try(200, "GET", "/api/v1/boards", nil)
	try(200, "GET", "/api/v1/boards/1024/1024", nil)
	try(200, "GET", "/api/v1/boards/7/7", nil)
	try(404, "GET", "/api/v1/boards/0/7", nil)
	try(200, "GET", "/api/v1/teams/a%2Fb%20%C3%A9/submissions", nil)
	try(404, "GET", "/api/v1/teams/nobody/submissions", nil)
	var s Submission
	require.NoError(t, json.Unmarshal(try(200, "GET", "/api/v1/submissions/1", nil), &s))
	assert.True(t, s.Signed)
	try(404, "GET", "/api/v1/submissions/99", nil)
	file := try(200, "GET", "/api/v1/submissions/1/result", nil)
	assert.Equal(t, whole.Result, string(file), "byte for byte")
	assert.Equal(t, fmt.Sprintf("%x", sha256.Sum256(file)), s.ResultSHA256)
	try(404, "GET", "/api/v1/submissions/2/result", nil)
	try(401, "POST", "/api/v1/admin/teams", map[string]string{"team": "x"})
	try(422, "POST", "/api/v1/admin/teams", map[string]string{"team": ""}, admin...)
	try(201, "POST", "/api/v1/admin/teams", map[string]string{"team": "x"}, admin...)
	try(401, "PUT", "/api/v1/admin/submissions/1/hidden", map[string]bool{"hidden": true}, token...)
	try(404, "PUT", "/api/v1/admin/submissions/99/hidden", map[string]bool{"hidden": true}, admin...)
	try(200, "PUT", "/api/v1/admin/submissions/1/hidden", map[string]bool{"hidden": true}, admin...)

	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			assert.True(t, called[method+" "+path], "%s %s was not tried", method, path)
		}
	}
}

func TestTokens(t *testing.T) {
	bearer := func(token string) []string { return []string{"Authorization", "Bearer " + token} }
	const one, two = "token-of-team-number-one", "token-of-team-number-two"
	e := func(team string, tput float64) Entry { return entry(t, team, 1024, 1024, 4, tput, 1, 0) }
	type step struct {
		e      Entry
		header []string
		want   int
		why    string
	}
	for policy, steps := range map[Policy][]step{
		OpenToAll: {
			{e("a", 1), nil, 201, ""},
			{e("b", 1), bearer(one), 201, ""},
			{e("b", 1.1), nil, 403, `the name "b" is claimed; send its token`},
			{e("B", 1.1), bearer(two), 403, "claimed with another token"},
			{e("b", 1.1), bearer(one), 201, ""},
			{e("c", 1), bearer("short"), 403, "easily guessed"},
			{e("a", 0.9), bearer(two), 201, ""}, // claims a name that was free
			{e("a", 1.2), nil, 403, "is claimed"},
		},
		Claim: {
			{e("a", 1), nil, 403, "wants one with every submission"},
			{e("a", 1), bearer(one), 201, ""},
			{e("a", 1), bearer(two), 403, "another token"},
		},
		Issued: {
			{e("a", 1), nil, 403, "its admin gave a token"},
			{e("a", 1), bearer(one), 403, "its admin gave a token"},
		},
	} {
		t.Run(string(policy), func(t *testing.T) {
			server, b := serve(t, Config{Policy: policy, AdminToken: adminToken})
			for i, s := range steps {
				status, answer := call(t, "POST", server.URL+"/api/v1/submissions", s.e, s.header...)
				assert.Equal(t, s.want, status, "step %d: %s", i, answer)
				assert.Contains(t, answer, strings.ReplaceAll(s.why, `"`, `\"`), "step %d", i)
			}
			token, err := b.Issue(t.Context(), "a")
			require.NoError(t, err)
			status, _ := call(t, "POST", server.URL+"/api/v1/submissions", e("a", 1.05), bearer(token)...)
			assert.Equal(t, 201, status, "an issued token works under every policy, and replaces the one before")
			if policy != OpenToAll {
				return
			}
			v := get[View](t, server.URL+"/api/v1/boards/1024/1024")
			for _, row := range v.Rows {
				if row.Team == "a" {
					assert.True(t, row.Signed, "what was submitted before the claim has left the board")
				}
			}
			assert.Len(t, get[map[string][]Submission](t, server.URL+"/api/v1/teams/a/submissions")["submissions"], 3, "but not the history")
		})
	}
	_, err := Open(t.Context(), Config{DB: t.TempDir() + "/x.db", Policy: "everybody"})
	assert.ErrorContains(t, err, "want open, claim or issued")
	_, err = Open(t.Context(), Config{DB: t.TempDir() + "/x.db", AdminToken: "short"})
	require.ErrorContains(t, err, "LEADERBOARD_ADMIN_TOKEN")
	assert.NotContains(t, err.Error(), "short")
}

func TestHidingTakesTheNextBest(t *testing.T) {
	server, b := serve(t, Config{})
	first := submitOK(t, server.URL, entry(t, "a", 1024, 1024, 4, 1.3, 0.9, 0))
	second := submitOK(t, server.URL, entry(t, "a", 1024, 1024, 4, 1.2, 0.9, 0))
	best := func() int64 {
		v := get[View](t, server.URL+"/api/v1/boards/1024/1024")
		if len(v.Rows) == 0 {
			return 0
		}
		return v.Rows[0].ID
	}
	assert.Equal(t, first, best())
	require.NoError(t, b.hide(t.Context(), first, true))
	assert.Equal(t, second, best())
	require.NoError(t, b.hide(t.Context(), second, true))
	assert.Zero(t, best())
	require.NoError(t, b.hide(t.Context(), first, false))
	assert.Equal(t, first, best())
}

func TestLimitsAndForeigners(t *testing.T) {
	server, _ := serve(t, Config{Quota: Quota{Rate: 1}})
	refused := 0
	for i := range 40 {
		status, answer := call(t, "POST", server.URL+"/api/v1/submissions", entry(t, "a", 1024, 1024, 4, 1+float64(i)/100, 1, 0))
		if status == http.StatusTooManyRequests {
			refused++
			assert.Contains(t, answer, "too many submissions")
		}
	}
	assert.Positive(t, refused)
	status, _ := call(t, "GET", server.URL+"/", nil)
	assert.Equal(t, http.StatusOK, status, "reading is not limited")
	status, _ = call(t, "POST", server.URL+"/gradio_api/call/submit_results", `{"data":[]}`)
	assert.Equal(t, http.StatusTooManyRequests, status, "one limit for both ways in")

	open, _ := serve(t, Config{})
	e := entry(t, "a", 1024, 1024, 4, 1, 1, 0)
	for name, c := range map[string]struct {
		want   int
		header []string
	}{
		"a form of another site":   {http.StatusUnprocessableEntity, []string{"Content-Type", "text/plain"}},
		"a script of another site": {http.StatusForbidden, []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}},
		"this site":                {http.StatusCreated, []string{"Sec-Fetch-Site", "same-origin"}},
	} {
		status, answer := call(t, "POST", open.URL+"/api/v1/submissions", e, c.header...)
		assert.Equal(t, c.want, status, "%s: %s", name, answer)
	}
	// A name elsewhere that points to this machine.
	req, err := http.NewRequestWithContext(t.Context(), "GET", open.URL+"/", nil)
	require.NoError(t, err)
	req.Host = "evil.example"
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	resp.Body.Close()
	assert.Equal(t, http.StatusMisdirectedRequest, resp.StatusCode)
	assert.Contains(t, resp.Header.Get("Content-Type"), "application/json")
}

// Whatever the document allows, and what it does not: schemathesis makes
// hundreds of requests of either kind and holds every answer to the document.
func TestSchemathesisFindsNothing(t *testing.T) {
	tool := "../.venv-schemathesis/bin/schemathesis"
	if _, err := os.Stat(tool); err != nil {
		if tool, err = exec.LookPath("schemathesis"); err != nil {
			t.Skip("schemathesis is not installed: make schemathesis-deps")
		}
	}
	server, _ := serve(t, Config{AdminToken: adminToken})
	submitOK(t, server.URL, entry(t, "one", 1024, 1024, 4, 1.1, 0.9, 1.1), "Authorization", "Bearer "+adminToken)
	config, err := filepath.Abs("../scripts/schemathesis/schemathesis.toml")
	require.NoError(t, err)
	tool, err = filepath.Abs(tool)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), tool, "--config-file", config, "run", server.URL+"/api/v1/openapi.yaml", "--max-examples", "40",
		"--seed", "1", "--checks", "all", "--no-color", "-H", "Authorization: Bearer "+adminToken)
	cmd.Dir = t.TempDir() // it leaves files
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	assert.Contains(t, string(out), "Tested: 9")
}
