"""Speaks English text with hibari-tts, a small neural voice of 24 kHz, sentence by sentence.

Input `text`: pieces of text; a sentence may come in any number of them. Output `audio`: speech in chunks of 100 ms;
their time starts at 0 in each turn. Output `words`: what the audio says, and by when each word will have been heard; within a
sentence that is guessed from the words' lengths.

Parameters: `voice`, the only one inside the wheel being `heart` (others must be in hibari's cache; nothing is
downloaded here); `speed`, 0.5 to 2, 1 being the voice's own pace.
"""

import re

import antiphon
from hibari import Hibari
from hibari.voices import VOICES, voice_path


class Speech:
    """What is known of a turn."""

    #: A sentence without an end is spoken in parts of about this many characters.
    LONGEST = 300

    def __init__(self):
        self.text = ""
        #: Frames sent.
        self.position = 0

    def add(self, piece):
        """The sentences that the piece completes."""
        self.text += piece
        sentences = Hibari.split_sentences(self.text)
        if not sentences:
            return []
        space = self.text[len(self.text.rstrip()) :]
        self.text = sentences.pop() + space
        if "\n" in space or len(self.text) > self.LONGEST:
            whole, _, rest = self.text.rpartition(" ") if "\n" not in space else (self.text, "", "")
            sentences, self.text = sentences + [whole], rest
        return sentences

    def finish(self):
        """What is left."""
        rest, self.text = self.text, ""
        return Hibari.split_sentences(rest)


def timed(sentence, start, end):
    """A sentence's words, each with the nanosecond by which it will have been heard, if all letters take as long."""
    words = re.findall(r"\S+\s*", sentence.strip() + " ")
    length, letters = sum(map(len, words)), 0
    pieces = []
    for word in words:
        letters += len(word)
        pieces.append((word, start + (end - start) * letters // length))
    return pieces


class HibariSpeech(antiphon.Node):
    """Speaks each sentence as soon as it is complete, while what follows is still being written."""

    text = antiphon.Input(antiphon.Text)
    audio = antiphon.Output(antiphon.AudioChunk, rate=Hibari.sample_rate, channels=1)
    words = antiphon.Output(antiphon.Said)

    def load(self):
        unknown = set(self.parameters) - {"voice", "speed"}
        if unknown:
            raise ValueError(f"there is no parameter '{sorted(unknown)[0]}'; there are voice and speed")
        voice = self.parameters.get("voice", "heart")
        if voice not in VOICES:
            raise ValueError(f"there is no voice '{voice}'; there are {', '.join(VOICES)}")
        self.speed = float(self.parameters.get("speed", 1))
        if not 0.5 <= self.speed <= 2:
            raise ValueError(f"speed is {self.speed}, but must be from 0.5 to 2")
        try:
            model = voice_path(voice, download_missing=False)
        except FileNotFoundError as error:
            raise ValueError(f"the voice '{voice}' is not at {error}; 'heart' is part of hibari-tts") from None
        self.voice = Hibari(voice=voice, model=model)
        # Tables and kernels are made ready here, not in the first answer.
        self.voice("Ready.", seed=0)
        self.turns = {}

    def on_text(self, text, turn):
        for sentence in self.turns.setdefault(turn, Speech()).add(text.string):
            self.speak(sentence, turn)

    def on_turn_ended(self, turn):
        for sentence in self.turns.get(turn, Speech()).finish():
            self.speak(sentence, turn)
        self.turns.pop(turn, None)

    def on_turn_interrupted(self, cut):
        self.forget(lambda turn: turn.session == cut.session and turn.epoch <= cut.epoch)

    def on_session_ended(self, session):
        self.forget(lambda turn: turn.session == session)

    def forget(self, matches):
        self.turns = {turn: speech for turn, speech in self.turns.items() if not matches(turn)}

    def speak(self, sentence, turn):
        # Marks of Markdown are not to be read out.
        sentence = re.sub(r"[*_#`~|]+", " ", sentence)
        if not any(character.isalnum() for character in sentence):
            return
        rate = Hibari.sample_rate
        first = self.turns[turn].position
        # With a seed of its own each sentence sounds the same in every run.
        for samples in self.voice.stream(sentence, speed=self.speed, seed=self.seed):
            for start in range(0, len(samples), rate // 10):
                turn.check()
                chunk = antiphon.AudioChunk(samples[start : start + rate // 10], rate)
                speech = self.turns[turn]
                self.audio.send(chunk, turn=turn, time=speech.position * 1_000_000_000 // rate)
                speech.position += chunk.frames
        pieces = timed(sentence, first * 1_000_000_000 // rate, self.turns[turn].position * 1_000_000_000 // rate)
        self.said(turn, pieces)
        self.words.send(antiphon.Said(pieces), turn=turn)


if __name__ == "__main__":
    antiphon.run(HibariSpeech)
