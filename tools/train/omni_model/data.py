"""Everything that is trained on, on the device: batches are gathered there by index, without a loop over their rows."""

from dataclasses import dataclass

import numpy as np
import torch
from common.words import rarest
from torch.nn import functional

from .eyes import patches
from .layout import IMAGE_TOKENS, Batch

BUCKETS = 8  # of spoken questions by their length, so that little of a batch is padding

REPEAT = "Say this: "  # and the text to be said

SLOWEST, FASTEST = 0.88, 1.14  # of what is spoken, when it is heard once more


def padded(lists):
    """Lists of ids as a matrix int32, and their lengths."""
    lengths = np.array([len(ids) for ids in lists], np.int64)
    matrix = np.zeros((len(lists), max(1, lengths.max(initial=0))), np.int32)
    for row, ids in enumerate(lists):
        matrix[row, : len(ids)] = ids
    return torch.from_numpy(matrix), torch.from_numpy(lengths)


@dataclass
class Texts:
    ids: torch.Tensor  # [texts, most]
    length: torch.Tensor

    @staticmethod
    def of(tokenizer, texts, device):
        ids, length = padded([tokenizer.encode(text) for text in texts])
        return Texts(ids.to(device), length.to(device))

    def __call__(self, chosen):
        """Rows. On a processor they are cut to the longest of them; elsewhere to look would make it wait for the device."""
        length = self.length[chosen]
        ids = self.ids if length.is_cuda else self.ids[:, : max(1, int(length.max()))]
        return ids[chosen].long(), length


@dataclass
class Rows:
    """Entries in groups: those of group g are entry[start[g] : start[g] + count[g]]."""

    entry: torch.Tensor
    start: torch.Tensor
    count: torch.Tensor

    @staticmethod
    def of(groups, count, device):
        """Entries 0 to n by the group that each is in; those of group -1 are in none."""
        order = torch.argsort(groups, stable=True)
        order = order[groups[order] >= 0]
        found = torch.bincount(groups[groups >= 0], minlength=count)
        return Rows(order.to(device), (found.cumsum(0) - found).to(device), found.to(device))

    def drawn(self, groups, generator):
        """One of each group, none of which is empty."""
        share = torch.rand(groups.shape, generator=generator, device=groups.device)
        place = (share * self.count[groups]).long().clamp_max(self.count[groups] - 1)
        return self.entry[self.start[groups] + place]


class Speech:
    """Spoken questions: features [rows, width] fp16 of all, one behind the other."""

    def __init__(self, parts, device, keep=None):
        features = [part["features"] for part in parts]
        self.length = torch.cat([part["rows"] for part in parts]).to(device)
        self.text = torch.cat([part["texts"] for part in parts]).to(device)
        self.voices = [voice for part in parts for voice in part["voices"]]
        self.start = self.length.cumsum(0) - self.length
        self.features = torch.cat(features).to(device)

    def __len__(self):
        return len(self.text)

    def __call__(self, chosen, most=None, speed=None):
        """most: rows of the longest, where that is known; to look would make the processor wait for the device.
        speed: how many times as fast each clip is to be, not below SLOWEST."""
        length = self.length[chosen]
        most, start = most or int(length.max()), self.start[chosen][:, None]
        if speed is None:
            place = torch.arange(most, device=chosen.device)[None]
            return self.features[start + torch.minimum(place, length[:, None] - 1)].float(), length
        heard = ((length - 1) / speed).long() + 1
        most = int(heard.max()) if not heard.is_cuda else int((most - 1) / SLOWEST) + 1
        place = torch.arange(most, device=chosen.device)[None] * speed[:, None]
        place = torch.minimum(place, length[:, None] - 1.0)
        row = torch.minimum(place.long(), (length[:, None] - 2).clamp_min(0))
        after = torch.minimum(row + 1, length[:, None] - 1)
        # Between two rows.
        features = (self.features[start + at].float() for at in (row, after))
        return torch.lerp(*features, (place - row)[..., None]), heard


