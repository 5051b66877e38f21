# The verbs a user types. Every setting can be given on the line, as in
#   make perf ISL=1024 OSL=1024 CONC=16
# and `make settings` lists them all.

SHELL  := /bin/bash
GO     ?= go
SUITE  := TestAccuracy|TestServing
JUNIT  ?= junit.xml

# gotestsum is a tool of this module: go builds it, nothing is installed.
# -timeout 0, because go test would otherwise kill a long sweep after 10 minutes.
RUN := $(GO) tool gotestsum --format standard-verbose --junitfile $(JUNIT) -- -count 1 -timeout 0 -run '$(SUITE)' .

.DEFAULT_GOAL := help
.PHONY: help settings bench acc perf submit ci test lint ci-deps env-example

help: ## these verbs
	@echo "make VERB [SETTING=value ...]"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "With neither BASE_URL nor PORT set, the embedded engine is measured. See README.md."

settings: ## every setting, its default and its meaning
	@$(GO) run ./cmd/settings

bench: ## a whole sweep of (1024,1024) on the embedded engine: no server, no GPU, no network
	@ISL=$${ISL:-1024} OSL=$${OSL:-1024} BASE_URL= PORT= $(RUN)

acc: ## accuracy only, of every selected cell
	@MODE=acc $(RUN)

perf: ## accuracy, then performance
	@MODE=perf $(RUN)

submit: ## perf, then the leaderboard; needs TEAM=x
	@MODE=submit $(RUN)

ci: ## perf with a JUnit report in junit.xml; exit code 0 only when every cell passed
	@MODE=$${MODE:-perf} $(RUN)

test: ## the suite's own tests
	$(GO) test $$($(GO) list ./... | grep -v '^inferbench$$')

lint: ## go vet, gofmt
	$(GO) vet ./...
	@test -z "$$(gofmt -l .)" || { gofmt -d .; exit 1; }

# What the tests can use beyond Go and make. Each line adds its own:
#   ci-deps: chromium
ci-deps: ## install what the tests skip without (Chromium and the like)

env-example: ## write .env.example anew from the table of settings
	$(GO) run ./cmd/settings -example > .env.example
