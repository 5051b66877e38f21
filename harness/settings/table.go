package settings

import (
	"fmt"
	"io"
	"strings"
	"time"

	workloads "inferbench/harness/workload"
)

// row is one setting: its names, what it means, and how a value is read.
type row struct {
	Env     string // its name in the environment and in .env; see [row.Flag]
	Default string
	Help    string // with the unit
	set     func(*Settings, string) error

	Also      []string // names that are read for it too, where it is not given itself
	Elsewhere []string // what other tools call it: not read, but not passed over in silence

	// May stand in the environment for other programs' sake: alone there it asks for no sweep; so do secrets
	Exported  bool
	OfServer  bool   // belongs to a server, so that BASE_URL=embedded outweighs it
	Secret    bool   // from the environment or a file only, and never shown or recorded
	MayChange bool   // when a batch is resumed: it touches neither what is measured nor what it is measured on
	Input     bool   // names a file whose content a batch depends on, so that a resumed one must find it unchanged
	Arg       string // the key of a result's benchmark_args that tells it; "": benchmark_args.settings
}

// group is settings that belong together, under the heading of the help.
type group struct {
	Title string
	Alike bool // they say what is sent, and when: measurements are compared only where these are alike
	Rows  []row
}

// Flag is the setting's flag: NUM_PROMPTS is -num-prompts.
func (r row) Flag() string { return strings.ToLower(strings.ReplaceAll(r.Env, "_", "-")) }

// help is what the setting means, and what else is read for it.
func (r row) help() string {
	if len(r.Also) == 0 {
		return r.Help
	}
	return r.Help + " (" + strings.Join(r.Also, ", ") + " is read for it too)"
}

func (r row) defaultWord() string {
	if r.Default == "" {
		return "none"
	}
	return r.Default
}

// table is every setting, in the order in which they are read: a RESUME comes
// before what it gives, a BASE_URL before the PORT that it outweighs, a key
// before the file that may hold it.
var table = func() (out []row) {
	for _, g := range groups {
		out = append(out, g.Rows...)
	}
	return out
}()

