"""Some shards at a time, as stages draw from them."""

import random

import torch

from .. import data, evaluation
from ..domain.collected import Domain
from ..losses import losses

# What a shard holds, of `count` records:
#   sets, questions, answers   lists of texts; an answer is None where the question is only written down
#   rows, features             int64 [count]; fp16 [sum, width], what the ears hear, one behind the other; 0 rows for none
#   look, looks                int64 [count], a row of looks or -1; fp16 [pictures, 50, width]
#   frames, codes              int64 [count]; int16 [sum, 7], of the answers, one behind the other; 0 frames for none
#   captions                   bool [count], whether the answer describes the picture


class Held(data.Data):
    """Data of some shards; each record is a question of its own, and answer and intent have its number."""

    is_whole = False

    def __init__(self, config, tokenizer, device, files, held, every, seed):
        self.files, self.most, self.every, self.seed = files, held, every, seed
        self.chosen, self.parts = None, (config, tokenizer, device)
        self.hold(0)

    def hold(self, step):
        """The shards of a step: which, follows from the seed and the step, so that a run that was stopped goes on with them."""
        chosen = sorted(range(len(self.files)))
        if len(chosen) > self.most:
            chosen = sorted(random.Random(f"{self.seed} {step // self.every}").sample(chosen, self.most))
        if chosen != self.chosen:
            self.chosen = chosen
            self._take([torch.load(self.files[number], weights_only=True) for number in chosen])

    def _take(self, shards):
        config, tokenizer, device = self.parts
        count = sum(len(shard["questions"]) for shard in shards)
        every = {name: [one for shard in shards for one in shard[name]] for name in ("sets", "questions", "answers")}
        rows, frames, captions = (torch.cat([shard[name] for shard in shards]) for name in ("rows", "frames", "captions"))
        seen, before = [], 0
        for shard in shards:
            seen.append(torch.where(shard["look"] < 0, -1, shard["look"] + before))
            before += len(shard["looks"])
        look = torch.cat(seen)
        spoken = torch.tensor([answer is not None for answer in every["answers"]])
        number = torch.arange(count)
        domain = Domain(
            intents=[(name, str(place)) for place, name in enumerate(every["sets"])],
            answer_of=torch.where(spoken & (look < 0), number, -1).tolist(), texts=every["questions"],
            intent_of=number.tolist(), held_out=[False] * count, answers=[answer or "" for answer in every["answers"]],
        )  # fmt: skip
        scenes = looks = None
        pictured = torch.nonzero(look >= 0).flatten()
        if len(pictured):
            texts = data.padded([tokenizer.encode(domain.answers[place]) for place in pictured.tolist()])
            pairs = torch.stack([torch.arange(len(pictured)), pictured, pictured], 1)
            scenes = {"captions": texts, "written": texts, "pairs": pairs}
            looks = torch.cat([one["looks"] for one in shards])[look[pictured]].to(device)
        codes = {"codes": torch.cat([one["codes"] for one in shards]), "frames": frames}
        speech = {"features": torch.cat([one["features"] for one in shards]), "rows": rows[rows > 0],
                  "texts": number[rows > 0], "voices": [""] * int((rows > 0).sum())}  # fmt: skip
        heard = data.Speech([speech], device)
        super().__init__(config, domain, tokenizer, device, heard, scenes, looks, _matrix(codes, device))
        self.described = captions[pictured].to(device)
        self.say(self.sayable[self.codes["frames"][self.sayable] > 0])
        # Recordings without an answer are written down, and serve nothing else.
        self.said_clips = self._buckets(~spoken.to(device)[self.speech.text])

    # MARK: Batches, of which only answers with codes are spoken: those rows stand first.

    def _spoken_first(self, answers, speaking, *others):
        has = self.codes["frames"][answers] > 0
        order = torch.argsort(~has, stable=True) if speaking else torch.arange(len(answers), device=self.device)
        return min(speaking, int(has.sum())), *(one[order] for one in (answers, *others))

    def heard(self, clips, speaking, asr, most=None, speed=None):
        if speaking:
            # Those that write down stay where they are.
            aloud = clips[~asr]
            speaking, _, aloud = self._spoken_first(self.answer_of[self.intent_of[self.speech.text[aloud]]], speaking, aloud)
            clips = clips.clone()
            clips[~asr] = aloud
        return super().heard(clips, speaking, asr, most, speed)

    def seen(self, clips, pictures, answers, speaking=0, most=None, speed=None, named=None):
        speaking, answers, clips, pictures = self._spoken_first(answers, speaking, clips, pictures)
        return super().seen(clips, pictures, answers, speaking, most, speed, named)

    def read(self, asked, answers, speaking=0):
        speaking, answers, asked = self._spoken_first(answers, speaking, asked)
        return super().read(asked, answers, speaking)

    def read_and_seen(self, pairs, asked, described, speaking=0, alike=1):
        """A picture is described without a question only where its answer is a description. Those of the same picture come apart
        where rows that speak are put first, so each passes by itself."""
        speaking, _, pairs, asked = self._spoken_first(self.pairs[pairs, 2], speaking, pairs, asked)
        return super().read_and_seen(pairs, asked, described & self.described[self.pairs[pairs, 0]], speaking)


def _matrix(codes, device):
    """Codes one behind the other as [answers, most, 7]."""
    frames = codes["frames"]
    matrix = torch.zeros(len(frames), max(1, int(frames.max())), 7, dtype=torch.int16)
    inside = torch.arange(matrix.shape[1])[None] < frames[:, None]
    matrix[inside] = codes["codes"]
    return {"codes": matrix.to(device), "frames": frames.to(device)}


class Test(evaluation.Test):
    """Held-out records. Answers are as various as people's, so what can be counted is what is written down, and the loss."""

    def __init__(self, held, most):
        self.data, self.name = held, "held out"
        buckets = [*held.said_clips, *held.talk_clips, *held.picture_clips]
        self.clips = torch.cat([clips for clips, _ in buckets])[:most] if buckets else torch.zeros(0, dtype=torch.long)
        self.talk, self.pictures = self.clips, self.clips[:0]

    def said(self, model):
        """Published answers are not repeated."""
        return {}

    @torch.no_grad()
    def judged(self, model, hide=False):
        """The loss of answers in text, a token; each item is of a batch."""
        data, found = self.data, []
        for clips, most in () if hide else data.talk_clips:
            batch = data.heard(clips, 0, torch.zeros(len(clips), dtype=torch.bool, device=data.device), most)
            with evaluation.autocast(data.device):
                (loss, _), = losses(model, [batch])
            found.append((loss.item() * len(clips), len(clips)))
        return {f"{self.name}: loss of answers": found} if found else {}

    def answers(self, model, count, steps):
        return []
