"""tools/train/omni"""

import argparse
import os
import sys
from pathlib import Path

# `sets` is for those who measure, no step of the training.
STEPS = "all domain ears speech eyes text stage1 stage2 answers stage3 joint export evaluate".split()


def parse():
    parser = argparse.ArgumentParser(prog="tools/train/omni", description="Trains a Mini-Omni2, step by step.")
    parser.add_argument("step", nargs="+", choices=[*STEPS, "sets"], help="one or several, in this order")
    parser.add_argument("--size", default="nano", help="micro, nano, full, or a file of settings (default: %(default)s)")
    parser.add_argument("--work", type=Path, help="where everything is made (default: antiphon/omni-SIZE in the cache)")
    parser.add_argument("--out", type=Path, help="the release folder (default: mini-omni2 in the work folder), or that of the sets")
    parser.add_argument("--codec", type=Path, help="the codec's folder; without it, a stand-in that says nothing")
    parser.add_argument("--wait", type=float, default=0, help="minutes for the codec and its codes to appear (default: none)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=budgets, metavar="[STEP=]N,...", help="steps that train or speak end after so many")
    parser.add_argument("--skip", action="append", default=[], choices=["stage1", "stage2"], help="leave this stage out")
    parser.add_argument("--joint", action="store_true", help="one stage in place of three")
    parser.add_argument("--stage", help="what to export or evaluate (default: the last there is)")
    parser.add_argument("--test", type=int, default=600, help="clips of each test (default: %(default)s)")
    parser.add_argument("--questions", type=int, default=200, help="of each of the sets (default: %(default)s)")
    parser.add_argument("--device", choices=["cpu", "cuda"], help="default: what is there")
    parser.add_argument("--fuse", action="store_true", help="with torch.compile, which takes a while to start")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 2, help="that speak (default: %(default)s)")
    return parser.parse_args()


def budgets(text):
    """Minutes by step, or the time at which it ends, seconds since 1970 behind an @; "" stands for all other steps."""
    found = {}
    for part in text.split(","):
        step, _, minutes = part.rpartition("=")
        found[step] = minutes
        if step and step not in STEPS or not float(minutes.removeprefix("@")) > 0:
            raise ValueError(text)
    return found


def run(arguments):
    import torch

    from . import ears, learning, network, pipeline, sets, settings

    device = torch.device(arguments.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "antiphon"
    folder = arguments.work or cache / f"omni-{Path(arguments.size).stem}"
    folder.mkdir(parents=True, exist_ok=True)
    work = pipeline.Work(folder, settings.load(arguments.size), arguments.seed, device, arguments.processes, arguments.minutes)
    if arguments.fuse:
        network.compiled()
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    trains = ["joint"] if arguments.joint else ["stage1", "stage2", "answers", "stage3"]
    order = [step for step in STEPS[1:] if step not in ("ears", "stage1", "stage2", "answers", "stage3", "joint")]
    order = order[:4] + (["answers", "joint"] if arguments.joint else trains) + order[4:]
    steps = order if "all" in arguments.step else arguments.step
    suffix = "".join(f"-without-{name}" for name in arguments.skip)
    last = arguments.stage or ("joint" if arguments.joint else f"stage3{suffix}")
    given = None
    for step in steps:
        if step in arguments.skip:
            continue
        if step == "domain":
            pipeline.make_domain(work)
        elif step == "ears":
            out = arguments.out or work.path("ears.safetensors")
            ears.save(pipeline.ears_path(work), out)
        elif step == "speech":
            pipeline.make_speech(work)
        elif step == "eyes":
            pipeline.make_eyes(work)
        elif step == "answers":
            pipeline.make_answers(work, arguments.codec, arguments.wait)
        elif step == "export":
            learning.write_release(work, last, arguments.out or work.path("mini-omni2"))
        elif step == "evaluate":
            learning.evaluate(work, last, arguments.test)
        elif step == "sets":
            sets.write(work, arguments.out or work.path("sets"), arguments.questions)
        elif step == "text":
            learning.train(work, step)
        else:
            given = given or learning.load_data(work)
            learning.train(work, step, given, arguments.skip, arguments.test, arguments.wait)


def main():
    if sys.argv[1:2] == ["picture"]:
        from . import pictures

        sys.exit(pictures.main(sys.argv[2:]))
    arguments = parse()
    try:
        run(arguments)
    except KeyboardInterrupt:
        print("tools/train/omni: interrupted; run the same command again to go on", file=sys.stderr)
        sys.exit(130)
    except Exception as problem:
        from synthesis.engines import MissingVoice

        from . import pipeline, settings, training, voice

        expected = (MissingVoice, pipeline.NotReady, settings.WrongSetting, training.Diverged, voice.WrongCodec)
        if not isinstance(problem, expected):
            raise
        print(f"tools/train/omni: {problem}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
