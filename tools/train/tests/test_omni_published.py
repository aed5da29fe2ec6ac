"""Readers of published sets and models, and every step of a size that is trained on them, at micro size."""

import contextlib
import io
import json
import shutil
import unittest

import torch
import yaml
from codec_model import export as codec_export
from codec_model import settings as codec_settings
from codec_model.network import Codec
from common.folders import SIZES
from mini_omni2.vision import Clip
from omni_model import __main__ as program
from omni_model import network, settings
from omni_model.published import conversations, qwen2, records, recordings, vision
from omni_model.published.held import Held
from omni_model.tokenizer import Tokenizer
from torch.nn import functional

from . import published_sets as sets
from .test_omni_files import RELEASE, Files

LANGUAGE = settings.load("micro")["language"]


def config():
    values = network.configuration(LANGUAGE)
    return network.Config(**{name: values[name] for name in network.Config.__dataclass_fields__})


def all_of(reader, folder, most=0):
    tolerance = records.Tolerance(most)
    return list(reader(folder, tolerance)), tolerance


class Readers(Files):
    def test_recordings_are_read_with_what_was_said(self):
        sets.libritts(self.folder / "a"), sets.vctk(self.folder / "b"), sets.multilingual_librispeech(self.folder / "c")
        found, _ = all_of(recordings.LibriTTS, self.folder / "a")
        self.assertEqual(len(found), 12)
        self.assertEqual({one.question for one in found if one.is_held_out}, {f"It is number {n}." for n in (0, 4, 8)})
        self.assertTrue(all(one.answer is None and one.sound.suffix == ".wav" for one in found))
        found, _ = all_of(recordings.VCTK, self.folder / "b")
        self.assertEqual([one.question for one in found], ["Please call Stella."] * 8)
        found, _ = all_of(recordings.MultilingualLibriSpeech, self.folder / "c")
        self.assertEqual(found[1].sound.name, "4800_10003_000001.flac")
        self.assertEqual(found[1].question, "and so it went on")

    def test_conversations_are_read(self):
        sets.open_orca(self.folder / "a"), sets.moss(self.folder / "b")
        sets.voice_assistant(self.folder / "c"), sets.allava(self.folder / "d")
        found, _ = all_of(conversations.OpenOrca, self.folder / "a")
        self.assertEqual((found[3].question, found[3].answer), ("What is 3 plus one?", "It is 4."))
        found, _ = all_of(conversations.Moss, self.folder / "b")
        self.assertEqual((found[2].question, found[2].answer), ("Tell me about 2.", "2 is a number."))
        found, _ = all_of(conversations.VoiceAssistant, self.folder / "c")
        self.assertEqual([len(one.codes) for one in found[:4]], [3, 4, 5, 3])
        self.assertEqual(found[0].sound[:4], b"RIFF")
        found, _ = all_of(conversations.Allava, self.folder / "d")
        self.assertEqual((found[0].question, found[0].is_caption, found[-1].is_caption), ("What is it?", True, False))

    def test_codes_stand_in_the_order_of_the_layers(self):
        # As the authors' tracker has it.
        found = conversations.frames("# 1942 2031 2825 2111 2743 271 3545 # 868 3867 50 2736 3070 806 1462", "x")
        self.assertEqual(found, [[1942, 2031, 2825, 2111, 2743, 271, 3545], [868, 3867, 50, 2736, 3070, 806, 1462]])
        for wrong in ("", "1 2 3", "# 1 2 3", "# 1 2 3 4 5 6 seven", "# 1 2 3 4 5 6 99999999"):
            with self.assertRaisesRegex(records.WrongData, "answer_snac"):
                conversations.frames(wrong, "x")

    def test_json_is_read_a_piece_at_a_time(self):
        many = [{"text": "é" * 1000, "number": number} for number in range(3000)]
        path = self.folder / "many.json"
        for text in (json.dumps(many), json.dumps(many, indent=1), "\n".join(map(json.dumps, many)) + "\n"):
            path.write_text(text, encoding="utf-8")
            found = [one for _, one in records.objects(path, records.Tolerance())]
            self.assertEqual(found, many)
        path.write_text(json.dumps(many)[:-5])
        with self.assertRaisesRegex(records.WrongData, "many.json: record 3000: not JSON"):
            list(records.objects(path, records.Tolerance()))

    def test_what_is_missing_or_broken_is_told_with_its_place_and_may_be_skipped(self):
        with self.assertRaisesRegex(records.WrongData, "there is no such folder"):
            all_of(recordings.VCTK, self.folder / "none")
        sets.multilingual_librispeech(self.folder / "c")
        with self.assertRaisesRegex(records.WrongData, "expected files txt"):
            all_of(recordings.VCTK, self.folder / "c")
        next(self.folder.glob("c/**/*_000002.flac")).unlink()
        with open(self.folder / "c" / "train" / "transcripts.txt", "a") as file:
            file.write("no tab\n")
        with self.assertRaisesRegex(records.WrongData, "transcripts.txt:3: .*000002.flac is not there. --skip-broken"):
            all_of(recordings.MultilingualLibriSpeech, self.folder / "c")
        with self.assertRaisesRegex(records.WrongData, "transcripts.txt:9: expected READER_BOOK_NUMBER.*so were 1 records"):
            all_of(recordings.MultilingualLibriSpeech, self.folder / "c", 1)
        found, tolerance = all_of(recordings.MultilingualLibriSpeech, self.folder / "c", 2)
        self.assertEqual((len(found), len(tolerance.told)), (7, 2))
        (self.folder / "x.parquet").write_bytes(b"nothing")
        with self.assertRaisesRegex(records.WrongData, "x.parquet: cannot be read as Parquet"):
            all_of(conversations.OpenOrca, self.folder)

    def test_a_picture_outside_the_set_is_not_opened(self):
        sets.allava(self.folder / "d")
        path = next(self.folder.glob("d/**/ALLaVA-Caption*.json"))
        found = json.loads(path.read_text())
        found[0]["image"] = "../secret.jpeg"
        path.write_text(json.dumps(found))
        (self.folder / "secret.jpeg").write_bytes(b"")
        with self.assertRaisesRegex(records.WrongData, "record 1: image: .*leads out of the set's folder"):
            all_of(conversations.Allava, self.folder / "d")


