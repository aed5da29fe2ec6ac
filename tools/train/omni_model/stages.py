"""What each stage learns from: the mixtures of tasks, a loss a step.

text      the language model learns to write: questions answered, texts copied, pictures that are told in words. It stands
          for Qwen2, which the published model begins with
stage1    the adapters learn, the language model does not: speech is written down, pictures are described and asked about
stage2    the language model learns to answer in text what it hears, sees and reads; the adapters do not
stage3    all learn to speak: seven audio layers beside the text
joint     all of it at once, from what `text` made: what the three stages are compared with
"""

import torch
from torch.nn import functional

from .data import BUCKETS, FASTEST, SLOWEST
from .guiding import Looking, Reading
from .layout import Batch
from .losses import losses
from .training import autocast

NAMES = ["text", "stage1", "stage2", "stage3", "joint"]


def trained(model, stage):
    """The parameters that a stage changes; the others keep their numbers."""
    chosen = {"stage1": model.adapters, "text": model.language, "stage2": model.language}.get(stage)
    model.depth = model.config.n_layer if chosen is None else model.understanding
    chosen = list(model.parameters()) if chosen is None else chosen
    wanted = {id(value) for value in chosen}
    for value in model.parameters():
        value.requires_grad_(id(value) in wanted)
    return chosen


# How a clip is varied each time that it is heard: gaps, rows of the widest, noise, and the share of features left out.
GAPS, WIDEST, NOISE, LEFT_OUT = 3, 14, 0.15, 0.08
# Batches pass the layers together that need at most so many times their columns of padding: a device that is fast computes
# one wide batch sooner than several.
WASTE = {"cuda": 0.3, "cpu": 0.1}
# What decides on shapes is one of so many throws, so that steps can be replayed (replaying.py). All eighths of clips by length
# and all kinds of clips to be written down come equally often in them, each with each.
SHAPES = 3 * BUCKETS


def can_be_replayed(data, settings):
    """Whether a step on a GPU does not wait for it: what CTC computes depends on lengths that the processor wants to know."""
    return data.device.type == "cuda" and data.is_whole and not settings.get("ctc", 0)


class Throw:
    """A step's choices of what decides on shapes; number: below SHAPES."""

    def __init__(self, number):
        self.number, self.calls = number, 0

    def choice(self, items):
        self.calls += 1
        # An odd factor that 3 does not divide: in SHAPES throws each of 3 or 8 comes equally often.
        return items[(self.number * (1, 5, 7, 11)[self.calls % 4] + self.calls) % len(items)]


