"""Make a small Llama with random weights that the real vLLM serves.

    tiny_vllm.py FOLDER

The model knows nothing and is not meant to: it lets vLLM be started on a
machine without a GPU, so that the suite meets code that is not ours. Weights
and tokenizer are seeded, so every machine makes the same ones.

The tokenizer is a byte-level BPE of 1,000 tokens, trained on this project's own
prose, with <s>, </s> and a chat template. The output row of </s> is zero: greedy
decoding then ends only where it is told to.
"""

import glob
import pathlib
import sys

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SEED, VOCABULARY, POSITIONS = 20261126, 1000, 4096
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


def tokenizer():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    t.train(sorted(glob.glob("harness/engine/prose/*.txt")), trainer)
    t.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(
        tokenizer_object=t, bos_token="<s>", eos_token="</s>", chat_template=TEMPLATE, model_max_length=POSITIONS
    )


def main(folder):
    torch.manual_seed(SEED)
    t = tokenizer()
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=POSITIONS,
        bos_token_id=0,
        eos_token_id=1,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        model.lm_head.weight[1].zero_()
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder, safe_serialization=True)
    t.save_pretrained(folder)


if __name__ == "__main__":
    main(sys.argv[1])
