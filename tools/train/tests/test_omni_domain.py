"""What is asked and answered, and what training never sees."""

import random
import unittest
from collections import Counter

import torch
from omni_model import drawing, eyes
from omni_model.domain import asking, collected, phrasing, scenes, talk, words

SETTINGS = {"most": 5, "most_factor": 3, "clock": True, "ways": 15, "sentences": 30, "held_out_sentences": 10}


def tables():
    domain = collected.collected(SETTINGS, 1)
    return domain, collected.pictures(domain, 300, 1), collected.pictures(domain, 100, 2, unseen=True)


class Domain(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.domain, cls.known, cls.unseen = tables()

    def test_the_same_seed_makes_the_same(self):
        domain, known, unseen = tables()
        self.assertEqual(vars(domain), vars(self.domain))
        for one, other in ((known, self.known), (unseen, self.unseen)):
            self.assertEqual(one["captions"], other["captions"])
            for name in ("things", "grounds", "pairs"):
                self.assertEqual(one[name].tobytes(), other[name].tobytes())

    def test_no_text_is_both_trained_on_and_held_out(self):
        known = {text for text, held in zip(self.domain.texts, self.domain.held_out) if not held}
        held = {text for text, held in zip(self.domain.texts, self.domain.held_out) if held}
        self.assertFalse(known & held)
        topics = {self.domain.intents[intent][0] for intent, held in zip(self.domain.intent_of, self.domain.held_out) if held}
        self.assertEqual(topics, {topic for topic, _ in self.domain.intents})

    def test_questions_are_asked_in_many_ways_which_are_the_intents_own_first(self):
        first = next(talk.arithmetic(1, 1))
        own, held_out = set(first.asked), set(first.held_out)
        for most in (len(own), 30):
            ways = phrasing.widened(random.Random(1), first, most)
            self.assertEqual(len(set(ways)), most)
            self.assertTrue(own <= set(ways) and not held_out & set(ways))
        self.assertEqual(len(phrasing.widened(random.Random(1), first, 4)), 4)
        of_sums = Counter(intent for intent, held in zip(self.domain.intent_of, self.domain.held_out)
                          if not held and self.domain.intents[intent][0] == "arithmetic")  # fmt: skip
        self.assertEqual(set(of_sums.values()), {SETTINGS["ways"]})

    def test_no_picture_or_question_of_training_has_a_pair_that_is_held_out(self):
        for color, shape in scenes.HELD_OUT:
            for text in [*self.known["captions"], *self.known["written"]]:
                self.assertNotIn(f"{color} {shape}", text)
        trained = [text for text, held in zip(self.domain.texts, self.domain.held_out) if not held]
        self.assertFalse([text for text in trained if asking.is_held_out(text)])
        answers = list(self.domain.answers)
        self.assertFalse([answers[a] for _, _, a, *_ in self.known["pairs"] if asking.is_held_out(answers[a])])
        self.assertTrue(len(self.unseen["pairs"]) > 50)

    def test_answers_have_at_most_eight_words(self):
        self.assertLessEqual(max(len(answer.split()) for answer in self.domain.answers), 8)

    def test_answers_about_a_picture(self):
        things = [scenes.Thing("red", "circle", 0), scenes.Thing("red", "circle", 2), scenes.Thing("blue", "star", 3)]
        for kind, about, expected in (
            ("count", "red circle", "There are two red circles."), ("count", "cross", "There are no crosses."),
            ("exists", "blue star", "Yes, there is a blue star."), ("exists", "green star", "No, there is no green star."),
            ("color", "star", "The star is blue."), ("color", "circle", None), ("place", "star", "It is on the left."),
            ("relation", "above|blue star", "A red circle."), ("relation", "below|star", "Nothing is below it."),
            ("relation", "right of|star", None), ("describe", "", "I see three shapes."),
        ):  # fmt: skip
            self.assertEqual(asking.answer(things, kind, about), expected, (kind, about))

    def test_what_questions_and_answers_name_is_told(self):
        things = [scenes.Thing("red", "circle", 0), scenes.Thing("red", "circle", 2), scenes.Thing("blue", "star", 3)]
        for kind, about, named, told in (
            ("count", "red circle", [0, 1], [0, 1]), ("exists", "green star", [], []), ("place", "star", [2], [2]),
            ("relation", "above|blue star", [2], [0]), ("relation", "below|star", [2], []), ("describe", "", [0, 1, 2], [0, 1, 2]),
        ):  # fmt: skip
            found = asking.looked_at(things, kind, about)
            self.assertEqual(found, tuple([things[number] for number in those] for those in (named, told)), (kind, about))

    def test_what_is_named_is_told_by_its_bit(self):
        kinds = [kind for kind, _ in self.domain.intents]
        answers = list(self.domain.answers)
        for picture, intent, answer, named, told in self.known["pairs"].tolist():
            count = int((self.known["things"][picture][:, 0] >= 0).sum())
            self.assertLess(max(named, told), 1 << count)
            if kinds[intent] == "relation":
                self.assertEqual(told == 0, answers[answer].startswith("Nothing"))
            else:
                self.assertEqual(named, told)

    def test_what_is_beside_a_thing_is_asked_on_every_side_and_often(self):
        asked = [about for kind, about in (self.domain.intents[pair[1]] for pair in self.known["pairs"]) if kind == "relation"]
        self.assertEqual({about.split("|")[0] for about in asked}, set(asking.SIDES))
        self.assertGreater(len(asked), len(self.known["pairs"]) / 5)

    def test_times(self):
        self.assertEqual([words.time(quarter) for quarter in (0, 3, 5, 47)],
                         ["twelve o'clock", "quarter to one", "quarter past one", "quarter to twelve"])  # fmt: skip

    def test_what_is_drawn_is_where_it_is_said_to_be(self):
        rng = random.Random(1)
        found = [scenes.scene(rng) for _ in range(8)]
        import numpy as np

        things, grounds = (torch.from_numpy(part) for part in scenes.packed(found, np.random.default_rng(1)))
        pictures, seen = drawing.draw(things, grounds), eyes.targets(things)
        for picture, scene, drawn, patches in zip(pictures, found, things, seen):
            for thing, (color, _, x, y, *_) in zip(scene, drawn):
                self.assertEqual(scenes.COLORS[int(color)], thing.color)
                expected = torch.tensor(drawing.RGB[thing.color])
                self.assertLess((picture[:, int(y), int(x)] - expected).abs().max(), 0.2)
                colors, *_, places = patches.view(4, 7, 7)[:, int(y) // 32, int(x) // 32].tolist()
                self.assertEqual((colors, places), (int(color), thing.place))

    def test_what_is_painted_keeps_its_shape_and_is_none_of_the_pairs_that_are_held_out(self):
        import numpy as np

        rng = random.Random(2)
        packed = scenes.packed([scenes.scene(rng) for _ in range(400)], np.random.default_rng(2))[0]
        things = torch.from_numpy(packed)
        found = eyes.painted(things, torch.Generator().manual_seed(3))
        self.assertTrue(torch.equal(found[..., :6], things[..., :6]))
        there = things[..., 0] >= 0
        colors = torch.tensor(list(drawing.RGB.values()))
        shown = (colors[things[there][:, 0].long()] + found[there][:, 6:9]).clamp(0, 1)
        shapes = things[there][:, 1].long()
        self.assertGreater(shown.std(), 0.25)
        for color, shape in scenes.HELD_OUT:
            those = shown[shapes == scenes.SHAPES.index(shape)]
            away = (those - colors[scenes.COLORS.index(color)]).norm(dim=1)
            self.assertGreater(away.min(), eyes.NEAR - 1e-6, (color, shape))

    def test_shapes_in_colors_that_they_never_had_are_judged_apart(self):
        import numpy as np

        clip = eyes.make({"width": 64, "layers": 1, "out": 16, "text_width": 64, "context": 8}, 20, 1)
        words = [torch.randint(20, (count, 3)) for count in map(len, eyes.WORDS.values())]

        def measured(unseen):
            rng = random.Random(4)
            packed = scenes.packed([scenes.scene(rng, unseen) for _ in range(8)], np.random.default_rng(4))
            things, grounds = (torch.from_numpy(part) for part in packed)
            return eyes.measured(clip, {"things": things, "grounds": grounds}, words, torch.device("cpu"))

        self.assertEqual(measured(True).keys() - measured(False).keys(), {"patches, shapes of unseen pairs right"})


if __name__ == "__main__":
    unittest.main()
