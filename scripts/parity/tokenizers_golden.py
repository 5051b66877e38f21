"""Train small tokenizers of the shapes that models ship, and write what Hugging
Face's `tokenizers` makes of hard text with them.

`make golden` keeps both in harness/tokenizer/testdata, so that CI holds the Go
tokenizer to them without Python. The pre-tokenizers, normalizers and options are
those of the named models' public tokenizer.json; vocabulary and merges are trained
here, on this project's own prose, and kept small. `make parity` asks the same of the
models' own files.
"""
import hashlib
import json
import os
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

BYTES = pre_tokenizers.ByteLevel.alphabet()

# The split patterns, as the models' tokenizer.json have them.
GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
DEEPSEEK = [r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
            "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"]
GPT_OSS = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])

HARD = "\n".join([
    "Plain words, 1234567 and 3.14; don't I'LL WE'VE it'S 'tis ''d.",
    "  two  spaces   three\ttab\t\ttabs \t mixed  \n\n\n   lines \r\n windows\rlines  \n ",
    "été É e\u0301 Ünïcödé ﬁ ﬂ Å \u212b Ω \u2126 ẞ ǅ ʰ",
    "東京都は日本の首都です。 カタカナ ひらがな 漢字 한국어 中文，标点！",
    "Привет, мир! Γειά σου שלום مرحبا नमस्ते สวัสดี ไทย",
    "😀 👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪 𝔘𝔫𝔦 𝒳 \U0010fffd \u200b\u200d\ufeff",
    "½ ²³ Ⅷ ④ ٣٤٥ १२३ 1\u00bd x² №5 $1,024.50 €20 50% ±3",
    "a\u00a0b\u2003c\u3000d\u2028e\u2029f\u0085g\u200ah\x0bi\x0cj\x1ck",
    "http://x.y/z?q=1&r=2#s foo_bar fooBar XMLHttpRequest snake-case C++ <html> </s> [INST] {}();",
    "def f(x):\n    return x**2 + 1  # comment\n\n\tif x:\n\t\tpass\n",
    "<|bos|>text<|eos|> <|eos|>\n<s> <unk> ▁ ▁▁ Ġ Ċ \u2581word",
    "... ---- ==== !!!??? ,,,;;; \"quotes\" “curly” ‘single’ «angle» …—–",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 0000000000 \x00\x01\x7f end",
    "'ſ it'ſ IT'ſ 'K '\u212a'RE 'rE 'Ve",
    "x <mask>y <mask> z  [strip]  w [strip][strip] word wording a word. NORM norm Norm",
    "   ", "",
])


def byte_level(patterns, normalizer=None, bos=None, ignore_merges=False):
    t = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if normalizer:
        t.normalizer = normalizer
    if patterns is None:
        t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    else:
        t.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(p), "isolated", invert=False) for p in patterns]
            + [pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=900, initial_alphabet=BYTES, special_tokens=[], show_progress=False)

    def finish():
        t.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in ("<|bos|>", "<|eos|>")])
        if bos:
            t.post_processor = processors.Sequence([
                processors.ByteLevel(trim_offsets=False),
                processors.TemplateProcessing(single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, t.token_to_id(bos))])])
        return t
    return t, trainer, finish


def sentencepiece(style):
    """Llama-2's shape (a normalizer does the spaces) or Mistral's newer one (Metaspace)."""
    t = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    if style == "normalizer":
        t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    elif style == "gemma":
        t.normalizer = normalizers.Replace(" ", "▁")
        t.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous", invert=False)
    else:
        t.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    specials = ["<unk>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=specials + [f"<0x{b:02X}>" for b in range(256)],
                                  show_progress=False, limit_alphabet=200)

    def finish():
        # The byte tokens are ordinary entries of the vocabulary, not added tokens.
        j = json.loads(t.to_str())
        j["added_tokens"] = [a for a in j["added_tokens"] if a["content"] in specials]
        f = Tokenizer.from_str(json.dumps(j))
        f.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", f.token_to_id("<s>"))])
        return f
    return t, trainer, finish


