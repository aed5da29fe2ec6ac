"""The loop that all training goes through: budgets, checkpoints, and a log.

What is drawn in a step depends on the seed and the step alone, so that a run that was stopped goes on as if it had not been.
"""

import json
import math
import os
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import torch
from common.beside import gather, shadow
from common.muon import Muon

from .replaying import Replayed

WARMUP = 100  # steps, or a twentieth of the run


def save(value, path):
    """Either the old file or the new one is there, whatever happens."""
    part = path.with_name(path.name + ".part")
    torch.save(value, part)
    os.replace(part, path)


def autocast(device):
    """Half precision where it is faster."""
    has_bf16 = getattr(torch.cpu, "_is_avx512_bf16_supported", bool)
    half = device.type == "cuda" or device.type == "cpu" and has_bf16()
    return torch.autocast(device.type, torch.bfloat16, enabled=half)


def share(progress):
    """Of the highest learning rate, once it is reached: a cosine down to a fiftieth."""
    return 0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * min(1, progress)))


def learners(module, rows, least, device, loss_of):
    """Who learns, as Run.fit has it: on a processor every core, each from its part of a step's rows, and at least from so many, on
    other devices one. loss_of(module, rows): what Run.fit takes by this name."""
    count = max(1, min(torch.get_num_threads(), rows // least)) if device.type == "cpu" else 1
    return [(each, loss_of(each, rows // count)) for each in (module, *(shadow(module) for _ in range(count - 1)))]


def _begin_thread():
    torch.set_num_threads(1)


def _optimizers(module, trained, settings, device, slow):
    """Muon for the matrices of layers, AdamW for tables of embeddings, kernels and all that has one dimension."""
    slow = {id(value) for value in slow}

    def groups(chosen, decay):
        parts = [(1.0, [p for p in chosen if id(p) not in slow]), (settings.get("slowly", 1.0), [p for p in chosen if id(p) in slow])]
        return [{"params": params, "weight_decay": decay, "share": share} for share, params in parts if params]

    tables = {id(part.weight) for part in module.modules() if isinstance(part, torch.nn.Embedding)}
    tables |= {id(value) for name, value in module.named_parameters() if name.endswith("embedding")}
    layers = [p for p in trained if p.dim() == 2 and id(p) not in tables]
    others = [p for p in trained if p.dim() > 2 or p.dim() == 2 and id(p) in tables]
    rate, decay = settings["rate"], settings.get("decay", 0.05)
    found, rest = [], groups(others, decay) + groups([p for p in trained if p.dim() <= 1], 0.0)
    if rest:
        found.append(torch.optim.AdamW(rest, lr=rate, betas=(0.9, 0.98), fused=device.type == "cuda"))
    if layers:
        found.append(Muon(groups(layers, decay), rate))
    return found


def learned(part, member, generator):
    """What one thread finds: its part of the gradients, and what is logged. member: a module and its loss_of."""
    module, loss_of = member
    module.zero_grad(set_to_none=True)
    loss, parts = loss_of(generator)
    (part * loss).backward()
    return {name: value.detach() for name, value in {"loss": loss, **parts}.items()}


class Run:
    """One stage of training. `settings`: rate, steps, decay, the weight decay of matrices, and slowly, the share of the rate that
    what is `slow` of what is trained learns with.

    minutes: if given, the stage ends after so many, and its learning rate falls by the time that is gone where that is more
    than the steps. It then depends on the machine how far it comes, and two runs differ.
    """

    def __init__(self, folder, name, module, trained, settings, seed, device, minutes=None, slow=()):
        self.file, self.name, self.module = folder / f"{name}.pt", name, module
        self.settings, self.seed, self.device = settings, seed, device
        self.budget = 60 * minutes if minutes else math.inf
        self.trained = list(trained)
        self.optimizers = _optimizers(module, self.trained, settings, device, slow)
        self.step, self.spent, self.history = 0, 0.0, []
        if self.file.exists():
            saved = torch.load(self.file, weights_only=True, map_location=device)
            module.load_state_dict(saved["model"])
            for optimizer, state in zip(self.optimizers, saved.get("optimizers", [])):
                optimizer.load_state_dict(state)
            self.step, self.spent, self.history = saved["step"], saved["spent"], json.loads(saved["history"])
            self.is_done = saved["done"]
        else:
            self.is_done = False

    @property
    def progress(self):
        return max(self.step / self.settings["steps"], self.spent / self.budget)

    def save(self):
        state = {"model": self.module.state_dict(), "step": self.step, "spent": self.spent, "done": self.is_done,
                 "history": json.dumps(self.history)}  # fmt: skip
        if not self.is_done:
            state["optimizers"] = [optimizer.state_dict() for optimizer in self.optimizers]
        save(state, self.file)

    def fit(self, learners, evaluate=None, every=10.0, stop_after=None, replays=False):
        """learners: pairs of a module and its loss_of(generator), a loss and tensors by name that are logged; the first is the run's
        module, others are each a `beside.shadow` of it and learn on threads of their own; their mean is a step's.

        evaluate(): figures by name, logged at the end. every: seconds between lines of the log. stop_after: steps after which this
        call leaves off, for tests. replays: whether steps that are alike are told the device once; what loss_of then must be says
        `Replayed`.
        """
        if self.is_done:
            print(f"{self.name}: done before", flush=True)
            return self.module
        last = saved = time.monotonic()
        names, sums, count, before = [], 0, 0, self.spent
        begun, first = time.monotonic(), self.step
        tenth = max(1, self.settings["steps"] // 10)
        warmup = max(1, min(WARMUP, self.settings["steps"] // 20))
        generators = [torch.Generator(self.device) for _ in learners]
        for module, _ in learners:
            module.train()
        threads = ThreadPoolExecutor(len(learners), initializer=_begin_thread) if len(learners) > 1 else None
        learns = Replayed(learned) if replays else learned
        while self.progress < 1 and (stop_after is None or self.step - first < stop_after):
            for number, generator in enumerate(generators):
                generator.manual_seed(self.seed * 1_000_003 + self.step + number * 1_000_000_007)
            rate = self.settings["rate"] * min(1, (self.step + 1) / warmup) * share(self.progress)
            found = list((threads.map if threads else map)(partial(learns, 1 / len(learners)), learners, generators))
            own, *others = (module.parameters() for module, _ in learners)
            gather(own, others)
            torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
            for optimizer in self.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = rate * group["share"]
                optimizer.step()
            self.step += 1
            names, sums = list(found[0]), sums + sum(torch.stack(list(each.values())) for each in found) / len(learners)
            count += 1
            now = time.monotonic()
            if now - last > every or self.step % tenth == 0 or self.step in (first + 1, first + 10):
                # Only here does the processor wait for what it has asked the device to do.
                self._log(names, sums, count, now - last)
                sums, count, last = 0, 0, time.monotonic()
            self.spent = before + time.monotonic() - begun
            if now - saved > 60:
                self.save()
                saved = time.monotonic()
        if threads:
            threads.shutdown()
        if count:
            self._log(names, sums, count, time.monotonic() - last)
        self.is_done = self.progress >= 1
        self.save()
        if self.is_done and evaluate is not None:
            self._evaluate(evaluate)
            self.save()
        return self.module

    def _log(self, names, sums, count, seconds):
        entry = {name: value / count for name, value in zip(names, sums.tolist())}
        if not math.isfinite(entry["loss"]):
            raise Diverged(f"{self.name}: the loss is {entry['loss']} at step {self.step}; a lower rate may help")
        figures = ", ".join(f"{name} {value:.3f}" for name, value in entry.items())
        print(f"{self.name} {self.step} ({100 * min(1, self.progress):.0f} %, {self.spent:.0f} s): {figures}; "
              f"{count / max(seconds, 1e-6):.1f} steps/s", flush=True)  # fmt: skip
        self.history.append({"step": self.step, **entry})

    def _evaluate(self, evaluate):
        self.module.eval()
        try:
            found = evaluate()
        except Exception as problem:  # What has been learned counts for more than how well.
            print(f"{self.name}: could not be measured: {problem!r}", flush=True)
            return
        self.history.append({"step": self.step, "measured": found})
        for name, value in found.items():
            print(f"{self.name}: {name}: {value:.3f}", flush=True)


class Diverged(Exception):
    """Training that has gone wrong."""
