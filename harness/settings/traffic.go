package settings

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/textproto"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"inferbench/harness/capacity"
	"inferbench/harness/session"
	"inferbench/harness/stats"
	workloads "inferbench/harness/workload"
)

// Workload says what is sent.
type Workload struct {
	Dataset      *workloads.Kind
	Path         string  // of the data set's file
	RangeRatio   float64 // lengths are uniform in [ratio·L, L]
	Seed         int64
	WarmUp       *int    // requests before the clock starts; nil: twice CONC
	SharedPrefix float64 // part of each prompt, 0 to 1
	Prefixes     int     // how many different ones
	Chat         bool    // ask the chat endpoint
	Headers      map[string][]string
	Temperature  float64 // of sampling, where ExtraBody does not leave it out
	ExtraBody    map[string]json.RawMessage
}

// Shape says when it is sent.
type Shape struct {
	Rate       float64       // requests a second on average; 0: a closed loop of CONC
	Burstiness float64       // shape of the gamma distribution of gaps; +Inf: constant
	Trace      bool          // send at the times that the data set says
	TraceUnit  time.Duration // of these times; 0: told by their size
	Uncapped   bool          // let a rate or a trace have more than CONC in flight
	RampUp     time.Duration
	Duration   time.Duration    // 0: as many requests as there are
	Precision  float64          // ends a cell when its figures are known to ± this share; 0: at its last request
	SLO        stats.SLO        // for goodput; nil: none
	Limits     []capacity.Limit // that a cell must keep, or that a load is searched for; nil: none
}

