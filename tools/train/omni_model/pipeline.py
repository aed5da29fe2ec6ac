"""The steps, each from files of the work folder to files of the work folder; what is there already is not made again."""

import json
import math
import os
import shutil
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch
from common import ears, folders, report
from synthesis import engines

from . import data, eyes, speech, tokenizer, training, voice
from .domain import collected
from .network import Config, configuration

LEAST = 16  # pictures that one is contrasted with, itself among them
# What the three stages learn from.
DATA = ["domain.json", "answers.txt", "tokenizer.json", "scenes*.pt", "eyes.pt", "looks*.pt", "speech-*.pt", "test-*.pt", "text.pt",
        "codec", "codes.pt", "shard-*.pt", "held-out-*.pt", "listener.pt", "listener-test.pt"]  # fmt: skip
TESTS = {"phrasings": ("engines", False), "voices": ("unseen_voices", True), "engine": ("unseen_engines", True)}


class NotReady(Exception):
    """What is missing, and what makes it."""


@dataclass
class Work:
    folder: Path
    settings: dict
    seed: int
    device: torch.device
    processes: int
    budgets: dict | None = None  # minutes by step as text, or the time of its end behind an @; for all others under ""
    root: Path | None = None  # the folder that paths of the section `data` begin at

    def minutes(self, step):
        budgets = self.budgets or {}
        budget = budgets.get(step, budgets.get(""))
        if budget is None:
            return None
        return max(0.05, (float(budget[1:]) - time.time()) / 60) if budget[0] == "@" else float(budget)

    def path(self, name):
        return self.folder / name

    def needed(self, name, step):
        if not self.path(name).exists():
            raise NotReady(f"{self.path(name)} is not there; make it with the step '{step}'")
        return self.path(name)

    def load(self, name, step):
        return torch.load(self.needed(name, step), weights_only=True)

    @property
    def is_published(self):
        """Whether published sets are trained on, not the domain that is generated."""
        return "data" in self.settings

    @property
    def speaking_layers(self):
        return self.settings["language"].get("speaking_layers", 0)

    @property
    def config(self):
        values = configuration(self.settings["language"])
        return Config(**{name: values[name] for name in Config.__dataclass_fields__})

    def published(self, name):
        """A file or folder that the section `data` names."""
        if self.root is None:
            raise NotReady("--data FOLDER is wanted: the folder that paths of the section `data` begin at")
        return self.root / self.settings["data"][name]

    def domain(self):
        return collected.Domain(**json.loads(self.needed("domain.json", "domain").read_text()))

    def tokenizer(self):
        return tokenizer.Tokenizer(self.needed("tokenizer.json", "domain"))


# MARK: Data


def share(folder, other):
    """Links what the three stages learn from into another work folder, whose own files stay."""
    if not (folder / "tokenizer.json").exists():
        raise NotReady(f"{folder} is not a work folder: it has no tokenizer.json")
    other.mkdir(parents=True, exist_ok=True)
    for pattern in DATA:
        for path in folder.glob(pattern):
            link = other / path.name
            if not link.exists():
                link.unlink(missing_ok=True)  # what it led to has gone
                link.symlink_to(path.resolve())


def released(folder, name):
    """A file of a release that training goes on from."""
    if not (folder / name).exists():
        raise NotReady(f"{folder / name} is not there; --from wants the folder of a release")
    return folder / name


def make_domain(work, origin=None):
    """domain.json, tokenizer.json, answers.txt, scenes.pt and scenes-test.pt. origin: a release whose tokenizer is kept."""
    if work.path("scenes-test.pt").exists():
        return
    settings = work.settings["domain"]
    domain = collected.collected(settings, work.seed)
    known = collected.pictures(domain, settings["pictures"], work.seed, processes=work.processes)
    test = collected.pictures(domain, settings["test_pictures"], work.seed + 1)
    unseen = collected.pictures(domain, settings["test_pictures"], work.seed + 1, unseen=True)
    size = len(test["captions"])
    for name in ("captions", "written"):
        test[name] += unseen[name]
    unseen["pairs"][:, 0] += size
    for name in ("things", "grounds", "pairs"):
        test[name] = torch.cat([torch.from_numpy(part[name]) for part in (test, unseen)])
        known[name] = torch.from_numpy(known[name])
    if origin:
        shutil.copyfile(released(origin, "tokenizer.json"), work.path("tokenizer.json"))
    else:
        texts = domain.texts + list(domain.answers) + known["captions"][:20_000] + known["written"][:5_000]
        vocabulary, merges = tokenizer.learned(texts, work.settings["language"]["tokens"])
        content = json.dumps(tokenizer.written(vocabulary, merges), ensure_ascii=False)
        work.path("tokenizer.json").write_text(content, encoding="utf-8")
    work.path("domain.json").write_text(json.dumps(vars(domain)))
    work.path("answers.txt").write_text("\n".join(domain.answers) + "\n")
    encoder = work.tokenizer()
    for name, found in (("scenes.pt", known), ("scenes-test.pt", test)):
        for texts in ("captions", "written"):
            found[texts] = data.padded([encoder.encode(text) for text in found[texts]])
        training.save(found, work.path(name))
    print(f"domain: {len(domain.texts)} questions, {len(domain.intents)} intents, {len(domain.answers)} answers; "
          f"{len(known['things'])} pictures, {len(known['pairs'])} questions about them", flush=True)  # fmt: skip


