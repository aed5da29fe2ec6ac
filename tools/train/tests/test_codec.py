"""The codec's trainer, on sound that is made here: tones that begin and end, and pauses."""

import contextlib
import dataclasses
import io
import json
import random
import tempfile
import unittest
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from codec_model import codebooks, codes, corpus, export, losses, network, settings, texts, training
from codec_model.network import Codec, Kernels
from common import ears, falling, folders, words
from common.settings import WrongSetting
from synthesis import signal, steady

MICRO = settings.load("micro")
RELEASE = folders.ROOT / "Tests" / "Goldens" / "mini-omni2" / "checkpoint" / "mini-omni2"


def tones(seconds, seed):
    """Notes of a few harmonics as 16-bit samples."""
    rng, notes, count = np.random.default_rng(seed), [], 0
    while count < seconds * corpus.RATE:
        length = int(rng.integers(2000, 6000))
        time = np.arange(length) / corpus.RATE
        pitch, strengths = rng.uniform(100, 400), rng.uniform(0, 1, 12)
        note = sum(strength * np.sin(2 * np.pi * pitch * n * time) for n, strength in enumerate(strengths, 1))
        notes.append(0.03 * note * np.hanning(length) + 0.003 * rng.standard_normal(length))
        notes.append(np.zeros(int(rng.integers(0, 2000))))
        count += len(notes[-2]) + len(notes[-1])
    return np.round(np.concatenate(notes) * 32768).astype("<i2")


def write_speech(path, seconds, seed):
    samples = tones(seconds, seed)
    samples.tofile(path)
    path.with_suffix(".json").write_text(json.dumps({"texts": ["tones"], "ends": [len(samples)]}))


def random_codec(seed=0):
    torch.manual_seed(seed)
    codec = Codec(MICRO.network).eval().requires_grad_(False)
    for name, value in codec.named_parameters():
        if name.endswith("alpha"):
            value.uniform_(0.5, 2)
        elif name.endswith("bias"):
            value.normal_(0, 0.1)
    return codec


class WithFolder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        # Many threads wait for each other longer than they compute at this size.
        before = torch.get_num_threads()
        self.addCleanup(torch.set_num_threads, before)
        torch.set_num_threads(1)
        silence = contextlib.redirect_stdout(io.StringIO())
        silence.__enter__()
        self.addCleanup(silence.__exit__, None, None, None)


class Frames(unittest.TestCase):
    def test_layers_lie_as_mini_omni2_has_them(self):
        levels = [torch.arange(2)[None], 10 + torch.arange(4)[None], 20 + torch.arange(8)[None]]
        frames = codes.frames_of(levels, (4, 2, 1))
        self.assertEqual(frames.tolist(), [[[0, 10, 20, 21, 11, 22, 23], [1, 12, 24, 25, 13, 26, 27]]])
        for ours, theirs in zip(codes.levels_of(frames, (4, 2, 1)), levels):
            self.assertTrue(torch.equal(ours, theirs))

    def test_clips_are_encoded_as_if_alone(self):
        codec = random_codec()
        clips = [0.1 * torch.randn(length) for length in (5000, 2048, 4096, 6000, 4000, 0, 1)]
        found = codes.encode(codec, clips, seconds=0.3)
        self.assertEqual([len(frames) for frames in found], [3, 1, 2, 3, 2, 0, 1])
        for clip, frames in zip(clips[:5], found):
            alone = codes.frames_of(codec.encode(clip[None]), codec.shape.vq_strides)[0]
            self.assertTrue(torch.equal(frames.long(), alone))

    def test_a_frame_is_heard_for_its_time(self):
        samples = codes.decode(random_codec(), torch.zeros(3, 7, dtype=torch.int16))
        self.assertEqual(samples.shape, (3 * 2048,))


