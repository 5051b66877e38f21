"""GuideLLM on a server: URL CONC N ISL OSL DIR."""

import os
import sys

import bytes_tokenizer

if __name__ == "__main__":  # its workers import this file anew
    url, conc, n, isl, osl, folder = sys.argv[1:7]
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["GUIDELLM__LOGGING__DISABLED"] = "true"
    tokenizer = bytes_tokenizer.write(os.path.join(folder, "tokenizer"))
    sys.argv = [
        "guidellm", "run",
        "--backend", f"kind=openai_http,target={url},model=inferbench-ngram,request_format=/v1/completions",
        "--profile", f"kind=concurrent,streams=[{conc}]",
        "--constraint", f"kind=max_requests,count={n}",
        "--tokenizer", f"kind=huggingface_auto,model={tokenizer}",
        "--data", f"kind=synthetic_text,prompt_tokens={isl},output_tokens={osl}",
        "--disable-console-interactive",
        "--output", f"kind=json,path={folder}/guidellm.json",
    ]
    from guidellm.__main__ import cli

    cli()
