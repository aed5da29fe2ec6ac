"""The stages on a domain of the tests' own size, whose speech, looks and codes are made up."""

import contextlib
import copy
import dataclasses
import io
import json
import tempfile
import unittest
from collections import Counter
from pathlib import Path

import torch
from common.settings import WrongSetting, document
from omni_model import __main__ as command
from omni_model import (
    comparison, export, eyes, interrupting, layout, learning, listening, network, pipeline, settings, stages, training,
)  # fmt: skip
from omni_model.replaying import Replayed


def small():
    found = copy.deepcopy(settings.load("micro"))
    found["domain"].update(sentences=4, held_out_sentences=4, dictated=4, pictures=60, test_pictures=20)
    for stage in found["stages"].values():
        stage.update(steps=3, batch=8)
    return found


def clips(domain, config, held_out, count, generator):
    """As `speech` leaves them: of each topic's intents some, in features that are noise."""
    chosen = [number for number, is_held_out in enumerate(domain.held_out) if is_held_out == held_out]
    texts = torch.tensor(chosen)[torch.randint(len(chosen), (count,), generator=generator)]
    rows = torch.randint(20, 60, (count,), generator=generator)
    features = torch.randn(int(rows.sum()), config.whisper_adapter_dim, generator=generator).half()
    return {"features": features, "rows": rows, "texts": texts, "voices": ["none"] * count}


def made(folder):
    """A work folder in which the stages can begin."""
    work = pipeline.Work(folder, small(), 1, torch.device("cpu"), 1)
    generator = torch.Generator().manual_seed(1)
    pipeline.make_domain(work)
    domain, config = work.domain(), work.config
    training.save(clips(domain, config, False, 80, generator), folder / "speech-000.pt")
    training.save(clips(domain, config, True, 24, generator), folder / "test-phrasings-000.pt")
    for name in ("", "-test"):
        count = len(work.load(f"scenes{name}.pt", "domain")["grounds"])
        looks = torch.randn(count, 50, config.vision_adapter_dim, generator=generator)
        training.save(looks.half(), folder / f"looks{name}.pt")
    codes = torch.randint(config.audio["eoa"], (len(domain.answers), 6, 7), generator=generator, dtype=torch.int16)
    training.save({"codes": codes, "frames": torch.full((len(codes),), 5)}, folder / "codes.pt")
    for name in ("listener", "listener-test"):
        codes = torch.randint(config.audio["eoa"], (20, 93, 7), generator=generator, dtype=torch.int16)
        wanted = torch.from_numpy(listening.labels([2.0], 93)).expand(20, -1).clone()
        training.save({"codes": codes, "wanted": wanted}, folder / f"{name}.pt")
    return work


