"""tools/train/keyword"""

import argparse
import sys
from pathlib import Path

from common.folders import ROOT, cache
from synthesis.engines import MissingVoice

from . import clips, export, scenes, training

MODEL = ROOT / "Graphs" / "models" / "keyword-en.safetensors"


def parse():
    parser = argparse.ArgumentParser(prog="tools/train/keyword", description="Trains the keyword detector's network.")
    parser.add_argument("step", choices=["all", "clips", "scenes", "mine", "fit", "export", "goldens"])
    parser.add_argument("--work", type=Path, default=cache() / "keyword", help="where all is made (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scale", type=float, default=1.0, help="of the pool of clips; less for a trial")
    parser.add_argument("--shards", type=int, default=46, help="of 512 scenes each (default: %(default)s)")
    parser.add_argument("--mined", type=int, default=0, help="shards of mistakes, each of 4096 scenes (default: none)")
    parser.add_argument("--steps", type=int, default=3300, help="of the whole training (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so many; the next call goes on")
    parser.add_argument("--out", type=Path, default=MODEL, help="the file of weights (default: %(default)s)")
    parser.add_argument("--threshold", type=float, default=0.8, help="that the file recommends (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=2)
    return parser.parse_args()


def main():
    arguments = parse()
    work = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    pool = work / "clips.npz"

    def is_wanted(step):
        return arguments.step in ("all", step)

    if is_wanted("clips") and not pool.exists():
        clips.make(pool, arguments.seed, arguments.scale, arguments.processes)
    if is_wanted("scenes"):
        # The last two are for validation.
        scenes.make(work, pool, arguments.seed, arguments.shards + 2, processes=arguments.processes)

    def fit(steps):
        training.fit(work, arguments.shards, steps, arguments.seed, arguments.minutes)

    def mine():
        scenes.mine(work, pool, arguments.seed, arguments.mined, training.trained(work), processes=arguments.processes)

    if arguments.step == "mine":
        mine()
    elif arguments.step == "all" and arguments.mined > 0:
        # What it still mistakes after two thirds of the way is heard more often in the last.
        fit(arguments.steps * 2 // 3)
        mine()
    if is_wanted("fit"):
        fit(arguments.steps)
    if is_wanted("export"):
        export.write(work, arguments.out, arguments.threshold)
    if is_wanted("goldens"):
        export.goldens(arguments.out, ROOT / "Tests" / "Goldens" / "keyword")


if __name__ == "__main__":
    try:
        main()
    except MissingVoice as missing:
        print(f"tools/train/keyword: {missing}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("tools/train/keyword: interrupted; run the same command again to go on", file=sys.stderr)
        sys.exit(130)
