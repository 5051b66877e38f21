package settings

import (
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"inferbench/harness/matrix"
	"inferbench/harness/textfile"
)

// The functions below read one value into its field. Their errors say what
// would be right; [Load] says which setting it was and where it came from.

func text(field func(*Settings) *string) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		*field(s) = v
		return nil
	}
}

func whole(least int, field func(*Settings) *int) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < least {
			return fmt.Errorf("want a whole number, %d or more", least)
		}
		*field(s) = n
		return nil
	}
}

func fraction(field func(*Settings) *float64) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		f, err := strconv.ParseFloat(v, 64)
		if err != nil || !(f > 0 && f <= 1) {
			return errors.New("want a number above 0 and at most 1")
		}
		*field(s) = f
		return nil
	}
}

func amount(field func(*Settings) *float64) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		f, err := strconv.ParseFloat(v, 64)
		if err != nil || !(f > 0) || math.IsInf(f, 0) {
			return errors.New("want a number above 0")
		}
		*field(s) = f
		return nil
	}
}

func noise(field func(*Settings) *float64) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		f, err := strconv.ParseFloat(v, 64)
		if err != nil || !(f >= 0 && f <= 100) {
			return errors.New("want a number from 0 to 100")
		}
		*field(s) = f
		return nil
	}
}

func setReadyTimeout(s *Settings, v string) (err error) {
	s.Server.ReadyTimeout, err = duration(v)
	return err
}

func setRequestTimeout(s *Settings, v string) (err error) {
	s.Server.RequestTimeout, err = duration(v)
	return err
}

func duration(v string) (time.Duration, error) {
	d, err := time.ParseDuration(v)
	if err != nil || d <= 0 {
		return 0, errors.New("want a duration above 0, such as 90s or 45m")
	}
	return d, nil
}

// setBaseURL also takes the form that OpenAI's clients use, which ends in /v1,
// and the word that outweighs a server in .env.
func setBaseURL(s *Settings, v string) error {
	if s.Server.embedded = v == "embedded"; s.Server.embedded {
		return nil
	}
	u, err := address(v)
	s.Server.BaseURL = strings.TrimSuffix(u, "/v1")
	return err
}

func setMetricsPush(s *Settings, v string) (err error) {
	if u, err := url.Parse(v); err == nil && u.User != nil {
		return errors.New("keep the password out of the address: it goes into METRICS_PUSH_TOKEN, as user:password")
	}
	s.Results.Metrics.PushURL, err = address(v)
	return err
}

func setLeaderboardURL(s *Settings, v string) (err error) {
	s.Board.URL, err = address(v)
	return err
}

func address(v string) (string, error) {
	u, err := url.Parse(v)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return "", errors.New("want an address such as http://host:8888")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return "", errors.New("want a port number, 1 to 65535")
		}
	}
	if u.RawQuery != "" || u.Fragment != "" || u.ForceQuery {
		return "", errors.New("want an address without ? or #, such as http://host:8888")
	}
	if u.User != nil {
		return "", errors.New("keep the password out of the address: a key goes into API_KEY")
	}
	return strings.TrimRight(v, "/"), nil
}

func setPort(s *Settings, v string) error {
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > 65535 {
		return errors.New("want a port number, 1 to 65535")
	}
	if s.Server.BaseURL == "" {
		s.Server.BaseURL = fmt.Sprintf("http://127.0.0.1:%d", n)
	}
	return nil
}

func listen(field func(*Settings) *string) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		_, port, err := net.SplitHostPort(v)
		if n, e := strconv.Atoi(port); err != nil || e != nil || n < 0 || n > 65535 {
			return errors.New("want host:port, such as 127.0.0.1:8090")
		}
		*field(s) = v
		return nil
	}
}

func setDryRun(s *Settings, v string) error {
	b, err := strconv.ParseBool(v)
	if err != nil {
		return errors.New("want true or false")
	}
	s.Board.DryRun = b
	return nil
}

// pages reads addresses of pages, with commas between.
func pages(field func(*Settings) *[]string) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		list := field(s)
		for _, address := range strings.Split(v, ",") {
			address = strings.TrimSpace(address)
			u, err := url.Parse(address)
			if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" {
				return errors.New("want addresses such as http://worker1:8000/metrics,http://worker2:8000/metrics, " +
					"without keys")
			}
			if slices.Contains(*list, address) {
				return errors.New("want each address once: its figures would count twice")
			}
			*list = append(*list, address)
		}
		return nil
	}
}

func setPower(s *Settings, v string) error {
	if v != "auto" && v != "off" {
		return errors.New("want auto or off")
	}
	s.Results.Power.Off = v == "off"
	return nil
}

