"""The requests that lm-evaluation-harness makes of gpqa_diamond in a chat, worded as InferenceX words it, for local rows."""
import argparse
import json
import os
import shutil
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import lm_eval
from lm_eval.api.registry import get_model
from lm_eval.filters.extraction import RegexFilter
from lm_eval.tasks import TaskManager

from capture import chat_server

# The letter after the last "answer is", and the last letter that stands alone.
STRICT, FLEXIBLE = r"(?i:answer is)[^A-D\n]{0,4}([A-D])\b", r"\b([A-D])\b"
WROTE = [
    "The answer is (D).", "A or B? The answer is C", "Not A. (D)", "The answer is (c)", "the ANSWER IS: B", "The answer is\nB", "The answer is **B**.", "The answer is (A). No, the answer is (B)",
    "answer is Acid", "answer is A_1", "答案是A。", "中A中", "éA", "Aé", "A", "", "ABCD", "A B C D", "A,B;C", "(B", "Choice-C!", "x=D", "D2", "2D", "A٣", "A²", "The anſwer is B", "The answer is  ->  C", "The answer is -> C",
    "The answer is (A) Because", "The answer is option C", "Answer: B", "B\u0301", "\U0001d400", "Ⓑ B", "the answer is C\u200bD", "AD", "A\u00a0D", "'A'", "A's", "The answer is D.D",
]

TASK = r'''task: gpqa_chat
dataset_path: csv
dataset_kwargs: {{data_files: {{train: {rows}}}}}
output_type: generate_until
process_docs: !function utils.process_docs
training_split: train
validation_split: train
test_split: null
description: "Here are some example questions from experts. Answer the final question yourself. You must follow the format of the previous questions exactly: 'The answer is (X).', where X is your answer.\n"
doc_to_text: "Question: {{{{Question}}}}\nChoices:\n(A) {{{{choice1}}}}\n(B) {{{{choice2}}}}\n(C) {{{{choice3}}}}\n(D) {{{{choice4}}}}"
doc_to_target: answer
generation_kwargs: {{until: ["</s>"], do_sample: false, temperature: 0.0}}
filter_list:
  - name: "strict-match"
    filter: [{{function: "regex", group_select: -1, regex_pattern: {strict}}}, {{function: "take_first"}}]
  - name: "flexible-extract"
    filter: [{{function: "regex", group_select: -1, regex_pattern: {flexible}}}, {{function: "take_first"}}]
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true, ignore_case: true, ignore_punctuation: true}}]
'''


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--rows", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--url", help="ask a server, and give its answers and figures")
    p.add_argument("--served", default="golden")
    p.add_argument("--conc", type=int, default=8)
    p.add_argument("--gen-tokens", type=int, default=512)
    a = p.parse_args()
    url, got = (a.url, []) if a.url else chat_server("The answer is (A).")
    with tempfile.TemporaryDirectory() as tmp:
        shutil.copy(os.path.join(os.path.dirname(lm_eval.__file__), "tasks", "gpqa", "cot_n_shot", "utils.py"), tmp)
        with open(os.path.join(tmp, "task.yaml"), "w", encoding="utf-8") as f:
            f.write(TASK.format(rows=os.path.abspath(a.rows), strict=json.dumps(STRICT), flexible=json.dumps(FLEXIBLE)))
        lm = get_model("local-chat-completions")(model=a.served, base_url=url, num_concurrent=a.conc if a.url else 1)
        out = lm_eval.simple_evaluate(model=lm, tasks=["gpqa_chat"], num_fewshot=0, log_samples=True, apply_chat_template=True, fewshot_as_multiturn=True,
                                      gen_kwargs=f"max_tokens={a.gen_tokens},temperature=0,top_p=1", task_manager=TaskManager(include_path=tmp, include_defaults=False))
    rows = sorted((s for s in out["samples"]["gpqa_chat"] if s["filter"] == "strict-match"), key=lambda s: s["doc_id"])
    figures = out["results"]["gpqa_chat"]
    answer = {"requests": got, "answers": [s["target"] for s in rows]}
    if a.url:
        answer = {"wrote": [s["resps"][0][0] for s in rows], "strict": figures["exact_match,strict-match"], "flexible": figures["exact_match,flexible-extract"]}
    else:
        strict, flexible = RegexFilter(STRICT, group_select=-1), RegexFilter(FLEXIBLE, group_select=-1)
        answer["extractions"] = [{"text": t, "strict": strict.apply([[t]], [{}])[0][0], "flexible": flexible.apply([[t]], [{}])[0][0]} for t in WROTE]
    with open(a.out, "w", encoding="utf-8") as f:
        json.dump(answer, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
