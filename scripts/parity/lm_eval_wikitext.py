"""Run lm-evaluation-harness's own wikitext task on a local raw WikiText file.

Only the data set is ours: the task's YAML, detokeniser, windows, model class and
metrics are those of the installed lm_eval. What it found goes to a JSON file, with
every document's target, counts, windows and log-likelihood, so that each can be
compared on its own.
"""
import argparse
import hashlib
import json
import os
import tempfile
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import lm_eval
from lm_eval.api.registry import get_model
from lm_eval.tasks import TaskManager
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window


def pages(raw):
    """The articles of a raw file, as EleutherAI/wikitext_document_level cuts them."""
    lines = []
    for line in raw.split("\n"):
        title = line.replace("= = =", "===").replace("= =", "==").strip()
        if title.startswith("= ") and title.endswith(" ="):
            if "\n".join(lines).strip():
                yield "\n".join(lines)
            lines = []
        lines.append(line)
    if "\n".join(lines).strip():
        yield "\n".join(lines)


def digest_of_windows(lm, text):
    """SHA-256 of a document's windows: ids joined by commas, '|', length of the context, newline."""
    sha = hashlib.sha256()
    count = 0
    for context, predicted in map(make_disjoint_window, get_rolling_token_windows(
            token_list=lm.tok_encode(text), prefix_token=lm.prefix_token_id,
            max_seq_len=lm.max_length - 1, context_len=1)):
        ids = ",".join(map(str, context + predicted))
        sha.update(f"{ids}|{len(context)}\n".encode())
        count += 1
    return sha.hexdigest(), count


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--model", required=True)
    p.add_argument("--url", required=True)
    p.add_argument("--served", required=True)
    p.add_argument("--tokenizer")
    p.add_argument("--text", required=True)
    p.add_argument("--conc", type=int, required=True)
    p.add_argument("--out", required=True)
    a = p.parse_args()

    args = {"model": a.served, "base_url": a.url, "num_concurrent": a.conc}
    if a.tokenizer:
        args["tokenizer"] = a.tokenizer
    lm = get_model(a.model)(**args)

    with tempfile.TemporaryDirectory() as tmp:
        data = os.path.join(tmp, "pages.jsonl")
        with open(a.text, encoding="utf-8", newline="") as src, open(data, "w", encoding="utf-8") as dst:
            for page in pages(src.read()):
                dst.write(json.dumps({"page": page}) + "\n")
        theirs = os.path.join(os.path.dirname(lm_eval.__file__), "tasks", "wikitext", "wikitext.yaml")
        with open(os.path.join(tmp, "task.yaml"), "w", encoding="utf-8") as f:
            f.write(f"include: {theirs}\ntask: wikitext_local\ndataset_path: json\ndataset_name: null\n"
                    f"dataset_kwargs: {{data_files: {{test: {data}}}}}\ntraining_split: null\nvalidation_split: null\n")
        scoring = {}
        rolling = lm.loglikelihood_rolling

        def timed(*args, **kwargs):
            begin, cpu = time.monotonic(), time.process_time()
            out = rolling(*args, **kwargs)
            scoring["seconds"], scoring["cpu"] = time.monotonic() - begin, time.process_time() - cpu
            return out

        lm.loglikelihood_rolling = timed
        out = lm_eval.simple_evaluate(model=lm, tasks=["wikitext_local"], log_samples=True,
                                      task_manager=TaskManager(include_path=tmp, include_defaults=False))

    figures = out["results"]["wikitext_local"]
    documents = []
    for s in sorted(out["samples"]["wikitext_local"], key=lambda s: s["doc_id"]):
        digest, count = digest_of_windows(lm, s["target"])
        documents.append({
            "target_sha256": hashlib.sha256(s["target"].encode()).hexdigest(),
            "words": s["word_perplexity"][1], "bytes": s["byte_perplexity"][1],
            "log_likelihood": s["byte_perplexity"][0], "windows": count, "windows_sha256": digest,
        })
    with open(a.out, "w", encoding="utf-8") as f:
        json.dump({
            "lm_eval": lm_eval.__version__, "prefix": lm.prefix_token_id, "seconds": scoring["seconds"], "cpu_seconds": scoring["cpu"], "documents": documents,
            **{m: figures[m + ",none"] for m in ("bits_per_byte", "byte_perplexity", "word_perplexity")},
        }, f)


if __name__ == "__main__":
    main()