var groups = []group{
	{Title: "How far a sweep goes", Rows: []row{
		{Env: "RESUME", MayChange: true, set: text(func(s *Settings) *string { return &s.Resume }),
			Help: "batch folder to go on with: its cells that are not finished run, with its settings (make resume " +
				"BATCH=…)"},
		{Env: "MODE", Default: "perf", set: setMode,
			Help: "acc (accuracy only), perf (accuracy, then performance) or submit (perf, then the leaderboard)"},
		{Env: "ESTIMATE", Default: "false", MayChange: true,
			set:  truth(func(s *Settings, b bool) { s.Estimate = b }),
			Help: "true: say how long the selected cells would take on this server, and run nothing (make estimate)"},
		{Env: "TEAM", Exported: true, MayChange: true, Also: []string{"TEAM_NAME_ENV"}, Elsewhere: []string{"TEAM_NAME"},
			set:  caption(64, func(s *Settings) *string { return &s.Team }),
			Help: "team name on the leaderboard; needed by submit"},
	}},
	{Title: "The server", Rows: []row{
		{Env: "BASE_URL", Exported: true, set: setBaseURL,
			Help: "address of the server, http://host:port; embedded (whatever PORT and MODEL say), or neither " +
				"BASE_URL nor PORT: the embedded engine starts"},
		{Env: "PORT", Exported: true, OfServer: true, set: setPort,
			Help: "port of a server on this machine, usually 8888; BASE_URL goes before it"},
		{Env: "API_KEY", Secret: true, set: secret(apiKey),
			Help: "key sent as a bearer token"},
		{Env: "API_KEY_FILE", Exported: true, MayChange: true, set: secretFile(apiKey),
			Help: "file that holds the key, instead of API_KEY"},
		{Env: "CA_FILE", Exported: true, MayChange: true, set: setCAFile,
			Help: "PEM file of certificates to trust besides the system's, for a server or a board behind a " +
				"private CA"},
		{Env: "MODEL", Exported: true, OfServer: true, set: text(func(s *Settings) *string { return &s.Server.Model }),
			Help: "model name as the server lists it; none takes the one model it lists"},
		{Env: "TP", Exported: true, Default: "8", Elsewhere: []string{"TP_SIZE", "TENSOR_PARALLEL_SIZE"},
			set:  whole(1, func(s *Settings) *int { return &s.Server.TP }),
			Help: "GPUs of the server; throughput is divided by it"},
		{Env: "MAX_TOKENS_KEY", set: setMaxTokensKey,
			Help: "what the server calls max_tokens, as max_completion_tokens; none means max_tokens"},
		{Env: "CACHE_RESET", set: setCacheReset,
			Help: "on or off: reset the server's prefix cache before each measured pass, where it can be; none is on " +
				"in submit mode and off elsewhere, since a server may be shared"},
		{Env: "METRICS_URLS", MayChange: true, set: pages(func(s *Settings) *[]string { return &s.Server.MetricsURLs }),
			Help: "addresses of /metrics pages, with commas between: those of prefill and decode workers, of routers, of " +
				"ranks; none is BASE_URL's own"},
		{Env: "VOCAB_SIZE",
			set: whole(4, func(s *Settings) *int { return &s.Server.VocabSize }),
			Help: "how many token ids the model has, for random prompts; none takes what the server or TOKENIZER " +
				"says, or finds out"},
		{Env: "READY_TIMEOUT", Default: "45m", MayChange: true, set: setReadyTimeout,
			Help: "how long a server may take to come up, as 90s or 45m"},
		{Env: "REQUEST_TIMEOUT", Default: "30m", MayChange: true, set: setRequestTimeout,
			Help: "how long one request may take in all"},
		{Env: "SYNTHETIC_ACCEPTANCE", Default: "false", set: truth(func(s *Settings, b bool) { s.Server.Synthetic = b }),
			Help: "true: the server was told to accept speculated tokens at a fixed length, so that its text is not the " +
				"model's and is not judged (vLLM says so itself, SGLang's SGLANG_SIMULATE_ACC_LEN does not)"},
		{Env: "ENGINE_PROFILE", Default: "fast", Input: true,
			set:  text(func(s *Settings) *string { return &s.Engine.Profile }),
			Help: "speed profile of the embedded engine: fast, agents, b200-dsr1-fp4 or a .json path"},
		{Env: "ENGINE_NOISE", Default: "0",
			set:  noise(func(s *Settings) *float64 { return &s.Engine.Noise }),
			Help: "noise on the embedded engine's logits, standard deviation in nats: a damaged model"},
		{Env: "ENGINE_DECODE_NOISE", Default: "0",
			set:  noise(func(s *Settings) *float64 { return &s.Engine.DecodeNoise }),
			Help: "the same on its decode steps alone"},
		{Env: "ENGINE_RANKS", set: whole(1, func(s *Settings) *int { return &s.Engine.Ranks }),
			Help: "data-parallel ranks of the embedded engine, each with a KV cache of its own; TP counts the GPUs of all; " +
				"none is one"},
		{Env: "ENGINE_KV_TOKENS", set: whole(16, func(s *Settings) *int { return &s.Engine.KVTokens }),
			Help: "tokens that the embedded engine's KV cache holds, prefixes kept for later among them; none is the profile's"},
		{Env: "ENGINE_HOST_TOKENS", set: whole(16, func(s *Settings) *int { return &s.Engine.HostTokens }),
			Help: "tokens that the host tier of its prefix cache holds, where they go that find no more room in the KV " +
				"cache; none is the profile's"},
		{Env: "ENGINE_FAULTS", set: text(func(s *Settings) *string { return &s.Engine.Faults }),
			Help: "what goes wrong in the embedded engine, as drop-mid-stream:rate=0.1,500:count=3 (docs/engine.md)"},
		{Env: "ENGINE_DIALECT", set: text(func(s *Settings) *string { return &s.Engine.Dialect }),
			Help: "whose endpoints the embedded engine offers: vllm, sglang; none means both"},
	}},
	{Title: "What is measured", Alike: true, Rows: []row{
		{Env: "ISL", Arg: "random_input_len",
			Elsewhere: []string{"INPUT_LEN", "INPUT_LENGTH", "RANDOM_INPUT_LEN"},
			set:       whole(1, func(s *Settings) *int { return &s.Selection.ISL }),
			Help:      "input tokens a request; alone it selects the standard pairs that match"},
		{Env: "OSL", Arg: "random_output_len",
			Elsewhere: []string{"OUTPUT_LEN", "OUTPUT_LENGTH", "RANDOM_OUTPUT_LEN"},
			set:       whole(1, func(s *Settings) *int { return &s.Selection.OSL }),
			Help:      "output tokens a request; likewise"},
		{Env: "CONC", MayChange: true, Arg: "max_concurrency",
			Elsewhere: []string{"MAX_CONCURRENCY", "CONCURRENCY"}, set: setConc,
			Help: "requests in flight: one value or a list, as 4,8,16; none means 4,8,16,32,64"},
		{Env: "NUM_PROMPTS", Arg: "num_prompts", Elsewhere: []string{"NUM_REQUESTS"},
			set: setNumPrompts,
			Help: "requests a cell: 200, 50x (CONC×50), or by CONC, as 4:200,64:25x; none means CONC×50, or CONC×20 " +
				"where OSL is 8192"},
		{Env: "RANDOM_RANGE_RATIO", Default: "1.0", Arg: "random_range_ratio",
			Elsewhere: []string{"RANGE_RATIO"},
			set:       fraction(func(s *Settings) *float64 { return &s.Workload.RangeRatio }),
			Help:      "lengths are uniform in [ratio·L, L]; above 0, at most 1"},
		{Env: "SEED", Default: "1", Arg: "seed", set: setSeed,
			Help: "seed of the prompts: the same seed sends the same prompts everywhere, each cell its own"},
		{Env: "WARMUP", Arg: "warmup_requests", Elsewhere: []string{"NUM_WARMUPS", "WARMUP_REQUESTS"},
			set:  setWarmUp,
			Help: "requests sent before the clock starts; none means 2×CONC"},
		{Env: "DATASET", Default: workloads.Kinds[0].Name, Elsewhere: []string{"DATASET_NAME"}, set: setDataset,
			Help: kindsHelp()},
		{Env: "DATASET_PATH", Input: true, set: dataSet,
			Help: "file of the data set, where it is one (of sessions also a folder, or hf:owner/name at Hugging Face); ISL " +
				"then names the cell only, and OSL is the output length of prompts that give none"},
		{Env: "SHARED_PREFIX", Default: "0", set: setSharedPrefix,
			Help: "part of each prompt, 0 to 1, that it has in common with others"},
		{Env: "PREFIXES", Default: "1",
			set:  whole(1, func(s *Settings) *int { return &s.Workload.Prefixes }),
			Help: "how many different shared prefixes there are"},
		{Env: "ENDPOINT", Default: "completions", Arg: "endpoint", set: setEndpoint,
			Help: "completions, or chat, where the server applies its chat template (its tokens count in the ISL of " +
				"DATASET=random)"},
		{Env: "TEMPERATURE", Default: "0", Arg: "temperature", set: setTemperature,
			Help: "sampling temperature of the timed requests; EXTRA_BODY={\"temperature\":null} leaves it to the server"},
		{Env: "EXTRA_BODY", Elsewhere: []string{"EXTRA_REQUEST_BODY"}, set: setExtraBody,
			Help: "JSON object whose keys go into every timed request's body, as top_p; null leaves a key out, of " +
				"max_tokens, stream_options, ignore_eos and temperature too"},
		{Env: "HEADERS", Secret: true, set: setHeaders,
			Help: "headers of every request to the server, as Name: value; Name: value, or as a JSON object, in which " +
				"a value may hold a semicolon"},
	}},
	{Title: "Sessions", Alike: true, Rows: replays},
	{Title: "Synthetic sessions", Alike: true, Rows: syntheticSessions},
	{Title: "How the load is put on", Alike: true, Rows: []row{
		{Env: "REQUEST_RATE", Default: "inf", Arg: "request_rate", set: setRate,
			Help: "requests a second on average, whether or not earlier ones are answered; inf keeps CONC in " +
				"flight instead"},
		{Env: "BURSTINESS", Default: "1", set: setBurstiness,
			Help: "how a REQUEST_RATE is spread: 1 is Poisson, below 1 comes in bursts, above 1 more evenly (gamma " +
				"distribution), or constant"},
		{Env: "TRACE", Default: "false", set: truth(func(s *Settings, b bool) { s.Shape.Trace = b }),
			Help: "true: send at the times that the lines of a jsonl data set give (timestamp)"},
		{Env: "TRACE_UNIT", Default: "auto", set: setTraceUnit,
			Help: "unit of a TRACE's timestamps: s, ms, us, ns, or auto: told by a time of day since 1970, else ms"},
		{Env: "CONC_CAP", Default: "true", set: truth(func(s *Settings, b bool) { s.Shape.Uncapped = !b }),
			Help: "false: a REQUEST_RATE or TRACE may have more than CONC requests in flight"},
		{Env: "RAMP_UP", Default: "0s",
			set:  span(func(s *Settings) *time.Duration { return &s.Shape.RampUp }),
			Help: "how long the load takes to reach its height, as 30s"},
		{Env: "DURATION", Default: "0s",
			set: span(func(s *Settings) *time.Duration { return &s.Shape.Duration }),
			Help: "send for so long instead of NUM_PROMPTS requests (or until both, where NUM_PROMPTS is given); " +
				"0s is no limit"},
	}},
	{Title: "More than one machine", Rows: []row{
		{Env: "SHARD", set: setShard,
			Help: "this process's place among those that share the load, INDEX/COUNT from 0/COUNT on; none shares " +
				"nothing"},
		{Env: "SHARD_DIR", set: text(func(s *Settings) *string { return &s.Shard.Dir }),
			Help: "folder that all shards see, one a run"},
		{Env: "SHARD_TIMEOUT", Default: "10m", set: setShardTimeout,
			Help: "how long shards wait for each other, as 10m"},
		{Env: "SHARD_LOST", Default: "30s", set: setShardLost,
			Help: "how long a shard may give no sign of life before the run is given up"},
	}},
	{Title: "Accuracy", Rows: []row{
		{Env: "ACC_TASK", Default: "wikitext", set: setAccuracyTask,
			Help: "what is asked of the model: " + tasksHelp()},
		{Env: "WIKITEXT", Input: true,
			set: accuracyFile("WIKITEXT"),
			Help: "path of a WikiText file to score: raw, zip or parquet; none takes WikiText-2, fetched once, or " +
				"for the embedded engine a text of the suite's own"},
		{Env: "ACC_AT", set: setAccuracyAt,
			Help: "at which CONC of a combination accuracy is scored: once (the highest), ends (lowest and highest) " +
				"or a list as 16,64; a cell in between stands on the next higher score; none means at every one"},
		{Env: "CANARY_SHARE", Default: "auto", set: setCanaryShare,
			Help: "share of the timed requests, at least 8 a cell, whose first 128 tokens are compared with those that " +
				"the same prompt gave at CONC 1; 0 compares none; auto is 0.01, and 0 with ACC_TASK=none"},
		{Env: "ACC_BASELINE", Input: true,
			set:  text(func(s *Settings) *string { return &s.Accuracy.Baseline }),
			Help: "accuracy baseline, by name or .json path; none takes the one for the model and the text"},
		{Env: "ACC_TOLERANCE", set: fraction(func(s *Settings) *float64 { return &s.Accuracy.Tolerance }),
			Help: "relative tolerance to both sides, 0.03 for ±3 %; for gsm8k how far below the baseline's share; " +
				"none takes the baseline's"},
		{Env: "ACC_MAX_LENGTH", Default: "2048",
			set:  whole(8, func(s *Settings) *int { return &s.Accuracy.MaxLength }),
			Help: "model length in tokens that the scoring windows follow from"},
		{Env: "TOKENIZER", Exported: true, Input: true,
			set: existing(func(s *Settings) *string { return &s.Accuracy.Tokenizer }),
			Help: "path of the model's tokenizer.json, for a server that has no /tokenize: counts, scoring, the " +
				"decode audit, the range of random ids"},
		{Env: "ACC_PREFIX_TOKEN", set: setAccuracyPrefix,
			Help: "id of the token that stands before a text (BOS, or EOS where the model has none); none asks the " +
				"server or the tokenizer"},
		{Env: "ACC_LENGTHS", set: setLengths,
			Help: "lengths of a RULER task's prompts in tokens, as 4096,32768,131072; none means 4096"},
		{Env: "ACC_SHOTS",
			set:  whole(1, func(s *Settings) *int { return &s.Accuracy.Shots }),
			Help: "worked examples before each question of gsm8k; none takes the baseline's number, else 5"},
		{Env: "ACC_GEN_TOKENS",
			set: whole(1, func(s *Settings) *int { return &s.Accuracy.GenTokens }),
			Help: "most tokens that an answer may take; none means 256 for gsm8k, and in a chat what the server's " +
				"context leaves, 16384 at most"},
		{Env: "GSM8K", Input: true, set: accuracyFile("GSM8K"),
			Help: "path of gsm8k's test.jsonl; none fetches it once, or for the embedded engine takes a few of the " +
				"suite's own"},
		{Env: "GSM8K_TRAIN", Input: true,
			set:  accuracyFile("GSM8K_TRAIN"),
			Help: "path of gsm8k's train.jsonl, which the worked examples are drawn from; likewise"},
		{Env: "GPQA", Input: true, set: accuracyFile("GPQA"),
			Help: "path of gpqa_diamond.csv, which is gated: huggingface.co/datasets/Idavidrein/gpqa"},
		{Env: "CACHE_DIR", Exported: true, set: text(func(s *Settings) *string { return &s.Accuracy.Fetch.CacheDir }),
			Help: "folder in which fetched data files are kept (make fetch fills it); none means inferbench in your " +
				"cache folder"},
		{Env: "DATA_MIRROR", MayChange: true, set: webFolder(func(s *Settings) *string { return &s.Accuracy.Fetch.Mirror }),
			Help: "address of a folder that has the public data files by their names in CACHE_DIR; it is asked before " +
				"their homes are"},
		{Env: "HF_ENDPOINT", Exported: true, MayChange: true,
			set:  webFolder(func(s *Settings) *string { return &s.Accuracy.Fetch.HFEndpoint }),
			Help: "where Hugging Face's files are fetched from, in place of https://huggingface.co"},
		{Env: "HF_HUB_OFFLINE", Default: "0", Exported: true, MayChange: true, set: setOffline,
			Help: "1: fetch nothing; what is needed must be in CACHE_DIR or named"},
	}},
	{Title: "Results", Rows: []row{
		{Env: "LABEL", MayChange: true, set: caption(100, func(s *Settings) *string { return &s.Results.Label }),
			Help: "what the batch is of, for people: the report and the table show it"},
		{Env: "NOTES", MayChange: true, set: caption(2000, func(s *Settings) *string { return &s.Results.Remarks }),
			Help: "whatever else is worth knowing of the batch, for people; results record it"},
		{Env: "GOODPUT", set: setGoodput,
			Help: "service levels in ms that a good request keeps, as ttft:500 tpot:50 e2el:9000"},
		{Env: "SLO", set: setLimits,
			Help: "limits that a cell must keep, else it FAILED, as ttft:p99<500 tpot:p99<50 (ms; mean, p50 to p99.9 " +
				"of ttft, tpot, itl, e2el) or goodput>95%, of the levels of GOODPUT; make search looks for the most load " +
				"that keeps them"},
		{Env: "PAIRS", Default: "10", set: whole(3, func(s *Settings) *int { return &s.Pairs }),
			Help: "pairs of blocks into which make ab cuts a cell's NUM_PROMPTS, on either server"},
		{Env: "PRECISION", set: setPrecision,
			Help: "end a cell as soon as throughput and the medians of E2EL and TTFT are known to ± this share at 95 % " +
				"confidence, as 2%, at the latest after NUM_PROMPTS requests; none sends them all, which boards ask for"},
		{Env: "SCRAPE_EVERY", Default: "1s", MayChange: true,
			set:  span(func(s *Settings) *time.Duration { return &s.Results.ScrapeEvery }),
			Help: "how often the server's own /metrics are read during a pass, for the report; 0s is never"},
		{Env: "PROFILE", Default: "0", MayChange: true,
			set: whole(0, func(s *Settings) *int { return &s.Results.Profile }),
			Help: "requests that each cell that passed sends once more while the server's profiler runs (/start_profile, " +
				"/stop_profile); no figure is of them, and the notes say where the trace lies"},
		{Env: "METRICS_LISTEN", MayChange: true,
			set: listen(func(s *Settings) *string { return &s.Results.Metrics.Listen }),
			Help: "host:port on which a running sweep serves Prometheus metrics of itself, as 127.0.0.1:9464; none " +
				"serves none"},
		{Env: "METRICS_LINGER", Default: "0s", MayChange: true,
			set:  span(func(s *Settings) *time.Duration { return &s.Results.Metrics.Linger }),
			Help: "how long METRICS_LISTEN stays up after the last cell, so that its figures are scraped too, as 30s"},
		{Env: "METRICS_PUSH", MayChange: true, set: setMetricsPush,
			Help: "address of a Prometheus Pushgateway that a running sweep pushes the same metrics to, as " +
				"http://host:9091; a push that fails is a warning"},
		{Env: "METRICS_PUSH_TOKEN", Secret: true,
			set:  secret(func(s *Settings) *string { return &s.Results.Metrics.PushToken }),
			Help: "bearer token for METRICS_PUSH, or user:password"},
		{Env: "PROGRESS", Exported: true, Default: "auto", MayChange: true, set: setProgress,
			Help: "how progress is shown: live (on the terminal), lines (every few seconds), none, or auto: live " +
				"where there is a terminal"},
		{Env: "RESULTS_DIR", Exported: true, Default: ".", MayChange: true,
			set:  text(func(s *Settings) *string { return &s.Results.Dir }),
			Help: "folder in which the batch folders are made"},
		{Env: "JUNIT", Exported: true, MayChange: true, set: newFile(func(s *Settings) *string { return &s.Results.JUnit }),
			Help: "path of a JUnit report: a test case a cell, with its figures as properties; none writes none"},
		{Env: "RESULT_FILENAME", Elsewhere: []string{"RESULT_FILE"}, set: setResultFilename,
			Help: "name of the result file, where a single cell is run"},
		{Env: "HW_BASELINE", Exported: true, Default: "b200-nv1126",
			set:  text(func(s *Settings) *string { return &s.Results.HardwareBaseline }),
			Help: "hardware baseline to compare with, by name or .json path"},
		{Env: "GPU_HOUR_USD", MayChange: true,
			set:  amount(func(s *Settings) *float64 { return &s.Results.GPUHourUSD }),
			Help: "price of one GPU for an hour, in USD; the report then shows the cost of a million tokens"},
		{Env: "GPU_WATTS", MayChange: true,
			set: amount(func(s *Settings) *float64 { return &s.Results.GPUWatts }),
			Help: "power of one GPU in W, as you know it, where POWER does not measure it; the report then shows tokens per " +
				"joule"},
		{Env: "POWER", Default: "auto", MayChange: true, set: setPower,
			Help: "auto: measure what the server's GPUs draw during a pass, by nvidia-smi or amd-smi where the server is on " +
				"this machine; off"},
		{Env: "POWER_CSV", MayChange: true, set: setPowerFiles,
			Help: "files that nvidia-smi or amd-smi write on the server's machines meanwhile, with commas between, in place " +
				"of running one here (docs/reading-results.md)"},
		{Env: "POWER_URLS", MayChange: true, set: pages(func(s *Settings) *[]string { return &s.Results.Power.URLs }),
			Help: "addresses of the pages of DCGM exporters, with commas between, likewise"},
		{Env: "POWER_GPUS", MayChange: true, set: gpus(func(s *Settings) *[]string { return &s.Results.Power.GPUs }),
			Help: "the server's GPUs by index or UUID, as 0,1,2,3; none are all that are told of, which must be TP"},
		{Env: "POWER_PREFILL_GPUS", MayChange: true,
			set: gpus(func(s *Settings) *[]string { return &s.Results.Power.Prefill }),
			Help: "of disaggregated servers those GPUs that prefill, the others decode; by index or UUID, or where there are " +
				"several of POWER_CSV and POWER_URLS as SOURCE/INDEX, counted from 0 (0/ are all of the first)"},
		{Env: "LEADERBOARD_URL", Exported: true, MayChange: true, Also: []string{"LB_URL_OVERRIDE"},
			Elsewhere: []string{"LB_URL"}, set: setLeaderboardURL,
			Help: "leaderboard that submit sends to; none means the public board, or for the embedded engine a " +
				"board on this machine"},
		{Env: "LEADERBOARD_TOKEN", Secret: true, set: secret(leaderboardToken),
			Help: "team token for a board of yours; the first submission under a name claims the name for it"},
		{Env: "LEADERBOARD_TOKEN_FILE", Exported: true, MayChange: true, set: secretFile(leaderboardToken),
			Help: "file that holds the token, instead of LEADERBOARD_TOKEN"},
		{Env: "HF_TOKEN", Secret: true, set: secret(func(s *Settings) *string { return &s.Board.HFToken }),
			Help: "Hugging Face token, sent to a board in a private Space (https://….hf.space), to HF_ENDPOINT's host for " +
				"data sets (DATASET_PATH=hf:…), and to nobody else"},
		{Env: "LEADERBOARD_DB", Exported: true, Default: "leaderboard.db", MayChange: true,
			set:  text(func(s *Settings) *string { return &s.Board.DB }),
			Help: "SQLite file of the board on this machine"},
		{Env: "LEADERBOARD_LISTEN", Exported: true, Default: "127.0.0.1:8090", MayChange: true,
			set:  listen(func(s *Settings) *string { return &s.Board.Listen }),
			Help: "host:port of the board on this machine"},
		{Env: "LEADERBOARD_ADMIN_TOKEN", Secret: true,
			set:  secret(func(s *Settings) *string { return &s.Board.AdminToken }),
			Help: "admin token of the board on this machine; none means that it has no admin"},
		{Env: "DRY_RUN", Default: "false", MayChange: true, set: setDryRun,
			Help: "true: print what submit would send, and send nothing"},
	}},
}

