package settings

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// spec is one setting: its names, what it means, and how a value is read.
type spec struct {
	Group   string
	Env     string
	Default string
	Help    string // with the unit
	Secret  bool   // from the environment or a file only, and never shown
	set     func(*Settings, string) error
}

// Flag is the setting's flag: NUM_PROMPTS is -num-prompts.
func (s spec) Flag() string { return strings.ToLower(strings.ReplaceAll(s.Env, "_", "-")) }

func (s spec) defaultWord() string {
	if s.Default == "" {
		return "none"
	}
	return s.Default
}

const (
	far      = "How far a sweep goes"
	server   = "The server"
	workload = "What is measured"
	shape    = "How the load is put on"
	machines = "More than one machine"
	accuracy = "Accuracy"
	results  = "Results"
)

var table = []spec{
	{far, "RESUME", "", "batch folder to go on with: its cells that are not finished run, with its settings (make resume BATCH=…)", false, text(func(s *Settings) *string { return &s.Resume })},
	{far, "MODE", "perf", "acc (accuracy only), perf (accuracy, then performance) or submit (perf, then the leaderboard)", false, setMode},
	{far, "ESTIMATE", "false", "true: say how long the selected cells would take on this server, and run nothing (make estimate)", false, truth(func(s *Settings, b bool) { s.Estimate = b })},
	{far, "TEAM", "", "team name on the leaderboard; needed by submit", false, setTeam},

	{server, "BASE_URL", "", "address of the server, http://host:port; embedded, or neither BASE_URL nor PORT: the embedded engine starts", false, setBaseURL},
	{server, "PORT", "", "port of a server on this machine, usually 8888; BASE_URL goes before it", false, setPort},
	{server, "API_KEY", "", "key sent as a bearer token", true, secret(apiKey)},
	{server, "API_KEY_FILE", "", "file that holds the key, instead of API_KEY", false, secretFile(apiKey)},
	{server, "CA_FILE", "", "PEM file of certificates to trust besides the system's, for a server or a board behind a private CA", false, setCAFile},
	{server, "MODEL", "", "model name as the server lists it; none takes the one model it lists", false, text(func(s *Settings) *string { return &s.Server.Model })},
	{server, "TP", "8", "GPUs of the server; throughput is divided by it", false, whole(1, func(s *Settings) *int { return &s.Server.TP })},
	{server, "READY_TIMEOUT", "45m", "how long a server may take to come up, as 90s or 45m", false, setReadyTimeout},
	{server, "REQUEST_TIMEOUT", "30m", "how long one request may take in all", false, setRequestTimeout},
	{server, "ENGINE_PROFILE", "fast", "speed profile of the embedded engine: fast, b200-dsr1-fp4 or a .json path", false, text(func(s *Settings) *string { return &s.Engine.Profile })},
	{server, "ENGINE_NOISE", "0", "noise on the embedded engine's logits, standard deviation in nats: a damaged model", false, noise(func(s *Settings) *float64 { return &s.Engine.Noise })},
	{server, "ENGINE_DECODE_NOISE", "0", "the same on its decode steps alone", false, noise(func(s *Settings) *float64 { return &s.Engine.DecodeNoise })},
	{server, "ENGINE_FAULTS", "", "what goes wrong in the embedded engine, as drop-mid-stream:rate=0.1,500:count=3 (docs/engine.md)", false, text(func(s *Settings) *string { return &s.Engine.Faults })},
	{server, "ENGINE_DIALECT", "", "whose endpoints the embedded engine offers: vllm, sglang; none means both", false, text(func(s *Settings) *string { return &s.Engine.Dialect })},

	{workload, "ISL", "", "input tokens a request; alone it selects the standard pairs that match", false, whole(1, func(s *Settings) *int { return &s.Selection.ISL })},
	{workload, "OSL", "", "output tokens a request; likewise", false, whole(1, func(s *Settings) *int { return &s.Selection.OSL })},
	{workload, "CONC", "", "requests in flight: one value or a list, as 4,8,16; none means 4,8,16,32,64", false, setConc},
	{workload, "NUM_PROMPTS", "", "requests a cell; none means CONC×50, or CONC×20 where OSL is 8192", false, whole(1, func(s *Settings) *int { return &s.Selection.NumPrompts })},
	{workload, "RANDOM_RANGE_RATIO", "1.0", "lengths are uniform in [ratio·L, L]; above 0, at most 1", false, fraction(func(s *Settings) *float64 { return &s.Workload.RangeRatio })},
	{workload, "SEED", "1", "seed of the prompts: the same seed sends the same prompts everywhere, each cell its own", false, setSeed},
	{workload, "WARMUP", "", "requests sent before the clock starts; none means 2×CONC", false, setWarmUp},

	{workload, "DATASET", "random", "random (token ids), text (random words), sharegpt or jsonl (a file of prompts, one JSON object a line)", false, setDataset},
	{workload, "DATASET_PATH", "", "file of the data set, for sharegpt and jsonl; ISL then names the cell only, and OSL is the output length of prompts that give none", false, dataFile(func(s *Settings) *string { return &s.Workload.Path })},
	{workload, "SHARED_PREFIX", "0", "part of each prompt, 0 to 1, that it has in common with others", false, setSharedPrefix},
	{workload, "PREFIXES", "1", "how many different shared prefixes there are", false, whole(1, func(s *Settings) *int { return &s.Workload.Prefixes })},
	{workload, "ENDPOINT", "completions", "completions, or chat, where the server applies its chat template", false, setEndpoint},
	{workload, "EXTRA_BODY", "", "JSON object whose keys go into every request's body; null leaves a key out", false, setExtraBody},
	{workload, "HEADERS", "", "headers of every request to the server, as Name: value; Name: value", true, setHeaders},

	{shape, "REQUEST_RATE", "inf", "requests a second on average, whether or not earlier ones are answered; inf keeps CONC in flight instead", false, setRate},
	{shape, "BURSTINESS", "1", "how a REQUEST_RATE is spread: 1 is Poisson, less burstier, more evener (gamma distribution), or constant", false, setBurstiness},
	{shape, "TRACE", "false", "true: send at the times that the lines of a jsonl data set give (timestamp, ms)", false, truth(func(s *Settings, b bool) { s.Shape.Trace = b })},
	{shape, "CONC_CAP", "true", "false: a REQUEST_RATE or TRACE may have more than CONC requests in flight", false, truth(func(s *Settings, b bool) { s.Shape.Uncapped = !b })},
	{shape, "RAMP_UP", "0s", "how long the load takes to reach its height, as 30s", false, span(func(s *Settings) *time.Duration { return &s.Shape.RampUp })},
	{shape, "DURATION", "0s", "send for so long instead of NUM_PROMPTS requests (or until both, where NUM_PROMPTS is given); 0s is no limit", false, span(func(s *Settings) *time.Duration { return &s.Shape.Duration })},
	{shape, "GOODPUT", "", "service levels in ms that a good request keeps, as ttft:500 tpot:50 e2el:9000", false, setGoodput},

	{machines, "SHARD", "", "this process's place among those that share the load, INDEX/COUNT from 0/COUNT on; none shares nothing", false, setShard},
	{machines, "SHARD_DIR", "", "folder that all shards see, one a run", false, text(func(s *Settings) *string { return &s.Shard.Dir })},
	{machines, "SHARD_TIMEOUT", "10m", "how long shards wait for each other, as 10m", false, setShardTimeout},
	{machines, "SHARD_LOST", "30s", "how long a shard may give no sign of life before the run is given up", false, setShardLost},

	{accuracy, "ACC_TASK", "wikitext", "what is asked of the model: wikitext (perplexity of a text) or gsm8k (word problems)", false, setAccuracyTask},
	{accuracy, "WIKITEXT", "", "path of a WikiText file to score: raw, zip or parquet; none takes WikiText-2, fetched once, or for the embedded engine a text of the suite's own", false, accuracyFile("WIKITEXT")},
	{accuracy, "ACC_BASELINE", "", "accuracy baseline, by name or .json path; none takes the one for the model and the text", false, text(func(s *Settings) *string { return &s.Accuracy.Baseline })},
	{accuracy, "ACC_TOLERANCE", "", "relative tolerance to both sides, 0.03 for ±3 %; for gsm8k how far below the baseline's share; none takes the baseline's", false, fraction(func(s *Settings) *float64 { return &s.Accuracy.Tolerance })},
	{accuracy, "ACC_MAX_LENGTH", "2048", "model length in tokens that the scoring windows follow from", false, whole(8, func(s *Settings) *int { return &s.Accuracy.MaxLength })},
	{accuracy, "TOKENIZER", "", "path of the model's tokenizer.json, for a server that has no /tokenize", false, existing(func(s *Settings) *string { return &s.Accuracy.Tokenizer })},
	{accuracy, "ACC_PREFIX_TOKEN", "", "id of the token that stands before a text (BOS, or EOS where the model has none); none asks the server or the tokenizer", false, setAccuracyPrefix},
	{accuracy, "ACC_SHOTS", "5", "worked examples before each question of gsm8k", false, whole(1, func(s *Settings) *int { return &s.Accuracy.Shots })},
	{accuracy, "ACC_GEN_TOKENS", "256", "most tokens that an answer to gsm8k may take; a model that reasons first needs thousands, and ACC_MAX_LENGTH with them", false, whole(1, func(s *Settings) *int { return &s.Accuracy.GenTokens })},
	{accuracy, "GSM8K", "", "path of gsm8k's test.jsonl; none fetches it once, or for the embedded engine takes a few of the suite's own", false, accuracyFile("GSM8K")},
	{accuracy, "GSM8K_TRAIN", "", "path of gsm8k's train.jsonl, which the worked examples are drawn from; likewise", false, accuracyFile("GSM8K_TRAIN")},
	{accuracy, "CACHE_DIR", "", "folder in which fetched data files are kept; none means inferbench in your cache folder", false, text(func(s *Settings) *string { return &s.Accuracy.CacheDir })},

	{results, "SCRAPE_EVERY", "1s", "how often the server's own /metrics are read during a pass, for the report; 0s is never", false, span(func(s *Settings) *time.Duration { return &s.Results.ScrapeEvery })},
	{results, "METRICS_LISTEN", "", "host:port on which a running sweep serves Prometheus metrics of itself, as 127.0.0.1:9464; none serves none", false, listen(func(s *Settings) *string { return &s.Results.MetricsListen })},
	{results, "PROGRESS", "auto", "how progress is shown: live (on the terminal), lines (every few seconds), none, or auto: live where there is a terminal", false, setProgress},
	{results, "RESULTS_DIR", ".", "folder in which the batch folders are made", false, text(func(s *Settings) *string { return &s.Results.Dir })},
	{results, "RESULT_FILENAME", "", "name of the result file, where a single cell is run", false, setResultFilename},
	{results, "HW_BASELINE", "b200-nv1126", "hardware baseline to compare with, by name or .json path", false, text(func(s *Settings) *string { return &s.Results.HardwareBaseline })},
	{results, "GPU_HOUR_USD", "", "price of one GPU for an hour, in USD; the report then shows the cost of a million tokens", false, amount(func(s *Settings) *float64 { return &s.Results.GPUHourUSD })},
	{results, "GPU_WATTS", "", "power of one GPU in W, as you know it (it is not measured); the report then shows tokens per joule", false, amount(func(s *Settings) *float64 { return &s.Results.GPUWatts })},
	{results, "LEADERBOARD_URL", "", "leaderboard that submit sends to; none means the public board, or for the embedded engine a board on this machine", false, setLeaderboardURL},
	{results, "LEADERBOARD_TOKEN", "", "team token for a board of yours; the first submission under a name claims the name for it", true, secret(leaderboardToken)},
	{results, "LEADERBOARD_TOKEN_FILE", "", "file that holds the token, instead of LEADERBOARD_TOKEN", false, secretFile(leaderboardToken)},
	{results, "HF_TOKEN", "", "Hugging Face token, sent to a board in a private Space (https://….hf.space) and to nobody else", true, secret(func(s *Settings) *string { return &s.Board.HFToken })},
	{results, "LEADERBOARD_DB", "leaderboard.db", "SQLite file of the board on this machine", false, text(func(s *Settings) *string { return &s.Board.DB })},
	{results, "LEADERBOARD_LISTEN", "127.0.0.1:8090", "host:port of the board on this machine", false, listen(func(s *Settings) *string { return &s.Board.Listen })},
	{results, "LEADERBOARD_ADMIN_TOKEN", "", "admin token of the board on this machine; none means that it has no admin", true, secret(func(s *Settings) *string { return &s.Board.AdminToken })},
	{results, "DRY_RUN", "false", "true: print what submit would send, and send nothing", false, setDryRun},
}