func setPowerFiles(s *Settings, v string) error {
	for _, name := range strings.Split(v, ",") {
		var file string
		if err := dataFile(func(*Settings) *string { return &file })(s, strings.TrimSpace(name)); err != nil {
			return err
		}
		if slices.Contains(s.Results.Power.Files, file) {
			return errors.New("want each file once: its GPUs would count twice")
		}
		s.Results.Power.Files = append(s.Results.Power.Files, file)
	}
	return nil
}

// gpus reads a list of GPUs.
func gpus(field func(*Settings) *[]string) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		list := field(s)
		for _, gpu := range strings.Split(v, ",") {
			gpu = strings.TrimSpace(gpu)
			if gpu == "" || strings.ContainsFunc(gpu, unicode.IsSpace) || slices.Contains(*list, gpu) {
				return errors.New("want the GPUs' indices, each once, as 0,1,2,3")
			}
			*list = append(*list, gpu)
		}
		return nil
	}
}

func setCacheReset(s *Settings, v string) error {
	if v != "on" && v != "off" {
		return errors.New("want on or off")
	}
	on := v == "on"
	s.Server.CacheReset = &on
	return nil
}

// setCAFile looks at the file at once, so that a wrong one stops a run before it
// starts.
func setCAFile(s *Settings, v string) error {
	b, err := textfile.Read(v)
	if err != nil {
		return err
	}
	if !x509.NewCertPool().AppendCertsFromPEM(b) {
		return errors.New("want a file that holds a PEM certificate (-----BEGIN CERTIFICATE-----)")
	}
	s.Server.CAFile = v
	return nil
}

func setMode(s *Settings, v string) error {
	switch m := Mode(v); m {
	case ModeAcc, ModePerf, ModeSubmit:
		s.Mode = m
		return nil
	}
	return errors.New("want acc, perf or submit")
}

// caption is a text that people read, of at most so many characters.
func caption(most int, field func(*Settings) *string) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		if len([]rune(v)) > most || strings.ContainsFunc(v, unicode.IsControl) {
			return fmt.Errorf("want at most %d characters on one line", most)
		}
		*field(s) = v
		return nil
	}
}

func setConc(s *Settings, v string) (err error) {
	s.Selection.Conc, err = concList(v)
	return err
}

func concList(v string) (list []int, err error) {
	want := errors.New("want whole numbers, 1 or more, each once, such as 16 or 4,8,16")
	for _, part := range strings.Split(v, ",") {
		words := strings.Fields(part)
		if len(words) == 0 { // as in 4,,8
			return nil, want
		}
		for _, w := range words {
			n, err := strconv.Atoi(w)
			if err != nil || n < 1 || slices.Contains(list, n) {
				return nil, want
			}
			list = append(list, n)
		}
	}
	return list, nil
}

func setNumPrompts(s *Settings, v string) (err error) {
	s.Selection.NumPrompts, err = matrix.ParsePrompts(v)
	return err
}

func setSeed(s *Settings, v string) error {
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		return errors.New("want a whole number")
	}
	s.Workload.Seed = n
	return nil
}

func setWarmUp(s *Settings, v string) error {
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 {
		return errors.New("want a whole number, 0 or more")
	}
	s.Workload.WarmUp = &n
	return nil
}

// AccuracyTask is a value of ACC_TASK and what it asks, in a few words.
type AccuracyTask struct{ Name, What string }

// AccuracyTasks lists what ACC_TASK may be, the default first. Package accuracy,
// which these settings do not import, has a task of each name; a test of the
// sweep compares the two.
var AccuracyTasks = []AccuracyTask{
	{"wikitext", "perplexity of a text"},
	{"gsm8k", "word problems"},
	{"gsm8k-chat", "the same in a chat, with room to reason"},
	{"gpqa_diamond", "multiple choice by experts, in a chat"},
	{"niah_single_1", "a number in a long text"},
	{"ruler_vt", "a chain of assignments in one"},
	{"ruler_cwe", "the commonest words of a long list"},
	{"ruler_fwe", "the most frequent coded words"},
	{"none", "speed alone, which no public board takes"},
}

func tasksHelp() string {
	var out []string
	for _, t := range AccuracyTasks {
		out = append(out, t.Name+" ("+t.What+")")
	}
	return strings.Join(out, ", ")
}

func setAccuracyTask(s *Settings, v string) error {
	if !slices.ContainsFunc(AccuracyTasks, func(t AccuracyTask) bool { return t.Name == v }) {
		return errors.New("want one of " + tasksHelp())
	}
	s.Accuracy.Task = v
	return nil
}

func setCanaryShare(s *Settings, v string) error {
	if v == "auto" {
		if s.Accuracy.Task != "none" {
			s.Accuracy.CanaryShare = 0.01
		}
		return nil
	}
	f, err := strconv.ParseFloat(v, 64)
	if err != nil || !(f == 0 || f >= 1e-6 && f <= 1) {
		return errors.New("want auto, 0, or a share up to 1, as 0.01 for one in a hundred")
	}
	s.Accuracy.CanaryShare = f
	return nil
}