// TrafficNames lists the settings that say what is sent and when, as far as a result
// tells them among its settings and not under a key of their own.
func TrafficNames() []string {
	var out []string
	for _, g := range groups {
		for _, r := range g.Rows {
			if g.Alike && r.Arg == "" && !r.Secret {
				out = append(out, r.Env)
			}
		}
	}
	return out
}

// Inputs are the files that a batch depends on, by the setting that names each.
// Not all of them need exist: a name may be that of something shipped.
func (s Settings) Inputs() map[string]string {
	out := map[string]string{}
	for _, r := range table {
		if name := s.Given[r.Env]; r.Input && name != "" {
			out[r.Env] = name
		}
	}
	return out
}

const exampleHead = `# Copy to .env and change what you need. A flag goes before the environment,
# the environment before this file. An empty value means the default.
# A value with a $ or a # in it, as some keys have, goes into single quotes.
`

// WriteExample writes .env.example: every setting with its meaning, its unit
// and its default.
func WriteExample(w io.Writer) error {
	var b strings.Builder
	b.WriteString(exampleHead)
	for _, g := range groups {
		fmt.Fprintf(&b, "\n## %s\n", g.Title)
		for _, r := range g.Rows {
			fmt.Fprintf(&b, "# %s\n%s=%s\n", r.help(), r.Env, r.Default)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteHelp writes the settings as a table for a person.
func WriteHelp(w io.Writer) error {
	var b strings.Builder
	for _, g := range groups {
		fmt.Fprintf(&b, "%s\n", g.Title)
		for _, r := range g.Rows {
			flag := "-" + r.Flag()
			if r.Secret {
				flag = "(never a flag)"
			}
			fmt.Fprintf(&b, "  %-19s %-20s %-12s %s\n", r.Env, flag, r.defaultWord(), r.help())
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