// TrafficNames lists the settings that say what is sent and in what shape, but
// for those that a result has as arguments of their own.
func TrafficNames() []string {
	own := map[string]bool{"ISL": true, "OSL": true, "CONC": true, "NUM_PROMPTS": true, "SEED": true, "WARMUP": true,
		"RANDOM_RANGE_RATIO": true, "REQUEST_RATE": true, "ENDPOINT": true, "GOODPUT": true}
	var out []string
	for _, sp := range table {
		if (sp.Group == workload || sp.Group == shape) && !own[sp.Env] && !sp.Secret {
			out = append(out, sp.Env)
		}
	}
	return out
}

// WriteExample writes .env.example: every setting with its meaning, its unit
// and its default.
func WriteExample(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Copy to .env and change what you need. A flag goes before the environment,\n# the environment before this file. An empty value means the default.\n# A value with a $ or a # in it, as some keys have, goes into single quotes.\n")
	group := ""
	for _, sp := range table {
		if sp.Group != group {
			group = sp.Group
			fmt.Fprintf(&b, "\n## %s\n", group)
		}
		fmt.Fprintf(&b, "# %s\n%s=%s\n", sp.Help, sp.Env, sp.Default)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteHelp writes the settings as a table for a person.
func WriteHelp(w io.Writer) error {
	var b strings.Builder
	group := ""
	for _, sp := range table {
		if sp.Group != group {
			group = sp.Group
			fmt.Fprintf(&b, "%s\n", group)
		}
		flag := "-" + sp.Flag()
		if sp.Secret {
			flag = "(never a flag)"
		}
		fmt.Fprintf(&b, "  %-19s %-20s %-12s %s\n", sp.Env, flag, sp.defaultWord(), sp.Help)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
