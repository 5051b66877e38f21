"""What vLLM's and SGLang's own metric functions make of recorded timings.

Usage: metrics.py RECORDING.json.gz ... : writes RECORDING.peers.json beside each.
See `make parity-client`.
"""

import contextlib
import dataclasses
import gzip
import json
import sys
import warnings
from importlib.metadata import version

import lone

sglang = lone.load("sglang.benchmark.serving", "sglang.benchmark")
vllm = lone.load("vllm.benchmarks.serve", "vllm.benchmarks")
warnings.simplefilter("ignore")

SLOS = {"ttft": 50.0, "tpot": 10.0, "e2el": 2000.0}  # ms; those of the Go test
PERCENTILES = [50, 90, 95, 99, 99.9]


class Tokenizer:
    """SGLang counts the tokens of each answer's text anew; there is no text here."""

    def encode(self, text, **_):
        return []


def fill(output, t):
    """A peer's output record of one timing: instants in ns become its seconds."""
    start = t["sent"] - t.get("waited", 0)
    output.success = not t.get("err")
    output.error = t.get("err", "")
    output.start_time = start / 1e9
    output.ttft = (t.get("first", 0) - start) / 1e9
    output.latency = (t.get("last", 0) - start) / 1e9
    output.itl = [gap / 1e9 for gap in t.get("itl") or []]
    output.prompt_len = t.get("input", 0)
    return output


def of_vllm(timings, seconds):
    outputs = []
    for t in timings:
        output = fill(vllm.RequestFuncOutput(), t)
        output.output_tokens = t.get("output", 0)
        outputs.append(output)
    requests = [vllm.SampleRequest(prompt="", prompt_len=o.prompt_len) for o in outputs]
    metrics, _ = vllm.calculate_metrics(requests, outputs, seconds, None, PERCENTILES, SLOS)
    flat = {}
    for key, value in dataclasses.asdict(metrics).items():
        if key.startswith("percentiles_"):
            for p, v in value:
                flat[f"p{p:g}_{key.removeprefix('percentiles_')}"] = float(v)
        else:
            flat[key] = float(value)
    return flat


def of_sglang(timings, seconds):
    outputs = []
    for t in timings:
        output = fill(sglang.RequestFuncOutput(), t)
        output.output_len = t.get("output", 0)
        outputs.append(output)
    requests = [sglang.DatasetRow(prompt="", prompt_len=o.prompt_len, output_len=o.output_len) for o in outputs]
    metrics, _ = sglang.calculate_metrics(requests, outputs, seconds, Tokenizer(), "sglang-oai")
    flat = {k: float(v) for k, v in dataclasses.asdict(metrics).items() if isinstance(v, (int, float))}
    goodput = sglang.calculate_goodput(outputs, SLOS, seconds)
    flat["request_goodput"], flat["slo_attainment"] = goodput.request_goodput, goodput.slo_attainment
    return flat


for path in sys.argv[1:]:
    with gzip.open(path) as f:
        recording = json.load(f)
    seconds = recording["duration"] / 1e9
    with contextlib.redirect_stdout(sys.stderr):
        found = {
            "vllm": {"version": version("vllm"), "metrics": of_vllm(recording["timings"], seconds)},
            "sglang": {"version": version("sglang"), "metrics": of_sglang(recording["timings"], seconds)},
        }
    out = path.removesuffix(".json.gz") + ".peers.json"
    with open(out, "w") as f:
        json.dump(found, f, indent=1, sort_keys=True)
        f.write("\n")
    print(out)
