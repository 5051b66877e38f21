"""SGLang's client in Rust on a server: URL CONC N ISL OSL DIR. It is a module of its own in the package sglang."""

import importlib.metadata
import importlib.util
import json
import os
import sys

url, conc, n, isl, osl, folder = sys.argv[1:7]


def bench():
    """Load the module from where the package lies, without the package, which needs PyTorch."""
    for file in importlib.metadata.files("sglang"):
        if file.match("rust_extensions/_bench*.so"):
            spec = importlib.util.spec_from_file_location("_bench", file.locate())
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    sys.exit("this sglang has no client in Rust: its wheel for this system has no rust_extensions/_bench")


def byte_tokenizer(path):
    """Write a tokenizer of one token a byte, as the embedded engine's, in bytes as GPT-2 spells them."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    odd = [b for b in range(256) if b not in plain]
    spelled = {b: chr(b) for b in plain} | {b: chr(256 + i) for i, b in enumerate(odd)}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    os.makedirs(path, exist_ok=True)
    with open(os.path.join(path, "tokenizer.json"), "w") as f:
        json.dump({
            "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
            "pre_tokenizer": level, "post_processor": None, "decoder": level,
            "model": {"type": "BPE", "vocab": {spelled[b]: b for b in range(256)}, "merges": []},
        }, f)
    return path


out = os.path.join(folder, "sglang-rust.jsonl")
bench().run_argv([
    "bench", "--backend", "vllm", "--base-url", url, "--model", "inferbench-ngram",
    "--tokenizer", byte_tokenizer(os.path.join(folder, "bytes")), "--dataset-name", "random-ids",
    "--random-input-len", isl, "--random-output-len", osl, "--random-range-ratio", "1",
    "--num-prompts", n, "--max-concurrency", conc, "--disable-tqdm", "--disable-retokenize", "--output-file", out,
])
with open(out) as f:
    done = json.loads(f.readlines()[-1])["completed"]
if done != int(n):
    sys.exit(f"{done} of {n} requests succeeded")
