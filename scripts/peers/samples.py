"""Result files of vLLM's and SGLang's clients, as they write them: ENGINE DIR.

Runs `vllm bench serve --save-result` and `sglang.bench_serving --output-file`
on the embedded engine (`inferbench engine`; PROGRAM is the command), each with its own command line and
its own code (see lone.py), and leaves their files in DIR. Of vLLM's it makes
what InferenceMAX and InferenceX publish. See `make import-samples`.
"""

import argparse
import json
import os
import re
import subprocess
import sys

import lone

sglang = lone.load("sglang.benchmark.serving", "sglang.benchmark")
vllm = lone.load("vllm.benchmarks.serve", "vllm.benchmarks")

program, folder = sys.argv[1], sys.argv[2]
MODEL = "inferbench-ngram"
ISL, OSL, PROMPTS = 64, 16, 20


class Tokenizer:
    """One token a printable character, which the embedded engine counts as one."""

    vocab_size, all_special_ids, name_or_path = 94, [], MODEL

    def num_special_tokens_to_add(self):
        return 1  # the engine begins a text with its BOS

    def encode(self, text, **_):
        return [min(max(ord(c) - 33, 0), 93) for c in text]

    def decode(self, ids, **_):
        return "".join(chr(33 + i) for i in ids)


# What the clients take from the packages that stand in here (see lone.py).
vllm.get_tokenizer = sglang.get_tokenizer = lambda *_, **__: Tokenizer()
sglang.check_chat_template = lambda _: True
sglang.resolve_base_url = lambda base_url, *_: base_url


def of_vllm(name, *more):
    parser = argparse.ArgumentParser()
    vllm.add_cli_args(parser)
    vllm.main(parser.parse_args([
        "--base-url", url, "--model", MODEL, "--dataset-name", "random", "--random-input-len", str(ISL), "--random-output-len", str(OSL),
        "--num-prompts", str(PROMPTS), "--max-concurrency", "4", "--temperature", "0", "--disable-tqdm",
        "--save-result", "--result-dir", folder, "--result-filename", name, *more,
    ]))


def of_sglang(name, conc, *more):
    sys.argv = [
        "bench_serving", "--backend", "sglang-oai", "--base-url", url, "--model", MODEL, "--dataset-name", "random-ids",
        "--random-input-len", str(ISL), "--random-output-len", str(OSL), "--random-range-ratio", "1",
        "--num-prompts", str(PROMPTS), "--max-concurrency", str(conc), "--disable-tqdm", "--output-file", os.path.join(folder, name), *more,
    ]
    sglang.cli_main()


def aggregate(source, name, before, gpus, **told):
    """What utils/process_result.py of both projects makes of a result of vLLM's:
    throughput per GPU, seconds instead of milliseconds, and 1/TPOT."""
    with open(os.path.join(folder, source)) as f:
        result = json.load(f)
    total, output = result["total_token_throughput"] / gpus, result["output_throughput"] / gpus
    made = before | {"conc": result["max_concurrency"], "model": result["model_id"]} | told
    made |= {"tput_per_gpu": total, "output_tput_per_gpu": output, "input_tput_per_gpu": total - output}
    for key, value in result.items():
        if key.endswith("ms"):
            made[key.replace("_ms", "")] = value / 1000
        if "tpot" in key:
            made[key.replace("_ms", "").replace("tpot", "intvty")] = 1000 / value
    with open(os.path.join(folder, name), "w") as f:
        json.dump(made, f, indent=2)


engine = subprocess.Popen([program, "engine", "-port", "0", "-profile", "b200-dsr1-fp4"], stdout=subprocess.PIPE, text=True)
try:
    url = re.search(r"http://\S+", engine.stdout.readline())[0]
    for old in ("vllm.json", "vllm-detailed.json", "sglang.jsonl"):  # SGLang's appends
        if os.path.exists(os.path.join(folder, old)):
            os.remove(os.path.join(folder, old))
    of_vllm("vllm.json")
    of_vllm("vllm-detailed.json", "--save-detailed", "--percentile-metrics", "ttft,tpot,itl,e2el", "--metric-percentiles", "90,99,99.9")
    of_sglang("sglang.jsonl", 2)
    of_sglang("sglang.jsonl", 4, "--output-details")
finally:
    engine.terminate()
    engine.wait()
served = {"framework": "inferbench", "precision": "none"}
aggregate("vllm-detailed.json", "agg_inferencemax.json", {"hw": "embedded", "tp": 8, "ep": 1}, 8, dp_attention="false", **served)
aggregate(
    "vllm-detailed.json", "agg_inferencex.json", {"hw": "embedded"}, 8, image="none", infmax_model_prefix="ngram", **served,
    spec_decoding="none", disagg=False, isl=ISL, osl=OSL, is_multinode=False, tp=8, ep=1, dp_attention="false",
)