class Stage:
    """settings: batch, rows of a step; heard, so many times as many rows that hear a question without a picture, seen, one with a
    picture, transcribed, that write down what they hear, described, that read a question about a picture (`questions` of them
    about each), read, any other, and said, that only say a text; ctc, the weight of the adapter's own loss; listens, that of the
    row that listens; guided and looking, those of guiding.Reading's and of guiding.Looking's; given, the share of rows that speak
    which say an answer to something else; slips, that of codes that are fed wrong; kept, the weight of what is written otherwise
    than by the teacher, the model as it was before, where there is no picture."""

    def __init__(self, name, model, data, settings, teacher=None):
        self.model, self.data, self.settings = model, data, settings
        self.rows, self.waste = settings["batch"], WASTE.get(data.device.type, 0.1)
        guides = [Reading(model, data.tokenizer, settings.get("guided", 0), data.device),
                  Looking(model, settings.get("looking", 0))]  # fmt: skip
        self.guides = [guide for guide in guides if guide.weight]
        self.teacher = teacher
        self.mixture = {"text": self._text, "stage1": self._align, "stage2": self._understand}.get(name, self._speak)

    @staticmethod
    def shape_of(seed):
        return seed % SHAPES

    def __call__(self, generator, shape=None):
        """shape: that of the generator's seed, if that cannot be asked."""
        self.dice = Throw(self.shape_of(generator.initial_seed()) if shape is None else shape)
        with autocast(self.data.device):
            mixture = list(self.mixture(generator))
            batches, kept = [batch for _, _, batch in mixture], self.settings.get("kept", 0)
            self._give(batches, generator)
            self._slip(batches, generator)
            found = losses(self.model, batches, self.waste, self.guides, self.teacher, kept)
            total = sum(weight * loss for (_, weight, _), (loss, _) in zip(mixture, found))
            parts = {f"{name} {part}": value for (name, _, _), (_, each) in zip(mixture, found) for part, value in each.items()}
            spelled = self.settings.get("ctc", 0)
            for name, _, batch in mixture:
                if spelled and name == "transcribed":
                    parts["spelled"] = self._spelled(batch)
                    total = total + spelled * parts["spelled"]
            return total, parts

    # MARK: Mixtures: names, weights and batches. Voices and ways to ask are soon learned, pictures last: most rows are theirs.

    def _text(self, generator):
        yield "read", 1, self._read(self.rows // 2, generator)
        yield "copied", 0.5, self._copied(self.rows // 4, generator)
        yield "told", 1, self._told(self.rows // 2, generator)

    def _align(self, generator):
        yield from self._part("transcribed", 1, 1, lambda rows: self._transcribed(rows, generator))
        yield from self._part("described", 1, 1 / 2, lambda rows: self._described(rows, generator, 0.3))

    def _understand(self, generator):
        yield from self._part("heard", 1, 2 / 3, lambda rows: self._heard(rows, 0, 0.2, generator))
        yield from self._part("transcribed", 0.5, 1 / 4, lambda rows: self._transcribed(rows, generator))
        yield from self._part("seen", 1.5, 1, lambda rows: self._seen(rows, 0, generator))
        yield from self._part("described", 1, 3 / 4, lambda rows: self._described(rows, generator, 0.1))
        yield from self._part("read", 0.3, 1 / 6, lambda rows: self._read(rows, generator))

    def _speak(self, generator):
        yield from self._part("heard", 1, 2 / 3, lambda rows: self._heard(rows, rows // 2, 0.2, generator))
        yield from self._part("transcribed", 0.5, 1 / 6, lambda rows: self._transcribed(rows, generator))
        yield from self._part("seen", 1.5, 1, lambda rows: self._seen(rows, rows * 3 // 8, generator))
        yield from self._part("described", 1, 1 / 2, lambda rows: self._described(rows, generator, 0.1, rows // 2))
        yield from self._part("said", 1, 0, lambda rows: self.data.said(rows, generator))
        yield from self._part("read", 0.7, 1 / 3, lambda rows: self._read(rows, generator, rows * 3 // 4))
        if self.data.sounds is not None and self.settings.get("listens", 0) > 0:
            yield "listens", self.settings["listens"], self.data.sounds.drawn(self.rows // 2, generator)

    def _part(self, name, weight, times, rows_of):
        """A task, of which there are so many times a step's rows, if the settings do not say how many; none where that is none."""
        rows = int(self.rows * self.settings.get(name, times))
        if rows:
            yield name, weight, rows_of(rows)

    def _speaking(self, batches, setting):
        """A setting's share, and those of the batches that speak, or none of them where there is no such share."""
        share = self.settings.get(setting, 0)
        return share, [batch for batch in batches if share and isinstance(batch, Batch) and batch.speaking]

    def _give(self, batches, generator):
        """Some of the rows that speak are given the text of another answer, and say it: what is asked tells nothing of how an
        answer sounds, and speech that follows the question rather than the text says 23 where 24 is written."""
        share, speaking = self._speaking(batches, "given")
        for batch in speaking:
            given = torch.rand(batch.speaking, generator=generator, device=self.data.device) < share
            self.data.give(batch, given, self.data.any_answers(batch.speaking, generator))

    def _slip(self, batches, generator):
        """Some of the codes that are fed are others: a model that speaks goes on from what it said itself, slips and all."""
        share, speaking = self._speaking(batches, "slips")
        for batch in speaking:
            codes, device = batch.codes, batch.codes.device
            slipped = torch.rand(codes.shape, generator=generator, device=device) < share
            others = torch.randint(self.data.config.audio["eoa"], codes.shape, generator=generator, device=device)
            batch.fed_codes = torch.where(slipped, others.to(codes.dtype), codes)

    # MARK: Batches

    def _clips(self, buckets, count, generator):
        """Spoken questions of about the same length, and the rows of the longest."""
        clips, most = self.dice.choice(buckets)
        return self.data.drawn(clips, count, generator), most

    def _varied(self, batch, generator):
        """The features with some noise, gaps in time, and a few left out throughout (SpecAugment, Park et al. 2019): clips are
        heard many times, and should not be known by heart."""
        speech, device = batch.speech, self.data.device
        noise = torch.randn(speech.shape, generator=generator, device=device)
        drawn = torch.rand(2, len(speech), GAPS, 1, generator=generator, device=device)
        start, width = drawn[0] * batch.speech_length[:, None, None], drawn[1] * WIDEST
        place = torch.arange(speech.shape[1], device=device)
        gap = ((place >= start) & (place < start + width)).any(1)[..., None]
        left_out = torch.rand(len(speech), 1, speech.shape[2], generator=generator, device=device) < LEFT_OUT
        batch.speech = torch.where(gap | left_out, 0, speech) + NOISE * noise
        return batch

    def _speed(self, count, generator):
        return SLOWEST + (FASTEST - SLOWEST) * torch.rand(count, generator=generator, device=self.data.device)

    def _heard(self, count, speaking, transcribed, generator):
        """Questions without a picture; a part of the rows that do not speak write down what they hear."""
        clips, most = self._clips(self.data.talk_clips, count, generator)
        share = transcribed * count / max(1, count - speaking)
        asr = torch.rand(count, generator=generator, device=self.data.device) < share
        asr[:speaking] = False
        return self._varied(self.data.heard(clips, speaking, asr, most, self._speed(count, generator)), generator)

    def _transcribed(self, count, generator):
        """Questions of any kind, written down."""
        data = self.data
        kinds = [buckets for buckets in (data.talk_clips, data.picture_clips, data.said_clips) if buckets]
        clips, most = self._clips(self.dice.choice(kinds), count, generator)
        asr = torch.ones(count, dtype=torch.bool, device=self.data.device)
        return self._varied(self.data.heard(clips, 0, asr, most, self._speed(count, generator)), generator)

    def _seen(self, count, speaking, generator):
        """Questions about a picture, and a third as many that have nothing to do with it."""
        data = self.data
        aside = count // 4
        clips, most = self._clips(data.picture_clips, count - aside, generator)
        pairs = data.pairs[data.pair(clips, generator)]
        others, longest = self._clips(data.talk_clips, aside, generator)
        pictures = torch.randint(len(data.looks), (aside,), generator=generator, device=data.device)
        clips, pictures = torch.cat([clips, others]), torch.cat([pairs[:, 0], pictures])
        named = data.named(pairs)
        if named is not None:
            named = functional.pad(named, (0, 0, 0, 0, 0, aside))
        answers = torch.cat([pairs[:, 2], data.answer_of[data.intent_of[data.speech.text[others]]]])
        mixed = torch.randperm(count, generator=generator, device=data.device)
        speed = self._speed(count, generator)
        named = named if named is None else named[mixed]
        batch = data.seen(clips[mixed], pictures[mixed], answers[mixed], speaking, max(most, longest), speed, named)
        return self._varied(batch, generator)

    def _described(self, count, generator, share, speaking=0):
        """Pictures with a written question, the first `speaking` rows answered in speech; of the others a share described."""
        data, alike = self.data, min(count, self.settings.get("questions", 1))
        count -= count % alike
        pairs = data.pairs_alike(count, alike, generator)
        asked = data.ways.drawn(data.pairs[pairs, 1], generator)
        described = torch.rand(count, generator=generator, device=data.device) < share
        described[:speaking] = False
        return data.read_and_seen(pairs, asked, described, speaking, alike)

    def _read(self, count, generator, speaking=0):
        data = self.data
        asked = data.talked(count, generator)
        return data.read(asked, data.answer_of[data.intent_of[asked]], speaking)

    def _copied(self, count, generator):
        """Texts to be written down again, their words drawn apart as speech draws them: what stage 1 finds there already."""
        data = self.data
        ids, length = data.asked(data.drawn(data.texts, count, generator))
        audio, last = data.marks(count, asr=torch.ones(count, dtype=torch.bool, device=data.device))
        question, stretched = self._stretched(ids, length, generator)
        return Batch(audio, last, ids, length, question=question, question_length=stretched)

    def _stretched(self, ids, length, generator):
        """Every token followed by up to six pads."""
        data = self.data
        gaps = torch.randint(1, 8, ids.shape, generator=generator, device=data.device)
        gaps = torch.where(torch.rand(len(ids), 1, generator=generator, device=data.device) < 0.3, 1, gaps)
        inside = torch.arange(ids.shape[1], device=data.device)[None] < length[:, None]
        ends = (gaps * inside).cumsum(1)
        starts = ends - gaps
        columns = 7 * ids.shape[1] if ids.is_cuda else int(ends.max())
        question = torch.full((len(ids), columns + 1), data.config.text["pad"], device=data.device)
        # What is no token goes into a column that is cut off.
        question.scatter_(1, torch.where(inside, starts, columns), ids)
        return question[:, :columns], ends[:, -1]

    def _told(self, count, generator):
        """Pictures in words, and a question about each."""
        data = self.data
        pairs = torch.randint(len(data.pairs), (count,), generator=generator, device=data.device)
        told, told_length = data.written(data.pairs[pairs, 0])
        asked, asked_length = data.asked(data.ways.drawn(data.pairs[pairs, 1], generator))
        question = functional.pad(told, (0, asked.shape[1]))
        place = torch.arange(question.shape[1], device=data.device)[None] - told_length[:, None]
        words = asked.gather(1, place.clamp(0, asked.shape[1] - 1))
        question = torch.where((place >= 0) & (place < asked_length[:, None]), words, question)
        audio, last = data.marks(count)
        return Batch(audio, last, *data.answers(data.pairs[pairs, 2]), question=question,
                     question_length=told_length + asked_length)  # fmt: skip

    def _spelled(self, batch):
        """The adapted features read by the model's own head: connectionist temporal classification (Graves et al. 2006),
        with the pad for a blank. It shows the adapter which tokens to look like before the model can."""
        model, config = self.model, self.model.config
        norm = model.transformer["ln_f"]
        adapted = functional.rms_norm(model.whisper_adapter(batch.speech).float(), (config.n_embd,), norm.weight, norm.eps)
        logits = functional.linear(adapted, model.transformer["wte"].weight[: config.text_vocab_size])
        return functional.ctc_loss(
            logits.float().log_softmax(-1).transpose(0, 1), batch.answer, batch.speech_length, batch.answer_length,
            blank=config.text["pad"], zero_infinity=True,
        )  # fmt: skip
