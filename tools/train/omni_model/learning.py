"""The steps in which the language model learns, and what is made of it; like pipeline.py's, from file to file."""

import copy
import pickle

import torch
from common import report

from . import data, evaluation, export, interrupting, listening, stages, training
from .network import Model, configuration
from .pipeline import TESTS, NotReady, finish, load_clip, load_speech, wait_for, wait_for_codec
from .published import steps as published

LEAST = 6  # rows of a batch, of which every task has one
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
    return {name: saved[name].to(work.device) for name in ("codes", "frames", "spans") if name in saved}


def text_data(work):
    """What the step `text` needs, which can be made before anything is spoken or drawn."""
    return data.Data(work.config, work.domain(), work.tokenizer(), work.device, scenes=work.load("scenes.pt", "domain"))


def load_tests(work, most):
    if work.is_published:
        return published.load_tests(work, most)
    there = [name for name in TESTS if list(work.folder.glob(f"test-{name}-*.pt"))]
    return [evaluation.Test(load_data(work, name), name, most=most) for name in there]


def judged(model, tests, stage):
    """What came of each clip, by measure."""
    found = {}
    for test in tests:
        found.update(test.transcribed(model))
        if stage != "stage1":
            found.update(test.judged(model))
    if stage != "stage1" and tests:
        found.update(tests[0].judged(model, hide=True))
    if speaks(stage) and tests:
        found.update(tests[0].said(model))
    return found


def measured(work, model, stage, most):
    """Figures by name."""
    found = {name: evaluation.mean(items) for name, items in judged(model, load_tests(work, most), stage).items()}
    sounds, unseen = interrupting.load(work), interrupting.load(work, "listener-test")
    if speaks(stage) and sounds and unseen:
        found.update(listening.measured(model, sounds[1], unseen[0]))
    return found


def speaks(stage):
    return stage.startswith(("stage3", "joint"))


def train(work, stage, given=None, skip=(), most=600, wait=0, begin=None, measures=True,
          origin=None):  # fmt: skip
    """One of stages.NAMES, from what the stage before left. given: what load_data made; most: clips of each test; wait:
    minutes for the answers' codes to appear; begin: a file of weights to begin with in place of the stage before;
    measures: whether to measure at the end; origin: a release that stands for what `text` makes."""
    suffix = "".join(f"-without-{name}" for name in skip if name != stage)
    before = PREVIOUS.get(stage)
    while before in skip:
        before = PREVIOUS[before]
    model = new_model(work).to(work.device)
    old = before if PREVIOUS.get(before) is None or before == "stage1" else before + suffix
    if origin and not begin and (before == "text" or not work.path(f"{old}.pt").exists()):
        begin = origin
    if begin:
        load_weights(model, begin)
    elif before:
        saved = work.load(f"{old}.pt", old)
        if not saved["done"]:
            raise NotReady(f"the step '{old}' is not finished; run it again to go on")
        model.load_state_dict(saved["model"])
    settings = work.settings["stages"][stage]
    # Before what an earlier run of this stage learned is read.
    teacher = copy.deepcopy(model).requires_grad_(False) if settings.get("kept", 0) > 0 else None
    chosen = stages.trained(model, stage)
    fresh = {id(value) for value in model.speaking}
    known = [value for value in chosen if id(value) not in fresh] if speaks(stage) and fresh else []
    found = given or (text_data(work) if stage == "text" else load_data(work))
    if speaks(stage) and not work.is_published:
        wait_for(work.path("codes.pt"), wait)
        found.codes = load_codes(work)
    if speaks(stage) and found.codes is None:
        raise NotReady(f"{work.path('codes.pt')} is not there; make it with the step 'answers'")
    if speaks(stage) and settings.get("listens", 0) > 0:
        wait_for(work.path("listener.pt"), wait)
        sounds = interrupting.load(work)
        if sounds is None:
            print(f"{stage}: listener.pt is not there, so the row that listens is not trained", flush=True)
        found.sounds = sounds and sounds[0]
    run = training.Run(work.folder, stage + suffix, model, chosen, settings, work.seed, work.device, work.minutes(stage),
                       known)  # fmt: skip
    run.fit(learners(model, stage, found, settings, run, teacher), replays=stages.can_be_replayed(found, settings),
            evaluate=None if stage == "text" or not measures else lambda: measured(work, model, stage, most))  # fmt: skip
    finish(work, run, {"questions": len(found.domain.texts), "clips": len(found.speech or ()), "batch": settings["batch"],
                       "pairs of picture and question": len(found.pairs), "after": str(begin or before),
                       "sounds to listen to": len(found.sounds.codes) if found.sounds else 0})  # fmt: skip
    return model


def learners(model, stage, found, settings, run, teacher=None):
    """As Run.fit has them."""

    def loss_of(each, rows):
        return stages.Stage(stage, each, found, {**settings, "batch": rows}, teacher)

    if found.is_whole:
        return training.learners(model, settings["batch"], LEAST, found.device, loss_of)
    loss = loss_of(model, settings["batch"])

    def held_loss(generator):
        found.hold(run.step)
        return loss(generator)

    return [(model, held_loss)]


def load_weights(model, path):
    """Of a stage's file, or of a release; layers for speaking may be missing there."""
    try:
        saved = export.weights(path)
        saved = dict(saved.get("model", saved))
        saved.setdefault("lm_head.weight", saved["transformer.wte.weight"])
        fresh = tuple(f"transformer.h.{layer}." for layer in range(model.understanding, model.config.n_layer))
        if not any(name.startswith(fresh) for name in saved):
            saved |= {name: value for name, value in model.state_dict().items() if name.startswith(fresh)}
        model.load_state_dict(saved)
    except (OSError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError, AttributeError) as problem:
        raise NotReady(f"{path}: no weights of this size: {str(problem).splitlines()[0]}") from None


def new_model(work):
    return Model(work.config, work.seed, work.speaking_layers)


def load_model(work, stage):
    model = new_model(work)
    model.load_state_dict(work.load(f"{stage}.pt", stage)["model"])
    return model.to(work.device).eval()


def evaluate(work, stage, most):
    """Prints, and writes to measured-STAGE.json."""
    model = load_model(work, stage)
    found = measured(work, model, stage, most)
    for name, value in found.items():
        print(f"{name}: {value:.3f}", flush=True)
    report.card(work.folder, f"measured-{stage}", found)
    for test in load_tests(work, most)[:1] if speaks(stage) else ():
        for question, text, codes in test.answers(model, 4, 64):
            print(f"{question} -> {text} ({len(codes)} frames)", flush=True)


def listener(work, stage):
    """What listener.json says of a stage in which the row that listens was trained, otherwise None."""
    sounds = interrupting.load(work)
    if sounds is None or '"listens state"' not in work.load(f"{stage}.pt", stage)["history"]:
        return None
    return listening.release(listening.chosen(load_model(work, stage), sounds[1]))


def write_release(work, stage, codec, out):
    """codec: the folder of that whose codes the model says, if any; it comes along."""
    wait_for_codec(codec)
    values = configuration(work.settings["language"])
    seeing = work.published("eyes") if work.is_published else load_clip(work)
    export.write(out, load_model(work, stage), values, seeing, work.path("tokenizer.json"),
                 listener(work, stage), codec)  # fmt: skip
