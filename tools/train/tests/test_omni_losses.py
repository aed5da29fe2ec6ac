"""A step's batches at once against each by itself, and the row that listens against the reference."""

import copy
import math
import unittest

import numpy as np
import torch
from omni_model import guiding, listening, network, stages
from omni_model.losses import losses, together

from .test_omni_layout import CONFIG, batch


def windows(count=3, frames=48):
    generator = torch.Generator().manual_seed(4)
    codes = torch.randint(CONFIG.audio["eoa"], (count, frames, 7), generator=generator)
    wanted = torch.randint(2, (count, frames), generator=generator)
    wanted[:, :5] = listening.IGNORED
    return listening.Windows(codes, wanted)


def step():
    """One of each kind, some of whose rows speak."""
    spoken = batch("answer", speech=True)
    spoken.codes, spoken.frames = torch.randint(9, (1, 5, 7)), torch.tensor([5])
    seen = batch("answer", speech=True, image=True)
    seen.codes, seen.frames = torch.randint(9, (2, 8, 7)), torch.tensor([8, 3])
    return [spoken, seen, batch("pad", question=True), windows()]


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


class AtOnce(unittest.TestCase):
    def setUp(self):
        self.model = network.Model(CONFIG, seed=2)
        torch.nn.init.normal_(self.model.lm_head.weight)

    def test_losses_and_gradients_are_those_of_separate_passes(self):
        batches = step()
        weights = [1, 1.5, 0.7, 2]
        alone = [losses(self.model, [one])[0] for one in batches]
        expected = gradients(self.model, sum(weight * loss for weight, (loss, _) in zip(weights, alone)))
        for waste in (0, 1, 100):
            found = losses(self.model, batches, waste)
            for (loss, parts), (own, own_parts) in zip(found, alone):
                torch.testing.assert_close(loss, own)
                self.assertEqual(parts.keys(), own_parts.keys())
            at_once = gradients(self.model, sum(weight * loss for weight, (loss, _) in zip(weights, found)))
            self.assertEqual(at_once.keys(), expected.keys())
            for name, value in at_once.items():
                torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-5, msg=name)

    def test_a_picture_that_several_rows_have_passes_once_to_the_same_end(self):
        model = network.Model(CONFIG, seed=2, speaking=1)
        torch.nn.init.normal_(model.transformer["h"][1].attn.proj.weight, std=0.1)
        guides = [guiding.Reading(model, Letters(), 2.0, torch.device("cpu")), guiding.Looking(model, 1.0)]
        seen = batch("answer", image=True, question=True)
        seen.image = seen.image[:1].repeat(2, 1, 1)
        seen.codes, seen.frames = torch.randint(9, (2, 8, 7)), torch.tensor([8, 3])
        seen.named = torch.rand(2, 2, 50).softmax(2)
        found = []
        for seen.alike in (1, 2):
            loss, parts = losses(model, [seen, *step()], 1, guides)[0]
            found.append((parts, gradients(model, loss)))
        (apart, expected), (alike, gradient) = found
        self.assertEqual(set(alike), {"text", "audio", "guided", "looking"})
        for name, value in alike.items():
            torch.testing.assert_close(value, apart[name], msg=name)
        for name, value in gradient.items():
            torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-5, msg=name)

    def test_what_is_padded_little_passes_together(self):
        passes = []
        hidden = self.model.hidden
        self.model.hidden = lambda x, **options: passes.append(tuple(x.shape[:2])) or hidden(x, **options)
        inputs = [torch.randn(rows, columns, CONFIG.n_embd) for rows, columns in ((2, 10), (3, 40), (1, 36), (5, 19))]
        for waste, expected in ((0, 4), (0.2, 3), (1, 2), (9, 1)):
            passes.clear()
            found, _ = together(self.model, inputs, waste)
            self.assertEqual(len(passes), expected)
            self.assertEqual(sum(rows for rows, _ in passes), 11)
            for x, states in zip(inputs, found):
                torch.testing.assert_close(states[:, : x.shape[1]], hidden(x))


class Letters:
    """Tokens of one character, but for the last, which has three."""

    def decode(self, ids):
        return "abc" if ids[0] == 9 else "a"


