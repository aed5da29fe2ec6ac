"""What is written and read: tokenizer, ears, release, settings, checkpoints."""

import json
import tempfile
import unittest
from pathlib import Path

import torch
import yaml
from common.folders import SIZES
from common import ears
from common.beside import shadow
from omni_model import export, eyes, network, settings, speech, tokenizer, training, voice
from omni_model.domain import collected
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[3]
GOLDENS = ROOT / "Tests" / "Goldens" / "mini-omni2"
RELEASE = GOLDENS / "checkpoint" / "mini-omni2"


class Files(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)


class Tokenizer(Files):
    def test_ids_are_those_of_the_reference(self):
        found = tokenizer.Tokenizer(RELEASE / "tokenizer.json")
        for case in json.loads((GOLDENS / "manifest.json").read_text())["tokenizer"]:
            if "<|" not in case["text"]:  # which here is text like any other
                self.assertEqual(found.encode(case["text"]), case["ids"], case["text"])

    def test_what_was_learned_reads_back(self):
        texts = ["What is seven plus five?", "Seven plus five is twelve.", "Üben, 中文 😀"]
        vocabulary, merges = tokenizer.learned(texts, 280)
        path = self.folder / "tokenizer.json"
        path.write_text(json.dumps(tokenizer.written(vocabulary, merges)))
        found = tokenizer.Tokenizer(path)
        self.assertEqual(len(vocabulary), 277)
        for text in texts:
            self.assertEqual(found.decode(found.encode(text)), text)
        self.assertEqual(tokenizer.learned(texts[::-1], 280), (vocabulary, merges))
        # Each token is said while the word is that it ends in.
        starts = [0, 4, 6, 7]
        said = voice.spans(found, "one two, two", starts)
        words = [len(found.decode(found.encode("one two, two")[: place + 1]).split()) - 1 for place in range(len(said))]
        self.assertEqual(said, [starts[word : word + 2] for word in words])
        self.assertEqual((said[0], said[-1]), ([0, 4], [6, 7]))
        # Written as two words, said as three.
        said = voice.spans(found, "at 21", [0, 4, 6, 8])
        self.assertEqual((said[0], said[-1]), ([0, 4], [4, 8]))


class Ears(unittest.TestCase):
    def test_features_are_those_of_the_reference(self):
        golden = load_file(GOLDENS / "speech.safetensors")
        heard = ears.Ears(RELEASE / "small.pt", torch.device("cpu"))
        samples = torch.zeros(1, 480_000)
        samples[0, : len(golden["samples"])] = golden["samples"].float() / 32768
        mel, _ = ears.log_mel(samples, [479_999])
        torch.testing.assert_close(mel[0, :, :170], golden["mel"], rtol=0, atol=1e-5)
        torch.testing.assert_close(heard(samples, [479_999])[0][0], golden["encoder"], rtol=0, atol=1e-4)

    def test_neighbors_in_a_batch_change_nothing(self):
        heard = ears.Ears(RELEASE / "small.pt", torch.device("cpu"))
        samples = torch.zeros(2, 9000)
        samples[0, :4000], samples[1] = torch.randn(4000) / 9, torch.randn(9000) / 9
        both, rows = heard(samples, [4000, 9000])
        alone, _ = heard(samples[:1, :4000], [4000])
        self.assertEqual(rows.tolist(), [13, 29])
        torch.testing.assert_close(both[0, :13], alone[0], rtol=0, atol=1e-4)


class Spoken(unittest.TestCase):
    def test_training_hears_no_voice_and_no_text_that_is_held_out(self):
        domain = collected.collected({"most": 3, "most_factor": 2, "clock": False, "ways": 20, "sentences": 5, "held_out_sentences": 3}, 1)
        values = settings.load("micro")["speech"]
        shares = {"espeak": 1, "hibari": 1}
        trained = speech.wanted(domain, values, shares, 1)
        tested = speech.wanted(domain, values, {"espeak": 1, "festival": 1}, 1, held_out=True, unseen=True)
        self.assertFalse({one.voice for one in trained} & {one.voice for one in tested})
        self.assertFalse({one.text for one in trained} & {one.text for one in tested})
        self.assertEqual(speech.wanted(domain, values, shares, 1), trained)


