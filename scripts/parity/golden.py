"""Write lm-evaluation-harness's own answers to hard little cases, as JSON.

The Go tests hold harness/accuracy to this file, so that parity needs no Python
in CI. Run by `make golden`; lm_eval does all of the work here.
"""
import json
import sys

from lm_eval.api.metrics import bits_per_byte, weighted_perplexity
from lm_eval.tasks.wikitext.preprocess_wikitext import process_results, wikitext_detokenizer
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

PAGES = {
    "plain": " = Title = \n \n Some words , and some more . \n",
    "empty": "",
    "one letter": "x",
    "white space alone": " \n \t \n",
    "leading and trailing white space": "\n\n  = T = \n words \n\n\t ",
    "empty lines": " = A = \n\n\n\n text \n \n \n more \n",
    "no end of line": " = A = \n text",
    "carriage returns": " = A = \r\n text , here \r\n",
    "contractions": " the dogs ' bones 's and James ' s , it 's ' quoted ' and /' 7/ \n",
    "number separators": " 1 @,@ 024 and 3 @.@ 14 and well @-@ known @-@ words @ - @ \n",
    "punctuation": " a : b ; c . d ! e ? f , g . , ; :  h \n",
    "brackets": " ( a ) [ b ] { c } ( ( nested ) ) ( open [ ] ( ) \n across ( two \n lines ) \n",
    "quotes": ' " a " b " c and \' d \' e \' f " g \n " over \n lines " \n',
    "headings": " = A = \n = = B = = \n = = = C = = = \n = = = = D = = = = \n = = = = = E \n",
    "degrees": " 20 ° C and 5 ° \n ° F \n",
    "N": " N people N N N x N\n N \n",
    "unicode letters": " Ünïcödé — “ quoted ” … 東京 , Москва . ẞ \n",
    "astral": " 😀 👩‍👩‍👧 , 𝔘𝔫𝔦 . \U0010ffff \n",
    "combining": " e\u0301 ( n\u0303 ) \u200d , \u200b x \n",
    "unicode spaces": " a\u00a0,\u2003b\u3000c ( \u00a0x\u2003) \u2028 line \u2029 para \u0085 next \n",
    "python's other spaces": " a\x1cb\x1d ( \x1e x \x1f ) \x0b v \x0c f \n",
    "null byte": " a \x00 b ( \x00 ) \n",
    "byte order mark": "\ufeff = A = \n text \n",
    "many spaces": "    a    ,    b    .    \n    c    \n",
    "dollars and backslashes": " $1 ( $1 ) \\1 ( \\1 ) ${1} \" $0 \" \n",
}

WINDOWS = [  # tokens, length of the window
    (0, 5), (1, 5), (4, 5), (5, 5), (6, 5), (9, 5), (10, 5), (11, 5), (14, 5), (15, 5), (16, 5),
    (1, 1), (3, 1), (7, 2), (8, 3), (2045, 2046), (2046, 2046), (2047, 2046), (4091, 2046), (4092, 2046), (4093, 2046),
]


def main(path):
    pages = []
    for name, page in PAGES.items():
        doc = {"page": page}
        counts = process_results(doc, (-1.0,))
        pages.append({
            "name": name, "page": page, "target": wikitext_detokenizer(doc),
            "words": counts["word_perplexity"][1], "bytes": counts["byte_perplexity"][1],
        })
    windows = []
    for n, length in WINDOWS:
        cut = map(make_disjoint_window, get_rolling_token_windows(
            token_list=list(range(n)), prefix_token=-1, max_seq_len=length, context_len=1))
        # a window as what is sent: first and last token, how many, and the length of the context
        windows.append({"tokens": n, "length": length, "windows": [
            [(c + p)[0], (c + p)[-1], len(c + p), len(c)] for c, p in cut]})
    metrics = []
    for docs in ([(-1234.5, 321, 1800)], [(-10.25, 3, 17), (-2000.125, 402, 2222), (-0.5, 1, 1)]):
        metrics.append({
            "documents": docs,
            "bits_per_byte": bits_per_byte([(ll, b) for ll, _, b in docs]),
            "byte_perplexity": weighted_perplexity([(ll, b) for ll, _, b in docs]),
            "word_perplexity": weighted_perplexity([(ll, w) for ll, w, _ in docs]),
        })
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"pages": pages, "windows": windows, "metrics": metrics}, f, indent=1, ensure_ascii=True)
        f.write("\n")


if __name__ == "__main__":
    main(sys.argv[1])
