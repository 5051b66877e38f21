"""What lm-evaluation-harness makes of its RULER tasks that need no download: the digests of a length's first prompts.

Each task and length runs on its own, as `lm_eval --tasks NAME` does, so that its random numbers are those of a fresh run;
of the 500 prompts the first 50 are kept. --tokenizer is a folder that transformers can read; wonderwords and nltk must
be installed. With --url one task is asked of a server instead, of its first --limit prompts.
"""
import argparse
import hashlib
import json
import multiprocessing
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

def one(task, tokenizer, length, queue):
    import contextlib
    import sys

    import lm_eval
    from lm_eval.api.registry import get_model
    from lm_eval.tasks import TaskManager

    folder = os.path.join(os.path.dirname(lm_eval.__file__), "tasks", "ruler")
    with contextlib.redirect_stdout(sys.stderr):
        out = lm_eval.simple_evaluate(model=get_model("dummy")(), tasks=[task], log_samples=True,
                                      task_manager=TaskManager(include_path=folder, include_defaults=False,
                                                               metadata={"tokenizer": tokenizer, "max_seq_lengths": [length]}))
    rows = sorted(out["samples"][task], key=lambda s: s["doc_id"])
    prompts = [s["arguments"]["gen_args_0"]["arg_0"] if isinstance(s["arguments"], dict) else s["arguments"][0][0] for s in rows]
    queue.put({"task": task, "length": length, "first": prompts[0], "digests": [hashlib.sha256(p.encode()).hexdigest()[:16] for p in prompts[:50]],
               "outputs": [s["doc"]["outputs"] for s in rows[:50]]})


def ask(a):
    import lm_eval
    from lm_eval.api.registry import get_model
    from lm_eval.tasks import TaskManager

    folder = os.path.join(os.path.dirname(lm_eval.__file__), "tasks", "ruler")
    lm = get_model("local-completions")(model=a.served, base_url=a.url, tokenizer=a.tokenizer, tokenizer_backend="huggingface", num_concurrent=a.conc,
                                        max_length=a.length + 1024, max_retries=1, tokenized_requests=not a.as_text)
    out = lm_eval.simple_evaluate(model=lm, tasks=[a.task], limit=a.limit, log_samples=True,
                                  task_manager=TaskManager(include_path=folder, include_defaults=False,
                                                           metadata={"tokenizer": a.tokenizer, "max_seq_lengths": [a.length]}))
    rows = sorted(out["samples"][a.task], key=lambda s: s["doc_id"])
    return {"prompts": [s["arguments"]["gen_args_0"]["arg_0"] if isinstance(s["arguments"], dict) else s["arguments"][0][0] for s in rows],
            "wrote": [s["resps"][0][0] for s in rows], "score": out["results"][a.task][f"{a.length},none"]}


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--tokenizer", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--url")
    p.add_argument("--served")
    p.add_argument("--task")
    p.add_argument("--length", type=int)
    p.add_argument("--limit", type=int, default=500)
    p.add_argument("--conc", type=int, default=8)
    p.add_argument("--as-text", action="store_true", help="send prompts as text, not as the tokenizer's ids")
    a = p.parse_args()
    if a.url:
        with open(a.out, "w", encoding="utf-8") as f:
            json.dump(ask(a), f)
        return
    from lm_eval.tasks.ruler.common_utils import postprocess_pred, string_match_all
    scores = []
    for text, refs in [(" 1234567.", ["1234567"]), ("abc\tDEF\n", ["ABC", "def", "x"]), ("", ["a"]), ("one two", ["two", "one", "ONE T"])]:
        scores.append({"text": text, "refs": refs, "score": string_match_all(postprocess_pred([text]), [refs])})
    made = []
    for task, length in [("niah_single_1", 2048), ("niah_single_1", 4096), ("ruler_vt", 2048), ("ruler_cwe", 2048), ("ruler_cwe", 8192), ("ruler_fwe", 2048)]:
        queue = multiprocessing.Queue()
        process = multiprocessing.Process(target=one, args=(task, a.tokenizer, length, queue))
        process.start()
        made.append(queue.get(timeout=900))
        process.join()
        with open(a.out, "w", encoding="utf-8") as f:
            json.dump({"scores": scores, "made": made}, f, indent=1, ensure_ascii=True)
            f.write("\n")


if __name__ == "__main__":
    main()