class Reads(unittest.TestCase):
    def setUp(self):
        self.model = network.Model(CONFIG, seed=2)
        self.guide = guiding.Reading(self.model, Letters(), 2.0, torch.device("cpu"))

    def test_words_are_near_when_they_are_said(self):
        spoken = step()[1]
        spoken.answer, spoken.answer_length = torch.tensor([[1, 1, 1, 9], [1, 1, 2, 2]]), torch.tensor([4, 2])
        near, says = self.guide.near(spoken, behind=0)
        self.assertEqual(near.shape, (2, spoken.steps, 4))
        # A frame is said from the position behind it on, 8 and 3 of them.
        self.assertEqual(says.sum(1).tolist(), [8, 3])
        self.assertFalse(says[:, 0].any())
        # Six characters in eight frames: half of the time it is the last token, which has three.
        self.assertEqual(near[0, 1:9].argmax(1).tolist(), [0, 1, 1, 2, 2, 3, 3, 3])
        self.assertEqual(near[1, 1:4, 2:].abs().max(), 0)
        later, _ = self.guide.near(spoken, behind=4)
        torch.testing.assert_close(later[:, 5:9], near[:, 1:5])

    def test_where_it_is_known_what_a_frame_says_nothing_else_is_near(self):
        spoken = step()[1]
        spoken.answer, spoken.answer_length = torch.tensor([[1, 1, 1, 9], [1, 1, 2, 2]]), torch.tensor([4, 2])
        # A word of two tokens and one of one; the fourth token is not known, nor are those of the other row.
        spoken.spans = torch.tensor([[[0, 3], [0, 3], [3, 8]], [[0, 0]] * 3], dtype=torch.int16)
        near, says = self.guide.near(spoken, behind=0)
        self.assertEqual(near[0, :10].tolist(), [[0] * 4, *[[1, 1, 0, 0]] * 3, *[[0, 0, 1, 0]] * 5, [0] * 4])
        self.assertEqual(near[1].sum(), 0)
        self.assertEqual(says.sum(1).tolist(), [8, 3])

    def test_attention_at_the_right_words_costs_least(self):
        spoken = step()[0]
        columns = 3 + torch.arange(spoken.steps)[None]
        words, size = columns[0, 0] + 1 + torch.arange(spoken.answer.shape[1]), 64
        k = torch.zeros(1, 2, columns.max() + 1, size)
        k[:, :, words, torch.arange(len(words))] = 1
        costs = []
        for away in (0, 2):
            q = torch.zeros_like(k)
            for head, behind in enumerate(guiding.BEHIND):
                near, _ = self.guide.near(spoken, behind)
                wanted = (near.argmax(2) + away) % len(words)
                q[0, head, columns[0]] = 100 * torch.nn.functional.one_hot(wanted[0], size).float()
            costs.append(float(self.guide.loss(spoken, {"audio": (columns,)}, {self.guide.layer: (q, k)})))
        self.assertLess(costs[0], 0.1)
        self.assertGreater(costs[1], costs[0])

    def test_it_adds_to_the_loss_of_what_speaks_alone(self):
        batches = step()
        plain, guided = losses(self.model, batches, 1), losses(self.model, batches, 1, [self.guide])
        for number, ((loss, parts), (other, others)) in enumerate(zip(plain, guided)):
            self.assertEqual("guided" in others, number < 2)
            torch.testing.assert_close(other, loss + (2 * others["guided"] if number < 2 else 0))
        before = float(guided[0][1]["guided"].detach())
        rate = torch.optim.Adam(self.model.parameters(), 1e-3)
        for _ in range(30):
            rate.zero_grad()
            losses(self.model, batches, 1, [self.guide])[0][1]["guided"].backward()
            rate.step()
        self.assertLess(float(losses(self.model, batches, 1, [self.guide])[0][1]["guided"].detach()), 0.7 * before)