def added():
    """Every option that an added token has."""
    t, trainer, finish = byte_level(None, normalizer=normalizers.Lowercase())

    def more():
        f = finish()
        f.add_tokens([AddedToken("<mask>", lstrip=True, special=True, normalized=False),
                      AddedToken("[strip]", lstrip=True, rstrip=True, normalized=False),
                      AddedToken("word", single_word=True, normalized=False),
                      AddedToken("NORM", normalized=True), AddedToken("no", normalized=False), AddedToken("nor", normalized=False)])
        return f
    return t, trainer, more


def unigram():
    t = Tokenizer(models.Unigram())
    t.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    t.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=True)
    trainer = trainers.UnigramTrainer(vocab_size=700, special_tokens=["<unk>", "</s>"], unk_token="<unk>", show_progress=False)
    return t, trainer, lambda: t


# Every character, but for the rarer ideographs and the private ones of planes 15
# and 16, in blocks of 4,096.
CHARACTERS = [[chr(c) for c in range(b, b + 0x1000) if not 0xD800 <= c < 0xE000]
              for b in [*range(0, 0x21000, 0x1000), 0x2E000, 0xE0000]]


KINDS = {
    "gpt2": lambda: byte_level(None),
    "llama3": lambda: byte_level([LLAMA3], bos="<|bos|>", ignore_merges=True),
    "qwen2": lambda: byte_level([QWEN2], normalizer=normalizers.NFC()),
    "deepseek": lambda: byte_level(DEEPSEEK, bos="<|bos|>"),
    "gptoss": lambda: byte_level([GPT_OSS]),
    "llama2": lambda: sentencepiece("normalizer"),
    "mistral": lambda: sentencepiece("metaspace"),
    "gemma": lambda: sentencepiece("gemma"),
    "unigram": unigram,
    "added": added,
}


def digest(ids):
    return hashlib.sha256(",".join(map(str, ids)).encode()).hexdigest()


def train(folder, texts):
    corpus = "\n".join(open(t, encoding="utf-8", newline="").read() for t in texts) + HARD
    for name, kind in KINDS.items():
        t, trainer, finish = kind()
        t.train_from_iterator([corpus[i:i + 2000] for i in range(0, len(corpus), 2000)], trainer)
        t = finish()
        t.save(os.path.join(folder, name + ".json"), pretty=False)
    with open(os.path.join(folder, "hard.txt"), "w", encoding="utf-8", newline="") as f:
        f.write(HARD)


def prefix(folder):
    """What lm-evaluation-harness puts before a text, where a tokenizer_config.json says: BOS, else EOS."""
    if not os.path.exists(os.path.join(folder, "tokenizer_config.json")):
        return None
    from transformers import AutoTokenizer
    t = AutoTokenizer.from_pretrained(folder)
    return t.bos_token_id if t.bos_token_id is not None else t.eos_token_id


def golden(out, text, files):
    """What the tokenizers in these files make of HARD, of their own added tokens, of every character, and of a text."""
    content = open(text, encoding="utf-8", newline="").read()
    result = {}
    for path in files:
        t = Tokenizer.from_file(path)
        with open(path, encoding="utf-8") as f:
            names = [a["content"] for a in json.load(f)["added_tokens"]]
        lines = HARD.split("\n") + ["".join(f"a {n} b{n}{n}\n{n}  {n}" for n in names)]

        def ids(s):
            return t.encode(s, add_special_tokens=False).ids
        result[path] = {
            "prefix": prefix(os.path.dirname(path)),
            "lines": [{"text": line, "ids": ids(line)} for line in lines],
            "page": ids("\n".join(lines)),
            "characters": [digest(ids("".join(f"a{c} {c}word {c}1" for c in block))) for block in CHARACTERS],
            "whole": digest(ids(content)),
            "paragraphs": [digest(ids(p)) for p in content.split("\n = ")],
        }
    with open(out, "w", encoding="utf-8") as f:
        json.dump(result, f, ensure_ascii=True)
        f.write("\n")


if __name__ == "__main__":
    what, where, *rest = sys.argv[1:]
    if what == "train":
        train(where, rest)
    else:
        golden(where, rest[0], rest[1:] or [name + ".json" for name in KINDS])