class Release(Files):
    def test_what_is_exported_computes_the_same(self):
        values = network.configuration(settings.load("micro")["language"])
        config = network.Config(**{name: values[name] for name in network.Config.__dataclass_fields__})
        model = network.Model(config, seed=3)
        clip = eyes.make({**settings.load("micro")["eyes"], "out": 32}, config.text_vocab_size, 1)
        export.write(self.folder / "out", model, values, clip, RELEASE / "tokenizer.json")
        self.assertEqual(network.Config.read(self.folder / "out" / "model_config.yaml"), config)
        state = torch.load(self.folder / "out" / "lit_model.pth", weights_only=True)
        self.assertEqual(state["lm_head.weight"].data_ptr(), state["transformer.wte.weight"].data_ptr())
        read = network.Model(config)
        read.load_state_dict(state)
        x = torch.randn(1, 5, config.n_embd)
        torch.testing.assert_close(read.hidden(x), model.hidden(x), rtol=0, atol=0.1)
        archive = torch.jit.load(self.folder / "out" / "ViT-B-32.pt").float()
        picture = torch.randn(1, 3, 224, 224)
        torch.testing.assert_close(archive(picture), clip(picture), rtol=0, atol=0.05)

    def test_what_is_too_large_for_a_file_is_written_as_shards(self):
        model = network.Model(network.Config.read(RELEASE / "model_config.yaml"), seed=3)
        export.language(self.folder, model)
        whole = export.weights(self.folder)
        export.language(self.folder, model, most=300_000)
        self.assertFalse((self.folder / "lit_model.pth").exists())
        shards = list(self.folder.glob("model-*.safetensors"))
        self.assertGreater(len(shards), 1)
        self.assertLess(max(path.stat().st_size for path in shards if "00001" not in path.name), 300_000)
        parts = export.weights(self.folder)
        self.assertEqual(whole.keys() - parts.keys(), {"lm_head.weight"})
        for name, value in parts.items():
            self.assertTrue(torch.equal(value, whole[name]), name)

    def test_ids_of_the_listener_stand_behind_the_releases_own(self):
        config = network.Config.read(RELEASE / "model_config.yaml")
        self.assertEqual(network.states(config), {"irq": 325, "n-irq": 326})


class Sizes(Files):
    def wrong(self, change, expected):
        values = yaml.safe_load((SIZES / "micro.yaml").read_text())
        change(values)
        path = self.folder / "size.yaml"
        path.write_text(yaml.dump(values))
        with self.assertRaisesRegex(settings.WrongSetting, expected):
            settings.load(str(path))

    def test_every_size_is_sound(self):
        for path in SIZES.glob("*.yaml"):
            settings.load(path.stem)

    def test_a_size_may_be_like_another(self):
        path = self.folder / "size.yaml"
        path.write_text("like: micro\nstages: { stage1: { rate: 0.5 } }\ncpu: { eyes: { batch: 3 } }\n")
        micro, cpu = settings.load("micro"), settings.load(str(path), "cpu")
        self.assertEqual(cpu["stages"]["stage1"], micro["stages"]["stage1"] | {"rate": 0.5})
        self.assertEqual((cpu["eyes"]["batch"], settings.load(str(path))["eyes"]), (3, micro["eyes"]))
        path.write_text("like: nano-further\ncpu: { eyes: { batch: 3 } }\n")
        further = settings.load("nano-further", "cpu")
        self.assertEqual(settings.load(str(path), "cpu"), further | {"eyes": further["eyes"] | {"batch": 3}})
        path.write_text("like: none\n")
        with self.assertRaisesRegex(settings.WrongSetting, "like: there is no size 'none'"):
            settings.load(str(path))

    def test_mistakes_are_told(self):
        self.wrong(lambda v: v["language"].pop("width"), r"language\.width: missing")
        self.wrong(lambda v: v["eyes"].update(depth=3), r"eyes\.depth: not a setting")
        self.wrong(lambda v: v["stages"]["text"].update(steps=0), r"stages\.text\.steps: expected a whole number")
        self.wrong(lambda v: v["language"].update(heads=5), "divisible")
        self.wrong(lambda v: v.pop("speech"), "speech: expected")


