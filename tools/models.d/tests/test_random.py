"""tools/models random: what it writes is laid out as the release, and as PyTorch lays files out."""

import collections
import contextlib
import io
import json
import math
import pickle
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import zipfile
from pathlib import Path

from antiphon_models.checkpoint import clock, models, shapes, tokenizer, writing
from antiphon_models.checkpoint.archives import Module, Tensor
from antiphon_models.checkpoint.numbers import BF16, F16, F32, Numbers, packed

ROOT = Path(__file__).resolve().parents[3]
TOOL = ROOT / "tools" / "models"
GOLDEN = ROOT / "Tests" / "Goldens" / "mini-omni2" / "checkpoint"

Stored = collections.namedtuple("Stored", "kind shape strides offset key count")


class Reader(pickle.Unpickler):
    """Reads an archive's pickle without PyTorch: tensors as Stored, modules as their attributes."""

    def find_class(self, module, name):
        if module.startswith("__torch__"):
            return type("Scripted", (), {"__setstate__": lambda self, state: setattr(self, "state", state)})
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: Stored(storage[0], shape, strides, offset, *storage[1:])
        if (module, name) == ("collections", "OrderedDict"):
            return type("Ordered", (dict,), {"__setstate__": lambda self, state: None})
        return name if module == "torch" else super().find_class(module, name)

    def persistent_load(self, identity):
        kind, key, _, count = identity[1:]
        return kind, key, count


def tensors(value, path=""):
    """All tensors of an unpickled archive, and the plain numbers beside them, by name."""
    if isinstance(value, Stored):
        return {path: value}
    if isinstance(value, int) and not isinstance(value, bool):
        return {path: value}
    entries = value if isinstance(value, dict) else getattr(value, "state", {})
    found = {}
    for name, entry in entries.items():
        found |= tensors(entry, f"{path}.{name}" if path else name)
    return found


def read(path):
    with zipfile.ZipFile(path) as archive:
        return tensors(Reader(io.BytesIO(archive.read(f"{path.name.rsplit('.', 1)[0]}/data.pkl"))).load())


def numbers(path, name):
    """A tensor's numbers, which are fp32 and in order."""
    folder = path.name.rsplit(".", 1)[0]
    with zipfile.ZipFile(path) as archive:
        data = archive.read(f"{folder}/data/{read(path)[name].key}")
    return struct.unpack(f"<{len(data) // 4}f", data)


