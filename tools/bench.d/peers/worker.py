"""A peer's stage, loaded once and run on demand: one long-lived process for each, which idles between its turns.

Requests are lines of JSON on standard input, answered by one line each on standard output:
  {"peer": "torch", "stage": "clip", "kind": "bf16", "threads": 2, "models": FOLDER}    -> {}
  {"peer": "whisper.cpp", ..., "build": "native"}                                       -> {}
  {"runs": 5}                                                                           -> {"seconds": [...]}
What fails is answered with {"error": TEXT}. The end of the input ends the process.
"""

import json
import os
import sys
import time


def loaded(request):
    """What runs the stage once."""
    peer, stage, kind, threads = (request[key] for key in ("peer", "stage", "kind", "threads"))
    if peer == "torch":
        import torch

        from torch_stages import stage as made

        torch.set_num_threads(threads)
        return made(stage, kind)
    if peer == "llama.cpp":
        from llama_stages import stage as made

        return made(stage, kind, threads, request["models"])
    if peer == "whisper.cpp":
        from whisper_stages import stage as made

        return made(stage, kind, threads, request["models"], request["build"])
    raise ValueError(f"no peer is named {peer}")


def timed(run, count):
    seconds = []
    for _ in range(count):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return seconds


def main():
    # Libraries that print must not disturb the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    run = None
    for line in sys.stdin:
        try:
            request = json.loads(line)
            if "peer" in request:
                run, answer = loaded(request), {}
            else:
                answer = {"seconds": timed(run, request["runs"])}
        except Exception as error:  # whatever a peer's library raises: the benchmark goes on without it
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main()
