"""Submits to a board with Gradio's official Python client, and is refused once.
Usage: client.py BOARD"""
import sys

from gradio_client import Client

client = Client(sys.argv[1], verbose=False)
figures = [16, 15979.59, 251.5, 10407, 344.564, 1.5349, 0.7299, 0.4485, 1.3646, 3.2522]
print(client.predict("python", *figures, api_name="/submit_results"))
try:
    client.predict("python", *([16, -1] + figures[2:]), api_name="/submit_results")
    print("taken")
except Exception as e:
    print("refused:", e)
