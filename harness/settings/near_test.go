package settings

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// slips are names that somebody types who means one of ours.
var slips = map[string]string{
	"NUMPROMPTS": "NUM_PROMPTS", "NUM_PROMPT": "NUM_PROMPTS", "NUM_PROMTPS": "NUM_PROMPTS", "num_prompts": "NUM_PROMPTS",
	"NUM-PROMPTS": "NUM_PROMPTS", "NUM_REQUESTS": "NUM_PROMPTS", "MAX_CONCURRENCY": "CONC", "MAXCONCURRENCY": "CONC",
	"CONCURRENCY": "CONC", "CONCC": "CONC", "CNOC": "CONC", "REQUEST_TIMOUT": "REQUEST_TIMEOUT",
	"REQEST_TIMEOUT": "REQUEST_TIMEOUT", "REQUESTTIMEOUT": "REQUEST_TIMEOUT", "READY_TIMEOUTS": "READY_TIMEOUT",
	"INPUT_LEN": "ISL", "RANDOM_INPUT_LEN": "ISL", "OUTPUT_LEN": "OSL", "RANDOM_OUTPUT_LEN": "OSL", "isl": "ISL",
	"BASEURL": "BASE_URL", "APIKEY": "API_KEY", "API_KEY_FIEL": "API_KEY_FILE", "TENSOR_PARALLEL_SIZE": "TP",
	"DATASET_NAME": "DATASET", "DATASETPATH": "DATASET_PATH", "DATASET_PAHT": "DATASET_PATH", "RANGE_RATIO": "RANDOM_RANGE_RATIO",
	"RANDOM_RANGE_RATO": "RANDOM_RANGE_RATIO", "REQUEST_RAET": "REQUEST_RATE", "REQUESTRATE": "REQUEST_RATE",
	"RESULT_DIR": "RESULTS_DIR", "RESULTSDIR": "RESULTS_DIR", "RESULT_FILE": "RESULT_FILENAME", "TEAM_NAME": "TEAM",
	"TEAMM": "TEAM", "MODLE": "MODEL", "PROT": "PORT", "WARM_UP": "WARMUP", "EXTRABODY": "EXTRA_BODY", "EXTRA_BDOY": "EXTRA_BODY",
	"TOKENISER": "TOKENIZER", "WIKI_TEXT": "WIKITEXT", "LEADERBOARDURL": "LEADERBOARD_URL", "LEADERBORD_URL": "LEADERBOARD_URL",
	"LB_URL": "LEADERBOARD_URL", "GPU_HOUR_USDS": "GPU_HOUR_USD", "DRYRUN": "DRY_RUN", "BURSTYNESS": "BURSTINESS",
	"SHARED_PREFFIX": "SHARED_PREFIX", "ACC_TOLERANE": "ACC_TOLERANCE", "Conc": "CONC", "HW_BASLINE": "HW_BASELINE",
}

// dotenvSlips are told in .env alone: elsewhere they may be another program's.
var dotenvSlips = map[string]string{
	"CON_C": "CONC", "ONC": "CONC", "CINC": "CONC", "TEM": "TEAM", "MODELE": "MODEL", "ILS": "ISL", "OSLL": "OSL", "PRT": "PORT",
	"DATASE": "DATASET", "GPU_WATT": "GPU_WATTS", "REQUESTTIMOUTS": "REQUEST_TIMEOUT", "RESLT_DIR": "RESULTS_DIR", "BASE_UR": "BASE_URL",
}

