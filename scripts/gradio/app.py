"""A board as the public ones are built: a real Gradio app with the bounty's
submit_results. The team's name says how it behaves, so that the suite's client
can be tried on the real thing. Usage: app.py PORT"""
import os
import sys
import time

import gradio as gr

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"


def submit_results(team, conc, e2e, tput, b200_e2e, b200_tput, e2e_ratio, tput_ratio, bpb, byte_ppl, word_ppl):
    if team == "refused":
        raise gr.Error("this team is not registered")
    if team == "bug":
        raise ValueError("a bug of the board")
    if team == "slow":
        time.sleep(2)
    if team == "dies":
        os._exit(1)
    return f"{team} {conc} {e2e} {tput} {b200_e2e} {b200_tput} {e2e_ratio:.4f} {tput_ratio:.4f} {bpb} {byte_ppl} {word_ppl}"


with gr.Blocks() as app:
    inputs = [gr.Textbox()] + [gr.Number() for _ in range(10)]
    gr.Button().click(submit_results, inputs, gr.Textbox(), api_name="submit_results")

app.launch(server_name="127.0.0.1", server_port=int(sys.argv[1]), quiet=True)