class Looks(unittest.TestCase):
    def setUp(self):
        self.model = network.Model(CONFIG, seed=2)
        self.guide = guiding.Looking(self.model, 2.0)
        self.seen = batch("pad", image=True, question=True)
        self.seen.named = torch.zeros(2, 2, 50)
        self.seen.named[0, :, [0, 7, 30]] = 1 / 3

    def loss(self, model=None):
        return losses(model or self.model, [self.seen, *step()], 1, [self.guide])

    def test_rows_whose_question_is_about_something_else_are_left_out(self):
        (one, _), *_ = self.loss()
        self.seen.image[1] += 1
        self.seen.answer[1] += 1
        (other, parts), *rest = self.loss()
        (plain, _), *_ = losses(self.model, [self.seen], 1)
        torch.testing.assert_close(other, plain + 2 * parts["looking"])
        self.assertNotEqual(float(one.detach()), float(other.detach()))
        self.assertFalse(any("looking" in parts for _, parts in rest))
        looked = [float(parts["looking"].detach()) for (_, parts), *_ in (self.loss(), self.loss())]
        self.assertEqual(*looked)
        self.seen.image[1] += 1
        self.assertAlmostEqual(float(self.loss()[0][1]["looking"].detach()), looked[0], places=5)

    def test_attention_as_it_is_wanted_costs_nothing(self):
        size, count = 64, 70
        columns, wanted = torch.tensor([[60, 61]] * 2), torch.ones(2, 2, dtype=torch.long)
        asked = {"text": (columns, wanted)}
        costs = []
        for places in ([1, 8, 31], [1, 8, 32]):
            k, q = torch.zeros(2, 2, count, size), torch.zeros(2, 2, count, size)
            k[:, 0, places, 0] = 10
            q[:, 0, 60:62, 0] = 10
            costs.append(float(self.guide.loss(self.seen, asked, {layer: (q, k) for layer in self.guide.layers})))
        self.assertLess(costs[0], 0.01)
        self.assertGreater(costs[1], 1)

    def test_it_is_learned(self):
        first, rate = float(self.loss()[0][1]["looking"].detach()), torch.optim.Adam(self.model.parameters(), 3e-3)
        for _ in range(30):
            rate.zero_grad()
            self.loss()[0][1]["looking"].backward()
            rate.step()
        self.assertLess(float(self.loss()[0][1]["looking"].detach()), 0.7 * first)


class Keeps(unittest.TestCase):
    """Layers that are added for speaking, and a teacher: the model as it was."""

    def setUp(self):
        self.model = network.Model(CONFIG, seed=2, speaking=1)
        self.teacher = copy.deepcopy(self.model).requires_grad_(False)
        stages.trained(self.model, "stage3")

    def test_new_layers_change_nothing(self):
        x = torch.randn(1, 5, CONFIG.n_embd)
        self.teacher.depth = 1
        torch.testing.assert_close(self.model.hidden(x), self.teacher.hidden(x))

    def test_what_is_written_is_held_to_what_the_teacher_writes(self):
        plain, kept = losses(self.model, step(), 1), losses(self.model, step(), 1, (), self.teacher, 2.0)
        for (loss, _), (other, parts) in zip(plain, kept):
            self.assertAlmostEqual(float((other - loss).detach()), 0, places=4)
        # Rows that speak or see are left out, and so is what the row that listens reads.
        self.assertEqual(["changed" in parts for _, parts in kept], [True, False, True, False])
        with torch.no_grad():
            self.model.transformer["h"][1].attn.proj.weight.normal_(std=0.5)
        (loss, parts), *_ = losses(self.model, step(), 1, (), self.teacher, 2.0)
        self.assertGreater(float(parts["changed"].detach()), 1e-4)
        (plain, _), *_ = losses(self.model, step(), 1)
        torch.testing.assert_close(loss, plain + 2 * parts["changed"])
        learned, first = torch.optim.Adam(self.model.parameters(), 3e-3), float(parts["changed"].detach())
        for _ in range(20):
            learned.zero_grad()
            losses(self.model, step(), 1, (), self.teacher, 2.0)[0][1]["changed"].backward()
            learned.step()
        self.assertLess(float(losses(self.model, step(), 1, (), self.teacher)[0][1]["changed"].detach()), first / 2)
        self.assertTrue(all(value.grad is None for value in self.teacher.parameters()))

    def test_before_it_speaks_a_model_does_without_new_layers(self):
        x = torch.randn(1, 5, CONFIG.n_embd)
        for value in self.model.speaking:
            value.data.normal_()
        stages.trained(self.model, "stage2")
        self.assertFalse(any(value.requires_grad for value in self.model.speaking))
        without = self.model.hidden(x)
        stages.trained(self.model, "stage3")
        self.assertFalse(torch.allclose(self.model.hidden(x), without))


