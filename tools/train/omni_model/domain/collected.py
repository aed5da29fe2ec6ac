"""The whole domain in tables: texts that are asked, intents, answers; pictures, and what may be asked of each."""

import random
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np

from synthesis.talk import sentence

from . import asking, phrasing, scenes, talk


@dataclass
class Domain:
    """Texts by number. An intent of talk has one answer, one about pictures -1."""

    intents: list = field(default_factory=list)  # (topic, key)
    answer_of: list = field(default_factory=list)  # of an intent, a number in `answers` or -1
    texts: list = field(default_factory=list)
    intent_of: list = field(default_factory=list)  # of a text
    held_out: list = field(default_factory=list)  # of a text: whether training never has it
    answers: dict = field(default_factory=dict)  # text to number

    def add(self, intent, asked):
        """asked: the ways to ask that training has."""
        number = len(self.intents)
        self.intents.append((intent.topic, intent.key))
        self.answer_of.append(-1 if intent.answer is None else self.answers.setdefault(intent.answer, len(self.answers)))
        for ways, held_out in ((asked, False), (intent.held_out, True)):
            self.texts += ways
            self.intent_of += [number] * len(ways)
            self.held_out += [held_out] * len(ways)


def collected(settings, seed):
    """settings: the section `domain` of a size."""
    domain, ways = Domain(), random.Random(f"{seed} ways")
    topics = [talk.arithmetic(settings["most"], settings["most_factor"]), talk.facts(), talk.refusals()]
    topics += [talk.clock()] if settings["clock"] else []
    for topic in topics:
        for intent in topic:
            domain.add(intent, phrasing.widened(ways, intent, settings["ways"]))
    for intent in talk.repeated(settings["sentences"], settings["held_out_sentences"], seed):
        domain.add(intent, intent.asked)
    # What is only written down, so that hearing is more than to know all that may be said.
    rng = random.Random(f"{seed} dictated")
    for text in dict.fromkeys(sentence(rng) for _ in range(settings.get("dictated", 0))):
        domain.add(phrasing.Intent("dictated", text, None, (text,)), [text])
    for kind, about in asking.intents():
        intent = asking.asked(kind, about)
        if asking.is_held_out(about):
            intent = replace(intent, asked=(), held_out=intent.asked[:2])
        domain.add(intent, phrasing.widened(ways, intent, settings["ways"]))
    return domain


def pictures(domain, count, seed, unseen=False, processes=1):
    """`count` pictures: arrays `things` and `grounds`, lists `captions` and `written`, and `pairs` int32 [n, 5] of picture,
    intent, answer, which is added to the domain if it is new, and the things that the question and that the answer names, thing
    k as the bit k."""
    chunk = 2000
    jobs = [(first, min(chunk, count - first), seed, unseen) for first in range(0, count, chunk)]
    if processes > 1 and len(jobs) > 1:
        with ProcessPoolExecutor(processes) as pool:
            parts = list(pool.map(_pictures, jobs))
    else:
        parts = [_pictures(job) for job in jobs]
    number = {intent: place for place, intent in enumerate(domain.intents)}
    pairs = [
        (picture, number[intent], domain.answers.setdefault(answer, len(domain.answers)), *looked_at)
        for part in parts for picture, intent, answer, looked_at in part["pairs"]
    ]  # fmt: skip
    return {
        "things": np.concatenate([part["things"] for part in parts]),
        "grounds": np.concatenate([part["grounds"] for part in parts]),
        "captions": [text for part in parts for text in part["captions"]],
        "written": [text for part in parts for text in part["written"]],
        "pairs": np.array(pairs, np.int32).reshape(-1, 5),
    }


def _pictures(job):
    first, count, seed, unseen = job
    rng = random.Random(f"{seed} {first} {unseen}")
    found = [scenes.scene(rng, unseen) for _ in range(count)]
    things, grounds = scenes.packed(found, np.random.default_rng((seed, first, unseen)))
    pairs = []
    for place, scene in enumerate(found):
        # What is asked twice is asked once.
        for kind, about in dict.fromkeys(asking.candidates(rng, scene)):
            answer = asking.answer(scene, kind, about)
            if answer is None or asking.is_held_out(about if not unseen else f"{about} {answer}") != unseen:
                continue
            # Most things have nothing beside them, which is soon learned.
            if not answer.startswith("Nothing") or rng.random() < 0.25:
                looked_at = (sum(1 << scene.index(thing) for thing in those) for those in asking.looked_at(scene, kind, about))
                pairs.append((first + place, (kind, about), answer, tuple(looked_at)))
    return {
        "things": things, "grounds": grounds, "pairs": pairs, "captions": [scenes.caption(scene) for scene in found],
        "written": [scenes.written(scene) for scene in found],
    }  # fmt: skip