class Release(WithFolder):
    def test_what_is_read_back_decodes_to_the_same_samples(self):
        codec = random_codec()
        sound = 0.1 * torch.randn(2, 9000)
        export.write(codec, self.folder, torch.float32)
        read = export.read(self.folder)
        found = read.encode(sound)
        for ours, theirs in zip(found, codec.encode(sound)):
            self.assertTrue(torch.equal(ours, theirs))
        torch.testing.assert_close(read.decode(found, 0.0), codec.decode(found, 0.0), rtol=0, atol=1e-5)
        torch.manual_seed(3)
        noisy = read.decode(found)
        torch.manual_seed(3)
        torch.testing.assert_close(noisy, codec.decode(found), rtol=0, atol=1e-5)

    def test_half_precision_is_heard_by_nobody(self):
        codec = random_codec()
        found = codec.encode(0.1 * torch.randn(1, 8192))
        export.write(codec, self.folder)
        ours, theirs = export.read(self.folder).decode(found, 0.0), codec.decode(found, 0.0)
        self.assertLess(float((ours - theirs).square().mean() / theirs.square().mean()), 1e-4)

    def test_names_and_shapes_are_the_releases(self):
        state = export.released(random_codec())
        shapes = {name: list(value.shape) for name, value in state.items()}
        norms = export.NORMS[0]
        for name, shape in {
            f"encoder.block.0.{norms[1]}": [4, 1, 7], f"encoder.block.1.block.4.{norms[1]}": [8, 4, 4],
            f"encoder.block.5.{norms[0]}": [64, 1, 1], f"decoder.model.2.block.1.{norms[0]}": [32, 1, 1],
            f"decoder.model.2.block.1.{norms[1]}": [32, 16, 16], "decoder.model.6.alpha": [1, 2, 1],
            f"decoder.model.2.block.2.linear.{norms[1]}": [16, 16, 1], f"decoder.model.7.{norms[1]}": [1, 2, 7],
            "quantizer.quantizers.2.codebook.weight": [32, 8], f"quantizer.quantizers.0.in_proj.{norms[1]}": [8, 64, 1],
        }.items():  # fmt: skip
            self.assertEqual(shapes.get(name), shape, name)
        self.assertFalse([name for name in shapes if name.endswith(("counts", "sums", ".linear.bias"))])
        self.assertTrue(all(value.dtype == torch.float16 for value in state.values()))

    def test_older_names_and_plain_weights_are_read(self):
        codec, names = random_codec(), export.NORMS
        export.write(codec, self.folder, torch.float32)
        state = torch.load(self.folder / export.WEIGHTS, weights_only=True)
        for old, new in zip(*names):
            state = {name.replace(old, new): value for name, value in state.items()}
        torch.save(state, self.folder / export.WEIGHTS)
        older = export.read(self.folder).state_dict()
        torch.save(codec.state_dict(), self.folder / export.WEIGHTS)
        for name, value in export.read(self.folder).state_dict().items():
            if not name.endswith(("counts", "sums")):
                torch.testing.assert_close(older[name], value, rtol=1e-5, atol=1e-6)

    def test_wrong_folders_are_refused(self):
        with self.assertRaisesRegex(settings.WrongSetting, "config.json: No such file"):
            export.read(self.folder)
        export.write(random_codec(), self.folder)
        weights, config = self.folder / export.WEIGHTS, self.folder / export.CONFIG
        state = torch.load(weights, weights_only=True)
        del state["decoder.model.6.alpha"]
        torch.save(state, weights)
        with self.assertRaisesRegex(settings.WrongSetting, r"decoder.model.6.alpha: expected \[1, 2, 1\], found none"):
            export.read(self.folder)
        weights.write_bytes(b"no archive")
        with self.assertRaisesRegex(settings.WrongSetting, "pytorch_model.bin: no PyTorch file"):
            export.read(self.folder)
        config.write_text(json.dumps(MICRO.network.config() | {"decoder_rates": [8, 8, 4, 4]}))
        with self.assertRaisesRegex(settings.WrongSetting, "encoder_rates: expected 1024 as the product"):
            export.read(self.folder)
        config.write_text(json.dumps(MICRO.network.config() | {"attn_window_size": 32}))
        with self.assertRaisesRegex(settings.WrongSetting, "no attention"):
            export.read(self.folder)


