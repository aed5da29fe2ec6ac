"""tools/train/codec"""

import argparse
import os
import sys
from pathlib import Path

import torch
from common import folders
from common.settings import WrongSetting
from synthesis.engines import MissingVoice

from . import corpus, export, report, training
from .settings import load


def parse():
    parser = argparse.ArgumentParser(prog="tools/train/codec", description="Trains a SNAC codec on one voice.")
    parser.add_argument("step", choices=["all", "corpus", "fit", "export", "report"])
    parser.add_argument(
        "--size", default="nano", help="micro, nano, full, or a file of settings (default: %(default)s)"
    )
    parser.add_argument(
        "--work", type=Path, help="where everything is made (default: antiphon/codec-SIZE in the cache)"
    )
    parser.add_argument("--out", type=Path, help="the release folder (default: snac in the work folder)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 2, help="that speak (default: %(default)s)")
    parser.add_argument(
        "--texts", type=Path, help="a file of texts that are needed, one a line, all of which are spoken"
    )
    parser.add_argument("--steady", action="store_true", help="texts that are given are said with words alike, as a Mini-Omni2 learns them")
    parser.add_argument("--corpus-minutes", type=float, help="of speech, in place of the settings' number")
    parser.add_argument("--device", choices=["cpu", "cuda"], help="default: what is there")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop fitting after so many; the next call goes on")
    parser.add_argument("--within", type=float, help="fit for so many minutes in all, however many steps that makes")
    parser.add_argument("--begin", type=Path, help="a release folder whose weights fitting begins with")
    parser.add_argument("--keep-codes", action="store_true", help="train the decoder alone: codes stay what --begin makes of sound")
    parser.add_argument("--ears", type=Path, help="Whisper's encoder, to which what is said again is to sound alike: a model's folder, "
                        "or a file of openai-whisper's")  # fmt: skip
    parser.add_argument("--plain", action="store_true", help="without torch.compile")
    parser.add_argument("--clips", type=int, default=100, help="that the report is about (default: %(default)s)")
    parser.add_argument("--antiphon", type=Path, help="the program that recognizes speech, for word error rates")
    parser.add_argument("--recognizer", default="whisper-base", help="its model (default: %(default)s)")
    return parser.parse_args()


def main():
    arguments = parse()
    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    settings = load(arguments.size, device)
    work = arguments.work or folders.cache() / f"codec-{Path(arguments.size).stem}"
    work.mkdir(parents=True, exist_ok=True)
    out = arguments.out or work / "snac"

    def is_wanted(step):
        return arguments.step in ("all", step)

    if is_wanted("corpus"):
        minutes = arguments.corpus_minutes or settings.corpus.minutes
        corpus.make(work, minutes, settings.corpus.held_out, arguments.seed, arguments.texts, arguments.processes, arguments.steady)
    if is_wanted("fit"):
        fuses = not arguments.plain
        training.fit(work, settings, arguments.seed, arguments.device, arguments.minutes, arguments.within, fuses,
                     start=arguments.begin, keeps_codes=arguments.keep_codes, whisper=arguments.ears)  # fmt: skip
    if is_wanted("export"):
        export.write(training.trained(work, settings), out)
    if is_wanted("report"):
        report.write(work, out, arguments.clips, arguments.antiphon, arguments.recognizer, arguments.device)


if __name__ == "__main__":
    try:
        main()
    except (MissingVoice, WrongSetting, training.Diverged) as error:
        print(f"tools/train/codec: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("tools/train/codec: interrupted; run the same command again to go on", file=sys.stderr)
        sys.exit(130)