class Models(Files):
    def test_text_is_computed_as_qwen2_does(self):
        state = sets.qwen2(self.folder / "qwen2", LANGUAGE)
        model = qwen2.begun(self.folder / "qwen2", config(), 1, LANGUAGE["speaking_layers"])
        ids = torch.tensor([5, 17, 300, 2, 99, 17])
        # One row of ids in eight, seven of which say nothing.
        rows = torch.stack([*(torch.full_like(ids, model.config.shifted(model.config.audio["pad"], n)) for n in range(7)), ids])
        with torch.no_grad():
            made = functional.linear(model.hidden(model.embed(rows)[None]), model.lm_head.weight[: LANGUAGE["tokens"]])[0]
        torch.testing.assert_close(made, reference(state, ids), rtol=1e-4, atol=1e-4)

    def test_another_shape_is_refused(self):
        sets.qwen2(self.folder / "qwen2", {**LANGUAGE, "layers": 1})
        with self.assertRaisesRegex(records.WrongData, "num_hidden_layers: expected 2, as .* found 1"):
            qwen2.begun(self.folder / "qwen2", config(), 1, LANGUAGE["speaking_layers"])
        file = self.folder / "qwen2" / "config.json"
        file.write_text(file.read_text().replace('"num_hidden_layers": 1', '"num_hidden_layers": 2'))
        with self.assertRaisesRegex(records.WrongData, r"model.layers.1.input_layernorm.weight: expected \[64\], found none"):
            qwen2.begun(self.folder / "qwen2", config(), 1, LANGUAGE["speaking_layers"])
        (self.folder / "qwen2" / "model.safetensors").write_bytes(b"nothing")
        with self.assertRaisesRegex(records.WrongData, "model.safetensors"):
            qwen2.begun(self.folder / "qwen2", config(), 1, LANGUAGE["speaking_layers"])

    def test_eyes_are_those_of_the_archive_and_nothing_of_it_is_run(self):
        path = RELEASE / "ViT-B-32.pt"
        eyes = vision.read(path, LANGUAGE["vision"])
        archive = torch.jit.load(str(path)).float()
        pictures = torch.randn(2, 3, 224, 224)
        torch.testing.assert_close(eyes(pictures), archive(pictures), rtol=0, atol=1e-3)
        torch.save(Clip, self.folder / "code.pt")
        with self.assertRaisesRegex(records.WrongData, "is no tensor and no module"):
            vision.read(self.folder / "code.pt", 32)
        with self.assertRaisesRegex(records.WrongData, "as `language.vision` says, found 49 patches of 32"):
            vision.read(path, 512)