class Stages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.enterClassContext(contextlib.redirect_stdout(io.StringIO()))
        cls.folder = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.work = made(cls.folder)
        learning.train(cls.work, "text")
        cls.data = learning.load_data(cls.work)
        cls.data.sounds = interrupting.load(cls.work)[0]

    def stage(self, name, waste):
        model = learning.new_model(self.work)
        stages.trained(model, name)
        stage = stages.Stage(name, model, self.data, self.work.settings["stages"][name])
        stage.waste = waste
        return model, stage

    def test_what_takes_one_pass_learns_what_separate_passes_learn(self):
        for name in stages.NAMES:
            found = []
            for waste in (0, 100):
                model, stage = self.stage(name, waste)
                passes, hidden = [], model.hidden
                model.hidden = lambda x, passes=passes, hidden=hidden, **more: passes.append(x.shape) or hidden(x, **more)
                loss, parts = stage(torch.Generator().manual_seed(3))
                loss.backward()
                gradients = [value.grad for value in model.parameters() if value.grad is not None]
                found.append((passes, float(loss.detach()), torch.cat([value.flatten() for value in gradients])))
            (apart, loss, gradient), (at_once, same_loss, same_gradient) = found
            self.assertEqual(len(at_once), 1, name)
            self.assertGreater(len(apart), 1, name)
            # The one in half precision as the other.
            self.assertAlmostEqual(loss / same_loss, 1, places=2)
            self.assertGreater(torch.cosine_similarity(gradient, same_gradient, dim=0), 0.99, name)

    def test_the_last_stage_learns_to_listen_and_is_exported_with_it(self):
        for name in ("stage1", "stage2", "stage3"):
            learning.train(self.work, name, measures=False)
        history = json.loads(self.work.load("stage3.pt", "stage3")["history"])
        self.assertIn("listens state", history[0])
        said = learning.listener(self.work, "stage3")
        self.assertEqual((said["format"], said["average"], said["frames"]), ("antiphon-listener-1", 2, 24))
        self.assertTrue(0.01 <= said["threshold"] <= 1)
        self.assertIsNone(learning.listener(self.work, "stage2"))
        figures = learning.measured(self.work, learning.load_model(self.work, "stage3"), "stage3", 8)
        self.assertTrue({"phrasings: all", "listener: commands heard", "listener: false alarms an hour"} <= figures.keys())

    def test_stages_are_compared_at_equal_time(self):
        comparison.compare(self.work, 0.02, 6)
        folder = self.folder / "compare-0.02"
        lines = (folder / "comparison.md").read_text().splitlines()
        self.assertIn("| three stages | one joint stage | stage 3 without stage 1 |", lines[0])
        self.assertTrue(any(line.startswith("| phrasings: all |") for line in lines))
        card = json.loads((folder / "comparison.json").read_text())
        self.assertEqual(set(card["steps"]), set(comparison.ARMS))
        for stage in ("stage1", "stage2", "stage3", "joint", "stage2-without-stage1", "stage3-without-stage1"):
            self.assertTrue((folder / f"{stage}.pt").exists(), stage)

    def test_data_are_shared_and_what_is_learned_is_not(self):
        other = self.folder / "other"
        pipeline.share(self.folder, other)
        own = dataclasses.replace(self.work, folder=other)
        self.assertEqual(own.load("codes.pt", "")["frames"].tolist(), self.work.load("codes.pt", "")["frames"].tolist())
        self.assertEqual(list(other.glob("stage*")), [])
        (other / "codes.pt").unlink()
        (other / "codes.pt").symlink_to(self.folder / "gone")
        pipeline.share(self.folder, other)
        self.assertTrue((other / "codes.pt").exists())
        with self.assertRaisesRegex(pipeline.NotReady, "not a work folder"):
            pipeline.share(self.folder / "none", other)

    def test_a_release_comes_with_its_codec(self):
        codec = self.folder / "codec-of-it"
        codec.mkdir()
        values = {**self.work.settings["eyes"], "out": self.work.settings["language"]["vision"]}
        clip = eyes.make(values, self.work.config.text_vocab_size, 1)
        training.save({"model": clip.state_dict()}, self.folder / "eyes.pt")
        (codec / "config.json").write_text("{}")
        learning.write_release(self.work, "text", codec, self.folder / "released")
        self.assertEqual((self.folder / "released" / "snac" / "config.json").read_text(), "{}")
        self.assertTrue((self.folder / "released" / "tokenizer.json").exists())
        with self.assertRaisesRegex(pipeline.NotReady, "config.json is not there"):
            learning.write_release(self.work, "text", self.folder / "none", self.folder / "released")

    def test_a_stage_begins_with_weights_that_are_given(self):
        model = network.Model(self.work.config, seed=7)
        export.language(self.folder, model)
        read = network.Model(self.work.config, seed=8)
        learning.load_weights(read, self.folder / "lit_model.pth")
        torch.testing.assert_close(read.lm_head.weight, model.lm_head.weight, rtol=0.01, atol=0.01)
        with self.assertRaisesRegex(pipeline.NotReady, "tokenizer.json: no weights of this size"):
            learning.load_weights(read, self.folder / "tokenizer.json")

    def test_nothing_is_said_that_is_held_out(self):
        data = learning.load_data(self.work)
        known = set(data.sayable.tolist())
        asked = {data.domain.answer_of[intent] for intent, out in zip(data.domain.intent_of, data.domain.held_out) if not out}
        seen = set(data.pairs[:, 2].tolist())
        self.assertEqual(known, {answer for answer in asked if answer >= 0} | seen)
        self.assertLess(len(known), len(data.domain.answers))
        batch = data.said(16, torch.Generator().manual_seed(1))
        names = list(data.domain.answers)
        for row in range(16):
            answer = data.tokenizer.decode(batch.answer[row, : batch.answer_length[row]].tolist())
            question = data.tokenizer.decode(batch.question[row, : batch.question_length[row]].tolist())
            self.assertEqual(question, f"Say this: {answer}")
            self.assertIn(names.index(answer), known)

    def test_rows_that_are_given_another_answer_say_it_and_need_not_write_it(self):
        data = learning.load_data(self.work)
        names = list(data.domain.answers)
        pairs, asked = torch.arange(6), data.ways.drawn(data.pairs[:6, 1], torch.Generator().manual_seed(1))
        batch = data.read_and_seen(pairs, asked, torch.zeros(6, dtype=torch.bool), speaking=4)
        own, question = data.pairs[:6, 2].tolist(), batch.question.clone()
        others = torch.tensor([number for number in data.sayable.tolist() if number not in own][:4])
        given = torch.tensor([True, False, True, False])
        data.give(batch, given, others)
        said = [int(others[row]) if row < 4 and given[row] else own[row] for row in range(6)]
        for row, number in enumerate(said):
            self.assertEqual(data.tokenizer.decode(batch.answer[row, : batch.answer_length[row]].tolist()), names[number])
        self.assertTrue(torch.equal(batch.codes, data.codes["codes"][said[:4]]))
        self.assertEqual(batch.frames.tolist(), data.codes["frames"][said[:4]].tolist())
        self.assertTrue(torch.equal(batch.question, question))
        fed, wanted = layout.written(data.config, batch)
        self.assertEqual((wanted != layout.IGNORED).any(1).tolist(), [False, True, False, True, True, True])
        self.assertEqual(fed[0, : batch.answer_length[0]].tolist(), data.tokenizer.encode(names[said[0]]))

    def test_what_is_written_down_is_spelled_by_the_adapter_in_any_stage_that_is_told_so(self):
        for name in ("stage1", "joint", "stage3"):
            _, stage = self.stage(name, 0)
            _, parts = stage(torch.Generator().manual_seed(2))
            self.assertEqual("spelled" in parts, name != "stage3", name)

    def test_a_stage_gives_so_many_rows_another_answer(self):
        model, stage = self.stage("stage3", 0)
        stage.settings = {**stage.settings, "given": 0.25}
        batch = stage.data.said(600, torch.Generator().manual_seed(2))
        stage._give([batch], torch.Generator().manual_seed(2))
        self.assertAlmostEqual(batch.given.float().mean().item(), 0.25, delta=0.08)

    def test_the_rarer_its_rarest_word_the_oftener_a_text_is_said(self):
        data, count = learning.load_data(self.work), 4000
        names = list(data.domain.answers)
        known = data.sayable.tolist()
        words = [set(names[answer].lower().strip(".").split()) for answer in known]
        rarest = [min(sum(word in other for other in words) for word in each) for each in words]
        batch, times = data.said(count, torch.Generator().manual_seed(1)), Counter()
        for ids, length in zip(batch.answer, batch.answer_length):
            times[known.index(names.index(data.tokenizer.decode(ids[:length].tolist())))] += 1
        shares = {few: sum(few == other for other in rarest) * few**-0.5 for few in set(rarest)}
        for few, share in shares.items():
            wanted = count * share / sum(shares.values())
            found = sum(times[number] for number, other in enumerate(rarest) if other == few)
            self.assertAlmostEqual(found, wanted, delta=5 * wanted**0.5)

    def test_what_a_question_names_is_in_the_patches_that_show_it(self):
        data = learning.load_data(self.work)
        shares, things = data.named(data.pairs), self.work.load("scenes.pt", "domain")["things"]
        torch.testing.assert_close(shares.sum(2), torch.ones(len(shares), 2))
        shown = eyes.targets(things)
        for (picture, _, _, *bits), parts in zip(data.pairs.tolist(), shares):
            for those, part in zip(bits, parts):
                looked = torch.nonzero(part[1:]).flatten().tolist()
                colors = [int(things[picture, thing, 0]) for thing in range(things.shape[1]) if those >> thing & 1]
                self.assertEqual(sorted(int(shown[picture, 0, patch]) for patch in looked), sorted(colors))
                self.assertAlmostEqual(float(part[0]), 1 / (len(colors) + 1), places=5)
        generator = torch.Generator().manual_seed(3)
        stage = stages.Stage("stage2", learning.new_model(self.work), data, self.work.settings["stages"]["stage2"])
        stage.dice = stages.Throw(3)
        asked = stage._seen(8, 0, generator).named.sum(2)
        # A quarter of the questions is about something else.
        self.assertEqual((asked.sum(1) == 0).sum(), 2)
        self.assertEqual(set(asked.flatten().round(decimals=4).tolist()), {0, 1})
        self.assertFalse(stage._described(8, generator, 1).named.any())

    def test_all_that_decides_on_shapes_comes_equally_often(self):
        kinds, eighths = range(3), range(8)
        found = Counter()
        for seed in range(5, 5 + stages.SHAPES):
            throw = stages.Throw(stages.Stage.shape_of(seed))
            found[throw.choice(eighths), 0] += 1
            found[throw.choice(kinds), throw.choice(eighths)] += 1
            found[throw.choice(eighths), None] += 1
        self.assertEqual({found[eighth, 0] for eighth in range(3, 8)}, {3})
        self.assertEqual({found[kind, eighth] for kind in kinds for eighth in range(1, 8)}, {1})
        self.assertEqual({found[eighth, None] for eighth in eighths}, {3})

    @unittest.skipUnless(torch.cuda.is_available(), "there is no GPU")
    def test_a_replayed_step_finds_what_it_finds_when_it_is_told(self):
        work = dataclasses.replace(self.work, device=torch.device("cuda"))
        found, generator = learning.load_data(work), torch.Generator("cuda")
        for name in ("stage2", "stage3"):
            model = learning.new_model(work).to(work.device)
            chosen = stages.trained(model, name)
            parts = work.settings["stages"][name]
            stage = stages.Stage(name, model, found, parts, copy.deepcopy(model).requires_grad_(False))
            replayed, seen = Replayed(training.learned), []
            self.assertTrue(stages.can_be_replayed(found, parts))
            # The first is told, the second recorded, the third replayed.
            for learned in (replayed, replayed, replayed, training.learned):
                generator.manual_seed(5)
                loss = learned(1, (model, stage), generator)["loss"]
                seen.append((loss.clone(), [value.grad.clone() for value in chosen if value.grad is not None]))
            (before, grads), (after, those) = seen[2:]
            torch.testing.assert_close(before, after, rtol=1e-3, atol=1e-3)
            for grad, other in zip(grads, those, strict=True):
                torch.testing.assert_close(grad, other, rtol=0.02, atol=0.02 * float(other.abs().max()))
            generator.manual_seed(5 + stages.SHAPES)
            self.assertNotEqual(float(replayed(1, (model, stage), generator)["loss"]), float(before))

    def test_training_goes_on_from_a_release(self):
        release, folder = self.folder / "release", self.folder / "on"
        folder.mkdir()
        work = pipeline.Work(folder, small(), 1, torch.device("cpu"), 1)
        work.settings["eyes"] |= {"steps": 2, "rate": 1e-6}  # so little that one sees where they began
        with self.assertRaisesRegex(pipeline.NotReady, "tokenizer.json is not there; --from wants"):
            pipeline.make_domain(work, release)
        release.mkdir()
        content = self.work.path("tokenizer.json").read_text() + "\n"  # not as it would be made
        (release / "tokenizer.json").write_text(content)
        clip = eyes.make({**work.settings["eyes"], "out": work.settings["language"]["vision"]}, work.config.text_vocab_size, 9)
        export.eyes(release / "ViT-B-32.pt", clip)
        pipeline.make_domain(work, release)
        pipeline.make_eyes(work, release)
        self.assertEqual(work.path("tokenizer.json").read_text(), content)
        for name, value in pipeline.load_clip(work).state_dict().items():
            torch.testing.assert_close(value, clip.state_dict()[name], rtol=1e-3, atol=1e-3)
        self.assertEqual(work.load("eyes.pt", "eyes")["step"], 2)
        self.assertEqual(len(work.load("looks.pt", "eyes")), len(work.load("scenes.pt", "domain")["grounds"]))
        model = network.Model(work.config, seed=9)
        export.language(release, model)
        work.settings["stages"]["stage1"]["rate"] = 0.1
        begun = learning.train(work, "stage1", self.data, measures=False, origin=release)
        same = (model.lm_head.weight, begun.lm_head.weight)
        torch.testing.assert_close(*same, rtol=0.01, atol=0.01)
        self.assertFalse(torch.allclose(model.adapters[0], begun.adapters[0], rtol=0.01, atol=0.01))
        # Only where there is no stage before.
        then = learning.train(work, "stage2", self.data, measures=False, origin=release)
        torch.testing.assert_close(then.adapters[0], begun.adapters[0])


