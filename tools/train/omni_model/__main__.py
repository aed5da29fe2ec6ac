"""tools/train/omni"""

import argparse
import os
import sys
from pathlib import Path

STEPS = ("all domain gather ears speech codec eyes text stage1 stage2 answers listener stage3 joint export evaluate"
         " compare sets").split()  # fmt: skip
# How --hours are spent, of which domain, answers, export and what is measured take the rest: parts of a hundred.
HOURS = {"speech": 4, "codec": 15, "eyes": 3, "text": 6, "stage1": 5, "stage2": 29, "listener": 2, "stage3": 32, "joint": 64}
REST = 8


def parse(arguments=None):
    parser = argparse.ArgumentParser(prog="tools/train/omni", description="Trains a Mini-Omni2, step by step.")
    parser.add_argument("step", nargs="+", choices=STEPS, help="one or several, in this order")
    parser.add_argument("--size", default="nano", help="micro, nano, full, or a file of settings (default: %(default)s)")
    parser.add_argument("--work", type=Path, help="where everything is made (default: antiphon/omni-SIZE in the cache)")
    parser.add_argument("--out", type=Path, help="the release folder (default: mini-omni2 in the work folder), or that of the sets")
    parser.add_argument("--codec", type=Path, help="the codec's folder; without it, a stand-in that says nothing")
    parser.add_argument("--data", type=Path, help="the folder of published sets and models that a size's section `data` names")
    parser.add_argument("--skip-broken", type=int, default=0, metavar="N", help="leave out up to N broken records of them")
    parser.add_argument("--wait", type=float, default=0, help="minutes for the codec and its codes to appear (default: none)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=budgets, metavar="[STEP=]N,...", help="steps that train or speak end after so many")
    parser.add_argument("--hours", type=above_none, metavar="N", help="steps that train or speak share so many; `all` the codec's, too")
    parser.add_argument("--share", type=Path, metavar="FOLDER",
                        help="a work folder whose data, eyes and codec are this one's, too: linked, not made again")
    parser.add_argument("--from", type=Path, dest="origin", metavar="FOLDER",
                        help="a release that training goes on from: its tokenizer and codec are kept, its eyes and language model learn on")
    parser.add_argument("--begin", type=Path, metavar="FILE", help="weights that the first stage begins with: lit_model.pth")
    parser.add_argument("--skip", action="append", default=[], choices=["stage1", "stage2"], help="leave this stage out")
    parser.add_argument("--joint", action="store_true", help="one stage in place of three")
    parser.add_argument("--stage", help="what to export or evaluate (default: the last there is)")
    parser.add_argument("--test", type=int, default=600, help="clips of each test (default: %(default)s)")
    parser.add_argument("--questions", type=int, default=200, help="of each of the sets (default: %(default)s)")
    parser.add_argument("--device", choices=["cpu", "cuda"], help="default: what is there")
    parser.add_argument("--fuse", action="store_true", help="with torch.compile, which takes a while to start")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 2, help="that speak (default: %(default)s)")
    return parser.parse_args(arguments)


def budgets(text):
    """Minutes by step, or the time at which it ends, seconds since 1970 behind an @; "" stands for all other steps."""
    found = {}
    for part in text.split(","):
        step, _, minutes = part.rpartition("=")
        found[step] = minutes
        if step and step not in STEPS or not float(minutes.removeprefix("@")) > 0:
            raise ValueError(text)
    return found


def above_none(text):
    if not 0 < float(text) < 10_000:
        raise ValueError(text)
    return float(text)


def shared(hours, steps):
    """Minutes of each of the steps that share so many hours."""
    parts = {step: HOURS[step] for step in steps if step in HOURS}
    return {step: f"{60 * hours * part / (sum(parts.values()) + REST):.2f}" for step, part in parts.items()}