class Listens(unittest.TestCase):
    def setUp(self):
        self.model = network.Model(CONFIG, seed=2)
        torch.nn.init.normal_(self.model.lm_head.weight)

    def reference(self, codes):
        """The probability of an interruption after each frame of a row, column by column as the reference reads them."""
        ids = network.states(CONFIG)
        columns = [[CONFIG.shifted(CONFIG.audio["pad"], layer) for layer in range(7)] + [ids["n-irq"]]]
        columns += [[CONFIG.shifted(code, layer) for layer, code in enumerate(frame)] + [CONFIG.text["pad"]] for frame in codes]
        past, found = None, []
        for column in columns:
            state, past = self.model(self.model.embed(torch.tensor(column)[:, None])[None], past)
            logits = self.model.heads(state[0])[0]
            found.append(float(logits[[ids["irq"], ids["n-irq"]]].softmax(0)[0]))
        return found[1:]

    @torch.no_grad()
    def test_a_frame_is_judged_as_the_reference_judges_it(self):
        codes = windows(1, 100).codes
        found = listening.probabilities(self.model, codes)[0]
        expected = self.reference(codes[0, :48].tolist())
        expected += self.reference(codes[0, 24:72].tolist())[24:] + self.reference(codes[0, 48:96].tolist())[24:]
        expected += self.reference(codes[0, 72:].tolist())[24:]
        torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-4, atol=1e-6)

    def test_labels_follow_the_ends_of_commands(self):
        found = listening.labels([1.0], 30)
        for end, label in zip(listening.ends(30), found):
            after = end - 1.0
            expected = listening.GOES_ON
            if listening.FIRM[0] <= after <= listening.FIRM[1]:
                expected = listening.INTERRUPTS
            elif listening.FREE <= after < listening.FIRM[0]:
                expected = listening.IGNORED
            self.assertEqual(label, expected, after)
        self.assertEqual((found == listening.INTERRUPTS).sum(), 6)

    def test_windows_ask_nothing_of_frames_that_have_too_few_before_them(self):
        codes = torch.arange(90)[None, :, None].expand(4, -1, 7)
        sounds = listening.Sounds(codes, torch.full((4, 90), listening.GOES_ON))
        drawn = sounds.drawn(64, torch.Generator().manual_seed(1))
        begins = drawn.codes[:, 0, 0]
        self.assertTrue((begins == 0).any() and (begins > 0).any() and begins.max() <= 42)
        asked = drawn.wanted != listening.IGNORED
        self.assertTrue(asked[begins == 0].all())
        self.assertFalse(asked[begins > 0, :24].any())
        self.assertTrue(asked[:, 24:].all())
        self.assertTrue((drawn.codes[:, :, 0] == begins[:, None] + torch.arange(48)).all())

    def test_what_is_heard_is_counted(self):
        wanted = torch.from_numpy(np.stack([listening.labels(ends, 80) for ends in ([2.0, 4.5], [])]))
        scores = torch.zeros(2, 80)
        first, second = (math.ceil((end + listening.FIRM[0]) * 24000 / 2048) for end in (2.0, 4.5))
        scores[0, first], scores[0, first + 1], scores[1, 7], scores[1, 9], scores[1, 40] = 0.9, 0.9, 0.9, 0.9, 0.6
        self.assertEqual(listening.counted(scores, wanted, 0.5), (1, 2, 2))
        self.assertEqual(listening.counted(scores, wanted, 0.7), (1, 2, 1))
        scores[0, second] = 0.8
        self.assertEqual(listening.counted(scores, wanted, 0.7), (2, 2, 1))
        self.assertGreater(listening.threshold_for(scores, wanted, hours=1), 0.6)

    def test_the_area_is_that_of_all_pairs(self):
        scores = torch.rand(3, 20, generator=torch.Generator().manual_seed(3))
        wanted = windows(3, 20).wanted
        right, wrong = scores[wanted == 0], scores[wanted == 1]
        expected = float((right[:, None] > wrong[None]).float().mean())
        self.assertAlmostEqual(listening.area(scores, wanted), expected, places=5)

    def test_it_learns(self):
        made = windows(2)
        # A command is that the first code is small.
        made.wanted = (made.codes[:, :, 0] >= 5).long()
        optimizer = torch.optim.Adam(self.model.parameters(), 0.003)
        costs = []
        for _ in range(40):
            (loss, _), = losses(self.model, [made])
            costs.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        self.assertLess(costs[-1], costs[0] / 2)


if __name__ == "__main__":
    unittest.main()
