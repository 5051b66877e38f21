"""Run lm-evaluation-harness's gsm8k through the chat endpoint, worded as InferenceX words it, on local rows.

Without --url a server of this script's own answers, and the requests it got are the golden file; with it the figures
and what the model wrote are.
"""
import argparse
import json
import os
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import lm_eval
from lm_eval.api.metrics import exact_match_hf_evaluate
from lm_eval.api.registry import get_model
from lm_eval.filters.extraction import RegexFilter
from lm_eval.tasks import TaskManager

from capture import chat_server
from lm_eval_gsm8k import ANSWERS, WROTE

TASK = r'''include: {theirs}
task: gsm8k_chat
dataset_path: json
dataset_name: null
dataset_kwargs: {{data_files: {{test: {test}, train: {train}}}}}
doc_to_text: "Question: {{{{question}}}}\nEnd your response with the answer on the last line, formatted as: #### [number]\nAnswer:"
generation_kwargs: {{until: ["</s>", "<|im_end|>"], do_sample: false, temperature: 0.0}}
filter_list:
  - name: "strict-match"
    filter:
      - {{function: "regex", group_select: -1, regex_pattern: "#### (\\-?[0-9\\.\\,]+)"}}
      - {{function: "take_first"}}
  - name: "flexible-extract"
    filter:
      - {{function: "regex", group_select: -1, regex_pattern: "(-?[$0-9.,]{{2,}})|(-?[0-9]+)"}}
      - {{function: "take_first"}}
'''


def run(url, served, conc, a):
    with tempfile.TemporaryDirectory() as tmp:
        theirs = os.path.join(os.path.dirname(lm_eval.__file__), "tasks", "gsm8k", "gsm8k.yaml")
        with open(os.path.join(tmp, "task.yaml"), "w", encoding="utf-8") as f:
            f.write(TASK.format(theirs=theirs, test=os.path.abspath(a.test), train=os.path.abspath(a.train)))
        lm = get_model("local-chat-completions")(model=served, base_url=url, num_concurrent=conc)
        return lm_eval.simple_evaluate(model=lm, tasks=["gsm8k_chat"], num_fewshot=a.shots, log_samples=True, apply_chat_template=True,
                                       fewshot_as_multiturn=True, gen_kwargs=f"max_tokens={a.gen_tokens},temperature=0,top_p=1",
                                       task_manager=TaskManager(include_path=tmp, include_defaults=False))


def capture(a):
    url, got = chat_server("#### 1")
    run(url, "golden", 1, a)
    strict, flexible = RegexFilter(r"#### (\-?[0-9\.\,]+)", group_select=-1), RegexFilter(r"(-?[$0-9.,]{2,})|(-?[0-9]+)", group_select=-1)

    def right(x, answer):
        return bool(exact_match_hf_evaluate([x], [answer], regexes_to_ignore=[",", "\\$", "(?s).*#### ", "\\.$"], ignore_case=True)["exact_match"])

    extractions = []
    for text in WROTE:
        s, f = strict.apply([[text]], [{}])[0][0], flexible.apply([[text]], [{}])[0][0]
        extractions.append({"text": text, "strict": s, "flexible": f, "right": [[right(s, x), right(f, x)] for x in ANSWERS]})
    return {"answers": ANSWERS, "requests": got, "extractions": extractions}


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--url")
    p.add_argument("--served", default="golden")
    p.add_argument("--test", required=True)
    p.add_argument("--train", required=True)
    p.add_argument("--shots", type=int, default=5)
    p.add_argument("--conc", type=int, default=8)
    p.add_argument("--gen-tokens", type=int, default=512)
    p.add_argument("--out", required=True)
    a = p.parse_args()
    if a.url:
        out = run(a.url, a.served, a.conc, a)
        rows = sorted((s for s in out["samples"]["gsm8k_chat"] if s["filter"] == "strict-match"), key=lambda s: s["doc_id"])
        figures = out["results"]["gsm8k_chat"]
        answer = {"wrote": [s["resps"][0][0] for s in rows],
                  "strict": figures["exact_match,strict-match"], "flexible": figures["exact_match,flexible-extract"],
                  "strict_stderr": figures["exact_match_stderr,strict-match"], "flexible_stderr": figures["exact_match_stderr,flexible-extract"]}
    else:
        answer = capture(a)
    with open(a.out, "w", encoding="utf-8") as f:
        json.dump(answer, f, indent=1, ensure_ascii=True)
        f.write("\n")


if __name__ == "__main__":
    main()