class Training(WithFolder):
    def setUp(self):
        super().setUp()
        write_speech(self.folder / "corpus.s16", 12, 1)
        write_speech(self.folder / "held-out.s16", 3, 2)
        fit = dataclasses.replace(MICRO.fit, steps=24, continuous=6, warmup=4, windows=(256, 1024), adversarial=0.6)
        self.settings = dataclasses.replace(MICRO, fit=fit)

    def run_fit(self, **options):
        training.fit(self.folder, self.settings, device="cpu", fuses=False, **options)
        return training.read_checkpoint(self.folder / training.CHECKPOINT)

    def test_stopping_changes_nothing(self):
        for until in (3, 6, 15, 20):
            self.run_fit(until=until)
        resumed = self.run_fit()
        (self.folder / training.CHECKPOINT).unlink()
        straight = self.run_fit()
        self.assertEqual((resumed["step"], straight["step"]), (24, 24))
        for part in ("codec", "average", "judges"):
            for name, value in straight[part].items():
                self.assertTrue(torch.equal(value, resumed[part][name]), f"{part} {name}")

    def test_the_loss_falls_and_codes_are_in_use(self):
        fit = dataclasses.replace(self.settings.fit, steps=70, continuous=20, adversarial=1.0)
        self.settings = dataclasses.replace(self.settings, fit=fit)
        trainer = training.Trainer(self.settings, 1, torch.device("cpu"))
        held_out = training.held_out_crops(self.folder, self.settings, "cpu")
        before = training.checked(trainer, held_out)["held out"]
        self.run_fit()
        card = json.loads((self.folder / "run.json").read_text())
        self.assertLess(card["last"]["held out"], 0.8 * before)
        self.assertGreater(card["last"]["perplexity 2"], 3)
        self.assertTrue(card["is_done"])
        self.assertTrue(list(self.folder.glob("curves.*")))

    def test_fitting_begins_with_a_releases_weights(self):
        export.write(random_codec(), self.folder / "snac")
        trainer = training.Trainer(self.settings, 1, torch.device("cpu"))
        trainer.begin(self.folder / "snac")
        sound, codec = torch.from_numpy(tones(1, 3))[None] / 32768, export.read(self.folder / "snac")
        for found, expected in zip(trainer.codec.encode(sound), codec.encode(sound)):
            self.assertTrue(torch.equal(found, expected))
        saved = self.run_fit(until=10, start=self.folder / "snac")
        self.assertEqual((saved["step"], saved["begun"]), (10, 7))
        # The discriminators are there from the start.
        self.assertIn("verdict", saved["history"][-2])
        other = dataclasses.replace(self.settings, network=dataclasses.replace(MICRO.network, codebook_size=16))
        with self.assertRaisesRegex(settings.WrongSetting, "of another size"):
            training.Trainer(other, 1, torch.device("cpu")).begin(self.folder / "snac")

    def test_the_decoder_learns_alone_where_codes_are_kept(self):
        folder = self.folder / "snac"
        export.write(random_codec(), folder)
        with self.assertRaisesRegex(settings.WrongSetting, "--keep-codes: whose"):
            self.run_fit(keeps_codes=True)
        self.run_fit(until=12, start=folder, keeps_codes=True)
        before, after = export.read(folder), training.trained(self.folder, self.settings)
        sound = torch.from_numpy(tones(2, 3))[None] / 32768
        for found, expected in zip(after.encode(sound), before.encode(sound)):
            self.assertTrue(torch.equal(found, expected))
        self.assertFalse(torch.equal(after.decode(after.encode(sound), 0), before.decode(before.encode(sound), 0)))
        with self.assertRaisesRegex(settings.WrongSetting, "begun with --keep-codes"):
            self.run_fit()

    def test_silence_has_bounded_gradients(self):
        trainer = training.Trainer(self.settings, 1, torch.device("cpu"))
        names, values = trainer.run(torch.zeros(2, 4 * 2048), 0.0)
        self.assertTrue(torch.isfinite(values).all(), dict(zip(names, values.tolist())))

    def test_other_settings_are_not_gone_on_with(self):
        self.run_fit(until=1)
        other = dataclasses.replace(self.settings, network=dataclasses.replace(MICRO.network, codebook_size=16))
        with self.assertRaisesRegex(settings.WrongSetting, "of another size or seed"):
            training.fit(self.folder, other, device="cpu", fuses=False)
        with self.assertRaisesRegex(settings.WrongSetting, "of another size"):
            training.trained(self.folder, other)
        file = self.folder / training.CHECKPOINT
        saved = torch.load(file, weights_only=True)
        del saved["optimizers"]
        torch.save(saved, file)
        with self.assertRaisesRegex(settings.WrongSetting, "of an older version"):
            self.run_fit()

    def test_a_corpus_that_is_missing_or_cut_off_is_told_of(self):
        file = self.folder / "corpus.s16"
        file.write_bytes(file.read_bytes()[:-100])
        with self.assertRaisesRegex(settings.WrongSetting, "make it anew"):
            self.run_fit()
        file.unlink()
        with self.assertRaisesRegex(settings.WrongSetting, "the step 'corpus' makes it"):
            self.run_fit()