// checkTraffic finds settings of data set and load that contradict each other. Those of
// sessions are [Settings.checkReplay]'s.
func (s Settings) checkTraffic() error {
	t := s.Shape
	ofGoodput := func(l capacity.Limit) bool { return l.Figure == capacity.Goodput }
	switch {
	case len(t.SLO) == 0 && slices.ContainsFunc(t.Limits, ofGoodput):
		return errors.New("SLO has a limit on goodput, which is the share of requests that keep the levels of GOODPUT: " +
			"give these too, as GOODPUT=\"ttft:500 tpot:50\"")
	case s.Replay.Kind != nil && t.Precision > 0:
		return errors.New("PRECISION would end sessions early, so that figures are of their first turns alone: set " +
			"DURATION, or repeat the run (-count) for benchstat")
	case s.Replay.Kind != nil:
		return nil
	}
	for _, check := range []func() error{s.checkDataset, s.checkTimes, s.checkBody, s.checkPrecision} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// checkDataset holds a data set and its file to each other.
func (s Settings) checkDataset() error {
	w := s.Workload
	switch {
	case w.Dataset.File && w.Path == "":
		return fmt.Errorf("DATASET=%s needs DATASET_PATH, the file to read", w.Dataset)
	case !w.Dataset.File && w.Path != "":
		return fmt.Errorf("DATASET_PATH is set, but DATASET=%s reads no file: set DATASET to %s",
			w.Dataset, workloads.KindNames(func(k *workloads.Kind) bool { return k.File }))
	case w.Prefixes > 1 && w.SharedPrefix == 0:
		return errors.New("PREFIXES is how many prefixes share out SHARED_PREFIX, which is 0: give one, or leave " +
			"PREFIXES at 1")
	}
	return nil
}

// checkTimes holds what says when requests are sent to each other: a trace, a rate, or
// neither.
func (s Settings) checkTimes() error {
	t := s.Shape
	switch {
	case t.Trace && !s.Workload.Dataset.Times:
		return fmt.Errorf("TRACE needs DATASET=%s, a file whose lines have a timestamp",
			workloads.KindNames(func(k *workloads.Kind) bool { return k.Times }))
	case t.TraceUnit != 0 && !t.Trace:
		return errors.New("TRACE_UNIT is of a TRACE's timestamps: set TRACE=true, or leave it out")
	case t.Trace && t.Rate > 0:
		return errors.New("TRACE has its own times: leave REQUEST_RATE at inf")
	case t.Trace && t.RampUp > 0:
		return errors.New("TRACE has its own times: leave RAMP_UP at 0s")
	case t.Burstiness != 1 && t.Rate == 0:
		return errors.New("BURSTINESS is how a REQUEST_RATE is spread: give one, or leave BURSTINESS at 1")
	case t.Uncapped && !t.Trace && t.Rate == 0:
		return errors.New("CONC_CAP=false needs a REQUEST_RATE or a TRACE: a closed loop is its cap")
	}
	return nil
}

// checkBody finds keys of a request's body that two settings give.
func (s Settings) checkBody() error {
	w, key := s.Workload, s.Server.MaxTokensKey
	switch {
	case key != "" && w.ExtraBody[key] != nil:
		return fmt.Errorf("EXTRA_BODY has %s, which MAX_TOKENS_KEY sets for each request: leave it out of one", key)
	case workloads.LeavesOut(w.ExtraBody["temperature"]) && w.Temperature != 0:
		return errors.New("EXTRA_BODY leaves temperature out, and TEMPERATURE sets it: give one of them")
	}
	return nil
}

// checkPrecision finds loads that PRECISION cannot end.
func (s Settings) checkPrecision() error {
	t := s.Shape
	switch {
	case t.Precision > 0 && (t.Rate > 0 || t.Trace):
		return errors.New("PRECISION ends a closed loop, whose throughput is the server's: leave REQUEST_RATE and " +
			"TRACE out, or PRECISION")
	case t.Precision > 0 && s.Shard.Count > 1:
		return errors.New("PRECISION ends a cell by the requests of one client: leave SHARD out, or PRECISION")
	}
	return nil
}

func setDataset(s *Settings, v string) (err error) {
	s.Workload.Dataset = workloads.Kinds[0]
	if s.Replay.Kind, err = session.KindNamed(v); err == nil {
		return nil
	}
	if s.Workload.Dataset, err = workloads.KindNamed(v); err != nil {
		return fmt.Errorf("%w; or, of sessions, %s", err, session.KindNames())
	}
	return nil
}

// kindsHelp lists the kinds of data set with what each is.
func kindsHelp() string {
	var out []string
	for _, k := range workloads.Kinds {
		out = append(out, k.Name+" ("+k.What+")")
	}
	for _, k := range session.Kinds {
		out = append(out, k.Name+" ("+k.What+")")
	}
	return strings.Join(out, ", ")
}

func setSharedPrefix(s *Settings, v string) error {
	f, err := strconv.ParseFloat(v, 64)
	if err != nil || !(f >= 0 && f <= 1) {
		return errors.New("want a number from 0 to 1")
	}
	s.Workload.SharedPrefix = f
	return nil
}

func setEndpoint(s *Settings, v string) error {
	if v != "completions" && v != "chat" {
		return errors.New("want completions or chat")
	}
	s.Workload.Chat = v == "chat"
	return nil
}

// ownHeaders say how a request is sent, which is not for a setting to change.
var ownHeaders = []string{"Host", "Connection", "Content-Length", "Content-Type", "Transfer-Encoding",
	"Accept-Encoding"}

// setHeaders reads Name: value pairs with semicolons or line ends between them, or
// a JSON object of names and values, in which a value may hold a semicolon. Its
// errors do not quote values, which may be secrets.
func setHeaders(s *Settings, v string) error {
	s.Workload.Headers = map[string][]string{}
	if strings.HasPrefix(v, "{") {
		var m map[string]string
		if json.Unmarshal([]byte(v), &m) != nil {
			return errors.New(`want a JSON object of texts, as {"Name": "value"}, or Name: value; Name: value`)
		}
		for i, name := range slices.Sorted(maps.Keys(m)) {
			if err := s.Workload.addHeader(i, name, m[name]); err != nil {
				return err
			}
		}
		return nil
	}
	for i, pair := range strings.FieldsFunc(v, func(r rune) bool { return r == ';' || r == '\n' }) {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, ":")
		if !ok {
			return errHeader(i)
		}
		if err := s.Workload.addHeader(i, name, value); err != nil {
			return err
		}
	}
	return nil
}

func errHeader(i int) error {
	return fmt.Errorf("header %d: want Name: value, with a semicolon between two; "+
		`where a value has a semicolon in it, a JSON object: {"Name": "value"}`, i+1)
}

// addHeader adds the i-th header, from 0.
func (w *Workload) addHeader(i int, name, value string) error {
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	control := func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }
	if name == "" || strings.ContainsFunc(name, notToken) || strings.ContainsFunc(value, control) {
		return errHeader(i)
	}
	name = textproto.CanonicalMIMEHeaderKey(name)
	if slices.Contains(ownHeaders, name) {
		return fmt.Errorf("header %d: %s is the client's own (of %s)", i+1, name, strings.Join(ownHeaders, ", "))
	}
	w.Headers[name] = append(w.Headers[name], value)
	return nil
}

