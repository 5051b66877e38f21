"""What agentx-harness makes of made-up recordings: how prompts are cut into messages, which requests are one agent,
and what waits for what. Needs agentx-harness==1.0.12 (make parity-sessions installs it):

    .venv-agentx/bin/python scripts/parity/agentx_golden.py harness/traces/testdata/agentx.json
"""

import json
import random
import sys

from aiperf.dataset.loader.weka_agent_chains import detect_agent_chains
from aiperf.dataset.loader.weka_synth_buf import ConversationReconstructor, compute_asst_block_caps
from aiperf.dataset.loader.weka_trace_models import WekaNormalRequest
from aiperf.timing.replay_dependencies import RecordedTurnInterval, ReplayTurnKey, infer_cross_stream_predecessors

BLOCK = 4


def recording(rng):
    """A stream's (ids, in, out), which grows, is cut back and edited."""
    ids, nxt, turns = [], 0, []
    for k in range(10):
        keep = len(ids) if rng.random() < 0.6 else rng.randint(0, len(ids))
        new = rng.randint(0, 5) if k else rng.randint(1, 6)
        ids = ids[:keep] + list(range(nxt, nxt + new))
        nxt += new
        if not ids:
            ids, nxt = [nxt], nxt + 1
        # Whole blocks and a tail: a last id of a block that is not whole is cut by agentx-harness in another way when
        # the next turn has it again.
        turns.append((list(ids), BLOCK * len(ids) + rng.choice([0, 0, 1, 3]), rng.randint(1, 14)))
    return turns


def messages(turns, prefix):
    caps = compute_asst_block_caps([(ids, tokens) for ids, tokens, _ in turns], BLOCK)
    r = ConversationReconstructor(
        block_size=BLOCK,
        decode_block_tokens=lambda ids: [i for i in ids for _ in range(BLOCK)],
        sample_partial_tail_tokens=lambda n, seed: [-1] * n,
        decode_tokens_to_text=lambda tokens: "",
    )
    out = []
    for k, (ids, tokens, _) in enumerate(turns):
        if k == 0:
            r.init_turn_0(ids, tokens, prefix, 0, "s")
        else:
            before = turns[k - 1]
            r.advance_turn(before[0], before[1], before[2], ids, tokens, "s", max_asst_blocks=caps[k])
        out.append([[s.role, len(s.tokens)] for s in r._segments])
    return out


def interleaved(rng):
    """Requests of a few agents in one list."""
    agents, nxt, calls, t = [], 0, [], 0.0
    for _ in range(14):
        t += rng.choice([1, 2, 5])
        kind = rng.random()
        if not agents or kind < 0.15:
            state = {"ids": list(range(nxt, nxt + 3)), "model": rng.choice("mmh")}
            nxt += 3
            agents.append(state)
        elif kind < 0.3:
            other = rng.choice(agents)
            state = {"ids": other["ids"][: rng.randint(1, len(other["ids"]))], "model": rng.choice([other["model"], "h"])}
            agents.append(state)
        else:
            state = rng.choice(agents)
            if rng.random() < 0.2:
                state["ids"] = state["ids"][: rng.randint(1, len(state["ids"]))]
        new = rng.randint(1, 3)
        state["ids"] = state["ids"] + list(range(nxt, nxt + new))
        nxt += new
        calls.append({"t": t, "api_time": rng.choice([0.5, 1.5, 4]), "model": state["model"], "ids": state["ids"]})
    return calls


def agents(calls):
    requests = [
        (i, WekaNormalRequest(t=c["t"], type="n", model=c["model"], **{"in": BLOCK * len(c["ids"]), "out": 1},
                              hash_ids=c["ids"], api_time=c["api_time"]))
        for i, c in enumerate(calls)
    ]
    found = detect_agent_chains(requests)
    live = [c for c in found.chains if c.spliced_into is None]
    return sorted(sorted(i for i, _ in c.requests) for c in live)


def intervals(rng):
    return [[rng.randint(0, 3), rng.randint(0, 40), rng.choice([0, 1, 5, 20])] for _ in range(16)]


def predecessors(turns):
    count, keys = {}, []
    for stream, _, _ in sorted(turns, key=lambda x: x[1]):
        keys.append(ReplayTurnKey(f"s{stream}", count.get(stream, 0)))
        count[stream] = count.get(stream, 0) + 1
    ordered = sorted(turns, key=lambda x: x[1])
    found = infer_cross_stream_predecessors([
        RecordedTurnInterval(key=k, stream_id=k.conversation_id, start_ms=float(t), api_time_ms=float(d))
        for k, (_, t, d) in zip(keys, ordered)
    ])
    return [sorted(keys.index(p) for p in found[k]) for k in keys]


def main():
    rng = random.Random(18)
    out = {"messages": [], "agents": [], "waits": []}
    for _ in range(60):
        turns, prefix = recording(rng), rng.choice([0, 3, 4, 7])
        prefix = min(prefix, BLOCK * len(turns[0][0]))
        out["messages"].append({"prefix": prefix, "turns": turns, "segments": messages(turns, prefix)})
        calls = interleaved(rng)
        out["agents"].append({"calls": calls, "agents": agents(calls)})
        turns = intervals(rng)
        out["waits"].append({"turns": sorted(turns, key=lambda x: x[1]), "waits": predecessors(turns)})
    with open(sys.argv[1], "w") as f:
        json.dump(out, f, separators=(",", ":"))
        f.write("\n")


main()