class Shares(unittest.TestCase):
    def test_intervals_are_wilsons_where_items_are_right_or_wrong(self):
        low, high = comparison.interval([(0, 1)] * 10)
        self.assertEqual(low, 0)
        self.assertAlmostEqual(high, 0.2775, places=3)
        low, high = comparison.interval([(1, 1)] * 80 + [(0, 1)] * 20)
        self.assertAlmostEqual(low, 0.711, places=3)
        self.assertAlmostEqual(high, 0.867, places=3)

    def test_intervals_of_counts_hold_the_mean(self):
        items = [(wrong % 3, 5) for wrong in range(60)]
        low, high = comparison.interval(items)
        self.assertTrue(0.1 < low < 0.2 < high < 0.3)

    def test_hours_are_shared_by_the_steps_there_are(self):
        steps = ["domain", "speech", "codec", "eyes", "text", "stage1", "stage2", "answers", "listener", "stage3", "export"]
        minutes = {step: float(each) for step, each in command.shared(10, steps).items()}
        self.assertNotIn("domain", minutes)
        self.assertTrue(500 < sum(minutes.values()) < 600)
        without = {step: float(each) for step, each in command.shared(10, ["text", "joint"]).items()}
        self.assertGreater(without["joint"], minutes["stage3"])

    def test_what_processors_take_stands_in_place_of_the_rest(self):
        there, _ = document("nano", "cpu")
        elsewhere, _ = document("nano", "cuda")
        self.assertLess(there["stages"]["stage3"]["batch"], elsewhere["stages"]["stage3"]["batch"])
        self.assertEqual(there["stages"]["stage3"]["steps"], elsewhere["stages"]["stage3"]["steps"])
        settings.load("nano", "cpu")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "size.yaml"
            path.write_text("eyes: { batch: 3 }\ncpu: { eyes: { badge: 3 } }\n")
            with self.assertRaisesRegex(WrongSetting, r"cpu\.eyes\.badge: not a setting"):
                document(str(path), "cpu")


if __name__ == "__main__":
    unittest.main()
