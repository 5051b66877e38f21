package leaderboard

import (
	"crypto/sha256"
	"crypto/subtle"
	_ "embed"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"

	"inferbench/harness/matrix"
)

//go:embed openapi.yaml
var openAPI []byte

// serviceName is how a board names itself: the suite's client looks for it.
const serviceName = "inferbench-leaderboard"

func (b *Board) routeAPI(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/v1/health", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"service": serviceName, "teams": string(b.policy),
			"hardware": b.baseline.Hardware})
	})
	mux.HandleFunc("GET /api/v1/openapi.yaml", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		w.Write(openAPI)
	})
	mux.HandleFunc("GET /api/v1/boards", b.apiBoards)
	mux.HandleFunc("GET /api/v1/boards/{isl}/{osl}", b.apiBoard)
	mux.HandleFunc("GET /api/v1/teams/{team}/submissions", b.apiHistory)
	mux.HandleFunc("POST /api/v1/submissions", b.apiSubmit)
	mux.HandleFunc("GET /api/v1/submissions/{id}", b.apiSubmission)
	mux.HandleFunc("GET /api/v1/submissions/{id}/result", b.apiResult)
	mux.HandleFunc("POST /api/v1/admin/teams", b.apiIssue)
	mux.HandleFunc("PUT /api/v1/admin/submissions/{id}/hidden", b.apiHide)
}

type receiptJSON struct {
	ID      int64  `json:"id"`
	EventID string `json:"event_id"`
	Message string `json:"message"`
}

func (r receipt) message(e Entry) string {
	if r.Again {
		return fmt.Sprintf("submission %d of %s was there already", r.ID, e.Team)
	}
	return fmt.Sprintf("submission %d of %s is stored", r.ID, e.Team)
}

func (b *Board) apiSubmit(w http.ResponseWriter, r *http.Request) {
	var e Entry
	err := errRate
	from := b.limits.from(r)
	if from.allow() {
		err = readJSON(r, &e)
	}
	var got receipt
	if err == nil {
		got, err = b.submit(r.Context(), e, bearer(r), r.Header.Get("Idempotency-Key"), from)
	}
	if err != nil {
		b.fail(w, r, err)
		return
	}
	status := http.StatusCreated
	if got.Again {
		status = http.StatusOK
	}
	w.Header().Set("Location", "/api/v1/submissions/"+strconv.FormatInt(got.ID, 10))
	writeJSON(w, status, receiptJSON{got.ID, got.EventID, got.message(e)})
}

func (b *Board) apiBoards(w http.ResponseWriter, r *http.Request) {
	all, err := b.combinations(r.Context())
	if err != nil {
		b.fail(w, r, err)
		return
	}
	type item struct {
		ISL  int    `json:"isl"`
		OSL  int    `json:"osl"`
		Page string `json:"page"`
	}
	out := make([]item, len(all))
	for i, c := range all {
		out[i] = item{c.ISL, c.OSL, "/" + c.Name()}
	}
	writeJSON(w, http.StatusOK, map[string]any{"boards": out})
}

func (b *Board) apiBoard(w http.ResponseWriter, r *http.Request) {
	isl, e1 := strconv.Atoi(r.PathValue("isl"))
	osl, e2 := strconv.Atoi(r.PathValue("osl"))
	if e1 != nil || e2 != nil || isl < 1 || osl < 1 || isl > maxTokens || osl > maxTokens {
		b.fail(w, r, errNotFound)
		return
	}
	v, err := b.board(r.Context(), matrix.Combination{ISL: isl, OSL: osl})
	if err != nil {
		b.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, v)
}

func (b *Board) apiHistory(w http.ResponseWriter, r *http.Request) {
	before, err := queryInt(r, "before", 0, 1, math.MaxInt64)
	var limit int64
	if err == nil {
		limit, err = queryInt(r, "limit", 500, 1, maxRows)
	}
	var rows []Submission
	if err == nil {
		rows, err = b.history(r.Context(), r.PathValue("team"), before, int(limit))
	}
	if err != nil {
		b.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"submissions": rows})
}

// queryInt is a whole number of the query from least to most, absent where it is
// not there.
func queryInt(r *http.Request, name string, absent, least, most int64) (int64, error) {
	given := r.URL.Query()[name]
	if len(given) == 0 {
		return absent, nil
	}
	v, err := strconv.ParseInt(given[0], 10, 64)
	if err != nil || v < least || v > most || len(given) > 1 {
		return 0, breaks("%s is %s: want one whole number from %d to %d", name, clip(strings.Join(given, ", ")), least, most)
	}
	return v, nil
}

// pathID is the submission that a path names, 0 where it names none.
func pathID(r *http.Request) int64 {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return 0
	}
	return id
}

func (b *Board) apiSubmission(w http.ResponseWriter, r *http.Request) {
	s, err := b.submission(r.Context(), pathID(r))
	if err != nil {
		b.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, s)
}

// apiResult gives the result file as it came, for whoever wants to check a
// claim: its SHA-256 is in the submission.
func (b *Board) apiResult(w http.ResponseWriter, r *http.Request) {
	file, err := b.resultFile(r.Context(), pathID(r))
	if err != nil {
		b.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="result_submission%d.json"`, pathID(r)))
	w.Write(file)
}

// isAdmin compares hashes, so that the time it takes says nothing of the token.
func (b *Board) isAdmin(w http.ResponseWriter, r *http.Request) bool {
	given := sha256.Sum256([]byte(bearer(r)))
	if b.admin != nil && subtle.ConstantTimeCompare(given[:], b.admin[:]) == 1 {
		return true
	}
	if !b.limits.from(r).allow() { // guesses count as submissions
		b.fail(w, r, errRate)
		return false
	}
	w.Header().Set("WWW-Authenticate", "Bearer")
	writeError(w, http.StatusUnauthorized, "admin", "this needs the admin token of the board (Authorization: Bearer …)")
	return false
}

func (b *Board) apiIssue(w http.ResponseWriter, r *http.Request) {
	if !b.isAdmin(w, r) {
		return
	}
	var in struct {
		Team string `json:"team"`
	}
	err := readJSON(r, &in)
	var token string
	if err == nil {
		token, err = b.Issue(r.Context(), in.Team)
	}
	if err != nil {
		b.fail(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusCreated, map[string]string{"team": in.Team, "token": token})
}

func (b *Board) apiHide(w http.ResponseWriter, r *http.Request) {
	if !b.isAdmin(w, r) {
		return
	}
	var in struct {
		Hidden *bool `json:"hidden"`
	}
	err := readJSON(r, &in)
	if err == nil && in.Hidden == nil {
		err = breaks("hidden must be true or false")
	}
	if err == nil {
		err = b.hide(r.Context(), pathID(r), *in.Hidden)
	}
	var s Submission
	if err == nil {
		s, err = b.submission(r.Context(), pathID(r))
	}
	if err != nil {
		b.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, s)
}