def reference(state, ids):
    """Qwen2's logits, written down plainly from its own names."""
    width, heads, groups = LANGUAGE["width"], LANGUAGE["heads"], LANGUAGE["groups"]
    size, count = width // heads, len(ids)

    def norm(name, x):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * state[name + ".weight"]

    turns = LANGUAGE["rope"] ** -(torch.arange(0, size, 2).float() / size)
    angles = torch.outer(torch.arange(count).float(), turns).repeat(1, 2)

    def turned(x):
        first, second = x.chunk(2, -1)
        return x * angles.cos() + torch.cat([-second, first], -1) * angles.sin()

    x = state["model.embed_tokens.weight"][ids]
    for layer in range(LANGUAGE["layers"]):
        name = f"model.layers.{layer}."

        def linear(part, y):
            return functional.linear(y, state[f"{name}{part}.weight"], state.get(f"{name}{part}.bias"))

        y = norm(name + "input_layernorm", x)
        q, k, v = (linear(f"self_attn.{part}_proj", y).view(count, -1, size).transpose(0, 1) for part in "qkv")
        k, v = (part.repeat_interleave(heads // groups, 0) for part in (turned(k), v))
        y = functional.scaled_dot_product_attention(turned(q), k, v, is_causal=True)
        x = x + linear("self_attn.o_proj", y.transpose(0, 1).reshape(count, width))
        y = norm(name + "post_attention_layernorm", x)
        x = x + linear("mlp.down_proj", functional.silu(linear("mlp.gate_proj", y)) * linear("mlp.up_proj", y))
    return functional.linear(norm("model.norm", x), state["model.embed_tokens.weight"])


class Steps(Files):
    """A size of its own, over folders as a full one would have them."""

    def setUp(self):
        super().setUp()
        before = torch.get_num_threads()
        self.addCleanup(torch.set_num_threads, before)
        torch.set_num_threads(1)
        self.root, self.work = self.folder / "data", self.folder / "work"
        for make in (sets.libritts, sets.open_orca, sets.moss, sets.voice_assistant, sets.allava):
            make(self.root / make.__name__)
        sets.qwen2(self.root / "qwen2", LANGUAGE)
        for name in ("small.pt", "ViT-B-32.pt"):
            shutil.copyfile(RELEASE / name, self.root / name)
        shutil.copyfile(RELEASE / "tokenizer.json", self.root / "qwen2" / "tokenizer.json")
        torch.manual_seed(2)
        with contextlib.redirect_stdout(io.StringIO()):
            codec_export.write(Codec(codec_settings.load("micro").network), self.root / "snac")
        values = yaml.safe_load((SIZES / "full.yaml").read_text())
        layouts = {"libritts": 2, "open-orca": 2, "moss": 1, "voice-assistant": 2, "allava": 2}
        values["language"] = LANGUAGE
        values.pop("listener")
        values["speech"] = {"ears": "small.pt", "longest": 288, "engines": {"hibari": 1}}
        values["data"] = {
            "language": "qwen2", "eyes": "ViT-B-32.pt", "codec": "snac", "words": 8, "tokens": 60, "shard": 9, "shards": 3,
            "held": 2, "every": 1,
        }  # fmt: skip
        values["data"]["sets"] = {
            name: {"layout": name, "folder": name.replace("-", "_"), "share": share} for name, share in layouts.items()
        }
        values["stages"] = {name: {**stage, "batch": 8, "steps": 2} for name, stage in values["stages"].items()}
        self.size = self.folder / "size.yaml"
        self.size.write_text(yaml.dump(values))
        self.values = values

    def run_steps(self, *steps):
        told = io.StringIO()
        common = ["--size", str(self.size), "--work", str(self.work), "--data", str(self.root), "--device", "cpu"]
        with contextlib.redirect_stdout(told):
            program.run(program.parse([*steps, *common, "--processes", "1"]))
        return told.getvalue()

    def test_everything_from_sets_to_a_release(self):
        told = self.run_steps("all")
        self.assertEqual(len(list(self.work.glob("shard-*.pt"))), 3)
        self.assertIn("broken: 0", told)
        shard = torch.load(self.work / "shard-00000.pt", weights_only=True)
        self.assertEqual({name: shard["sets"].count(name) for name in shard["sets"]},
                         {"libritts": 2, "open-orca": 2, "moss": 1, "voice-assistant": 2, "allava": 2})  # fmt: skip
        for name, place in {name: shard["sets"].index(name) for name in shard["sets"]}.items():
            has = {part: int(shard[part][place]) > 0 for part in ("rows", "frames")}
            self.assertEqual(has["rows"], name != "open-orca", name)
            self.assertEqual(has["frames"], name in ("moss", "voice-assistant", "allava"), name)
            self.assertEqual(int(shard["look"][place]) >= 0, name == "allava", name)
        self.assertEqual(len(shard["features"]), int(shard["rows"].sum()))
        for stage in ("stage1", "stage2", "stage3"):
            self.assertEqual(torch.load(self.work / f"{stage}.pt", weights_only=True)["step"], 2)
        self.assertEqual({path.name for path in (self.work / "mini-omni2").iterdir()},
                         {"lit_model.pth", "model_config.yaml", "tokenizer.json", "ViT-B-32.pt"})  # fmt: skip
        # What is there is not made again.
        before = (self.work / "shard-00001.pt").stat().st_mtime_ns
        self.assertIn("gather: 0 records", self.run_steps("gather"))
        self.assertEqual((self.work / "shard-00001.pt").stat().st_mtime_ns, before)
        self.check_what_is_held()

    def check_what_is_held(self):
        files = sorted(self.work.glob("shard-*.pt"))
        held = Held(config(), Tokenizer(self.work / "tokenizer.json"), torch.device("cpu"), files, 2, 1, 1)
        seen = set()
        for step in range(12):
            held.hold(step)
            seen.add(tuple(held.chosen))
        self.assertGreater(len(seen), 1)
        last, questions = tuple(held.chosen), list(held.domain.texts)
        held.hold(0), held.hold(11)
        self.assertEqual((tuple(held.chosen), held.domain.texts), (last, questions))
        # Only what has codes speaks, and its codes are its own.
        asked = torch.nonzero(held.answer_of >= 0).flatten()
        batch = held.read(asked, held.answer_of[asked], speaking=len(asked))
        self.assertEqual(batch.speaking, int((held.codes["frames"][asked] > 0).sum()))
        self.assertTrue((batch.frames > 0).all())
        self.assertTrue(held.said_clips)

    def test_a_sound_that_is_none_ends_it_or_is_left_out(self):
        path = sorted(self.root.glob("libritts/train*/**/*.wav"))[0]
        path.write_bytes(b"no sound")
        with self.assertRaisesRegex(records.WrongData, f"{path.stem}.*cannot be read.*--skip-broken"):
            self.run_steps("gather")
        told = self.run_steps("gather", "--skip-broken", "1")
        self.assertIn("broken: 1", told)

    def test_mistakes_in_settings_are_told(self):
        def wrong(change, expected):
            values = yaml.safe_load(yaml.dump(self.values))
            change(values["data"])
            self.size.write_text(yaml.dump(values))
            with self.assertRaisesRegex(settings.WrongSetting, expected):
                settings.load(str(self.size))

        wrong(lambda data: data["sets"]["moss"].update(layout="mos"), "sets.moss.layout: mos is none; there are libritts")
        wrong(lambda data: data["sets"].pop("allava"), "there are no pictures that are asked about")
        wrong(lambda data: data.pop("codec"), "data.codec: missing")
        wrong(lambda data: data.update(sets=3), "data.sets: expected names and settings")


if __name__ == "__main__":
    unittest.main()
