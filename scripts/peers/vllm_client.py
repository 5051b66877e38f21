"""vLLM's `bench serve` client on a server: URL CONC N ISL OSL DIR. See lone.py."""

import asyncio
import random
import sys

import lone

vllm = lone.load("vllm.benchmarks.serve", "vllm.benchmarks")

url, (conc, n, isl, osl) = sys.argv[1], map(int, sys.argv[2:6])
rng = random.Random(1)
requests = [vllm.SampleRequest(prompt=[rng.randrange(16, 242) for _ in range(isl)], prompt_len=isl, expected_output_len=osl) for _ in range(n)]
result = asyncio.run(
    vllm.benchmark(
        task_type=vllm.TaskType.GENERATION, endpoint_type="openai", api_url=url + "/v1/completions", base_url=url,
        model_id="inferbench-ngram", model_name="inferbench-ngram", tokenizer=None, input_requests=requests, logprobs=None,
        request_rate=float("inf"), burstiness=1.0, disable_tqdm=True, num_warmups=0, profile=False,
        selected_percentile_metrics=["ttft", "tpot", "itl", "e2el"], selected_percentiles=[99.0], ignore_eos=True,
        goodput_config_dict={}, max_concurrency=conc, lora_modules=None, extra_headers=None, extra_body=None, ready_check_timeout_sec=0,
    )
)
if result["completed"] != n:
    sys.exit(f"{result['completed']} of {n} requests succeeded")
