"""Sets of speech that was read aloud, with what was said: for stage 1, and the transcription task of the others."""

from .records import Reader, Record, lines


class LibriTTS(Reader):
    """PART/READER/CHAPTER/NAME.wav, NAME.normalized.txt beside each; PART is train-clean-100 and so on (openslr.org/60)."""

    kinds = ("said",)

    def __iter__(self):
        for part in sorted(path for path in self.folder.iterdir() if path.is_dir()):
            for chapter in sorted(part.glob("*/*/")):
                for path in sorted(chapter.glob("*.normalized.txt")):
                    text = " ".join(line for _, line in lines(path)).strip()
                    sound = self.sound(path.with_name(path.name.removesuffix(".normalized.txt") + ".wav"), path)
                    if sound and text:
                        yield Record(str(path), text, sound=sound, is_held_out=not part.name.startswith("train"))


class VCTK(Reader):
    """Version 0.92: txt/SPEAKER/NAME.txt and wav48_silence_trimmed/SPEAKER/NAME_mic1.flac (doi 10.7488/ds/2645).

    It has no test part: the speakers from p360 on, and s5, are held out. Of p315 there are no texts.
    """

    kinds = ("said",)

    def __iter__(self):
        for path in self.found("txt/*/*.txt"):
            speaker, name = path.parent.name, path.stem
            text = " ".join(line for _, line in lines(path)).strip()
            sound = self.sound(self.folder / "wav48_silence_trimmed" / speaker / f"{name}_mic1.flac", path)
            if sound and text:
                is_held_out = not ("p000" <= speaker < "p360")
                yield Record(str(path), text, sound=sound, is_held_out=is_held_out)


class MultilingualLibriSpeech(Reader):
    """One language: PART/transcripts.txt (name, tab, text) and PART/audio/READER/BOOK/NAME.flac (openslr.org/94)."""

    kinds = ("said",)

    def __iter__(self):
        for index in self.found("*/transcripts.txt"):
            for number, line in lines(index):
                place = f"{index}:{number}"
                name, tab, text = line.partition("\t")
                parts = name.split("_")
                if not tab or not text.strip() or len(parts) != 3 or not all(part.isalnum() for part in parts):
                    self.tolerance.skip(f"{place}: expected READER_BOOK_NUMBER, a tab and a text, found {line!r:.80}")
                    continue
                sound = self.sound(index.parent / "audio" / parts[0] / parts[1] / f"{name}.flac", place)
                if sound:
                    yield Record(place, text.strip(), sound=sound, is_held_out=index.parent.name != "train")