def ears_path(work):
    """The encoder's file: one in the work folder, with the data, in the repository, or a model of the cache."""
    name = work.settings["speech"]["ears"]
    given = Path(os.environ.get("ANTIPHON_EARS", work.path("ears.safetensors")))
    there = [root / name for root in (work.root, folders.ROOT, folders.cache() / "models") if root]
    for path in (given, *there):
        if path.exists():
            return path
    raise NotReady(f"Whisper's encoder is not there; tools/models fetch {name} brings it, or ANTIPHON_EARS says where it is")


def make_speech(work):
    """speech-NNN.pt and test-NAME-NNN.pt: the questions as the ears hear them."""
    domain, settings = work.domain(), work.settings["speech"]
    heard = ears.Ears(ears_path(work), work.device)
    todo = []
    for name in TESTS:
        jobs = speech.jobs(held_out(work, domain, name, settings["test"]), 1, False, work.seed + 1)
        todo += [(f"test-{name}-{place:03}.pt", job) for place, job in enumerate(jobs)]
    engines.check(settings["engines"])
    wanted = speech.wanted(domain, settings, settings["engines"], work.seed)
    jobs = speech.jobs(wanted, settings["copies"], False, work.seed)
    todo += [(f"speech-{place:03}.pt", job) for place, job in enumerate(jobs)]
    missing = [(name, job) for name, job in todo if not work.path(name).exists()]
    begun, clips, failed, seconds, told, minutes = time.monotonic(), 0, [], 0.0, 0.0, work.minutes("speech")
    if not missing:
        return
    # New processes rather than forked ones: this one holds a device.
    with ProcessPoolExecutor(work.processes, mp_context=get_context("spawn")) as pool:
        found = pool.map(speech.shard, [job for _, job in missing])
        for (name, job), shard in zip(missing, found):
            failed += shard["failed"]
            if len(shard["failed"]) > 0.05 * len(job[0]) + 2:
                raise engines.MissingVoice(f"{len(shard['failed'])} of {len(job[0])} clips failed; the first: {failed[0]}")
            training.save(ears.features(heard, shard, settings["longest"]), work.path(name))
            clips, seconds = clips + len(shard["counts"]), seconds + len(shard["samples"]) / speech.RATE
            gone = time.monotonic() - begun
            if gone - told > 5:
                told = gone
                print(f"{name}: {clips} clips, {seconds / 3600:.1f} h of speech in {gone:.0f} s", flush=True)
            if minutes and gone > 60 * minutes:
                print(f"speech: {minutes} minutes are over; what is there is used", flush=True)
                pool.shutdown(cancel_futures=True)
                break
    print(f"speech: {clips} clips, {seconds / 3600:.1f} h in {time.monotonic() - begun:.0f} s", flush=True)
    if failed:
        print(f"speech: {len(failed)} clips failed; the first: {failed[0]}", flush=True)


def held_out(work, domain, name, count):
    """About `count` questions of a test, to be spoken; none where none of its engines is there."""
    shares, unseen = TESTS[name]
    settings = {**work.settings["speech"], "test": count}
    chosen = {engine: share for engine, share in settings[shares].items() if spoken_by(engine)}
    if not chosen:
        print(f"speech: none of {', '.join(settings[shares])} is there: no test '{name}'", flush=True)
        return []
    return speech.wanted(domain, settings, chosen, work.seed, held_out=True, unseen=unseen)


def spoken_by(engine):
    try:
        engines.check([engine])
    except engines.MissingVoice:
        return False
    return True


def load_speech(work, name="speech-*.pt"):
    files = sorted(work.folder.glob(name))
    if not files:
        raise NotReady(f"{work.path(name)} is not there; make it with the step 'speech'")
    return data.Speech([torch.load(path, weights_only=True) for path in files], work.device)


# MARK: Eyes


def marked(work, texts):
    """Texts as the eyes' reader takes them, each behind a mark."""
    encoder, mark = work.tokenizer(), work.config.text["answer"]
    ids, _ = data.padded([[mark, *encoder.encode(text)] for text in texts])
    return ids.long().to(work.device)


