package records

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Engines are the columns of the table of engines: records by their file's name,
// and what else is known of an engine that was not run.
var Engines = []struct {
	Name, Column string
	Read         map[string]string // read in its source or its documentation, by question
	NotRun       string            // why
}{
	{Name: "vllm", Column: "vLLM"},
	{Name: "transformers", Column: "`transformers serve`"},
	{Name: "llama-server", Column: "llama.cpp `llama-server`, built"},
	{Name: "llama-wheel", Column: "llama.cpp's server, wheel xllamacpp"},
	{Name: "llama-cpp-python", Column: "`llama-cpp-python`"},
	{Name: "embedded", Column: "embedded"},
	{Name: "sglang", Column: "SGLang", NotRun: "wants a GPU", Read: map[string]string{
		"how it is recognised (`owned_by`)":             "`sglang` (source)",
		"prompt as token ids":                           "yes (source)",
		"keys that OpenAI does not have (`ignore_eos`)": "taken (source)",
		"context length told":                           "`max_model_len` (source)",
		"`usage` in the stream":                         "a chunk without choices at the end (source)",
		"chunks for 32 tokens":                          "fewer with `num-continuous-decode-steps` and `stream_interval` (docs)",
		"a second request meanwhile":                    "is answered meanwhile (docs)",
		"prompt log-probabilities":                      "`/generate` (docs); on `/v1/completions` echo and logprobs do not go together (source)",
		"tokenizer":                                     "`/tokenize` (docs)",
		"`/health`":                                     "yes (docs)",
	}},
	{Name: "ollama", Column: "Ollama",
		NotRun: "no package of PyPI, npm or Debian brings its server, tried 26 November 2026", Read: map[string]string{
			"how it is recognised (`owned_by`)":             "the model's namespace: unknown (source)",
			"prompt as token ids":                           "**no**: a string only (source)",
			"keys that OpenAI does not have (`ignore_eos`)": "**not known to it** (source)",
			"context length told":                           "no (source)",
			"`usage` in the stream":                         "a chunk without choices at the end (source)",
			"chunks for 32 tokens":                          "a piece of text each (source)",
			"a second request meanwhile":                    "`OLLAMA_NUM_PARALLEL` (docs)",
			"prompt log-probabilities":                      "**none** (source)",
			"tokenizer":                                     "none (source)",
			"`/health`":                                     "404 (source)",
		}},
}

// EngineTable is the table of engines, of the records that there are.
func EngineTable(t testing.TB) string {
	head, rule, version, date := "|", "| ---", "| version", "| run on"
	rows := make([]string, len(Questions))
	for i, q := range Questions {
		rows[i] = "| " + q.Name
	}
	for _, e := range Engines {
		var r Engine
		run := Read(t, e.Name, &r)
		head, rule = head+" | "+e.Column, rule+" | ---"
		if run {
			version, date = version+" | "+r.Version, date+" | "+day(t, r.Date)
		} else {
			why := e.NotRun
			if why == "" {
				why = "not yet"
			}
			version, date = version+" | –", date+" | not run: "+why
		}
		for i, q := range Questions {
			says := e.Read[q.Name]
			if a := r.Answers[q.Name]; a != "" {
				says = a + " (run)"
			}
			if says == "" {
				says = "–"
			}
			rows[i] += " | " + says
		}
	}
	return strings.Join(append([]string{head, rule, version, date}, rows...), " |\n") + " |\n"
}

// GatewayTable is the table of gateways.
func GatewayTable(t testing.TB) string {
	var lines []string
	for _, g := range all(t, gateway, func(g Gateway) int { return g.Order }) {
		lines = append(lines, fmt.Sprintf("| %s | %s | %s | %.1f | %.1f | %.1f | %s |", g.Name, g.Version,
			day(t, g.Date), g.TTFT, g.DirectTTFT, g.ITL, g.Says))
	}
	return "| gateway | version | run on | TTFT | TTFT direct | ITL | what the suite says |\n" +
		"| --- | --- | --- | --: | --: | --: | --- |\n" +
		strings.Join(lines, "\n") + "\n"
}

// BesideTable is the table of our figures beside the engines' own counters.
func BesideTable(t testing.TB) string {
	out := "| what was measured | version | run on | rounds | TTFT: ours / counted | ours − counted, ms |" +
		" TPOT: ours / counted | E2EL: ours / counted | E2EL: through / direct |\n" +
		"| --- | --- | --- | --: | --- | --: | --- | --- | --- |\n"
	ratio := func(of map[string]Ratio, figure string) string {
		if r, ok := of[figure]; ok {
			return r.String()
		}
		return "–"
	}
	for _, b := range all(t, beside, func(b Beside) int { return b.Order }) {
		beyond := "–"
		if b.Beyond != nil {
			beyond = fmt.Sprintf("%.2f", *b.Beyond)
		}
		out += fmt.Sprintf("| %s | %s | %s | %d | %s | %s | %s | %s | %s |\n", b.Name, b.Version, day(t, b.Date), b.Rounds,
			ratio(b.Ratios, "mean_ttft_ms"), beyond, ratio(b.Ratios, "mean_tpot_ms"),
			ratio(b.Ratios, "mean_e2el_ms"), ratio(b.Direct, "mean_e2el_ms"))
	}
	return out
}

func day(t testing.TB, date string) string {
	at, err := time.Parse(time.DateOnly, date)
	if err != nil {
		t.Fatal(err)
	}
	return at.Format("2 Jan 2006")
}

// Put puts a table into a page, between the marks of that name, which say what
// makes it: "<!-- NAME: MAKER -->" and "<!-- end of NAME -->".
func Put(page, name, maker, table string) (string, error) {
	begin, end := fmt.Sprintf("<!-- %s: %s -->\n", name, maker), fmt.Sprintf("<!-- end of %s -->", name)
	before, rest, ok := strings.Cut(page, begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return "", fmt.Errorf("the page has no %q and %q", begin, end)
	}
	return before + begin + table + end + after, nil
}