class Learners(unittest.TestCase):
    def trainer(self, count):
        before = torch.get_num_threads()
        self.addCleanup(torch.set_num_threads, before)
        torch.set_num_threads(count)
        trainer = training.Trainer(MICRO, 1, torch.device("cpu"))
        trainer.step = MICRO.fit.continuous
        return trainer

    def test_threads_learn_what_one_does(self):
        torch.manual_seed(2)
        crops = 0.1 * torch.randn(5, MICRO.fit.frames * MICRO.network.frame)
        found = []
        for count in (1, 3):
            trainer = self.trainer(count)
            # The second time they go side by side.
            for _ in range(2):
                for part in (trainer.codec, trainer.reader, trainer.judges):
                    part.zero_grad()
                each = trainer._learned(crops, True, True)
            values = {name: sum(float(share[name]) for share, _ in each) for name in each[0][0]}
            codes = torch.cat([found[-1][1] for _, found in each])
            found.append((values, codes, [value.grad for value in trainer.learners[0].parameters]))
        (values, codes, gradients), (others, other_codes, other_gradients) = found
        self.assertEqual(values.keys(), others.keys())
        for name, value in values.items():
            self.assertAlmostEqual(value, others[name], delta=1e-4 * abs(value), msg=name)
        self.assertTrue(torch.equal(codes, other_codes))
        for ours, theirs in zip(gradients, other_gradients):
            torch.testing.assert_close(theirs, ours, rtol=1e-3, atol=1e-5)

    def test_what_one_has_learned_all_know(self):
        trainer = self.trainer(2)
        torch.manual_seed(2)
        trainer.run(0.1 * torch.randn(4, MICRO.fit.frames * MICRO.network.frame), 0.5)
        first, second = trainer.learners
        for ours, theirs in zip(first.parameters, second.parameters):
            self.assertTrue(torch.equal(ours, theirs))
        for ours, theirs in zip(first.codec.buffers(), second.codec.buffers()):
            self.assertTrue(torch.equal(ours, theirs))

    def test_units_that_are_compiled_compute_the_same(self):
        self.addCleanup(setattr, Kernels, "unit", None)
        self.addCleanup(setattr, Kernels, "snake", Kernels.snake)
        self.addCleanup(setattr, Kernels, "snake_gradients", Kernels.snake_gradients)
        if not Kernels.fuse(torch.device("cpu")):
            self.skipTest("there is no compiler")
        unit, x = network.ResidualUnit(8, 3), torch.randn(2, 8, 50)
        made = unit(x)
        with torch.no_grad():
            torch.testing.assert_close(made, unit(x), rtol=1e-4, atol=1e-5)


class Hearing(unittest.TestCase):
    """With a small encoder of random weights."""

    def setUp(self):
        self.encoder = ears.Ears(RELEASE / "small.pt", torch.device("cpu"))
        self.hearing = losses.Hearing(self.encoder, corpus.RATE)
        self.sound = torch.from_numpy(tones(1, 3)[:24000].astype(np.float32))[None] / 32768

    def test_mel_is_the_encoders_own(self):
        # 16 kHz sound, at 24 kHz: tones that both rates hold.
        time = torch.arange(24000) / 24000
        sound = sum(0.1 * torch.sin(2 * torch.pi * pitch * time) for pitch in (310.0, 1130.0, 2900.0))
        time = torch.arange(16000) / 16000
        slower = sum(0.1 * torch.sin(2 * torch.pi * pitch * time) for pitch in (310.0, 1130.0, 2900.0))
        theirs = ears.log_mel(slower[None], [16000])[0][:, :, 10:90]
        ours = self.hearing.mel(sound[None])[:, :, 10:90]
        ours = (torch.maximum(ours, ours.amax() - 8) + 4) / 4
        loud = theirs > 0
        torch.testing.assert_close(ours[loud], theirs[loud], rtol=0, atol=0.02)

    def test_the_same_sound_is_heard_alike_and_noise_is_not(self):
        self.assertEqual(float(self.hearing(self.sound, self.sound)), 0)
        made = (self.sound + 0.05 * torch.randn_like(self.sound)).requires_grad_()
        far = self.hearing(made, self.sound)
        self.assertGreater(float(far.detach()), 0.01)
        far.backward()
        self.assertTrue(torch.isfinite(made.grad).all() and made.grad.abs().max() > 0)


