"""Score a text with llama.cpp itself, without any server, as a check.

    real_engine_loglikelihood.py MODEL.gguf TEXT MAX_LENGTH

Prints the sum of the text's log-probabilities in nats, over windows of
MAX_LENGTH-2 predicted tokens as lm-evaluation-harness cuts them, the first one
conditioned on a line break, each with BOS before it: what the suite scores on
llama-cpp-python's server (docs/engines.md). Written for itself, not from the
suite's code.
"""

import sys

import numpy as np
from llama_cpp import Llama


def main(model, path, max_length):
    llm = Llama(model, n_ctx=4096, n_threads=1, logits_all=True, verbose=False)
    tokens = llm.tokenize(open(path, "rb").read(), add_bos=False, special=True)
    (line_break,) = llm.tokenize(b"\n", add_bos=False, special=True)
    length = max_length - 2
    total, done = 0.0, 0
    while done < len(tokens):
        end = min(done + length, len(tokens))
        if done == 0:
            context, predicted = [line_break], tokens[:end]
        else:
            context, predicted = tokens[end - length - 1 : done], tokens[done:end]
        window = [llm.token_bos()] + context + predicted
        llm.reset()
        llm.eval(window)
        logits = np.array(llm.scores[: len(window)], dtype=np.float64)
        logprobs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        for i, token in enumerate(predicted):
            total += logprobs[len(context) + i, token]
        done = end
    print(repr(float(total)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
