"""SGLang's bench_serving client on a server: URL CONC N ISL OSL DIR. See lone.py."""

import argparse
import asyncio
import random
import sys

import lone

sglang = lone.load("sglang.benchmark.serving", "sglang.benchmark")

url, (conc, n, isl, osl) = sys.argv[1], map(int, sys.argv[2:6])


class Tokenizer:
    def encode(self, text, **_):
        return [0] * len(text)


sglang.set_global_args(
    argparse.Namespace(
        backend="vllm", dataset_name="random", disable_stream=False, disable_ignore_eos=False, return_logprob=False,
        top_logprobs_num=0, token_ids_logprob=None, logprob_start_len=-1, return_routed_experts=False, temperature=0.0, top_p=1.0,
        warmup_requests=1, plot_throughput=False, goodput=None, cache_report=False, profile=False, profile_steps=None,
        sharegpt_output_len=None, random_input_len=isl, random_output_len=osl, random_range_ratio=1.0, output_file="/dev/null",
        output_details=False, num_prompts=n, header=None, served_model_name=None, tokenize_prompt=False, tag=None,
        use_trace_timestamps=False, mooncake_slowdown_factor=1.0, mooncake_num_rounds=1, request_rate=float("inf"), max_concurrency=conc,
        seed=1, base_url=url, host=None, port=None, model="inferbench-ngram", print_requests=False, lora_name=None,
    )
)
rng = random.Random(1)
requests = [sglang.DatasetRow(prompt=[rng.randrange(16, 242) for _ in range(isl)], prompt_len=isl, output_len=osl) for _ in range(n)]
result = asyncio.run(
    sglang.benchmark(
        backend="vllm", api_url=url + "/v1/completions", base_url=url, model_id="inferbench-ngram", tokenizer=Tokenizer(),
        input_requests=requests, request_rate=float("inf"), max_concurrency=conc, disable_tqdm=True, lora_names=[],
        lora_request_distribution=None, lora_zipf_alpha=None, extra_request_body={}, profile=False,
    )
)
if result["completed"] != n:
    sys.exit(f"{result['completed']} of {n} requests succeeded")