class Codebooks(unittest.TestCase):
    def test_collapsed_codebooks_come_to_life(self):
        torch.manual_seed(4)
        quantizer = Codec(MICRO.network).quantizer
        for level in quantizer.quantizers:
            level.codebook.weight.copy_(level.codebook.weight[:1].expand_as(level.codebook.weight))
        latent = torch.randn(8, 64, 16)
        _, _, found = quantizer(latent)
        self.assertEqual(codebooks.perplexity(found[0][1], 32)[0], 1)
        for _ in range(60):
            _, _, found = quantizer(latent)
            codebooks.follow(quantizer, found, memory=10, revives=True)
        for level, least in zip(found, (12, 20, 20)):
            self.assertGreater(codebooks.perplexity(level[1], 32)[1], least)

    def test_k_means_finds_the_centres(self):
        torch.manual_seed(5)
        centres = torch.eye(8)
        points = torch.nn.functional.normalize(centres.repeat(50, 1) + 0.02 * torch.randn(400, 8), dim=1)
        found, counts = codebooks.spherical_means(points, 16)
        self.assertGreater(float((found @ centres.T).max(0).values.min()), 0.98)
        self.assertEqual(int(counts.sum()), 400)

    def test_perplexity(self):
        self.assertEqual(codebooks.perplexity(torch.tensor([3, 3, 3]), 8), (1, 1.0))
        used, perplexity = codebooks.perplexity(torch.arange(8), 8)
        self.assertEqual((used, round(perplexity, 6)), (8, 8.0))


class Settings(WithFolder):
    def check(self, text, message):
        with self.assertRaisesRegex(settings.WrongSetting, message):
            settings.parse(text, "some.yaml")

    def test_sizes(self):
        for size in ("micro", "nano", "full"):
            shape = settings.load(size).network
            self.assertEqual((shape.hop, shape.frame, shape.sampling_rate), (512, 2048, 24000))
        self.assertEqual(settings.load("full").network, settings.Shape())

    def test_mistakes_are_told_with_their_place(self):
        self.check("omni: {}", "expected a section 'codec'")
        self.check("codec: [1", "not YAML")
        self.check("codec: { fit: { stepz: 3 } }", "codec.fit.stepz: not a setting; there are steps")
        self.check("codec: { fit: { steps: many } }", "codec.fit.steps: expected a whole number from 1 to")
        self.check("codec: { fit: { steps: 1.5 } }", "codec.fit.steps: expected a whole number")
        self.check("codec: { fit: { rate: .nan } }", "codec.fit.rate: expected a number")
        self.check("codec: { fit: 3 }", "codec.fit: expected keys and values")
        self.check("codec: { network: { vq_strides: [4, 3, 1] } }", "vq_strides: expected each a multiple")
        self.check("codec: { network: { encoder_rates: [2, 4] } }", "encoder_rates: expected 512 as the product")
        self.check("codec: { network: { decoder_dim: 100 } }", "decoder_dim: expected a multiple of 16")
        self.check("codec: { fit: { windows: [100] } }", "windows: expected powers of 2")
        self.check("codec: { fit: { frames: 1 } }", "frames: crops are shorter")
        with self.assertRaisesRegex(settings.WrongSetting, "huge.yaml: No such file.*micro"):
            settings.load("huge")

    def test_texts(self):
        file = self.folder / "texts"
        with self.assertRaisesRegex(settings.WrongSetting, "cannot be read"):
            corpus.read_texts(file)
        file.write_text("\n \n")
        with self.assertRaisesRegex(settings.WrongSetting, "found 0"):
            corpus.read_texts(file)
        file.write_text("Good.\n" + 500 * "x")
        with self.assertRaisesRegex(settings.WrongSetting, "line 2: expected at most 400 characters"):
            corpus.read_texts(file)
        file.write_text("One.\n\n Two. \n")
        self.assertEqual(corpus.read_texts(file), ["One.", "Two."])


