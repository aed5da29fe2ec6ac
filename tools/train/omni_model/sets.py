"""The held-out questions as files that need no Python any more: sounds, pictures, and what should be answered.

The same questions as the tests of speech.py, of which `evaluate` has the features only.
"""

import json
import random
import shutil
import wave
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import torch
from common import ears
from synthesis import engines

from . import drawing, pipeline, speech

VERSION = 1
ABOUT = {
    "phrasings": "unseen phrasings, known voices",
    "voices": "unseen phrasings, unseen voices of espeak-ng",
    "engine": "unseen phrasings, an unseen engine (festival)",
}
SPARE = 1.25  # Some questions suit no picture, and some clips fail or are too long.


def write(work, folder, count):
    """Sounds (16 kHz, 16 bit), pictures and manifest.json of `count` questions a set, and answers.txt, all answers of the
    domain. What is there is not made again."""
    if not 1 <= count <= 10_000:
        raise pipeline.NotReady(f"--questions: expected 1 to 10000, found {count}")
    wanted = {"version": VERSION, "seed": work.seed, "count": count}
    if _written(folder) == wanted:
        return
    domain, scenes = work.domain(), work.load("scenes-test.pt", "domain")
    # The folder's own files only; whatever else lies there stays.
    for name in pipeline.TESTS:
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / "manifest.json").unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    guesses = _guesses(domain, torch.cat([work.load("scenes.pt", "domain")["pairs"], scenes["pairs"]]))
    questions = []
    with ProcessPoolExecutor(work.processes, mp_context=get_context("spawn")) as pool:
        for name in pipeline.TESTS:
            asked = _asked(work, domain, scenes, name, count)
            found = _spoken(work, pool, [question for question, _ in asked], count)
            (folder / name).mkdir()
            for place, (which, clip, voice) in enumerate(found):
                spoken, pair = asked[which]
                stem = f"{name}/{place:04}"
                _write_sound(folder / f"{stem}.wav", clip)
                if pair is not None:
                    things, grounds = (scenes[part][pair[0]][None] for part in ("things", "grounds"))
                    (folder / f"{stem}.png").write_bytes(drawing.png(drawing.draw(things, grounds)[0]))
                questions.append(_entry(domain, name, stem, spoken, pair, voice, guesses))
            print(f"sets: {len(found)} questions, {ABOUT[name]}", flush=True)
    shutil.copyfile(work.needed("answers.txt", "domain"), folder / "answers.txt")
    content = {**wanted, "sets": {name: ABOUT[name] for name in pipeline.TESTS}, "questions": questions}
    # Last, so that a folder with a manifest is whole.
    (folder / "manifest.json").write_text(json.dumps(content, indent=1) + "\n")


def _written(folder):
    try:
        found = json.loads((folder / "manifest.json").read_text())
        return {name: found[name] for name in ("version", "seed", "count")}
    except (OSError, ValueError, KeyError):
        return None


def _asked(work, domain, scenes, name, count):
    """Questions to be spoken, each with a (picture, intent, answer), or None where it needs no picture."""
    rng = random.Random(f"{work.seed} {name}")
    pairs_of = {}
    for pair in scenes["pairs"].tolist():
        pairs_of.setdefault(pair[1], []).append(pair)
    found = []
    for spoken in pipeline.held_out(work, domain, name, round(count * SPARE) + 10):
        intent = domain.intent_of[spoken.number]
        if domain.answer_of[intent] >= 0:
            found.append((spoken, None))
        elif intent in pairs_of:
            found.append((spoken, rng.choice(pairs_of[intent])))
    return found


def _spoken(work, pool, wanted, count):
    """The first `count` that are spoken well: (which of the wanted, samples, voice)."""
    found, first = [], 0
    for job, shard in zip(jobs := speech.jobs(wanted, 1, False, work.seed + 1), pool.map(speech.shard, jobs)):
        if len(shard["failed"]) > 0.05 * len(job[0]) + 2:
            raise engines.MissingVoice(f"{len(shard['failed'])} of {len(job[0])} clips failed; the first: {shard['failed'][0]}")
        numbers = [spoken.number for spoken in job[0]]
        ends, place = np.cumsum(shard["counts"]), 0
        for text, voice, end, length in zip(shard["texts"].tolist(), shard["voices"], ends, shard["counts"]):
            # Those that failed are left out; the order is that of the job.
            place = numbers.index(text, place) + 1
            if ears.rows(int(length)) <= work.settings["speech"]["longest"]:
                found.append((first + place - 1, shard["samples"][end - length : end], voice))
        first += len(job[0])
    return found[:count]


def _guesses(domain, pairs):
    """By question about a picture the answer that is right most often, whatever is seen; over all pictures."""
    answers = len(domain.answers)
    key, number = np.unique(pairs[:, 1].numpy().astype(np.int64) * answers + pairs[:, 2].numpy(), return_counts=True)
    best = {}
    for intent, answer, often in zip((key // answers).tolist(), (key % answers).tolist(), number.tolist()):
        if often > best.get(intent, (0, 0))[0]:
            best[intent] = (often, answer)
    return {intent: answer for intent, (_, answer) in best.items()}


def _entry(domain, name, stem, spoken, pair, voice, guesses):
    answers, intent = list(domain.answers), domain.intent_of[spoken.number]
    kind = domain.intents[intent][0]
    answer = domain.answer_of[intent] if pair is None else pair[2]
    entry = {
        "set": name, "sound": f"{stem}.wav", "question": spoken.text, "answer": answers[answer],
        "topic": kind if pair is None else "pictures", "kind": kind, "voice": voice,
    }  # fmt: skip
    if pair is not None:
        entry["picture"] = f"{stem}.png"
        entry["guess"] = answers[guesses[intent]] if intent in guesses else ""
    return entry


def _write_sound(path, samples):
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, speech.RATE, 0, "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())
