"""Write a tiny llama model with random weights as a GGUF file.

    tiny_gguf.py OUT.gguf

The model knows nothing and is not meant to: it lets a real server be started
anywhere, so that the wire can be tested against code that is not ours. It is
seeded, so every machine writes the same file.

The vocabulary is sentencepiece's shape: <unk>, <s>, </s>, the 256 bytes, then
pieces. With a byte for every value any text can be tokenised. A few longer
pieces give prompts whose tokens are not simply their characters.

The output row of </s> and <unk> is zero, so greedy decoding never picks them:
a server that has no `ignore_eos` then still answers with as many tokens as asked.
"""

import string
import sys

import gguf
import numpy as np

SEED = 20251125
LAYERS, WIDTH, HEADS, FEED_FORWARD, CONTEXT = 2, 64, 4, 128, 16384
UNKNOWN, BOS, EOS = 0, 1, 2
WORDS = "th he in er an re on at en nd st or te es of ed is it al ar the and ing ion ▁the ▁of ▁and ▁in ▁a ▁to ▁was".split()


def vocabulary():
    """Pieces, their merge scores (higher merges first) and their types."""
    special = [("<unk>", gguf.TokenType.UNKNOWN), ("<s>", gguf.TokenType.CONTROL), ("</s>", gguf.TokenType.CONTROL)]
    byte = [(f"<0x{b:02X}>", gguf.TokenType.BYTE) for b in range(256)]
    chars = ["▁"] + [c for c in string.printable if c not in string.whitespace] + ["\n"]
    piece = [(p, gguf.TokenType.NORMAL) for p in chars + WORDS]
    entries = special + byte + piece
    scores = [0.0] * len(entries)
    first = len(special) + len(byte)
    for i, (p, _) in enumerate(piece):
        scores[first + i] = -float(i) if len(p) > 1 else -1000.0 - i
    return [p.encode() for p, _ in entries], scores, [t for _, t in entries]


def main(path):
    pieces, scores, types = vocabulary()
    random = np.random.default_rng(SEED)

    def matrix(rows, columns):
        return (random.standard_normal((rows, columns)) / np.sqrt(columns)).astype(np.float32)

    w = gguf.GGUFWriter(path, "llama")
    w.add_name("inferbench-tiny-random")
    w.add_context_length(CONTEXT)
    w.add_embedding_length(WIDTH)
    w.add_block_count(LAYERS)
    w.add_feed_forward_length(FEED_FORWARD)
    w.add_head_count(HEADS)
    w.add_head_count_kv(HEADS)
    w.add_rope_dimension_count(WIDTH // HEADS)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_vocab_size(len(pieces))
    w.add_tokenizer_model("llama")
    w.add_token_list(pieces)
    w.add_token_scores(scores)
    w.add_token_types(types)
    w.add_unk_token_id(UNKNOWN)
    w.add_bos_token_id(BOS)
    w.add_eos_token_id(EOS)
    w.add_add_bos_token(True)
    w.add_add_space_prefix(False)

    output = matrix(len(pieces), WIDTH) * 4
    output[[UNKNOWN, EOS]] = 0
    w.add_tensor("token_embd.weight", matrix(len(pieces), WIDTH) * np.float32(8))
    w.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    w.add_tensor("output.weight", output)
    for i in range(LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            w.add_tensor(f"blk.{i}.{name}.weight", matrix(WIDTH, WIDTH))
        w.add_tensor(f"blk.{i}.attn_norm.weight", np.ones(WIDTH, np.float32))
        w.add_tensor(f"blk.{i}.ffn_norm.weight", np.ones(WIDTH, np.float32))
        w.add_tensor(f"blk.{i}.ffn_gate.weight", matrix(FEED_FORWARD, WIDTH))
        w.add_tensor(f"blk.{i}.ffn_up.weight", matrix(FEED_FORWARD, WIDTH))
        w.add_tensor(f"blk.{i}.ffn_down.weight", matrix(WIDTH, FEED_FORWARD))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


if __name__ == "__main__":
    main(sys.argv[1])