class Measures(unittest.TestCase):
    def test_words(self):
        self.assertEqual(
            words.words("It's 7:05, 21 red-hot stars."), "it's seven five twenty one red hot stars".split()
        )
        self.assertEqual(words.number(342), "three hundred and forty two")

    def test_word_errors(self):
        said = "there are two red circles".split()
        self.assertEqual(words.word_errors(said, said), 0)
        self.assertEqual(words.word_errors(said, "there are too circles now".split()), 3)
        self.assertEqual(words.word_errors(said, []), 5)

    def test_whether_a_loss_fell_is_told_by_tenths_of_the_steps(self):
        history = [{"step": 1, "loss": 9.0}, {"step": 10, "loss": 4.0}, {"step": 90, "loss": 1.0}, {"step": 100, "loss": 5.0}]
        self.assertEqual(falling.means(history, "loss"), (4.5, 5.0))
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as told:
            card = Path(folder) / "stage.json"
            card.write_text(json.dumps({"history": history}))
            with contextlib.redirect_stderr(told):
                self.assertEqual(falling.main([str(card)]), 1)
                self.assertEqual(falling.main([f"{card}:other"]), 1)
            self.assertIn("loss did not fall", told.getvalue())
            card.write_text(json.dumps({"history": history[:3]}))
            self.assertEqual(falling.main([str(card)]), 0)

    def test_mel_filters_leave_no_band_empty(self):
        for window in (16, 64, 2048):
            filters = losses.mel_filters(24000, window, losses.bands_of(window))
            self.assertTrue((filters.sum(0) > 0).all())

    def test_what_is_said_follows_from_the_seed(self):
        drawn = [[texts.drawn(random.Random(seed)) for _ in range(50)] for seed in (1, 1, 2)]
        self.assertEqual(drawn[0], drawn[1])
        self.assertNotEqual(drawn[0], drawn[2])

    def test_all_given_texts_are_spoken(self):
        given = [f"Text {n}." for n in range(30)]
        requests = corpus.requests(random.Random(1), given, False)
        self.assertEqual({next(requests)[0] for _ in range(30)}, set(given))

    def test_of_texts_that_are_said_steadily_some_are_held_out(self):
        given = [f"There are {count} red {shape}s." for count in ("two", "three", "four") for shape in ("circle", "star", "heart")]
        with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(io.StringIO()):
            folder = Path(name)
            (folder / "texts").write_text("\n".join([*given, "It is late."]))
            corpus.make(folder, 1, 2, 1, folder / "texts", 1, steadied=True)
            learned, held_out = (corpus.Speech(folder / file) for file in ("corpus.s16", "held-out.s16"))
            voice = steady.Steady([*given, "It is late."])
            self.assertEqual([text for text in held_out.texts if text in given], sorted(given)[:1])
            self.assertLessEqual(set(learned.texts), {*given, "It is late."} - set(held_out.texts))
            # Its words are in no other.
            often = Counter(learned.texts)
            self.assertGreater(often["It is late."], sum(often[text] for text in given) / (len(given) - 1))
            for text, clip in list(learned.clips())[:3]:
                self.assertEqual(signal.pcm(voice.say(text)).tobytes(), (clip * 32768).astype("<i2").tobytes())
            self.assertTrue(all(end % steady.FRAME == 0 for end in [*learned.ends, *held_out.ends]))
            crops = training.Crops(learned, 2 * steady.FRAME, 1, torch.device("cpu"))
            frames = learned.samples.reshape(-1, steady.FRAME)
            for crop in (crops.drawn(1, 4) * 32768).round().short().numpy():
                self.assertTrue((frames == crop[: steady.FRAME]).all(1).any())
            with self.assertRaisesRegex(WrongSetting, "--texts FILE"):
                corpus.make(folder, 1, 2, 1, None, 1, steadied=True)


if __name__ == "__main__":
    unittest.main()