class Resumed(Files):
    def run_of(self, folder, module):
        (self.folder / folder).mkdir(exist_ok=True)
        parameters = {"rate": 0.05, "steps": 20}
        return training.Run(self.folder / folder, "line", module, list(module.parameters()), parameters, 1, torch.device("cpu"))

    def test_a_run_that_was_stopped_ends_as_one_that_was_not(self):
        def fit(folder, pieces):
            for piece in pieces:
                torch.manual_seed(9)
                module = torch.nn.Linear(3, 1)

                def loss(generator):
                    x = torch.randn(16, 3, generator=generator)
                    return (module(x) - x.sum(1, keepdim=True)).square().mean(), {}

                run = self.run_of(folder, module)
                run.fit([(module, loss)], stop_after=piece)
            self.assertTrue(run.is_done)
            return module, run.history

        whole, history = fit("whole", [None])
        pieces, _ = fit("pieces", [7, 6, None])
        self.assertTrue(torch.equal(whole.weight, pieces.weight))
        self.assertLess(history[-1]["loss"], history[0]["loss"])

    def test_two_that_learn_side_by_side_learn_what_one_does(self):
        x = torch.randn(16, 3, generator=torch.Generator().manual_seed(4))

        def loss(module, rows):
            return lambda _: ((module(rows) - rows.sum(1, keepdim=True)).square().mean(), {"rows": torch.tensor(len(rows) * 1.0)})

        found = []
        for folder in ("alone", "beside"):
            torch.manual_seed(9)
            module = torch.nn.Linear(3, 1)
            run = self.run_of(folder, module)
            if folder == "alone":
                run.fit([(module, loss(module, x))])
            else:
                other = shadow(module)
                run.fit([(module, loss(module, x[:8])), (other, loss(other, x[8:]))])
                self.assertTrue(torch.equal(other.weight, module.weight))
                self.assertEqual(run.history[-1]["rows"], 8)
            found.append((module.weight, run.history[-1]["loss"]))
        # Muon turns in half precision.
        torch.testing.assert_close(found[0][0], found[1][0], rtol=2e-2, atol=2e-2)
        self.assertAlmostEqual(found[0][1], found[1][1], delta=0.02)

    def test_what_is_slow_learns_with_a_share_of_the_rate(self):
        moved = []
        for share in (1, 0.1):
            torch.manual_seed(9)
            module = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4), torch.nn.Embedding(5, 4))
            before = [value.detach().clone() for value in module.parameters()]
            (self.folder / f"{share}").mkdir()
            settings = {"rate": 0.05, "steps": 20, "decay": 0, "slowly": share}
            slow = [*module[0].parameters(), *module[2].parameters()]
            run = training.Run(self.folder / f"{share}", "line", module, list(module.parameters()), settings, 1,
                               torch.device("cpu"), slow=slow)  # fmt: skip
            x = torch.randn(16, 4, generator=torch.Generator().manual_seed(4))

            def loss(_, module=module, x=x):
                return (module[1](module[0](x)) - x.flip(1)).square().mean() + module[2].weight.mean(), {}

            run.fit([(module, loss)], stop_after=1)
            moved.append([float((value - old).detach().abs().mean()) for value, old in zip(module.parameters(), before)])
        for place, (whole, part) in enumerate(zip(*moved)):
            self.assertAlmostEqual(part / whole, 1 if place in (2, 3) else 0.1, places=2)

    def test_layers_have_one_optimizer_and_tables_another(self):
        module = torch.nn.ModuleDict({"table": torch.nn.Embedding(5, 4), "layer": torch.nn.Linear(4, 4)})
        run = self.run_of("both", module)
        by_kind = {type(one).__name__: [p for group in one.param_groups for p in group["params"]] for one in run.optimizers}
        self.assertEqual([p is module["layer"].weight for p in by_kind["Muon"]], [True])
        self.assertEqual({id(p) for p in by_kind["AdamW"]}, {id(module["table"].weight), id(module["layer"].bias)})

    def test_a_loss_that_is_no_number_ends_the_run(self):
        module = torch.nn.Linear(1, 1)
        run = self.run_of("bad", module)
        with self.assertRaises(training.Diverged):
            run.fit([(module, lambda generator: (module.weight.sum() * float("nan"), {}))])


if __name__ == "__main__":
    unittest.main()
