"""The answering voice, steadied: what a codec and a small model can rely on."""

import unittest

import numpy as np
import torch
from omni_model.voice import spoken, typical
from synthesis import steady

TEXTS = ["A red circle.", "A red star is on the left.", "There is one red star.", "The red circle is in the middle.", "Two, I think."]


class Spoken(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.voice = steady.Steady(TEXTS)

    def test_words_begin_with_frames(self):
        for text in TEXTS:
            samples, starts = self.voice.said(text)
            self.assertEqual(len(samples), starts[-1] * steady.FRAME)
            self.assertEqual(len(starts), len(text.split()) + 1)
            self.assertTrue(all(b > a for a, b in zip(starts, starts[1:])))
            self.assertTrue(0.02 < np.abs(samples).max() <= 1)

    def test_a_word_has_the_same_length_and_melody_in_every_sentence(self):
        spans = [self.voice.said(text)[1] for text in TEXTS[:4]]
        red = [starts[place + 1] - starts[place] for starts, place in zip(spans, (1, 1, 3, 1))]
        self.assertEqual(len(set(red)), 1)

    def test_the_same_text_sounds_the_same_in_another_process_too(self):
        again = steady.Steady(TEXTS)
        for text in TEXTS:
            np.testing.assert_array_equal(again.say(text), self.voice.say(text))

    def test_other_processes_say_where_words_begin(self):
        clips, starts = spoken(TEXTS, 1, steadied=True)
        for text, clip, each in zip(TEXTS, clips, starts):
            samples, expected = self.voice.said(text)
            np.testing.assert_array_equal(clip, samples)
            self.assertEqual(each, expected)

    def test_what_is_said_alike_has_the_codes_that_most_have(self):
        texts = ["A red hat.", "A red hen.", "A red house.", "12 red hats.", "A red"]
        starts = [[0, 1, 3, 5], [0, 1, 3, 5], [0, 1, 3, 5], [0, 1, 2, 4, 5], [0, 1, 3]]
        codes = [torch.arange(7) + 10 * torch.arange(each[-1])[:, None] for each in starts]
        codes[1][2] += 5  # the last frame of "red", before an h as in two others
        codes[4][2] += 9  # before nothing
        codes[2][4] += 3  # of another word
        found = typical(texts, [each.clone() for each in codes], starts)
        self.assertTrue(torch.equal(found[1][2], codes[0][2]))
        for row, frames in enumerate(codes):
            for frame, each in enumerate(frames):
                if (row, frame) != (1, 2):
                    self.assertTrue(torch.equal(found[row][frame], each), (row, frame))

    def test_words_that_it_does_not_know_are_said_as_they_come(self):
        samples, starts = self.voice.said("A purple elephant.")
        self.assertEqual(len(samples), starts[-1] * steady.FRAME)
        self.assertGreater(np.abs(samples).max(), 0.02)

    def test_nothing_is_nothing(self):
        self.assertEqual(len(self.voice.say("")), 0)


if __name__ == "__main__":
    unittest.main()