func setAccuracyPrefix(s *Settings, v string) error {
	n, err := strconv.ParseInt(v, 10, 32)
	if err != nil || n < 0 {
		return errors.New("want a token id, 0 or more")
	}
	id := int32(n)
	s.Accuracy.Prefix = &id
	return nil
}

// existing is the path of a file or a folder that is there.
func existing(field func(*Settings) *string) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		if _, err := os.Stat(v); err != nil {
			return errors.New("there is no such file")
		}
		*field(s) = v
		return nil
	}
}

// newFile reads the path of a file that is written when the sweep has ended, and
// finds out now whether it can be: hours later is too late.
func newFile(field func(*Settings) *string) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		if info, err := os.Stat(v); err == nil && info.IsDir() {
			return errors.New("that is a folder: want a file")
		}
		if v != "" {
			try, err := os.CreateTemp(filepath.Dir(v), ".try")
			if err != nil {
				return errors.New("want a file in a folder that is there and may be written to")
			}
			try.Close()
			os.Remove(try.Name())
		}
		*field(s) = v
		return nil
	}
}

// dataFile is the path of a file that every cell reads anew.
func dataFile(field func(*Settings) *string) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		info, err := os.Stat(v)
		switch {
		case err != nil:
			return errors.New("there is no such file")
		case info.IsDir():
			return errors.New("that is a folder: want a file")
		case !info.Mode().IsRegular():
			return errors.New("that is a pipe or a device: want a file, since it is read again for every cell")
		}
		*field(s) = v
		return nil
	}
}

// HubPrefix begins the name of a data set at Hugging Face, in place of a path.
const HubPrefix = "hf:"

// dataSet is the file of a data set; of sessions also a folder of files, or a data set
// at Hugging Face.
func dataSet(s *Settings, v string) error {
	if name, ok := strings.CutPrefix(v, HubPrefix); ok && s.Replay.Kind != nil {
		if owner, set, ok := strings.Cut(name, "/"); !ok || owner == "" || set == "" || strings.Contains(set, "/") {
			return errors.New("want hf:owner/name, a data set at Hugging Face")
		}
		s.Workload.Path = v
		return nil
	}
	if info, err := os.Stat(v); err == nil && info.IsDir() && s.Replay.Kind != nil {
		s.Workload.Path = v
		return nil
	}
	return dataFile(func(s *Settings) *string { return &s.Workload.Path })(s, v)
}

// accuracyFile is a data file of accuracy's, known by the name of its setting.
func accuracyFile(name string) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		var file string
		if err := dataFile(func(*Settings) *string { return &file })(s, v); err != nil {
			return err
		}
		if s.Accuracy.Files == nil {
			s.Accuracy.Files = map[string]string{}
		}
		s.Accuracy.Files[name] = file
		return nil
	}
}

func setResultFilename(s *Settings, v string) error {
	if v != filepath.Base(v) || v == "." || v == ".." || len(v) > 200 || strings.ContainsFunc(v, unicode.IsControl) {
		return errors.New("want a plain file name, without a folder (RESULTS_DIR names the folder)")
	}
	if filepath.Ext(v) != ".json" {
		v += ".json"
	}
	if v == "plan.json" || strings.HasPrefix(v, "server_") || strings.HasPrefix(v, "power_") {
		return errors.New("that name is one of the batch folder's own files: want another")
	}
	s.Results.Filename = v
	return nil
}

func setProgress(s *Settings, v string) error {
	switch v {
	case "auto", "live", "lines", "none":
		s.Results.Progress = v
		return nil
	}
	return errors.New("want live, lines, none or auto")
}

// webFolder is the address of a folder on a web server.
func webFolder(field func(*Settings) *string) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		a, err := address(v)
		if err != nil {
			return err
		}
		*field(s) = a
		return nil
	}
}

// setOffline takes the words that Hugging Face's own tools take.
func setOffline(s *Settings, v string) error {
	switch strings.ToLower(v) {
	case "1", "true", "yes", "on":
		s.Accuracy.Fetch.Offline = true
	case "0", "false", "no", "off":
		s.Accuracy.Fetch.Offline = false
	default:
		return errors.New("want 1 or 0")
	}
	return nil
}

func setLengths(s *Settings, v string) error {
	list, err := concList(v)
	if err != nil || slices.Min(list) < 1024 {
		return errors.New("want numbers of tokens, 1024 or more, each once, such as 4096,32768")
	}
	slices.Sort(list)
	s.Accuracy.Lengths = list
	return nil
}
