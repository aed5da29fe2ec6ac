"""What every set is read as, one record after another: nothing is kept of those that went before."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from common.settings import WrongSetting

CHUNK = 1 << 20
MOST_JSON = 1 << 24  # characters of one record


class WrongData(WrongSetting):
    """What is missing or broken, and where."""


@dataclass
class Record:
    """A question and its answer, or what was said and nothing else.

    Sounds and pictures are files, or the bytes of such.
    """

    place: str  # file and line, row or number, for messages
    question: str  # in words
    answer: str | None = None  # None where the question is to be written down, and that is all
    sound: Path | bytes | None = None  # of the question
    picture: Path | bytes | None = None
    codes: list | None = None  # of the answer: frames of seven codes, in the order of the audio layers
    is_aloud: bool = False  # whether question and answer are to be spoken where there is no sound of them
    is_caption: bool = False  # whether the answer describes the picture
    is_held_out: bool = False


@dataclass
class Tolerance:
    """How many broken records may be left out."""

    most: int = 0
    told: list = field(default_factory=list)

    def skip(self, problem):
        """
        Raises the problem if there were enough before.
        """
        self.told.append(str(problem))
        if len(self.told) > self.most:
            more = f"; so were {self.most} records before it" if self.most else ""
            raise WrongData(f"{problem}{more}. --skip-broken N leaves out up to N such records")


class Reader:
    """A set in a folder. Subclasses say what it holds, and read it."""

    kinds = ()  # of what is learned from it: said, read, talk, seen

    def __init__(self, folder, tolerance):
        self.folder, self.tolerance = Path(folder), tolerance
        if not self.folder.is_dir():
            raise WrongData(f"{self.folder}: there is no such folder; docs/training-omni.md says what it should hold")

    def __iter__(self):
        """Records, in an order that is always the same."""
        raise NotImplementedError

    def found(self, *patterns):
        """Files, in order; at least one."""
        files = sorted(path for pattern in patterns for path in self.folder.glob(pattern))
        if not files:
            raise WrongData(f"{self.folder}: expected files {' or '.join(patterns)}, found none")
        return files

    def sound(self, path, place):
        """The path if a file is there; None, and a broken record, if not."""
        if path.is_file():
            return path
        self.tolerance.skip(f"{place}: {path} is not there")
        return None


def lines(path):
    """(number, line) of a text file, one at a time."""
    try:
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                yield number, line.rstrip("\n")
    except OSError as error:
        raise WrongData(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise WrongData(f"{path}: not UTF-8: {error.reason}") from None


def objects(path, tolerance):
    """(place, object) of a file of JSON objects: one array of them, or one after another; a piece in memory at a time.

    An object that is none ends an array, as nobody knows where the next begins; of lines the next one is read.
    """
    try:
        with open(path, encoding="utf-8") as file:
            first = file.read(1).lstrip("\ufeff")
            while first.isspace():
                first = file.read(1)
            if first == "[":
                yield from _array(file, path)
                return
    except OSError as error:
        raise WrongData(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise WrongData(f"{path}: not UTF-8: {error.reason}") from None
    for number, line in lines(path):
        if line.strip():
            try:
                found = json.loads(line)
            except ValueError as error:
                tolerance.skip(f"{path}:{number}: not JSON: {error}")
                continue
            yield f"{path}:{number}", found


def _array(file, path):
    decoder, text, number, ended = json.JSONDecoder(), "", 0, False
    while True:
        text = text.lstrip(" \t\r\n,")
        if text.startswith("]"):
            return
        try:
            found, end = decoder.raw_decode(text)
        except ValueError as error:
            more = "" if ended or len(text) > MOST_JSON else file.read(CHUNK)
            if not more:
                raise WrongData(f"{path}: record {number + 1}: not JSON: {error}") from None
            text, ended = text + more, len(more) < CHUNK
            continue
        number += 1
        yield f"{path}: record {number}", found
        text = text[end:]


def rows(path, columns):
    """(place, row) of a Parquet file, a row group's piece in memory at a time."""
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            missing = [name for name in columns if name not in file.schema_arrow.names]
            if missing:
                names = ", ".join(file.schema_arrow.names)
                raise WrongData(f"{path}: expected a column '{missing[0]}', found {names}")
            number = 0
            for batch in file.iter_batches(batch_size=64, columns=list(columns)):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}: row {number}", row
    except (OSError, pyarrow.ArrowException) as error:
        raise WrongData(f"{path}: cannot be read as Parquet: {error}") from None


def text_of(row, name, place):
    """A text of a JSON object or row."""
    value = row.get(name) if isinstance(row, dict) else None
    if not isinstance(value, str) or not value.strip():
        raise WrongData(f"{place}: expected a text '{name}', found {value!r:.80}")
    return value.strip()
