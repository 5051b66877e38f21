"""AIPerf on a server: URL CONC N ISL OSL DIR."""

import os
import sys

import bytes_tokenizer

if __name__ == "__main__":  # its workers import this file anew
    url, conc, n, isl, osl, folder = sys.argv[1:7]
    tokenizer = bytes_tokenizer.write(os.path.join(folder, "tokenizer"))
    sys.argv = [
        "aiperf", "profile", "--model", "inferbench-ngram", "--url", url, "--endpoint-type", "completions", "--streaming",
        "--concurrency", conc, "--request-count", n, "--isl", isl, "--isl-stddev", "0", "--osl", osl, "--osl-stddev", "0",
        "--extra-inputs", "ignore_eos:true", "--use-legacy-max-tokens", "--use-server-token-count",
        "--tokenizer", tokenizer, "--artifact-dir", os.path.join(folder, "aiperf"), "--ui", "none",
    ]
    from aiperf.cli import app

    app()
