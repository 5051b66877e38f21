"""The requests that lm-evaluation-harness makes of gpqa_diamond in a chat, worded as InferenceX words it, for local rows."""
import argparse
import http.server
import json
import os
import shutil
import tempfile
import threading

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import lm_eval
from lm_eval.api.registry import get_model
from lm_eval.tasks import TaskManager

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
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true, ignore_case: true, ignore_punctuation: true}}]
'''


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--rows", required=True)
    p.add_argument("--out", required=True)
    a = p.parse_args()
    got = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_POST(self):
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            answer = json.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": "The answer is (A)."}}]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as tmp:
        shutil.copy(os.path.join(os.path.dirname(lm_eval.__file__), "tasks", "gpqa", "cot_n_shot", "utils.py"), tmp)
        with open(os.path.join(tmp, "task.yaml"), "w", encoding="utf-8") as f:
            f.write(TASK.format(rows=os.path.abspath(a.rows)))
        lm = get_model("local-chat-completions")(model="golden", base_url=f"http://127.0.0.1:{server.server_port}/v1/chat/completions", num_concurrent=1)
        out = lm_eval.simple_evaluate(model=lm, tasks=["gpqa_chat"], num_fewshot=0, log_samples=True, apply_chat_template=True, fewshot_as_multiturn=True,
                                      gen_kwargs="max_tokens=512,temperature=0,top_p=1", task_manager=TaskManager(include_path=tmp, include_defaults=False))
    rows = sorted(out["samples"]["gpqa_chat"], key=lambda s: s["doc_id"])
    with open(a.out, "w", encoding="utf-8") as f:
        json.dump({"requests": got, "answers": [s["target"] for s in rows]}, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
