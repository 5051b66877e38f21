"""What InferenceX's own aggregation makes of an AgentX run, for the test that holds our agentic row to it.

    .venv-agentx/bin/python scripts/parity/agentic_row.py BIN INFERENCEX harness/convert/testdata/agentic

BIN is inferbench, INFERENCEX a checkout of github.com/SemiAnalysisAI/InferenceX, and .venv-agentx has
agentx-harness==1.0.12 (make parity-sessions installs it). agentx-harness replays made-up sessions on the embedded
engine, which fails some requests on purpose. Left are two files of numbers: profile.jsonl.gz, its requests as far as
the aggregation reads them, and row.json, the row that the aggregation makes of them.
"""

import gzip
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]
METRICS = [
    "input_sequence_length", "output_sequence_length", "time_to_first_token", "request_latency", "inter_token_latency",
    "full_response_inter_token_latency", "full_decode_duration",
]
MODULES = ["infx.results.agentic.process_agentic_result", "utils.agentic.aggregation.process_agentic_result"]
DATASET = {"source_type": "public_dataset", "loader": "weka", "hf_dataset_name": "made/up", "num_dataset_entries": 8}


def traces(folder):
    """Made-up sessions of one agent each: InferenceX looks sub-agents' lengths up among the root's."""
    rng = random.Random(18)
    for n in range(DATASET["num_dataset_entries"]):
        t, tokens, requests = 0.0, 256, []
        for _ in range(rng.randint(4, 8)):
            tokens += rng.randint(40, 300)
            out = rng.randint(5, 60)
            requests.append({
                "t": round(t, 3), "type": "s", "model": "m", "in": tokens, "out": out,
                "hash_ids": list(range(tokens // 64)), "input_types": ["text"], "output_types": ["text"],
                "stop": "end_turn", "api_time": 0.05, "think_time": None, "ttft": 0.01,
            })
            tokens += out
            t += 0.05 + rng.uniform(0.1, 0.6)
        trace = {
            "id": f"made-{n}", "models": ["m"], "block_size": 64, "hash_id_scope": "local", "tool_tokens": 0,
            "system_tokens": 256, "requests": requests, "totals": None,
        }
        (folder / f"made-{n}.json").write_text(json.dumps(trace))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def replay(binary, folder, artifacts):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    engine = subprocess.Popen([binary, "engine", "-port", str(port), "-dialect", "vllm", "-faults", "500:rate=0.05"],
                              stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                urllib.request.urlopen(url + "/v1/models", timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        subprocess.run([
            Path(sys.executable).parent / "aiperf", "profile", "--model", "inferbench-ngram", "--url", url,
            "--endpoint-type", "chat", "--streaming", "--scenario", "agentx", "--unsafe-override",
            "--benchmark-duration", "15", "--warmup-requests-per-lane", "2", "--failed-request-threshold", "0.5",
            "--custom-dataset-type", "weka_trace", "--input-file", folder, "--concurrency", "2", "--tokenizer",
            HERE / "harness/tokenizer/testdata/bytes", "--use-server-token-count", "--artifact-dir", artifacts,
            "--ui", "none", "--random-seed", "42", "--extra-inputs", "ignore_eos:true", "--server-metrics",
            url + "/metrics",
        ], check=True, timeout=180, stdout=subprocess.DEVNULL)
    finally:
        engine.terminate()
        engine.wait()


def lines(artifacts):
    """The requests, without what the aggregation does not read, their times from the first one's start.

    agentx-harness has two ends of a request, of its last message and of its connection, some microseconds later. Here
    both are the later one: our client keeps one.
    """
    rows = [json.loads(line) for line in (artifacts / "profile_export.jsonl").read_text().splitlines()]
    begin = min(r["metadata"]["request_start_ns"] for r in rows) - 10**9
    for r in rows:
        m, took = r["metadata"], {k: r["metrics"][k]["value"] for k in METRICS if k in r["metrics"]}
        end = m["request_end_ns"]
        if "full_decode_duration" in took:
            end = m["request_start_ns"] + round(1e6 * (took["time_to_first_token"] + took["full_decode_duration"]))
        kept = {
            "metadata": {
                "conversation_id": m["conversation_id"], "turn_index": m["turn_index"],
                "benchmark_phase": m["benchmark_phase"], "request_start_ns": m["request_start_ns"] - begin,
                "request_end_ns": end - begin,
            },
            "metrics": {k: {"value": v} for k, v in took.items()},
        }
        if r.get("error"):
            kept["error"] = {"code": r["error"].get("code"), "type": r["error"].get("type")}
        yield json.dumps(kept)


def aggregate(checkout, root):
    env = dict(
        os.environ, RESULT_DIR=str(root), AGENTIC_OUTPUT_DIR=str(root), RESULT_FILENAME="row", HF_HUB_CACHE=str(root),
        MODEL="m", MODEL_PREFIX="dsr1", FRAMEWORK="vllm", PRECISION="fp4", TP="8", EP_SIZE="8", DP_ATTENTION="false",
        CONC="2", RUNNER_TYPE="b200", IMAGE="i", SPEC_DECODING="none", DISAGG="false", IS_MULTINODE="false",
        KV_OFFLOADING="dram", KV_OFFLOAD_BACKEND="hicache", KV_OFFLOAD_BACKEND_METADATA='{"name":"hicache"}',
        TOTAL_CPU_DRAM_GB="2000",
    )
    for module in MODULES:
        if (Path(checkout) / (module.replace(".", "/") + ".py")).exists():
            subprocess.run([sys.executable, "-m", module], cwd=checkout, env=env, check=True, stdout=subprocess.DEVNULL)
            return json.loads((root / "row.json").read_text())
    sys.exit(f"{checkout}: none of {', '.join(MODULES)} is there")


def main():
    binary, checkout, out = os.path.abspath(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    with tempfile.TemporaryDirectory() as tmp:
        root = Path(tmp)
        folder = root / "datasets--made--up" / "snapshots" / "1"
        artifacts = root / "aiperf_artifacts"
        folder.mkdir(parents=True)
        traces(folder)
        replay(binary, folder, artifacts)
        kept = list(lines(artifacts))
        (artifacts / "profile_export.jsonl").write_text("\n".join(kept))
        summary = json.loads((artifacts / "profile_export_aiperf.json").read_text())
        hits = summary["theoretical_prefix_cache_hit"]
        (artifacts / "profile_export_aiperf.json").write_text(json.dumps({
            "metadata": {"dataset": DATASET}, "theoretical_prefix_cache_hit": hits,
        }))
        row = aggregate(checkout, root)
        out.mkdir(parents=True, exist_ok=True)
        with gzip.GzipFile(out / "profile.jsonl.gz", "wb", mtime=0) as f:
            f.write("\n".join(kept).encode())
        expected = {p.stem: [r["out"] for r in json.loads(p.read_text())["requests"]] for p in folder.iterdir()}
        (out / "row.json").write_text(json.dumps({"hits": hits["sum"], "blocks": hits["count"], "recorded": expected,
                                                  "row": row}, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