// notToken reports a character that a header's name cannot have (RFC 9110).
func notToken(r rune) bool {
	letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
	return !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}

func setExtraBody(s *Settings, v string) error {
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(v), &m); err != nil || m == nil {
		return errors.New(`want a JSON object such as {"top_p":0.9,"ignore_eos":null} (null leaves a key out)`)
	}
	if err := workloads.CheckExtraBody(m); err != nil {
		return err
	}
	if v, ok := m["temperature"]; ok && !workloads.LeavesOut(v) {
		return errors.New("temperature is a setting of its own: set TEMPERATURE")
	}
	for _, k := range []string{"n", "best_of"} {
		if v := string(m[k]); v != "" && v != "1" && v != "null" {
			return fmt.Errorf("%q is %s, but one answer to a prompt is timed: leave it at 1", k, v)
		}
	}
	s.Workload.ExtraBody = m
	return nil
}

// LeftOut lists the keys that EXTRA_BODY leaves out of every request.
func (w Workload) LeftOut() []string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(w.ExtraBody)) {
		if workloads.LeavesOut(w.ExtraBody[k]) {
			out = append(out, k)
		}
	}
	return out
}

func setTemperature(s *Settings, v string) error {
	f, err := strconv.ParseFloat(v, 64)
	if err != nil || !(f >= 0 && f <= 100) {
		return errors.New("want a number from 0 to 100")
	}
	s.Workload.Temperature = f
	return nil
}

func setMaxTokensKey(s *Settings, v string) error {
	taken := workloads.CheckExtraBody(map[string]json.RawMessage{v: json.RawMessage("0")})
	if !keyName.MatchString(v) || taken != nil && v != "max_tokens" {
		return errors.New("want the name of a key, as max_completion_tokens")
	}
	s.Server.MaxTokensKey = v
	return nil
}

var keyName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)

func setRate(s *Settings, v string) error {
	if v == "inf" {
		s.Shape.Rate = 0
		return nil
	}
	f, err := strconv.ParseFloat(v, 64)
	if err != nil || !(f > 0 && f <= 1e6) {
		return errors.New("want requests a second, above 0 and at most 1000000, or inf")
	}
	s.Shape.Rate = f
	return nil
}

// traceUnits are the units that a trace's timestamps may have.
var traceUnits = map[string]time.Duration{
	"auto": 0, "s": time.Second, "ms": time.Millisecond, "us": time.Microsecond, "ns": time.Nanosecond,
}

func setTraceUnit(s *Settings, v string) error {
	unit, ok := traceUnits[v]
	if !ok {
		return errors.New("want s, ms, us, ns or auto")
	}
	s.Shape.TraceUnit = unit
	return nil
}

func setBurstiness(s *Settings, v string) error {
	if v == "constant" {
		s.Shape.Burstiness = math.Inf(1)
		return nil
	}
	f, err := strconv.ParseFloat(v, 64)
	if err != nil || !(f >= 0.01 && f <= 1e6) {
		return errors.New("want a number of 0.01 or more, or constant")
	}
	s.Shape.Burstiness = f
	return nil
}

func setPrecision(s *Settings, v string) error {
	number, percent := strings.CutSuffix(v, "%")
	f, err := strconv.ParseFloat(number, 64)
	if percent {
		f /= 100
	}
	if err != nil || !(f > 0 && f <= 0.5) {
		return errors.New("want a share such as 2%, above 0% and at most 50%")
	}
	s.Shape.Precision = f
	return nil
}

func setLimits(s *Settings, v string) (err error) {
	s.Shape.Limits, err = capacity.Parse(v)
	return err
}

func setGoodput(s *Settings, v string) (err error) {
	s.Shape.SLO, err = stats.ParseSLO(v)
	return err
}

// truth reads true or false.
func truth(set func(*Settings, bool)) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		b, err := strconv.ParseBool(v)
		if err != nil {
			return errors.New("want true or false")
		}
		set(s, b)
		return nil
	}
}

// span reads a duration of zero or more.
func span(field func(*Settings) *time.Duration) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		d, err := time.ParseDuration(v)
		if err != nil || d < 0 {
			return errors.New("want a duration such as 90s or 45m")
		}
		*field(s) = d
		return nil
	}
}
