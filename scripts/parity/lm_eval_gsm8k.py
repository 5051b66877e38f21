"""Run lm-evaluation-harness's own gsm8k task on local rows.

With --model dummy nothing is asked of a server: what is wanted are the prompts.
"""
import argparse
import json
import os
import random
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import lm_eval
from lm_eval.api.metrics import exact_match_hf_evaluate
from lm_eval.api.registry import get_model
from lm_eval.filters.extraction import RegexFilter
from lm_eval.tasks import TaskManager

WROTE = [
    " 3 * 24 = <<3*24=72>>72.\n#### 72", "#### -5", "#### 1,100.", "#### 72 and #### 73", "####72", "#### $72", "The answer is 72.",
    "so $1,024.50 in all", "7", "a 7 b 8 c", "none", "", "1.2.3 ... $", "-5 degrees", "5-6", "#### .", "#### 7\n\nQuestion: 9", "٣ 12", "12 ,", "#### 72.0",
    "#### 72.", "#### 7,2", "####  72", "#### 72\n#### 5", "#### 5\n#### 72", "#### 72 of 80", "72 of 80", "#### +72", "#### -72", "#### 1100", "#### 1,100",
    "1,100 litres", "#### 1100.00", "#### --5", "minus 5", "It fell to -5.", "#### -5.", "#### 5-", "**72**", "\\boxed{72}", "#### 72%", "$72.", "72,", "#### ٧٢", "７２",
]
ANSWERS = ["3 * 24 = <<3*24=72>>72.\n#### 72", "1500 - 400 = 1100.\n#### 1,100", "3 - 8 = -5.\n#### -5"]


def run(model, test, train, shots):
    with tempfile.TemporaryDirectory() as tmp:
        theirs = os.path.join(os.path.dirname(lm_eval.__file__), "tasks", "gsm8k", "gsm8k.yaml")
        with open(os.path.join(tmp, "task.yaml"), "w", encoding="utf-8") as f:
            f.write(f"include: {theirs}\ntask: gsm8k_local\ndataset_path: json\ndataset_name: null\n"
                    f"dataset_kwargs: {{data_files: {{test: {os.path.abspath(test)}, train: {os.path.abspath(train)}}}}}\n")
        return lm_eval.simple_evaluate(model=model, tasks=["gsm8k_local"], num_fewshot=shots, log_samples=True,
                                       task_manager=TaskManager(include_path=tmp, include_defaults=False))


def samples(out):
    rows = [s for s in out["samples"]["gsm8k_local"] if s["filter"] == "strict-match"]
    return sorted(rows, key=lambda s: s["doc_id"])


def golden(a):
    strict = RegexFilter(r"#### (\-?[0-9\.\,]+)")
    flexible = RegexFilter(r"(-?[$0-9.,]{2,})|(-?[0-9]+)", group_select=-1)
    ignore = [",", "\\$", "(?s).*#### ", "\\.$"]

    def right(x, answer):
        return bool(exact_match_hf_evaluate([x], [answer], regexes_to_ignore=ignore, ignore_case=True)["exact_match"])

    extractions = []
    for text in WROTE:
        s, f = strict.apply([[text]], [{}])[0][0], flexible.apply([[text]], [{}])[0][0]
        extractions.append({"text": text, "strict": s, "flexible": f, "right": [[right(s, a), right(f, a)] for a in ANSWERS]})
    draws = []
    for n, k in [(7473, 5), (7473, 3), (7473, 8), (9, 5), (9, 3), (21, 3), (22, 3), (30, 6), (1000, 6)]:
        r = random.Random(1234)
        draws.append({"n": n, "k": k, "draws": [r.sample(range(n), k) for _ in range(300 if n == 7473 else 5)][-2:], "times": 300 if n == 7473 else 5})
    prompts = {}
    for shots in (3, 5):
        out = run(get_model("dummy")(), a.test, a.train, shots)
        prompts[shots] = [s["arguments"]["gen_args_0"]["arg_0"] if isinstance(s["arguments"], dict) else s["arguments"][0][0] for s in samples(out)]
    with open(a.out, "w", encoding="utf-8") as f:
        json.dump({"answers": ANSWERS, "extractions": extractions, "draws": draws, "prompts": prompts}, f, indent=1, ensure_ascii=True)
        f.write("\n")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--model", required=True)
    p.add_argument("--url")
    p.add_argument("--served")
    p.add_argument("--test", required=True)
    p.add_argument("--train", required=True)
    p.add_argument("--shots", type=int, default=5)
    p.add_argument("--conc", type=int, default=8)
    p.add_argument("--out", required=True)
    a = p.parse_args()
    if a.model == "dummy":
        golden(a)
        return
    lm = get_model(a.model)(model=a.served, base_url=a.url, num_concurrent=a.conc)
    out = run(lm, a.test, a.train, a.shots)
    figures = out["results"]["gsm8k_local"]
    with open(a.out, "w", encoding="utf-8") as f:
        json.dump({
            "wrote": [s["resps"][0][0] for s in samples(out)],
            "strict": figures["exact_match,strict-match"], "flexible": figures["exact_match,flexible-extract"],
            "strict_stderr": figures["exact_match_stderr,strict-match"], "flexible_stderr": figures["exact_match_stderr,flexible-extract"],
        }, f)


if __name__ == "__main__":
    main()
