"""Write the embedded engine's tokenizer as a Hugging Face tokenizer folder.

A token is a byte, its id the byte's value; <|bos|> is 256 and <|eos|> 257.
lm_eval's sglang-generate wants such a folder, since it asks no server for tokens.
"""
import json
import os
import sys


def bytes_to_unicode():
    """GPT-2's table: a printable character for each byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table, extra = {}, 0
    for b in range(256):
        if b in printable:
            table[b] = chr(b)
        else:
            table[b] = chr(256 + extra)
            extra += 1
    return table


def main(folder):
    os.makedirs(folder, exist_ok=True)
    specials = [{"id": 256 + i, "content": s, "single_word": False, "lstrip": False, "rstrip": False,
                 "normalized": False, "special": True} for i, s in enumerate(["<|bos|>", "<|eos|>"])]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    with open(os.path.join(folder, "tokenizer.json"), "w", encoding="utf-8") as f:
        json.dump({
            "version": "1.0", "truncation": None, "padding": None, "added_tokens": specials,
            "normalizer": None, "pre_tokenizer": byte_level, "post_processor": None, "decoder": byte_level,
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                      "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                      "vocab": {c: b for b, c in bytes_to_unicode().items()}, "merges": []},
        }, f, ensure_ascii=False, indent=1)
    with open(os.path.join(folder, "tokenizer_config.json"), "w", encoding="utf-8") as f:
        json.dump({"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|bos|>", "eos_token": "<|eos|>",
                   "clean_up_tokenization_spaces": False, "model_max_length": 32768}, f, indent=1)


if __name__ == "__main__":
    main(sys.argv[1])
