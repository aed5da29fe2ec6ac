"""Prompts, delays and decoding, beside the reference of tools/golden.d, which agrees with the released code."""

import unittest
from pathlib import Path

import torch
from mini_omni2 import tasks
from mini_omni2.language import Config
from omni_model import decoding, evaluation, layout, network
from omni_model.losses import losses
from omni_model.layout import Batch

GOLDENS = Path(__file__).resolve().parents[3] / "Tests" / "Goldens" / "mini-omni2" / "checkpoint" / "mini-omni2"
CONFIG = Config.read(GOLDENS / "model_config.yaml")
FRAMES = [7, 11]
WORDS = [[5, 6, 7], [8, 9, 10, 11, 12]]


def rows(lists):
    most = max(map(len, lists))
    return torch.tensor([ids + [0] * (most - len(ids)) for ids in lists]), torch.tensor([len(ids) for ids in lists])


def batch(last_audio, last_text="answer", speech=False, image=False, question=False):
    torch.manual_seed(3)
    audio = torch.full((2,), CONFIG.audio[last_audio])
    answer, answer_length = rows([[20, 21], [22, 23, 24]])
    made = Batch(audio, torch.full((2,), CONFIG.text[last_text]), answer, answer_length)
    if speech:
        made.speech, made.speech_length = torch.randn(2, 11, CONFIG.whisper_adapter_dim), torch.tensor(FRAMES)
    if image:
        made.image = torch.randn(2, 50, CONFIG.vision_adapter_dim)
    if question:
        made.question, made.question_length = rows(WORDS)
    return made


class Prompts(unittest.TestCase):
    def check(self, made, expected):
        audio, text, length = layout.prompts(CONFIG, made)
        for row, ids in enumerate(expected):
            count = int(length[row])
            found = [[CONFIG.shifted(int(one), layer) for one in audio[row, :count]] for layer in range(7)]
            self.assertEqual([*found, text[row, :count].tolist()], ids.tolist())

    def test_each_task_begins_as_the_release_begins_it(self):
        for last_audio, last_text in (("answer", "answer"), ("pad", "answer"), ("pad", "asr")):
            expected = [tasks.spoken(CONFIG, frames, last_audio, last_text) for frames in FRAMES]
            self.check(batch(last_audio, last_text, speech=True), expected)
        for last_audio in ("answer", "pad"):
            self.check(batch(last_audio, question=True), [tasks.written(CONFIG, ids, last_audio) for ids in WORDS])
            expected = [tasks.pictured(CONFIG, frames, last_audio) for frames in FRAMES]
            self.check(batch(last_audio, speech=True, image=True), expected)
        self.check(batch("pad", image=True, question=True), [tasks.pictured_written(CONFIG, ids) for ids in WORDS])
        self.check(batch("pad", image=True), [tasks.caption(CONFIG)] * 2)

    def test_rows_without_a_question_may_stand_beside_rows_with_one(self):
        made = batch("pad", image=True, question=True)
        made.question_length = torch.tensor([0, 5])
        self.check(made, [tasks.caption(CONFIG), tasks.pictured_written(CONFIG, WORDS[1])])


class Inputs(unittest.TestCase):
    def setUp(self):
        self.model = network.Model(CONFIG, seed=2)
        # Pads that say nothing would hide a mistake.
        torch.nn.init.normal_(self.model.lm_head.weight)

    def test_a_column_is_the_mean_of_eight_embeddings(self):
        for image in (False, True):
            made = batch("answer", speech=True, image=image)
            fed, _ = layout.written(CONFIG, made)
            found, length = layout.embedded(self.model, made, fed, None)
            for row, frames in enumerate(FRAMES):
                speech = self.model.whisper_adapter(made.speech[row, :frames])
                features = tasks.speech_features(speech)
                ids = tasks.spoken(CONFIG, frames, "answer", "answer")
                if image:
                    features = tasks.image_features(self.model.vision_adapter(made.image[row]), speech)
                    ids = tasks.pictured(CONFIG, frames, "answer")
                expected = self.model.embed(ids, features)
                torch.testing.assert_close(found[row, : int(length[row])], expected)

    def test_all_positions_at_once_equal_the_reference(self):
        x = torch.randn(2, 9, CONFIG.n_embd)
        found = self.model.hidden(x)
        for count in (1, 4, 9):
            torch.testing.assert_close(found[:, count - 1], self.model(x[:, :count])[0])

    def test_greedy_answers_equal_the_reference(self):
        torch.manual_seed(5)
        one = batch("answer", speech=True)
        both = evaluation.twice(one)
        both.last_audio = torch.tensor([CONFIG.audio["answer"]] * 2 + [CONFIG.audio["pad"]] * 2)
        text, audio = decoding.greedy(self.model, both, 12, writers=True)
        for row, frames in enumerate(FRAMES):
            features = tasks.speech_features(self.model.whisper_adapter(one.speech[row, :frames]))
            ids = [tasks.spoken(CONFIG, frames, last, "answer") for last in ("answer", "pad")]
            answer = tasks.answer_in_speech(self.model, *ids, features=features, limit=ids[0].shape[1] + 12)
            count = answer.matrix.shape[1]
            self.assertEqual(audio[row, :, :count].tolist(), answer.matrix[:7].tolist())
            self.assertEqual(text[row, :count].tolist(), answer.matrix[7].tolist())


class Delay(unittest.TestCase):
    def test_the_reference_reads_the_codes_that_were_laid_out(self):
        codes = torch.randint(CONFIG.audio["eoa"], (2, 6, 7), generator=torch.Generator().manual_seed(1))
        tokens, wanted = layout.delayed(CONFIG, codes, torch.tensor([6, 4]), 16)
        for row, frames in enumerate((6, 4)):
            answer = tasks.Answer(tokens=[[*column, 0] for column in tokens[row, :, : frames + 8].T.tolist()], ended="eoa")
            self.assertEqual(tasks.frames(answer).T.tolist(), codes[row, :frames].tolist())
            self.assertEqual(layout.undelayed(tokens[row], frames).tolist(), codes[row, :frames].tolist())
            self.assertEqual(int(tokens[row, 6, frames + 7]), CONFIG.audio["eoa"])
            self.assertTrue((wanted[row, :, frames + 8 :] == layout.IGNORED).all())
            self.assertTrue((wanted[row, :, : frames + 8] != layout.IGNORED).all())

    def test_text_is_wanted_up_to_its_end(self):
        made = batch("pad", question=True)
        fed, wanted = layout.written(CONFIG, made)
        eot, pad = CONFIG.text["eot"], CONFIG.text["pad"]
        self.assertEqual(fed.tolist(), [[20, 21, eot, pad], [22, 23, 24, eot]])
        self.assertEqual(wanted.tolist(), [[20, 21, eot, layout.IGNORED], [22, 23, 24, eot]])

    def test_padding_changes_no_loss(self):
        model = network.Model(CONFIG, seed=2)
        both = batch("answer", speech=True)
        both.codes, both.frames = torch.randint(9, (2, 5, 7)), torch.tensor([5, 3])
        loss, _ = losses(model, [both])[0]
        both.speech = torch.nn.functional.pad(both.speech, (0, 0, 0, 9), value=7.0)
        both.codes = torch.nn.functional.pad(both.codes, (0, 0, 0, 3))
        torch.testing.assert_close(losses(model, [both])[0][0], loss)


if __name__ == "__main__":
    unittest.main()