def make_eyes(work, origin=None):
    """eyes.pt, then looks.pt and looks-test.pt: what they see of every picture. origin: a release whose eyes learn on."""
    settings = {**work.settings["eyes"], "out": work.settings["language"]["vision"]}
    clip = eyes.make(settings, work.config.text_vocab_size, work.seed).to(work.device)
    scenes, test = work.load("scenes.pt", "domain"), work.load("scenes-test.pt", "domain")
    words = [marked(work, kinds) for kinds in eyes.WORDS.values()]
    ids, _ = scenes["captions"]
    captions = torch.nn.functional.pad(ids.long(), (1, 0), value=work.config.text["answer"])[:, : settings["context"]]
    shown = {"things": scenes["things"].to(work.device), "grounds": scenes["grounds"].to(work.device),
             "captions": captions.to(work.device)}  # fmt: skip
    if origin and not work.path("eyes.pt").exists():
        clip.load_state_dict(torch.jit.load(released(origin, "ViT-B-32.pt"), map_location="cpu").float().state_dict())
        training.save({"model": clip.state_dict(), "step": 0, "spent": 0.0, "done": False, "history": "[]"}, work.path("eyes.pt"))
    run = training.Run(work.folder, "eyes", clip, list(clip.parameters()), settings, work.seed, work.device,
                       work.minutes("eyes"))  # fmt: skip
    learners = training.learners(clip, settings["batch"], LEAST, work.device,
                                 lambda each, rows: eyes.Contrast(each, shown, words, rows, work.device))  # fmt: skip
    some = {name: test[name][:2000] for name in ("things", "grounds")}
    run.fit(learners, lambda: eyes.measured(clip, some, words, work.device))
    finish(work, run, {"pictures": len(captions), "batch": settings["batch"]})
    for name, found in (("looks.pt", scenes), ("looks-test.pt", test)):
        there = work.path(name)
        if not there.exists() or there.stat().st_mtime < run.file.stat().st_mtime:
            training.save(eyes.looks(clip, found, work.device).cpu(), there)


def load_clip(work):
    settings = {**work.settings["eyes"], "out": work.settings["language"]["vision"]}
    clip = eyes.make(settings, work.config.text_vocab_size, work.seed)
    clip.load_state_dict(work.load("eyes.pt", "eyes")["model"])
    return clip.to(work.device)


def finish(work, run, about):
    """Curves and the card of a run."""
    card = {"run": run.name, "seed": run.seed, "steps": run.step, "minutes": round(run.spent / 60, 2), "done": run.is_done,
            "budget": None if math.isinf(run.budget) else run.budget / 60,
            "data": about, "settings": run.settings, "machine": report.machine(work.device),
            "parameters": sum(value.numel() for value in run.module.parameters()),
            "trained": sum(value.numel() for value in run.trained), "history": run.history}  # fmt: skip
    report.card(work.folder, run.name, card)
    report.curves(work.folder, run.name, [(run.name, report.series(run.history))])


# MARK: Voice


def make_codec(work):
    """codec/snac: the answering voice's codec, as tools/train/codec makes it, fitted to the domain's answers among others."""
    from codec_model import corpus, export, settings, training

    folder, begun = work.path("codec"), time.monotonic()
    folder.mkdir(exist_ok=True)
    if (folder / "snac" / "config.json").exists():
        return
    wished, minutes = settings.read(work.settings, "codec"), work.minutes("codec")
    texts = work.needed("answers.txt", "domain")
    corpus.make(folder, wished.corpus.minutes, wished.corpus.held_out, work.seed, texts, work.processes,
                work.settings["answers"]["steady"])  # fmt: skip
    within = max(0.05, minutes - (time.monotonic() - begun) / 60) if minutes else None
    # To compile takes a minute or two.
    training.fit(folder, wished, work.seed, work.device, within=within, fuses=within is None or within > 10,
                 whisper=ears_path(work))
    export.write(training.trained(folder, wished), folder / "snac")


def wait_for(path, minutes):
    until = time.monotonic() + 60 * minutes
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.5)
    return path.exists()


def wait_for_codec(folder, minutes=0):
    if folder and not wait_for(folder / "config.json", minutes):
        raise NotReady(f"{folder}/config.json is not there; the step 'codec' makes it, or tools/train/codec")


def make_answers(work, codec, wait):
    """codes.pt: the answers in codes. codec: its folder, or None for a stand-in; wait: minutes for it to appear."""
    if work.path("codes.pt").exists():
        return
    texts = list(work.domain().answers)
    clips, starts = voice.spoken(texts, work.processes, work.settings["answers"]["steady"])
    print(f"answers: {len(texts)}, {sum(map(len, clips)) / voice.RATE / 60:.0f} minutes of speech", flush=True)
    wait_for_codec(codec, wait)
    found = voice.codes_of(clips, codec, work.settings["language"]["codes"], work.device)
    if starts:
        found = voice.typical(texts, found, starts)
    frames = torch.tensor([len(each) for each in found])
    codes = torch.zeros(len(found), int(frames.max()), 7, dtype=torch.int16)
    for row, each in enumerate(found):
        codes[row, : len(each)] = each
    made = {"codes": codes, "frames": frames, "codec": str(codec)}
    if starts:
        made["spans"] = spans(work.tokenizer(), texts, starts)
    training.save(made, work.path("codes.pt"))
    print(f"answers: {int(frames.sum())} frames, at most {int(frames.max())} of an answer", flush=True)


def spans(encoder, texts, starts):
    """Frames int16 [texts, most tokens, 2] in which tokens are said, from and to; behind a text's last none."""
    found = [voice.spans(encoder, text, each) for text, each in zip(texts, starts)]
    matrix = torch.zeros(len(found), max(map(len, found)), 2, dtype=torch.int16)
    for row, each in enumerate(found):
        matrix[row, : len(each)] = torch.tensor(each, dtype=torch.int16)
    return matrix