def random(*arguments):
    done = subprocess.run([sys.executable, str(TOOL), "random", *arguments], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


class RandomTests(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def write(self, name="a", **options):
        with contextlib.redirect_stderr(io.StringIO()):
            writing.write(self.folder / name, "micro", **options)
        return self.folder / name

    # MARK: Layout

    def test_micro_shape_is_the_goldens(self):
        folder = self.write(kind="f32")
        self.assertEqual(
            sorted(str(path.relative_to(folder)) for path in folder.rglob("*")),
            sorted(str(path.relative_to(GOLDEN)) for path in GOLDEN.rglob("*")),
        )
        for name in (
            "mini-omni2/lit_model.pth",
            "mini-omni2/small.pt",
            "mini-omni2/ViT-B-32.pt",
            "snac_24khz/pytorch_model.bin",
        ):
            found, expected = read(folder / name), read(GOLDEN / name)
            self.assertEqual(found.keys(), expected.keys())
            for key, value in expected.items():
                if isinstance(value, int):
                    self.assertEqual(found[key], value, key)
                    continue
                self.assertEqual(found[key].shape, value.shape, key)
                if "lit_model" not in name:
                    self.assertEqual(found[key].kind, value.kind, key)
        for name in ("snac_24khz/config.json", "mini-omni2/model_config.yaml"):
            self.assertEqual((folder / name).read_text(), (GOLDEN / name).read_text())

    def test_archives_are_aligned_and_whole(self):
        folder = self.write()
        for path in (*folder.rglob("*.p*t*"), *folder.rglob("*.bin")):
            found = [value for value in read(path).values() if isinstance(value, Stored)]
            with zipfile.ZipFile(path) as archive:
                self.assertIsNone(archive.testzip())
                stored = {entry.filename.partition("/")[2]: entry for entry in archive.infolist()}
            for tensor in found:
                entry = stored[f"data/{tensor.key}"]
                size = {"FloatStorage": 4, "LongStorage": 8}.get(tensor.kind, 2)
                self.assertEqual((entry.compress_type, entry.file_size), (zipfile.ZIP_STORED, tensor.count * size))
                self.assertEqual(tensor.count, math.prod(tensor.shape))
                with open(path, "rb") as file:
                    file.seek(entry.header_offset + 26)
                    name, extra = struct.unpack("<HH", file.read(4))
                self.assertEqual((entry.header_offset + 30 + name + extra) % 64, 0)

    def test_full_shape(self):
        shape = shapes.SHAPES["mini-omni2"]
        config = shapes.model_config(shape, shape.whisper)
        self.assertEqual((config["padded_vocab_size"], config["whisper_adapter_dim"]), (181120, 768))
        state = models.language(config, shape.tokens, BF16)
        self.assertEqual(len(state), 201)
        self.assertEqual(state["lm_head.weight"].shape, (181120, 896))
        self.assertEqual(state["transformer.h.23.attn.attn.weight"].shape, (1152, 896))
        self.assertEqual(writing.size(state) // 2, 703_633_280)
        self.assertEqual(writing.size(models.whisper("small")) // 2, 241_734_912)
        self.assertEqual(writing.size(models.snac(shapes.snac_config(shape))) // 4, 19_842_914)
        count = sum(tensor.count for tensor in flattened(models.clip(shape.clip)))
        self.assertEqual(count, 151_277_316)  # CLIP's 151,277,313 parameters, and three integers

    # MARK: Numbers

    def test_seed_decides_every_byte(self):
        files = [
            {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
            for folder in (self.write("a", seed=3), self.write("b", seed=3), self.write("c", seed=4))
        ]
        self.assertEqual(files[0], files[1])
        same = [name for name in files[0] if files[0][name] == files[2][name]]
        self.assertEqual(sorted(same), ["mini-omni2/model_config.yaml", "snac_24khz/config.json"])

    def test_numbers_have_about_the_deviation_asked_for(self):
        for kind, code in ((F32, "f"), (BF16, "f"), (F16, "e")):
            for deviation in (0.003, 0.014, 0.2, 1.0):
                data = b"".join(Numbers(1).about_zero(kind, 40_000, deviation))
                if kind is BF16:
                    data = b"".join(b"\0\0" + data[i : i + 2] for i in range(0, len(data), 2))
                values = struct.unpack(f"<40000{code}", data)
                self.assertAlmostEqual(statistics.pstdev(values) / deviation, 1, delta=0.1)
                self.assertAlmostEqual(statistics.fmean(values) / deviation, 0, delta=0.03)
                self.assertLess(max(map(abs, values)), 9 * deviation)

    # MARK: The clock

    def test_ends_alone_read_the_clock(self):
        path = self.write(kind="f32") / "mini-omni2" / "lit_model.pth"
        mark, time, end_of_text, end_of_speech = 63, 62, 320, 384 + 6 * 128 + 64
        for name, column, rows in (
            ("lm_head.weight", time, [end_of_text, end_of_speech]),
            ("lm_head.weight", mark, []),
            ("transformer.wte.weight", mark, [end_of_text + 3, end_of_text + 4]),
            ("transformer.wte.weight", time, []),
        ):
            found = numbers(path, name)[column::64]
            self.assertEqual([row for row, value in enumerate(found) if value != 0], rows, name)
        for name in ("transformer.h.1.attn.proj.weight", "transformer.h.1.mlp.proj.weight", "vision_adapter.proj.weight"):
            found = numbers(path, name)
            width = len(found) // 64
            self.assertEqual(set(found[time * width :]), {0.0}, name)
            self.assertNotIn(0.0, found[: time * width])

    def test_edits_do_not_depend_on_chunks(self):
        values = [float(i + 1) for i in range(6 * 7)]
        expected = [value if i // 7 != 2 and i % 7 != 5 else 0.0 for i, value in enumerate(values)]
        expected[2 * 7 + 5], expected[5 * 7 + 6] = -1.0, -2.0
        for chunk in (1, 3, 7, 10, 42):
            parts = [values[i : i + chunk] for i in range(0, len(values), chunk)]
            for kind, code in ((F32, "f"), (F16, "e")):
                tensor = Tensor(kind, (6, 7), lambda _, kind=kind, parts=parts: (packed(kind, part) for part in parts))
                made = clock.edited(tensor, rows=(2,), columns=(5,), numbers={(2, 5): -1.0, (5, 6): -2.0})
                self.assertEqual(list(struct.unpack(f"<42{code}", b"".join(made.content(None)))), expected)

    # MARK: Tokenizer

    def test_tokenizer_is_sound_at_full_size(self):
        made = tokenizer.tokenizer(shapes.SHAPES["mini-omni2"].tokens, 1)
        vocabulary, rules = made["model"]["vocab"], made["model"]["merges"]
        self.assertEqual(sorted(vocabulary.values()), list(range(151643)))
        self.assertEqual([entry["id"] for entry in made["added_tokens"]], [151643, 151644, 151645])
        for i, rule in enumerate(rules):
            left, right = rule.split(" ")
            self.assertEqual(vocabulary[left + right], 256 + i)
            self.assertLess(max(vocabulary[left], vocabulary[right]), 256 + i)

    def test_tokenizer_is_of_the_goldens_form(self):
        golden = json.loads((GOLDEN / "mini-omni2" / "tokenizer.json").read_text())
        made = tokenizer.tokenizer(shapes.SHAPES["micro"].tokens, 1)
        first = [name for name, index in golden["model"]["vocab"].items() if index < 256]
        self.assertEqual(sorted(tokenizer.alphabet()), sorted(first))
        for part in ("added_tokens", "normalizer", "pre_tokenizer"):
            self.assertEqual(made[part], golden[part])
        self.assertEqual(made.keys(), golden.keys())
        self.assertEqual(made["model"].keys() | golden["model"].keys(), made["model"].keys() | {"ignore_merges"})

    # MARK: The command

    def test_command(self):
        place = str(self.folder / "made")
        status, out, said = random("--shape", "micro", "--out", place, "--dtype", "f16", "--whisper", "micro")
        self.assertEqual((status, out), (0, f"{place}\n"), said)
        self.assertEqual(read(self.folder / "made/mini-omni2/lit_model.pth")["lm_head.weight"].kind, "HalfStorage")
        status, out, said = random("--shape", "micro", "--out", place)
        self.assertEqual((status, out), (1, ""))
        self.assertIn("is there already", said)

    def test_killed_run_leaves_no_model(self):
        place = self.folder / "made"
        command = [sys.executable, str(TOOL), "random", "--shape", "mini-omni2", "--out", str(place)]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while not list(place.glob(".unfinished/mini-omni2/lit_model.pth")):
            self.assertIsNone(process.poll())
            time.sleep(0.02)
        status, _, said = random("--shape", "micro", "--out", str(place))
        self.assertEqual(status, 1)
        self.assertIn("another tools/models is writing there", said)
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.assertFalse((place / "mini-omni2").exists())
        self.assertEqual(random("--shape", "micro", "--out", str(place))[0], 0)
        self.assertEqual(sorted(path.name for path in place.iterdir()), ["mini-omni2", "snac_24khz"])


def flattened(value):
    if isinstance(value, Tensor):
        return [value]
    entries = value.attributes if isinstance(value, Module) else value if isinstance(value, dict) else {}
    return [tensor for entry in entries.values() for tensor in flattened(entry)]


if __name__ == "__main__":
    unittest.main()
