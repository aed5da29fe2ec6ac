"""The steps of sizes with published sets: gather, and text; from files to files of the work folder, like pipeline.py's."""

import json
import shutil
import time

import numpy as np
import torch
from common import ears, report
from mini_omni2.vision import normalized
from synthesis import engines, signal

from .. import training, voice
from ..pipeline import NotReady, ears_path
from ..tokenizer import Tokenizer
from . import gathering, qwen2, sets, vision
from .gathering import Job, Left, Limits
from .held import Held, Test
from .records import WrongData

SHARD, HELD_OUT = "shard-{:05}.pt", "held-out-{:05}.pt"


def gather(work, codec=None, most_broken=0):
    """shard-NNNNN.pt and held-out-NNNNN.pt, and the tokenizer. codec: its folder, in place of the settings'."""
    settings, language = work.settings["data"], work.published("language")
    if not work.path("tokenizer.json").exists():
        try:
            shutil.copyfile(language / "tokenizer.json", work.path("tokenizer.json"))
        except OSError as error:
            raise WrongData(f"{error.filename}: {error.strerror}; it comes with the language model") from None
    readers, tolerance = sets.opened(settings, work.root, most_broken)
    shares = work.settings["speech"]["engines"]
    engines.check(shares)
    encode = Encoders(work, codec or work.published("codec"))
    longest = work.settings["speech"]["longest"]
    limits = Limits(settings["words"], settings["tokens"], min(30, longest / 50), work.config.block_size // 2)
    left, begun, told, count = Left(), time.monotonic(), 0.0, 0
    found = gathering.shards(readers, {name: one["share"] for name, one in settings["sets"].items()}, settings["shard"],
                             encode.tokenizer, limits, left)  # fmt: skip

    def jobs():
        for number, parts in enumerate(found):
            if number == settings["shards"]:
                return
            for name, records in zip((SHARD, HELD_OUT), parts):
                if records and not work.path(name.format(number)).exists():
                    yield Job((number, name), records, shares, limits, work.seed)

    for job, (done, broken, long) in gathering.prepared_in_order(jobs(), work.processes):
        for problem in broken:
            tolerance.skip(problem)
        left.count["with too long a sound"] += long
        number, name = job.number
        training.save(encode(done), work.path(name.format(number)))
        count += len(done)
        if time.monotonic() - told > 10:
            told = time.monotonic()
            print(f"{name.format(number)}: {count} records in {told - begun:.0f} s", flush=True)
    if not list(work.folder.glob("shard-*.pt")):
        raise WrongData(f"{work.root}: the sets do not fill a shard of {settings['shard']} records; left out: {left}")
    broken = len(tolerance.told)
    print(f"gather: {count} records in {time.monotonic() - begun:.0f} s; left out: {left}; broken: {broken}", flush=True)
    about = {"records": count, "left out": dict(left.count), "broken": tolerance.told[:100], "sets": settings["sets"]}
    report.card(work.folder, "gather", {**about, "seed": work.seed, "machine": report.machine(work.device)})


class Encoders:
    """All that turns a shard's sounds and pictures into what is trained on; each is loaded when it is first wanted."""

    def __init__(self, work, codec):
        self.work, self.device, self.config = work, work.device, work.config
        self.tokenizer = Tokenizer(work.path("tokenizer.json"))
        self.ears = ears.Ears(ears_path(work), work.device)
        if self.ears.width != self.config.whisper_adapter_dim:
            wanted = self.config.whisper_adapter_dim
            raise WrongData(f"{ears_path(work)}: {self.ears.width} features, where `language.speech` says {wanted}")
        self.eyes = vision.read(work.published("eyes"), self.config.vision_adapter_dim).to(work.device)
        self.codec = codec

    @torch.no_grad()
    def __call__(self, done):
        """What held.py says that a shard holds; done: what gathering.prepared returned."""
        features = self.heard([sound for _, _, sound, _, _ in done])
        pictures = [seen for *_, seen in done if seen is not None]
        codes = self.codes(done)
        place = np.cumsum([seen is not None for *_, seen in done]) - 1
        return {
            "sets": [name for name, *_ in done], "questions": [record.question for _, record, *_ in done],
            "answers": [record.answer for _, record, *_ in done],
            "rows": torch.tensor([0 if one is None else len(one) for one in features]),
            "features": torch.cat([torch.zeros(0, self.ears.width).half(), *(one for one in features if one is not None)]),
            "look": torch.tensor([int(at) if one[-1] is not None else -1 for at, one in zip(place, done)], dtype=torch.long),
            "looks": self.looks(pictures), "frames": torch.tensor([len(one) for one in codes]), "codes": torch.cat(codes),
            "captions": torch.tensor([record.is_caption for _, record, *_ in done]),
        }  # fmt: skip

    def heard(self, sounds, batch=16):
        """As the release hears: each padded to 30 s, the rows of what was heard kept; None where there is nothing to hear."""
        found, there = [None] * len(sounds), [place for place, sound in enumerate(sounds) if sound is not None]
        for first in range(0, len(there), batch):
            some = there[first : first + batch]
            samples = torch.zeros(len(some), 30 * signal.RATE, device=self.device)
            for row, place in enumerate(some):
                samples[row, : len(sounds[place])] = torch.from_numpy(sounds[place]).to(self.device).float() / 32768
            encoded, _ = self.ears(samples, [samples.shape[1] - 1] * len(some))
            for row, place in enumerate(some):
                found[place] = encoded[row, : ears.rows(len(sounds[place]))].half().cpu()
        return found

    def looks(self, pictures, batch=64):
        found = [torch.zeros(0, 50, self.config.vision_adapter_dim).half()]
        for first in range(0, len(pictures), batch):
            pixels = torch.cat([normalized(pixels) for pixels in pictures[first : first + batch]])
            found.append(self.eyes(pixels.to(self.device)).half().cpu())
        return torch.cat(found)

    def codes(self, done):
        """Of each answer [frames, 7]; none where it is not spoken."""
        found = [torch.tensor(record.codes or [], dtype=torch.int16).view(-1, 7) for _, record, *_ in done]
        aloud = [place for place, (_, _, _, answer, _) in enumerate(done) if answer is not None]
        most = max((int(frames.max()) for frames in found if len(frames)), default=0)
        count = self.work.settings["language"]["codes"]
        if most >= count:
            raise WrongData(f"an answer has a code of {most}, where `language.codes` says that there are {count}")
        if aloud:
            made = voice.codes_of([done[place][3] for place in aloud], self.codec, count, self.device)
            for place, frames in zip(aloud, made):
                found[place] = frames
        return found


def text(work):
    """text.pt: what stage 1 begins with, from Qwen2's weights; nothing is trained."""
    if work.path("text.pt").exists():
        return
    model = qwen2.begun(work.published("language"), work.config, work.seed, work.speaking_layers)
    saved = {"model": model.state_dict(), "step": 0, "spent": 0.0, "done": True, "history": json.dumps([])}
    training.save(saved, work.path("text.pt"))
    print(f"text: {sum(value.numel() for value in model.parameters())} weights, Qwen2's among them", flush=True)


def load_data(work, pattern="shard-*.pt"):
    files = sorted(work.folder.glob(pattern))
    if not files:
        raise NotReady(f"{work.path(pattern)} is not there; make it with the step 'gather'")
    settings = work.settings["data"]
    return Held(work.config, work.tokenizer(), work.device, files, settings["held"], settings["every"], work.seed)


def load_tests(work, most):
    """The held-out records of the first shards."""
    return [Test(load_data(work, "held-out-*.pt"), most)] if list(work.folder.glob("held-out-*.pt")) else []

