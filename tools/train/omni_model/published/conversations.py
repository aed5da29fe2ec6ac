"""Sets of questions and answers, in text, in speech, and about pictures: for stages 2 and 3."""

import re
import zlib

from .records import Reader, Record, WrongData, objects, rows, text_of

FRAME = 7  # codes of a frame
HELD_OUT = 1000  # one record of so many, where a set has no test part


def is_held_out(place):
    """Drawn by the place's own number, so that it never changes."""
    return zlib.crc32(place.rpartition("/")[2].encode()) % HELD_OUT == 0


class OpenOrca(Reader):
    """Parquet files with question and response (hub: Open-Orca/OpenOrca); read, not spoken."""

    kinds = ("read",)

    def __iter__(self):
        for path in self.found("*.parquet"):
            for place, row in rows(path, ("question", "response")):
                try:
                    record = Record(place, text_of(row, "question", place), text_of(row, "response", place))
                except WrongData as problem:
                    self.tolerance.skip(problem)
                    continue
                record.is_held_out = is_held_out(place)
                yield record


class Moss(Reader):
    """en_*.json: arrays of conversations, `plain_text` being "[Human]: ...<eoh> [MOSS]: ...<eoa>" again and again
    (hub: fnlp/moss-002-sft-data). The first question and answer of each are spoken here."""

    kinds = ("talk",)
    TURN = re.compile(r"\[Human\]:(.*?)<eoh>\s*\[MOSS\]:(.*?)<eoa>", re.DOTALL)

    def __iter__(self):
        for path in self.found("en_*.json", "en_*.jsonl"):
            for place, found in objects(path, self.tolerance):
                try:
                    text = text_of(found, "plain_text", place)
                    turn = self.TURN.search(text)
                    if not turn or not all(part.strip() for part in turn.groups()):
                        raise WrongData(f"{place}: expected [Human]: ...<eoh> [MOSS]: ...<eoa>, found {text!r:.80}")
                except WrongData as problem:
                    self.tolerance.skip(problem)
                    continue
                question, answer = (part.strip() for part in turn.groups())
                yield Record(place, question, answer, is_aloud=True, is_held_out=is_held_out(place))


class VoiceAssistant(Reader):
    """Parquet files with question, question_audio (the bytes of a sound file), answer, and answer_snac, the answer in codes:
    "# 1 2 3 4 5 6 7 # ...", a frame behind each mark (hub: gpt-omni/VoiceAssistant-400K)."""

    kinds = ("talk",)
    COLUMNS = ("question", "question_audio", "answer", "answer_snac")

    def __iter__(self):
        for path in self.found("*.parquet", "data/*.parquet"):
            for place, row in rows(path, self.COLUMNS):
                try:
                    yield self.record(place, row)
                except WrongData as problem:
                    self.tolerance.skip(problem)

    def record(self, place, row):
        sound = row["question_audio"]
        sound = sound.get("bytes") if isinstance(sound, dict) else None
        if not isinstance(sound, bytes) or not sound:
            raise WrongData(f"{place}: question_audio: expected the bytes of a sound file, found none")
        answer, codes = text_of(row, "answer", place), text_of(row, "answer_snac", place)
        return Record(place, text_of(row, "question", place), answer, sound, codes=frames(codes, place), is_aloud=True,
                      is_held_out=is_held_out(place))  # fmt: skip


def frames(text, place):
    """Codes as VoiceAssistant-400K writes them."""
    found = []
    for part in text.split("#")[1:]:
        codes = part.split()
        if len(codes) != FRAME or not all(code.isascii() and code.isdigit() and len(code) <= 5 for code in codes):
            raise WrongData(f"{place}: answer_snac: frame {len(found) + 1}: expected {FRAME} codes, found {part.strip()!r:.60}")
        found.append([int(code) for code in codes])
    if not found:
        raise WrongData(f"{place}: answer_snac: expected # and {FRAME} codes, found {text!r:.60}")
    return found


class Allava(Reader):
    """allava_*/ALLaVA-{Caption,Instruct}-*.json: arrays of {image, conversations: [{from: human, value}, {from: gpt, value}]},
    images being relative to the set's folder (hub: FreedomIntelligence/ALLaVA-4V). Questions and answers are spoken here."""

    kinds = ("seen",)

    def __iter__(self):
        for path in self.found("*/ALLaVA-*.json", "ALLaVA-*.json"):
            for place, found in objects(path, self.tolerance):
                try:
                    record = self.record(place, found)
                except WrongData as problem:
                    self.tolerance.skip(problem)
                    continue
                record.is_caption = "Caption" in path.name
                yield record

    def record(self, place, found):
        picture = self.folder / text_of(found, "image", place)
        if not picture.resolve().is_relative_to(self.folder.resolve()):
            raise WrongData(f"{place}: image: {found['image']!r} leads out of the set's folder")
        if not picture.is_file():
            raise WrongData(f"{place}: {picture} is not there")
        turns = found.get("conversations")
        who = [turn.get("from") for turn in turns[:2] if isinstance(turn, dict)] if isinstance(turns, list) else None
        if who != ["human", "gpt"]:
            raise WrongData(f"{place}: conversations: expected a turn of 'human' and one of 'gpt', found {turns!r:.80}")
        question = text_of(turns[0], "value", place).replace("<image>", "").strip()
        if not question:
            raise WrongData(f"{place}: conversations: expected a question beside <image>")
        return Record(place, question, text_of(turns[1], "value", place), picture=picture, is_aloud=True,
                      is_held_out=is_held_out(place))  # fmt: skip
