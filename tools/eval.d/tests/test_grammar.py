"""The grammar takes the domain's answers and nothing else."""

import random
import unittest

import grammar

ANSWERS = ["The star is red.", "The star is blue.", "The heart is blue.", "Yes.", "Yes, there is a star.",
           "It is twelve o'clock."]  # fmt: skip


def sentences(states, transitions, final, longest=8):
    """Everything that an automaton takes."""
    found, open_ends = set(), [(0, ())]
    while open_ends:
        state, said = open_ends.pop()
        if state in final:
            found.add(said)
        if len(said) < longest:
            open_ends += [(end, (*said, word)) for start, end, word in transitions if start == state]
    return found


class Automaton(unittest.TestCase):
    def test_it_takes_the_sentences_and_no_others(self):
        wanted = {tuple(grammar.words(text)) for text in ANSWERS}
        self.assertEqual(sentences(*grammar.automaton(wanted)), wanted)

    def test_it_takes_random_sentences_whatever_their_order(self):
        rng = random.Random(1)
        wanted = [tuple(rng.choice("abc") for _ in range(rng.randint(1, 6))) for _ in range(60)]
        for _ in range(5):
            rng.shuffle(wanted)
            self.assertEqual(sentences(*grammar.automaton(wanted)), set(wanted))

    def test_ends_that_are_alike_are_shared(self):
        wanted = [(a, b, "is", c) for a in "xyz" for b in "xyz" for c in "xyz"]
        self.assertEqual(grammar.automaton(wanted)[0], 5)


class Written(unittest.TestCase):
    def test_a_file_has_one_state_at_the_end(self):
        lines = grammar.written("answers", [("yes",), ("yes", "please")]).splitlines()
        self.assertEqual(lines[:4], ["FSG_BEGIN answers", "NUM_STATES 4", "START_STATE 0", "FINAL_STATE 3"])
        self.assertEqual(sorted(lines[4:-1]), [
            "TRANSITION 0 1 1.0 yes", "TRANSITION 1 2 1.0 please", "TRANSITION 1 3 1.0", "TRANSITION 2 3 1.0",
        ])  # fmt: skip
        self.assertEqual(lines[-1], "FSG_END")

    def test_words_are_those_of_a_dictionary(self):
        self.assertEqual(grammar.words("It is twelve o'clock."), ["it", "is", "twelve", "o'clock"])
        self.assertEqual(grammar.words("Sorry, I do not 'know'."), ["sorry", "i", "do", "not", "know"])


if __name__ == "__main__":
    unittest.main()
