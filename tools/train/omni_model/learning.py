"""The steps in which the language model learns, and what is made of it; like pipeline.py's, from file to file."""

from common import report

from . import data, evaluation, export, stages, training
from .network import Model, configuration
from .pipeline import TESTS, NotReady, finish, load_clip, load_speech, wait_for
from .published import steps as published

PREVIOUS = {"stage1": "text", "stage2": "stage1", "stage3": "stage2", "joint": "text"}


def load_data(work, test=None):
    """What stages draw from; test: the name of a test instead."""
    if work.is_published:
        return published.load_data(work)
    domain, codes = work.domain(), load_codes(work)
    suffix = "-test" if test else ""
    heard = load_speech(work, f"test-{test}-*.pt" if test else "speech-*.pt")
    scenes, looks = work.load(f"scenes{suffix}.pt", "domain"), work.load(f"looks{suffix}.pt", "eyes").to(work.device)
    return data.Data(work.config, domain, work.tokenizer(), work.device, heard, scenes, looks, codes)


def load_codes(work):
    if not work.path("codes.pt").exists():
        return None
    saved = work.load("codes.pt", "answers")
    return {name: saved[name].to(work.device) for name in ("codes", "frames")}


def text_data(work):
    """What the step `text` needs, which can be made before anything is spoken or drawn."""
    return data.Data(work.config, work.domain(), work.tokenizer(), work.device, scenes=work.load("scenes.pt", "domain"))


def load_tests(work, most):
    if work.is_published:
        return published.load_tests(work, most)
    there = [name for name in TESTS if list(work.folder.glob(f"test-{name}-*.pt"))]
    return [evaluation.Test(load_data(work, name), name, most=most) for name in there]


def measured(model, tests, stage):
    found = {}
    for test in tests:
        found.update(test.transcribed(model))
        if stage != "stage1":
            found.update(test.measured(model))
    if stage != "stage1" and tests:
        found.update(tests[0].measured(model, hide=True))
    return found


def train(work, stage, given=None, skip=(), most=600, wait=0):
    """One of stages.NAMES, from what the stage before left. given: what load_data made; most: clips of each test; wait:
    minutes for the answers' codes to appear."""
    suffix = "".join(f"-without-{name}" for name in skip if name != stage)
    before = PREVIOUS.get(stage)
    while before in skip:
        before = PREVIOUS[before]
    model = Model(work.config, work.seed).to(work.device)
    if before:
        old = before if PREVIOUS.get(before) is None or before == "stage1" else before + suffix
        saved = work.load(f"{old}.pt", old)
        if not saved["done"]:
            raise NotReady(f"the step '{old}' is not finished; run it again to go on")
        model.load_state_dict(saved["model"])
    found = given or (text_data(work) if stage == "text" else load_data(work))
    if stage in ("stage3", "joint") and not work.is_published:
        wait_for(work.path("codes.pt"), wait)
        found.codes = load_codes(work)
    if stage in ("stage3", "joint") and found.codes is None:
        raise NotReady(f"{work.path('codes.pt')} is not there; make it with the step 'answers'")
    settings = work.settings["stages"][stage]
    run = training.Run(work.folder, stage + suffix, model, stages.trained(model, stage), settings, work.seed, work.device,
                       work.minutes(stage))  # fmt: skip
    loss = stages.Stage(stage, model, found, {"ctc": 0, **settings})

    def held_loss(generator):
        found.hold(run.step)
        return loss(generator)

    run.fit(held_loss,
            None if stage == "text" else lambda: measured(model, load_tests(work, most), stage))  # fmt: skip
    finish(work, run, {"questions": len(found.domain.texts), "clips": len(found.speech or ()), "batch": settings["batch"],
                       "pairs of picture and question": len(found.pairs), "after": before})  # fmt: skip
    return model


def load_model(work, stage):
    model = Model(work.config, work.seed)
    model.load_state_dict(work.load(f"{stage}.pt", stage)["model"])
    return model.to(work.device).eval()


def evaluate(work, stage, most):
    """Prints, and writes to measured-STAGE.json."""
    model, tests = load_model(work, stage), load_tests(work, most)
    found = measured(model, tests, stage)
    for name, value in found.items():
        print(f"{name}: {value:.3f}", flush=True)
    report.card(work.folder, f"measured-{stage}", found)
    if stage in ("stage3", "joint"):
        for question, text, codes in tests[0].answers(model, 4, 64):
            print(f"{question} -> {text} ({len(codes)} frames)", flush=True)


def write_release(work, stage, out):
    values = configuration(work.settings["language"])
    seeing = work.published("eyes") if work.is_published else load_clip(work)
    export.write(out, load_model(work, stage), values, seeing, work.path("tokenizer.json"))
