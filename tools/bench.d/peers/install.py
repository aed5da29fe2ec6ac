"""Installs the peers of `tools/bench stages`: PyTorch with Whisper's and SNAC's modules, llama.cpp, whisper.cpp, and
random models of the released shapes for these.

All of it goes to antiphon/peers in the user's cache folder, 6 GB, and what is there is not made again. A peer that
cannot be had is named, and costs no other.
"""

import argparse
import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
LLAMA = "llama-cpp-python==0.3.36"
WHISPER = "pywhispercpp==1.5.1"
# For the processor at hand, with every instruction that it has.
NATIVE = {"CMAKE_ARGS": "-DGGML_NATIVE=ON", "GGML_NATIVE": "ON", "NO_REPAIR": "1"}


def say(text):
    print(text, file=sys.stderr, flush=True)


def folder():
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(cache).absolute() / "antiphon" / "peers"


class Step(Exception):
    """A step that failed, and why."""


class Installation:
    def __init__(self, root):
        self.root, self.missing = root, []
        self.python = root / "bin" / "python"
        (root / "done").mkdir(parents=True, exist_ok=True)
        self.log = root / "install.log"

    @contextlib.contextmanager
    def part(self, name, version):
        """One peer: what fails in the body is told, and the next one's turn comes. Yields whether there is work."""
        stamp = self.root / "done" / name
        is_done = stamp.exists() and stamp.read_text() == version
        say(f"{name}: {'present' if is_done else 'being made'}")
        start = time.monotonic()
        try:
            yield not is_done
        except Step as failure:
            say(f"{name}: failed: {failure}; the whole story is in {self.log}")
            self.missing.append(name)
            return
        if not is_done:
            stamp.write_text(version)
            say(f"{name}: ready after {time.monotonic() - start:.0f} s")

    def run(self, command, **variables):
        with open(self.log, "ab") as log:
            log.write(f"\n$ {' '.join(map(str, command))}\n".encode())
            log.flush()
            done = subprocess.run(command, cwd=HERE, stdout=log, stderr=log, env={**os.environ, **variables})
        if done.returncode != 0:
            raise Step(f"{Path(command[0]).name} {' '.join(map(str, command[1:4]))} ... ended with {done.returncode}")

    def pip(self, *arguments, **variables):
        self.run(
            [self.python, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", *arguments], **variables
        )

    def venv(self):
        if not self.python.exists():
            self.run([sys.executable, "-m", "venv", self.root])

    def torch(self):
        requirements = (HERE / "requirements.txt").read_text()
        try:
            self.pip("-r", HERE / "requirements.txt")
        except Step:
            # Where no index has the build for processors alone, the usual one does, and takes more room.
            plain = self.root / "requirements.txt"
            plain.write_text(requirements.replace("+cpu", ""))
            self.pip("-r", plain)

    def whisper(self):
        """The wheel that everybody gets, and a build for this machine: what is faster differs from model to model."""
        builds, failures = self.root / "whisper.cpp", []
        for build, arguments, variables in [("wheel", [], {}), ("native", ["--no-binary", "pywhispercpp"], NATIVE)]:
            try:
                shutil.rmtree(builds / build, ignore_errors=True)
                self.pip("--no-deps", "--target", builds / build, *arguments, WHISPER, **variables)
                program = f"import whisper_stages as w; w.binding(w.BUILDS / {build!r})"
                self.run([self.python, "-c", program])
            except Step as failure:
                failures.append(f"{build}: {failure}")
        if failures:
            raise Step("; ".join(failures))


def main():
    parser = argparse.ArgumentParser(prog="tools/bench peers", description=__doc__.split("\n\n")[0])
    parser.add_argument("--again", action="store_true", help="install what is there too")
    arguments = parser.parse_args()
    root = folder()
    root.mkdir(parents=True, exist_ok=True)
    with open(f"{root}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if arguments.again:
            shutil.rmtree(root)
        peers = Installation(root)
        with peers.part("Python", sys.version) as is_needed:
            if is_needed:
                peers.venv()
        with peers.part("PyTorch", (HERE / "requirements.txt").read_text()) as is_needed:
            if is_needed:
                peers.torch()
        with peers.part("models", (HERE / "models.py").read_text() + (HERE / "shapes.py").read_text()) as is_needed:
            if is_needed:
                shutil.rmtree(root / "models", ignore_errors=True)
                peers.run([peers.python, HERE / "models.py", root / "models"])
        with peers.part("whisper.cpp", WHISPER) as is_needed:
            if is_needed:
                peers.whisper()
        with peers.part("llama.cpp", LLAMA) as is_needed:
            if is_needed:
                say("llama.cpp: it is compiled, which takes a quarter of an hour on two cores")
                peers.pip("--no-binary", "llama-cpp-python", LLAMA, **NATIVE)
    say(f"the peers are in {root}" + (f", but for {', '.join(peers.missing)}" if peers.missing else ""))
    return 1 if peers.missing else 0


if __name__ == "__main__":
    sys.exit(main())