// others are names of the environments that the suite runs in.
var others = strings.Fields(`PATH HOME USER LOGNAME SHELL TERM TERM_PROGRAM LANG LC_ALL LC_CTYPE TZ PWD OLDPWD SHLVL EDITOR PAGER
	DISPLAY HOSTNAME HOST HOSTTYPE MAIL TMP TEMP TMPDIR PS1 IFS MANPATH LS_COLORS COLUMNS LINES NO_COLOR FORCE_COLOR COLORTERM
	XDG_CACHE_HOME XDG_CONFIG_HOME XDG_RUNTIME_DIR SSH_AUTH_SOCK SSH_CLIENT SSH_CONNECTION SSH_TTY DBUS_SESSION_BUS_ADDRESS
	HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy ALL_PROXY SSL_CERT_FILE SSL_CERT_DIR CURL_CA_BUNDLE
	REQUESTS_CA_BUNDLE REQUESTS_TIMEOUT READ_TIMEOUT TIMEOUT PREFIX DESTDIR CC CXX CFLAGS LDFLAGS MAKEFLAGS MAKELEVEL MFLAGS VERSION
	GOPATH GOROOT GOFLAGS GOPROXY GOCACHE GOMAXPROCS GOGC GOMEMLIMIT GOBIN CGO_ENABLED PYTHONPATH PYTHONUNBUFFERED VIRTUAL_ENV
	CONDA_PREFIX CONDA_DEFAULT_ENV NODE_ENV NODE_OPTIONS NODE_PATH NODE npm_config_cache JAVA_HOME RUST_LOG RUST_BACKTRACE
	CI CI_JOB_ID CI_COMMIT_SHA CI_PIPELINE_ID CI_NODE_TOTAL GITHUB_TOKEN GITHUB_SHA GITHUB_REF GITHUB_ACTIONS GITHUB_STEP_SUMMARY
	RUNNER_OS RUNNER_TEMP BUILD_NUMBER BUILD_ID JOB_NAME NODE_NAME NODE_LABELS EXECUTOR_NUMBER WORKSPACE JENKINS_URL GITLAB_CI
	KUBERNETES_SERVICE_HOST KUBERNETES_PORT POD_NAME POD_IP NAMESPACE DOCKER_HOST COMPOSE_PROJECT_NAME SERVICE_HOST SERVICE_PORT
	AWS_REGION AWS_PROFILE AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY GOOGLE_APPLICATION_CREDENTIALS AZURE_CLIENT_ID
	CUDA_VISIBLE_DEVICES CUDA_HOME CUDA_VERSION NVIDIA_VISIBLE_DEVICES NVIDIA_DRIVER_CAPABILITIES NCCL_DEBUG NCCL_SOCKET_IFNAME
	HIP_VISIBLE_DEVICES ROCM_PATH ROCR_VISIBLE_DEVICES HSA_NO_SCRATCH_RECLAIM LD_LIBRARY_PATH LD_PRELOAD OMP_NUM_THREADS
	MASTER_ADDR MASTER_PORT RANK LOCAL_RANK WORLD_SIZE LOCAL_WORLD_SIZE NNODES NODE_RANK NUM_GPUS GPU GPUS GPU_COUNT
	SLURM_JOB_ID SLURM_PROCID SLURM_NTASKS SLURM_NODELIST SLURM_CPUS_PER_TASK OMPI_COMM_WORLD_RANK PMI_RANK
	HF_HOME HF_HUB_CACHE HUGGING_FACE_HUB_TOKEN TRANSFORMERS_CACHE TOKENIZERS_PARALLELISM WANDB_API_KEY
	OPENAI_API_KEY OPENAI_BASE_URL OPENAI_MODEL ANTHROPIC_API_KEY VLLM_PORT VLLM_API_KEY VLLM_HOST_IP VLLM_LOGGING_LEVEL
	VLLM_USE_V1 SGLANG_PORT SGL_ENABLE_JIT_DEEPGEMM SGLANG_USE_AITER TORCH_HOME TRITON_CACHE_DIR OTEL_EXPORTER_OTLP_ENDPOINT
	MODEL_PATH MODEL_DIR MODEL_ID MODELS_DIR MODELS HOST_PORT PORTS SERVER_PORT API_URL API_KEYS API_TOKEN BASE_DIR DATA_DIR DATASETS
	DATASET_DIR CACHE LOG_DIR LOG_LEVEL DEBUG VERBOSE DATABASE_URL REDIS_URL SECRET_KEY WEB_CONCURRENCY MAX_WORKERS WORKERS
	MAX_MODEL_LEN MAX_NUM_SEQS MAX_TOKENS MEM_FRACTION CHUNKED_PREFILL_SIZE KV_CACHE_DTYPE EXTRA_ARGS
	DISABLE_RADIX_CACHE CUDA_GRAPH_MAX_BS OSS SSL TLS CON CONF CONN CODE SPEED SHARE STEAM PROMPT PROMPT_COMMAND REQUESTS
	HEADER ENDPOINTS GRACE INPUT OUTPUT OUTPUT_DIR RESULTS RESULT SEEDS TESTS`)