def run(arguments):
    import torch

    from common import ears, folders

    from . import comparison, export, interrupting, learning, network, pipeline, sets, settings
    from .published import steps as published

    device = torch.device(arguments.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    folder = arguments.work or folders.cache() / f"omni-{Path(arguments.size).stem}"
    folder.mkdir(parents=True, exist_ok=True)
    if arguments.share:
        pipeline.share(arguments.share, folder)
    work = pipeline.Work(folder, settings.load(arguments.size, device.type), arguments.seed, device, arguments.processes,
                         arguments.minutes, arguments.data)  # fmt: skip
    if arguments.fuse:
        network.compiled()
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    trains = ["answers", "listener", "joint"] if arguments.joint else ["stage1", "stage2", "answers", "listener", "stage3"]
    given_codec = arguments.codec or (arguments.origin and pipeline.released(arguments.origin, "snac"))
    makes_codec = arguments.hours and not given_codec and not work.is_published
    before = ["domain", "speech", *(["codec"] if makes_codec else []), "eyes", "text"]
    origin, begin = arguments.origin, arguments.begin
    if origin:
        # Now, not when hours have been spent on what comes before they are read.
        pipeline.released(origin, export.file_of(origin))
        # What `text` teaches is in its weights.
        before = ["domain", "speech", "eyes"]
    if work.is_published:
        before, trains = ["gather", "text"], [step for step in trains if step != "answers"]
    if "listener" not in work.settings:
        trains.remove("listener")
    order = before + trains + ["export", "evaluate"]
    steps = order if "all" in arguments.step else arguments.step
    if arguments.hours:
        work.budgets = shared(arguments.hours, [step for step in steps if step not in arguments.skip]) | (work.budgets or {})
    own = work.path("codec") / "snac"
    codec = given_codec or (own if makes_codec or own.exists() else None)
    suffix = "".join(f"-without-{name}" for name in arguments.skip)
    last = arguments.stage or ("joint" if arguments.joint else f"stage3{suffix}")
    # Weights that are given are the first stage's to begin with.
    given = None
    unfit = {"domain", "speech", "codec", "eyes", "answers"} if work.is_published else {"gather"}
    for step in unfit.intersection(steps):
        raise pipeline.NotReady(f"{step}: not a step of this size; there are {', '.join(order)}")
    for step in steps:
        if step in arguments.skip:
            continue
        if step == "domain":
            pipeline.make_domain(work, origin)
        elif step == "gather":
            published.gather(work, arguments.codec, arguments.skip_broken)
        elif step == "text" and work.is_published:
            published.text(work)
        elif step == "ears":
            out = arguments.out or work.path("ears.safetensors")
            ears.save(pipeline.ears_path(work), out)
        elif step == "speech":
            pipeline.make_speech(work)
        elif step == "eyes":
            pipeline.make_eyes(work, origin)
        elif step == "answers":
            pipeline.make_answers(work, codec, arguments.wait)
        elif step == "codec":
            pipeline.make_codec(work)
        elif step == "listener":
            if "listener" not in work.settings:
                raise pipeline.NotReady("listener: this size has no section of that name")
            listened = codec or (work.published("codec") if work.is_published else None)
            interrupting.make(work, listened, arguments.wait)
        elif step == "compare":
            comparison.compare(work, work.minutes("compare") or 10, arguments.test)
        elif step == "export":
            learning.write_release(work, last, codec, arguments.out or work.path("mini-omni2"))
        elif step == "evaluate":
            learning.evaluate(work, last, arguments.test)
        elif step == "sets":
            sets.write(work, arguments.out or work.path("sets"), arguments.questions)
        elif step == "text":
            learning.train(work, step, begin=begin)
            begin = None
        else:
            given = given or learning.load_data(work)
            learning.train(work, step, given, arguments.skip, arguments.test, arguments.wait, begin, origin=origin)
            begin = None


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
        from codec_model.training import Diverged
        from synthesis.engines import MissingVoice

        from . import pipeline, settings, training, voice

        expected = (MissingVoice, pipeline.NotReady, settings.WrongSetting, training.Diverged, Diverged, voice.WrongCodec)
        if not isinstance(problem, expected):
            raise
        print(f"tools/train/omni: {problem}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
