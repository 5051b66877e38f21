"""llama.cpp's own server, from a wheel: xllamacpp carries its code.

    llama_wheel.py MODEL.gguf PORT SLOTS CONTEXT_OF_A_SLOT
"""

import signal
import sys

import xllamacpp


def main(model, port, slots, context):
    p = xllamacpp.CommonParams()
    p.model.path = model
    p.model_alias = {"tiny"}
    p.hostnames = ["127.0.0.1"]
    p.port = int(port)
    p.n_parallel = int(slots)
    p.n_ctx = int(slots) * int(context)
    p.cpuparams.n_threads = 1
    p.warmup = False
    p.ui = False
    p.endpoint_metrics = True
    server = xllamacpp.Server(p)
    print("listening at", server.listening_address, flush=True)
    signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