class Data:
    """What training draws from. Parts that a stage does not need may be None.

    scenes: tables of pictures, their `pairs` [n, 5] of picture, intent, answer, and as bits the things that the question and the
    answer name; looks: what the eyes see of each; sounds: what the row that listens hears, listening.Sounds.
    """

    def __init__(self, config, domain, tokenizer, device, speech=None, scenes=None, looks=None, codes=None):
        self.config, self.domain, self.device, self.tokenizer = config, domain, device, tokenizer
        self.speech, self.looks, self.codes = speech, looks, codes
        self.asked = Texts.of(tokenizer, domain.texts, device)
        self.answers = Texts.of(tokenizer, list(domain.answers), device)
        self.intent_of = torch.tensor(domain.intent_of, device=device)
        self.answer_of = torch.tensor(domain.answer_of, device=device)
        held_out = torch.tensor(domain.held_out)
        intents = len(domain.intents)
        # Ways to ask of each intent that training has.
        self.ways = Rows.of(torch.where(held_out, -1, torch.tensor(domain.intent_of)), intents, device)
        known = torch.tensor(domain.answer_of)[torch.tensor(domain.intent_of)] >= 0
        self.texts = torch.nonzero(~held_out).flatten().to(device)
        self.repeat = torch.tensor(tokenizer.encode(REPEAT), device=device)
        # Answers that training may have: held-out questions and pictures have some of their own.
        sayable = self.answer_of[self.intent_of[self.texts]]
        topics = sorted({topic for topic, _ in domain.intents})
        topic = torch.tensor([topics.index(topic) for topic, _ in domain.intents])[torch.tensor(domain.intent_of)]
        self.by_topic = Rows.of(torch.where(known & ~held_out, topic, -1), len(topics), device)
        # Topics without texts are never drawn; of the others those that are large come more often, but not as they are large.
        self.topic_shares = self.by_topic.count.float().pow(0.4)
        self.places = patches(scenes["things"]).to(device) if scenes is not None and "things" in scenes else None
        if scenes is not None:
            self.captions = Texts(*(part.to(device) for part in scenes["captions"]))
            self.written = Texts(*(part.to(device) for part in scenes["written"]))
            self.pairs = scenes["pairs"].long().to(device)
            sayable = torch.cat([sayable, self.pairs[:, 2]])
            self.pairs_of = Rows.of(self.pairs[:, 1].cpu(), intents, device)
            self.pairs_with = Rows.of(self.pairs[:, 0].cpu(), len(self.captions.length), device)
        self.say(sayable[sayable >= 0].unique())
        if speech is not None:
            intent = self.intent_of[speech.text]
            talk = self.answer_of[intent] >= 0
            about = ~talk & (self.pairs_of.count[intent] > 0) if scenes is not None else torch.zeros_like(talk)
            self.talk_clips, self.picture_clips = self._buckets(talk), self._buckets(about)
            self.said_clips = self._buckets(~talk & ~about)

    def say(self, answers):
        """Those that may be said. The fewer of them have a word, the oftener it is drawn: of 11,782 answers half of the words are in
        three at most, and would hardly be learned if each answer came as often as any other."""
        texts = list(self.domain.answers)
        texts_with = rarest([texts[number] for number in answers.tolist()])
        self.sayable, self.say_shares = answers, torch.tensor(texts_with, device=self.device).float().rsqrt()

    # Clips that can only be written down: (clips, rows of the longest), as those below. What the row that listens hears.
    said_clips, sounds = (), None
    # Whether all there is, is held from the start and stays where it is. Where it is not, `hold(step)` is called before each step.
    is_whole = True

    def _buckets(self, chosen):
        """Clips by length, in parts of equal number: each part, and the rows of its longest."""
        clips = torch.nonzero(chosen).flatten()
        clips = clips[torch.argsort(self.speech.length[clips], stable=True)]
        parts = clips.chunk(BUCKETS) if len(clips) else []
        return [(part, int(self.speech.length[part].max())) for part in parts if len(part)]

    def drawn(self, pool, count, generator):
        return pool[torch.randint(len(pool), (count,), generator=generator, device=self.device)]

    def talked(self, count, generator):
        """Texts of questions without a picture, topics in their shares."""
        topics = torch.multinomial(self.topic_shares, count, replacement=True, generator=generator)
        return self.by_topic.drawn(topics, generator)

    def pair(self, clips, generator):
        """For each spoken question about a picture, a picture that it suits."""
        return self.pairs_of.drawn(self.intent_of[self.speech.text[clips]], generator)

    # MARK: Batches

    def marks(self, rows, speaking=0, asr=None):
        """The last column of prompts: the first `speaking` rows speak, and where `asr` is true rows write down."""
        a, t = self.config.audio, self.config.text
        audio = torch.full((rows,), a["pad"], device=self.device)
        audio[:speaking] = a["answer"]
        text = torch.full((rows,), t["answer"], device=self.device)
        return audio, text if asr is None else torch.where(asr, t["asr"], text)

    def spoken(self, answers):
        """Codes of answers, their frames and what else is known of them, as Batch has it; nothing for none."""
        return {name: values[answers] for name, values in self.codes.items()} if len(answers) else {}

    def pairs_alike(self, count, times, generator):
        """`count` pairs, of which each `times`, one behind the other, have the same picture."""
        pairs, rows = torch.randint(len(self.pairs), (count // times,), generator=generator, device=self.device), self.pairs_with
        picture = self.pairs[pairs, 0]
        place = torch.arange(times, device=self.device) + (pairs - rows.start[picture])[:, None]
        return rows.entry[rows.start[picture][:, None] + place % rows.count[picture][:, None]].flatten()

    def heard(self, clips, speaking, asr, most=None, speed=None):
        """Spoken questions without a picture; rows of `asr` write down what was said, the first `speaking` rows speak."""
        text = self.speech.text[clips]
        answers = self.answer_of[self.intent_of[text]]
        audio, last = self.marks(len(clips), speaking, asr)
        answer, length = either(asr, self.asked(text), self.answers(answers.clamp_min(0)))
        speech, heard = self.speech(clips, most, speed)
        spoken = self.spoken(answers[:speaking])
        return Batch(audio, last, answer, length, speech, heard, **spoken)

    def seen(self, clips, pictures, answers, speaking=0, most=None, speed=None, named=None):
        """Spoken questions, each with a picture. named: as Batch's."""
        audio, last = self.marks(len(clips), speaking)
        speech, heard = self.speech(clips, most, speed)
        spoken = self.spoken(answers[:speaking])
        image = self.looks[pictures].float()
        return Batch(audio, last, *self.answers(answers), speech, heard, image=image, **spoken, named=named)

    def read_and_seen(self, pairs, asked, described, speaking=0, alike=1):
        """Pictures with a written question, or where `described` is true without one, to be described. alike: so many pairs, one
        behind the other, have the same picture."""
        picture = self.pairs[pairs, 0]
        audio, last = self.marks(len(pairs), speaking)
        spoken = self.spoken(self.pairs[pairs[:speaking], 2])
        question, length = self.asked(asked)
        answer = either(described, self.captions(picture), self.answers(self.pairs[pairs, 2]))
        length = torch.where(described, 0, length)
        image, named = self.looks[picture].float(), self.named(self.pairs[pairs])
        if named is not None:
            named = torch.where(described[:, None, None], 0, named)
        return Batch(audio, last, *answer, image=image, question=question, question_length=length, **spoken,
                     alike=alike, named=named)  # fmt: skip

    def named(self, pairs):
        """Where what a question and its answer name is in the picture, as Batch has it: of n things each has its share of n + 1,
        and one is the first token's, so that attention tells how many there are, and of none that there is none."""
        if self.places is None:
            return None
        bits = pairs[:, 3:5, None] >> torch.arange(self.places.shape[1], device=pairs.device) & 1
        share = 1 / (bits.sum(2, keepdim=True) + 1)
        shares = torch.zeros(len(pairs), 2, IMAGE_TOKENS, device=pairs.device)
        shares[:, :, :1] = share
        return shares.scatter_add(2, 1 + self.places[pairs[:, 0], None].expand(-1, 2, -1), share * bits)

    def said(self, count, generator):
        """Answers to be repeated: to speak is learned from texts, which take few columns."""
        return self.repeated(self.any_answers(count, generator))

    def any_answers(self, count, generator):
        """Of those that may be said, drawn as `say` has them."""
        return self.sayable[torch.multinomial(self.say_shares, count, replacement=True, generator=generator)]

    def give(self, batch, given, answers):
        """Has those rows of a batch that speak and are `given` say other answers than their own, which are written for them."""
        rows, codes = batch.speaking, self.spoken(answers)
        ids, length = either(given, self.answers(answers), (batch.answer[:rows], batch.answer_length[:rows]))
        own = functional.pad(batch.answer[rows:], (0, ids.shape[1] - batch.answer.shape[1]))
        batch.answer = torch.cat([ids, own])
        batch.answer_length = torch.cat([length, batch.answer_length[rows:]])
        for name, values in codes.items():
            setattr(batch, name, torch.where(given.view(-1, *[1] * (values.dim() - 1)), values, getattr(batch, name)))
        batch.given = given

    def repeated(self, answers):
        audio, last = self.marks(len(answers), len(answers))
        spoken = self.spoken(answers)
        ids, length = self.answers(answers)
        question = torch.cat([self.repeat.expand(len(answers), -1), ids], 1)
        return Batch(audio, last, ids, length, question=question, question_length=length + len(self.repeat),
                     **spoken)  # fmt: skip

    def read(self, asked, answers, speaking=0):
        """Written questions."""
        audio, last = self.marks(len(asked), speaking)
        spoken = self.spoken(answers[:speaking])
        question, length = self.asked(asked)
        return Batch(audio, last, *self.answers(answers), question=question, question_length=length, **spoken)


def either(first, these, those):
    """Of two tables' rows, the one or the other."""
    (a, a_length), (b, b_length) = these, those
    most = max(a.shape[1], b.shape[1])
    a, b = (functional.pad(ids, (0, most - ids.shape[1])) for ids in (a, b))
    return torch.where(first[:, None], a, b), torch.where(first, a_length, b_length)
