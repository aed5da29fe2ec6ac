"""How often answers are right, in PyTorch, while training goes on. The proof proper is made with the Swift graph."""

import torch
from common.words import plain, word_errors

from .decoding import greedy
from .layout import Batch, undelayed
from .training import autocast

CHUNK = 128


def mean(items):
    """Of items (found, of how many)."""
    return sum(found for found, _ in items) / max(1, sum(of for _, of in items))


class Test:
    """Spoken questions that training never has, and for those about pictures a picture each that it has not seen."""

    def __init__(self, data, name, seed=5, most=None):
        """`data` holds test clips and test pictures."""
        self.data, self.name = data, name
        generator = torch.Generator(data.device).manual_seed(seed)
        text = data.speech.text
        intent = data.intent_of[text]
        answer = data.answer_of[intent]
        about = (answer < 0) & (data.pairs_of.count[intent] > 0)
        clips = torch.nonzero((answer >= 0) | about).flatten()
        clips = clips[torch.randperm(len(clips), generator=generator, device=data.device)][:most]
        # By length, so that little of a batch is padding.
        clips = clips[torch.argsort(data.speech.length[clips], stable=True)]
        pairs = torch.full_like(clips, -1)
        of_pictures = about[clips]
        pairs[of_pictures] = data.pair(clips[of_pictures], generator)
        self.talk, self.pictures = clips[~of_pictures], clips[of_pictures]
        self.pairs = pairs[of_pictures]

    @torch.no_grad()
    def judged(self, model, hide=False):
        """Answers in text by topic, right or wrong, (1, 1) or (0, 1); `beside` are those to questions that have nothing to do
        with the picture shown. hide: with another's picture and another's question, which is chance."""
        found = {}
        for kind, all_clips in (("talk", self.talk), ("pictures", self.pictures), ("beside", self.talk[: 2 * CHUNK])):
            for first in range(0, len(all_clips), CHUNK):
                clips = all_clips[first : first + CHUNK]
                batch, wanted = self._batch(kind, clips, first, hide)
                for text, said, clip in zip(self._texts(model, batch), wanted, clips.tolist()):
                    topic = self.data.domain.intents[int(self.data.intent_of[self.data.speech.text[clip]])][0]
                    for name in [kind] if kind == "beside" else {topic, kind, "all"}:
                        found.setdefault(name, []).append((int(plain(text) == plain(said)), 1))
        prefix = f"{self.name}{', shuffled' if hide else ''}: "
        if hide:
            found = {name: values for name, values in found.items() if name in ("pictures", "talk")}
        return {prefix + name: values for name, values in sorted(found.items())}

    def _batch(self, kind, clips, first, hide=False):
        """Some of the clips, from `first` of their kind on, and what should be answered."""
        data = self.data
        if kind == "pictures":
            pairs = data.pairs[self.pairs[first : first + len(clips)]]
            pictures, wanted = pairs[:, 0], pairs[:, 2]
        else:
            pictures = torch.arange(first, first + len(clips), device=data.device) % len(data.looks)
            wanted = data.answer_of[data.intent_of[data.speech.text[clips]]]
        if kind == "talk":
            heard = clips.roll(1) if hide else clips
            batch = data.heard(heard, 0, torch.zeros(len(clips), dtype=torch.bool, device=data.device))
        else:
            batch = data.seen(clips, pictures.roll(1) if hide else pictures, wanted)
        names = list(data.domain.answers)
        return batch, [names[number] for number in wanted.tolist()]

    def _texts(self, model, batch):
        with autocast(self.data.device):
            ids, _ = greedy(model, batch, 30)
        return [self.data.tokenizer.decode(until(row, model.config.text["eot"])) for row in ids.tolist()]

    @torch.no_grad()
    def transcribed(self, model, most=256):
        """The task A1T1: of each clip wrong words, of how many."""
        clips = torch.cat([self.talk, self.pictures])[:most]
        found = []
        for first in range(0, len(clips), CHUNK):
            part = clips[first : first + CHUNK]
            batch = self.data.heard(part, 0, torch.ones(len(part), dtype=torch.bool, device=self.data.device))
            said = [self.data.domain.texts[int(number)] for number in self.data.speech.text[part]]
            for text, wanted in zip(self._texts(model, batch), said):
                found.append((word_errors(plain(wanted), plain(text)), len(plain(wanted))))
        return {f"{self.name}: word errors": found}

    @torch.no_grad()
    def said(self, model, most=128):
        """Answers that are given in writing to be said: whether their codes are all those that the codec makes of them. What is
        `repeated` are sentences that training never has."""
        data, found = self.data, {}
        # Clips stand by length, answers do not.
        some = torch.randperm(len(self.talk), generator=torch.Generator().manual_seed(5))[:most].to(data.device)
        intents = data.intent_of[data.speech.text[self.talk[some]]]
        for part in intents.split(CHUNK):
            answers = data.answer_of[part]
            batch = twice(data.repeated(answers))
            batch.codes = batch.frames = None
            batch.last_audio[len(part) :] = model.config.audio["pad"]
            steps = int(data.codes["frames"][answers].max()) + 12
            with autocast(data.device):
                _, tokens = greedy(model, batch, steps, writers=True)
            for row, (intent, answer) in enumerate(zip(part.tolist(), answers.tolist())):
                frames = int(data.codes["frames"][answer])
                wanted = data.codes["codes"][answer, :frames].long()
                ends = (tokens[row, :, :] == model.config.audio["eoa"]).any(1).all()
                exact = bool(ends) and torch.equal(undelayed(tokens[row], frames), wanted)
                kind = "repeated" if data.domain.intents[intent][0] == "repeat" else "said"
                found.setdefault(f"{self.name}: {kind}", []).append((int(exact), 1))
        return found

    @torch.no_grad()
    def answers(self, model, count, steps):
        """A few answers in speech, two rows at once: (question, text, codes [frames, 7])."""
        found = []
        for kind, clips in (("talk", self.talk[:count]), ("pictures", self.pictures[:count])):
            if len(clips) == 0:
                continue
            batch = twice(self._batch(kind, clips, 0)[0])
            batch.last_audio, _ = self.data.marks(batch.size, len(clips))
            with autocast(self.data.device):
                ids, tokens = greedy(model, batch, steps, writers=True)
            end = model.config.audio["eoa"]
            for row, clip in enumerate(clips.tolist()):
                last = tokens[row, -1].tolist()
                frames = max(0, (last.index(end) if end in last else steps) - 7)
                text = self.data.tokenizer.decode(until(ids[row].tolist(), model.config.text["eot"]))
                question = self.data.domain.texts[int(self.data.speech.text[clip])]
                found.append((question, text, undelayed(tokens[row].cpu(), frames)))
        return found


def twice(batch):
    """The same rows again, to write beside those that speak."""
    parts = vars(batch).items()
    return Batch(**{name: torch.cat([part, part]) if torch.is_tensor(part) else part for name, part in parts})


def until(ids, end):
    return ids[: ids.index(end)] if end in ids else ids