func TestNamesThatAreNearlyOurs(t *testing.T) {
	for name, meant := range slips {
		want := name + " (in the environment) is no setting and is not read: did you mean " + meant + "?"
		s, err := load(t, nil, map[string]string{name: "1"}, "")
		require.NoError(t, err)
		assert.Equal(t, []string{want}, s.Notes)

		s, err = load(t, nil, nil, name+"=1\n")
		if strings.Contains(name, "-") { // no name in a file of variables
			require.Error(t, err)
			continue
		}
		require.NoError(t, err)
		require.Len(t, s.Notes, 1, name)
		assert.Contains(t, s.Notes[0], ".env) is no setting and is not read: did you mean "+meant+"?")
	}
	for name, meant := range dotenvSlips {
		s, err := load(t, nil, map[string]string{name: "1"}, name+"=1\n")
		require.NoError(t, err)
		want := 1
		if letters(name) == letters(meant) {
			want = 2
		}
		require.Len(t, s.Notes, want, name)
		assert.Contains(t, s.Notes[want-1], ".env) is no setting and is not read: did you mean "+meant+"?", name)
	}
}

func TestNamesOfOthersAreLeftAlone(t *testing.T) {
	env := map[string]string{}
	var dotenv strings.Builder
	for _, name := range others {
		env[name] = "1"
		dotenv.WriteString(name + "=1\n")
	}
	s, err := load(t, nil, env, dotenv.String())
	require.NoError(t, err)
	assert.Empty(t, s.Notes)
	assert.Empty(t, s.Given)
}

// Who has given the setting itself needs no word on another tool's name for it.
func TestOurNameSilencesAnothers(t *testing.T) {
	s, err := load(t, nil, map[string]string{"CONC": "4", "MAX_CONCURRENCY": "8", "NUM_PROMPT": ""}, "")
	require.NoError(t, err)
	assert.Empty(t, s.Notes)
}

// A note shows no value: it may be a key.
func TestNotesShowNoValue(t *testing.T) {
	s, err := load(t, nil, map[string]string{"APIKEY": "s3cret-one"}, "HFTOKEN=s3cret-two\n")
	require.NoError(t, err)
	require.Len(t, s.Notes, 2)
	assert.NotContains(t, strings.Join(s.Notes, " "), "s3cret")
}

// The names of the competition's guide are read for ours, which go before them.
func TestNamesOfTheGuide(t *testing.T) {
	for name, c := range map[string]struct {
		env    map[string]string
		dotenv string
		team   string
		url    string
	}{
		"theirs":                  {map[string]string{"TEAM_NAME_ENV": "x", "LB_URL_OVERRIDE": "http://h:1/"}, "", "x", "http://h:1"},
		"both":                    {map[string]string{"TEAM_NAME_ENV": "x", "TEAM": "y"}, "", "y", ""},
		".env":                    {nil, "TEAM_NAME_ENV=x\nLB_URL_OVERRIDE=http://h:1\n", "x", "http://h:1"},
		"environment before .env": {map[string]string{"TEAM_NAME_ENV": "x"}, "TEAM=y\n", "x", ""},
	} {
		s, err := load(t, nil, c.env, c.dotenv)
		require.NoError(t, err, name)
		assert.Equal(t, []string{c.team, c.url}, []string{s.Team, s.Board.URL}, name)
		assert.Empty(t, s.Notes, name)
	}
	_, err := load(t, nil, map[string]string{"LB_URL_OVERRIDE": "board"}, "")
	assert.ErrorContains(t, err, `LB_URL_OVERRIDE="board" (from the environment): want an address`)
}
