"""Write a text as the two data sets on Hugging Face have WikiText, with their own writer."""
import sys

from datasets import Dataset
from lm_eval_wikitext import pages

raw = open(sys.argv[1], encoding="utf-8", newline="").read()
lines = [line + "\n" for line in raw.split("\n")[:-1]]
Dataset.from_dict({"text": [line if line.strip() else "" for line in lines]}).to_parquet(sys.argv[2] + "/lines.parquet")
Dataset.from_dict({"page": list(pages(raw))}).to_parquet(sys.argv[2] + "/pages.parquet")
