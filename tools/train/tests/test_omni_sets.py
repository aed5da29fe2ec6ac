"""Questions as files, and pictures by their description."""

import json
import random
import shutil
import tempfile
import unittest
import wave
from pathlib import Path

import torch
from omni_model import pictures, pipeline, sets, settings
from omni_model.domain import scenes
from PIL import Image


class Described(unittest.TestCase):
    def test_what_is_told_is_there(self):
        rng = random.Random(1)
        things = pictures.described("Two red circles, a blue star in the middle and an orange heart.", rng)
        self.assertEqual(sorted(thing.name for thing in things), ["blue star", "orange heart", "red circle", "red circle"])
        self.assertEqual([thing.place for thing in things if thing.shape == "star"], [4])
        self.assertEqual(len({thing.place for thing in things}), 4)

    def test_captions_are_understood(self):
        rng = random.Random(2)
        for _ in range(300):
            scene = scenes.scene(rng)
            found = pictures.described(scenes.caption(scene), rng)
            self.assertEqual(sorted(thing.name for thing in found), sorted(thing.name for thing in scene))
            if len(scene) <= 3:
                self.assertEqual(found, scene)

    def test_what_cannot_be_drawn_is_told(self):
        for text, expected in (
            ("", "expected how many, a color and a shape"), ("a red dog", "'dog' is not a shape; there are circle"),
            ("a brown star", "'brown' is not a color"), ("many red stars", "'many' is not how many"),
            ("two red star", "expected 'stars' behind 'two', found 'star'"), ("a red star outside", "is not a place"),
            ("two red stars on the left", "a place holds one shape"), ("six red stars and a pink heart", "up to 6 shapes"),
            ("a red star at the top and a pink heart at the top", "two shapes cannot be at the top"),
        ):  # fmt: skip
            with self.assertRaisesRegex(pictures.CannotDraw, expected):
                pictures.described(text, random.Random(1))


@unittest.skipUnless(shutil.which("espeak-ng"), "needs the voices of espeak-ng")
class Sets(unittest.TestCase):
    def test_every_question_has_its_sound_picture_and_answer(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        out = Path(folder.name) / "sets"
        values = settings.load("micro")
        # A voice that every machine with espeak-ng has.
        values["speech"]["engines"] = values["speech"]["unseen_engines"] = {"espeak": 1}
        work = pipeline.Work(Path(folder.name), values, 1, torch.device("cpu"), 1)
        pipeline.make_domain(work)
        sets.write(work, out, 30)
        manifest = json.loads((out / "manifest.json").read_text())
        self.assertEqual(sorted(manifest["sets"]), ["engine", "phrasings", "voices"])
        answers, held_out = set((out / "answers.txt").read_text().splitlines()), set()
        domain = work.domain()
        for text, held in zip(domain.texts, domain.held_out):
            held_out |= {text} if held else set()
        for question in manifest["questions"]:
            with wave.open(str(out / question["sound"])) as sound:
                self.assertEqual((sound.getframerate(), sound.getnchannels(), sound.getsampwidth()), (16_000, 1, 2))
                self.assertGreater(sound.getnframes(), 4_000)
            self.assertIn(question["answer"], answers)
            self.assertIn(question["question"], held_out)
            self.assertEqual("picture" in question, question["topic"] == "pictures")
            if "picture" in question:
                with Image.open(out / question["picture"]) as picture:
                    self.assertEqual((picture.size, picture.mode), ((224, 224), "RGB"))
        self.assertIn("pictures", {question["topic"] for question in manifest["questions"]})
        before = (out / "manifest.json").stat().st_mtime_ns
        sets.write(work, out, 30)
        self.assertEqual((out / "manifest.json").stat().st_mtime_ns, before)


if __name__ == "__main__":
    unittest.main()
