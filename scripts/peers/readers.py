"""Our result files through the programs that others read results with: PROGRAM BATCH.

vLLM's own plot of a sweep (vllm/benchmarks/sweep/plot_pareto.py) draws the
result files of BATCH, and InferenceX's utils/process_result.py makes its
aggregate of each, which must be what `inferbench export -format inferencex`
makes. The latter is in no package: PROCESS_RESULT names a copy of it, and
without one it is left out, which is said. See `make readers`.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import lone

lone.UNUSED -= {"pandas", "PIL"}  # the plot draws with them

program, batch = sys.argv[1], pathlib.Path(sys.argv[2])
results = sorted(batch.glob("result_*.json"))
if not results:
    sys.exit(f"{batch}: no result files")


def plots(folder):
    """vLLM's plot reads a list of results; every one must become a point."""
    plot = lone.load("vllm.benchmarks.sweep.plot_pareto", "vllm.benchmarks.sweep", "vllm.utils.collection_utils")
    rows = [json.loads(r.read_text()) for r in results]
    (folder / "summary.json").write_text(json.dumps(rows))
    points, skipped = plot._prepare_records(rows, user_count_var="max_concurrency", gpu_count_var=None)
    if skipped or len(points) != len(rows):
        sys.exit(f"vLLM's plot skips {skipped} of {len(rows)} results")
    plot.plot_pareto(folder, user_count_var="max_concurrency", gpu_count_var=None, label_by=["max_concurrency"], dry_run=False)
    pictures = list((folder / "pareto").glob("*.png"))
    if not pictures:
        sys.exit("vLLM's plot drew nothing")
    print(f"vLLM's plot_pareto: {len(points)} points in {pictures[0].name}")


def aggregates(folder, script):
    """InferenceX's aggregate of each file is what our export makes of it."""
    ours = ["-hw", "x", "-image", "i", "-model-prefix", "p", "-framework", "f", "-precision", "fp8", "-spec-decoding", "none", "-ep", "1", "-dp-attention", "false"]
    made = subprocess.run([program, "export", "-format", "inferencex", "-out", folder / "ours", *ours, batch], check=True, capture_output=True, text=True)
    rows = {row["conc"]: row for row in (json.loads(pathlib.Path(f).read_text()) for f in made.stdout.split() if "eval" not in f)}
    compared = 0
    for result in results:
        own = json.loads(result.read_text())
        args = own["benchmark_args"]
        told = {"RUNNER_TYPE": "x", "IMAGE": "i", "MODEL_PREFIX": "p", "FRAMEWORK": "f", "PRECISION": "fp8", "SPEC_DECODING": "none", "DISAGG": "false",
                "ISL": args["random_input_len"], "OSL": args["random_output_len"], "TP": args["tp"], "EP_SIZE": "1", "DP_ATTENTION": "false",
                "RECIPE_FINGERPRINT": "", "RESULT_FILENAME": result.stem}
        (folder / result.name).write_text(result.read_text())
        subprocess.run([sys.executable, script], cwd=folder, env=os.environ | {k: str(v) for k, v in told.items()}, check=True, stdout=subprocess.DEVNULL)
        theirs = json.loads((folder / f"agg_{result.name}").read_text())
        for key, want in theirs.items():
            got = rows[own["max_concurrency"]].get(key)
            alike = got == want if not isinstance(want, float) else isinstance(got, (int, float)) and abs(got - want) <= 1e-5 * abs(want)
            if not alike:
                sys.exit(f"{result.name}: {key} is {got} of ours, {want} of InferenceX's")
            compared += 1
    print(f"InferenceX's process_result.py: {len(results)} aggregates, {compared} keys, all as ours")


with tempfile.TemporaryDirectory() as scratch:
    plots(pathlib.Path(scratch))
    script = os.environ.get("PROCESS_RESULT", "")
    if script:
        aggregates(pathlib.Path(scratch), pathlib.Path(script).resolve())
    else:
        print("InferenceX's process_result.py: left out, PROCESS_RESULT names none")
