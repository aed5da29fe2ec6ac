"""Fits the codec to the corpus, in pieces as long as there is time for."""

import copy
import math
import os
import time
from concurrent.futures import ThreadPoolExecutor

import torch

from common import ears
from common.beside import gather, shadow
from common.report import machine
from common.settings import WrongSetting

from . import codebooks, export, losses
from .corpus import Speech
from .log import RunLog
from .network import Codec, Kernels, Noise
from .optimizers import adamw, optimizers

CHECKPOINT = "checkpoint.pt"
# Weights of the losses: DAC's (arXiv 2306.06546), but for what it has not.
SPECTRA, ROWS, COMMITMENT, HEARD, FOOLED, ALIKE = 10.0, 10.0, 0.5, 10.0, 1.0, 2.0
# Gradients are no longer than that.
LONGEST_STEP = 20.0
# In seconds.
SAVE_EVERY, TELL_EVERY, CHECK_EVERY = 60, 5, 45


class Diverged(Exception):
    """The loss is no number any more."""


class Average:
    """Running means of weights, short at first, and of codebooks."""

    def __init__(self, network, memory):
        self.network, self.memory, self.updates = copy.deepcopy(network).eval().requires_grad_(False), memory, 0
        self.own = [value for value in self.network.state_dict().values()]

    def update(self, network):
        self.updates += 1
        share = max(1 / self.memory, 9 / (10 + self.updates))
        theirs = [value.detach() for value in network.state_dict().values()]
        torch._foreach_lerp_(self.own, theirs, share)


class Learner:
    """The networks as one thread learns with them: weights are everyone's, gradients its own."""

    def __init__(self, codec, reader, judges):
        self.codec, self.reader, self.judges = codec, reader, judges
        self.generator = None

    @property
    def parameters(self):
        return [value for part in (self.codec, self.reader, self.judges) for value in part.parameters()]

    def another(self):
        """For one more thread."""
        return Learner(*(shadow(part) for part in (self.codec, self.reader, self.judges)))

    def draws(self):
        """By a generator of its own from here on."""
        self.generator = torch.Generator()
        for module in self.codec.modules():
            if isinstance(module, Noise):
                module.generator = self.generator
        return self


def _begin_thread():
    torch.set_num_threads(1)
    Kernels.prepare_thread()


class Trainer:
    """The networks, their optimizers, and what else a checkpoint has to hold."""

    def __init__(self, settings, seed, device, keeps_codes=False, encoder=None):
        """keeps_codes: the decoder alone learns, so that sound goes on to have the codes that it has. encoder: Whisper's, an
        ears.Ears that what is made should sound alike to."""
        self.settings, self.fit, self.seed, self.device = settings, settings.fit, seed, device
        self.keeps_codes = keeps_codes
        torch.manual_seed(seed)
        self.codec = Codec(settings.network).to(device)
        self.reader = losses.RowReader(settings.network.latent).to(device)
        self.average = Average(self.codec, self.fit.average_memory)
        codec = self.codec
        self.parts = {"|decoder|": [*codec.decoder.parameters()]}
        if not keeps_codes:
            self.parts |= {"|encoder|": [*codec.encoder.parameters(), *codec.quantizer.parameters()]}
            self.parts |= {"|reader|": [*self.reader.parameters()]}
        self.optimizers = optimizers(self.parts, self.fit.rate, device)
        self.judges = losses.Discriminators(self.fit.discriminator).to(device)
        self.judges_optimizer = adamw(self.judges.parameters(), self.fit.discriminator_rate, device)
        rate = settings.network.sampling_rate
        self.spectra = losses.Spectra(rate, self.fit.windows, losses.HEARD_FLOOR).to(device)
        self.hearing = losses.Hearing(encoder, rate) if encoder else None
        self.row_spectra = losses.RowSpectra(settings.network).to(device)
        self.learners = [Learner(self.codec, self.reader, self.judges)]
        if device.type == "cpu":
            # A processor takes one crop after the other, as caches hold no more, and each of its cores its own.
            self.learners += [self.learners[0].another() for _ in range(torch.get_num_threads() - 1)]
            self.learners = [learner.draws() for learner in self.learners]
            self.pool = ThreadPoolExecutor(len(self.learners), initializer=_begin_thread)
        self.step, self.elapsed, self.begun = 0, 0.0, 0

    def begin(self, folder):
        """From a release's weights, past the steps without codes."""
        codec = export.read(folder)
        if codec.shape != self.settings.network:
            raise WrongSetting(f"{folder}: of another size than is asked for")
        with torch.no_grad():
            for level in codec.quantizer.quantizers:
                book = level.codebook
                book.counts.fill_(1 / len(book.weight))
                book.sums.copy_(book.weight / len(book.weight))
            self.codec.load_state_dict(codec.state_dict())
        self.average = Average(self.codec, self.fit.average_memory)
        self.step = self.begun = self.fit.continuous + 1

    PARTS = ("codec", "reader", "judges", "judges_optimizer")

    def save(self, file, history):
        saved = {name: getattr(self, name).state_dict() for name in self.PARTS}
        saved |= {"optimizers": [optimizer.state_dict() for optimizer in self.optimizers]}
        saved |= {"average": self.average.network.state_dict(), "updates": self.average.updates}
        saved |= {"step": self.step, "elapsed": self.elapsed, "begun": self.begun, "seed": self.seed, "history": history}
        saved |= {"network": self.settings.network.config(), "keeps_codes": self.keeps_codes}
        torch.save(saved, file.with_suffix(".part"))
        os.replace(file.with_suffix(".part"), file)

    def load(self, file):
        """Returns the history."""
        saved = read_checkpoint(file, self.device)
        if saved["network"] != self.settings.network.config() or saved["seed"] != self.seed:
            raise WrongSetting(f"{file}: of another size or seed than is asked for; take another --work, or remove it")
        if "optimizers" not in saved:
            raise WrongSetting(f"{file}: of an older version, which cannot be gone on with; take another --work, or remove it")
        if saved.get("keeps_codes", False) != self.keeps_codes:
            raise WrongSetting(f"{file}: begun {'without' if self.keeps_codes else 'with'} --keep-codes; take another --work")
        for name in self.PARTS:
            getattr(self, name).load_state_dict(saved[name])
        for optimizer, state in zip(self.optimizers, saved["optimizers"]):
            optimizer.load_state_dict(state)
        self.average.network.load_state_dict(saved["average"])
        self.average.updates = saved["updates"]
        self.step, self.elapsed, self.begun = saved["step"], saved["elapsed"], saved.get("begun", 0)
        return saved["history"]

    def autocast(self):
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")

    def run(self, crops, progress):
        """
        One step.

        crops: [batch, samples]. progress: the part of the run that is done.
        Returns the losses' names and a tensor of their values, on the device.
        """
        fit, is_coded = self.fit, self.step >= self.fit.continuous
        warm = min(1, (self.step - self.begun + 1) / max(1, fit.warmup))
        ending = 0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * min(1, progress)))
        for group in (group for optimizer in self.optimizers for group in optimizer.param_groups):
            group["lr"] = fit.rate * (fit.encoder_part if group["part"] == "|encoder|" else 1) * warm * ending
        for group in self.judges_optimizer.param_groups:
            group["lr"] = fit.discriminator_rate * ending
        is_judged = progress >= fit.adversarial or self.begun and fit.adversarial < 1
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        self.judges_optimizer.zero_grad(set_to_none=True)
        each = self._learned(crops, is_coded, is_judged)
        names = list(each[0][0])
        values = torch.stack([sum(share[name] for share, _ in each) for name in names])
        # Each by itself: what upsets the one is no reason for the others to stand still.
        norms = [torch.nn.utils.clip_grad_norm_(part, LONGEST_STEP) for part in self.parts.values()]
        for optimizer in self.optimizers:
            optimizer.step()
        if is_judged:
            torch.nn.utils.clip_grad_norm_(self.judges.parameters(), LONGEST_STEP)
            self.judges_optimizer.step()
        if is_coded and not self.keeps_codes:
            # The last codes that are exchanged have time to settle.
            levels = zip(*(found for _, found in each))
            found = [tuple(torch.cat(some) for some in zip(*level)) for level in levels]
            codebooks.follow(self.codec.quantizer, found, fit.codebook_memory, revives=progress < 0.7)
        self.average.update(self.codec)
        return names + list(self.parts), torch.cat([values, torch.stack(norms).float()])

    def _learned(self, crops, is_coded, is_judged):
        """Leaves the gradients of a step; returns what _learn does, of each part of the step's crops."""
        if self.device.type != "cpu":
            return [self._learn(self.learners[0], crops, is_coded, is_judged, 1)]
        parts, count = crops.split(1), len(self.learners)

        def learned(first):
            learner, found = self.learners[first], []
            for number in range(first, len(parts), count):
                learner.generator.manual_seed((self.seed * 1_000_003 + self.step) * len(parts) + number)
                found.append(self._learn(learner, parts[number], is_coded, is_judged, 1 / len(parts)))
            return found

        # What is to be compiled is compiled once: the first of them goes ahead.
        ahead = int(self.compiled != (is_coded, is_judged))
        each = [self.pool.submit(learned, first).result() for first in range(ahead)]
        each += self.pool.map(learned, range(ahead, count))
        self.compiled = (is_coded, is_judged)
        own, *others = (learner.parameters for learner in self.learners)
        gather(own, others)
        return [each[number % count][number // count] for number in range(len(parts))]

    # With which switches a step has been done.
    compiled = None

    def _learn(self, learner, crops, is_coded, is_judged, share):
        """Adds the gradients of a share of a step's crops; returns losses by name, times the share, and what was coded."""
        with self.autocast():
            made, rows, distance, found = learner.codec(crops, is_coded, self.keeps_codes)
        made = made.float()
        spectra = self.spectra(made, crops)
        loss, values = SPECTRA * spectra, {"spectra": spectra}
        if self.hearing:
            heard = self.hearing(made, crops)
            loss, values["heard"] = loss + HEARD * heard, heard
        if not self.keeps_codes:
            with self.autocast():
                told = learner.reader(rows).float()
            with torch.no_grad():
                wanted = self.row_spectra(crops)
            row = (told - wanted).abs().mean()
            loss = loss + ROWS * row + COMMITMENT * distance
            values |= {"rows": row, "distance": torch.as_tensor(distance, device=self.device)}
        if is_judged:
            # Half of each crop does, and costs half.
            half = crops.shape[1] // 2
            first = int(torch.randint(half, (1,), generator=learner.generator))
            heard, real = made[:, first : first + half], crops[:, first : first + half]
            with self.autocast():
                verdict = losses.verdict_loss(learner.judges(torch.cat([heard.detach(), real])))
            (share * verdict).backward()
            learner.judges.requires_grad_(False)
            with self.autocast():
                seen = learner.judges(torch.cat([heard, real]))
            learner.judges.requires_grad_(True)
            fooled, alike = losses.adversarial_losses(seen)
            loss = loss + FOOLED * fooled + ALIKE * alike
            values |= {"verdict": verdict, "fooled": fooled, "alike": alike}
        (share * loss).backward()
        return {name: share * value.detach().float() for name, value in values.items()}, found

    @torch.no_grad()
    def start_codebooks(self, crops):
        with self.autocast():
            latent = [self.codec.encoder(part[:, None]).float() for part in crops.split(self.fit.batch)]
        codebooks.start(self.codec.quantizer, torch.cat(latent))
        # Entries that were not in use yet have no part in means.
        self.average = Average(self.codec, self.fit.average_memory)


class Crops:
    """Pieces of the corpus, wherever they begin; of speech that is laid out in frames, with one. What is drawn depends on the step
    alone: stopping changes nothing."""

    def __init__(self, speech, length, seed, device):
        self.samples = torch.from_numpy(speech.samples).to(device)
        self.length, self.seed, self.frame = length, seed, speech.frame
        self.range = torch.arange(length, device=device)
        if len(self.samples) < length + self.frame:
            raise WrongSetting(f"a corpus of {len(self.samples)} samples holds no crop of {length}")

    def drawn(self, step, count):
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        starts = self.frame * torch.randint((len(self.samples) - self.length) // self.frame, (count,), generator=generator)
        places = starts.to(self.samples.device, non_blocking=True)[:, None] + self.range
        return self.samples[places].float() / 32768


@torch.no_grad()
def checked(trainer, held_out):
    """How the averaged weights do on crops that are not trained on: the loss, and of each level what is in use."""
    torch.manual_seed(0)
    is_coded, size = trainer.step > trainer.fit.continuous, trainer.settings.network.codebook_size
    made, _, _, found = trainer.average.network(held_out, is_coded)
    values = {"held out": float(trainer.spectra(made, held_out))}
    for level, (_, codes) in enumerate(found if is_coded else ()):
        used, perplexity = codebooks.perplexity(codes, size)
        values |= {f"used {level}": used, f"perplexity {level}": perplexity}
    return values


def held_out_crops(work, settings, device):
    """As large a batch as those that are trained on."""
    samples = torch.from_numpy(Speech(work / "held-out.s16").samples)
    length = settings.fit.frames * settings.network.frame
    count = min(settings.fit.batch, len(samples) // length)
    if count == 0:
        raise WrongSetting(f"{work / 'held-out.s16'}: {len(samples)} samples hold no crop of {length}")
    return (samples[: count * length].reshape(count, length).float() / 32768).to(device)


def fit(work, settings, seed=1, device=None, minutes=1e9, within=None, fuses=True, until=math.inf, start=None,
        keeps_codes=False, whisper=None):
    """
    Goes on from work/checkpoint.pt, if it is there, and leaves it behind.

    minutes: stop after so many; the next call goes on. until: stop before this step. within: make the whole schedule
    fit so many minutes, over all calls, rather than the settings' number of steps. fuses: try to compile. start: a release's
    folder, whose weights it begins with where there is no checkpoint yet. keeps_codes: the decoder alone learns.
    whisper: the file or folder of an encoder that what is made should sound alike to.
    """
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True
    begun = time.monotonic()
    crops = Crops(Speech(work / "corpus.s16"), settings.fit.frames * settings.network.frame, seed, device)
    held_out = held_out_crops(work, settings, device)
    trainer = Trainer(settings, seed, device, keeps_codes, ears.Ears(whisper, device) if whisper else None)
    if fuses and Kernels.fuse(device):
        print(f"compiled, {time.monotonic() - begun:.0f} s", flush=True)
    file = work / CHECKPOINT
    if keeps_codes and not start and not file.exists():
        raise WrongSetting("--keep-codes: whose? --begin FOLDER says with which weights to begin")
    log = RunLog(work, trainer.load(file) if file.exists() else [])
    if start and not file.exists():
        trainer.begin(start)
    before, first, sums, count, names = trainer.elapsed, trainer.step, None, 0, []
    told = saved = was_checked = time.monotonic()

    def progress():
        return trainer.elapsed / 60 / within if within else trainer.step / settings.fit.steps

    def tell():
        nonlocal sums, count, told
        means = dict(zip(names, (sums / count).tolist()))
        if not math.isfinite(means["spectra"]):
            raise Diverged(f"step {trainer.step}: {means}; the checkpoint of some time before is kept: {file}")
        now = time.monotonic()
        log.add(trainer.step, progress(), trainer.elapsed, means, rate=count / (now - told))
        sums, count, told = None, 0, now

    def check():
        log.add(trainer.step, progress(), trainer.elapsed, checked(trainer, held_out))

    while progress() < 1 and trainer.step < until and time.monotonic() - begun < 60 * minutes:
        torch.manual_seed(seed * 1_000_003 + trainer.step)
        if trainer.step == settings.fit.continuous:
            trainer.start_codebooks(crops.drawn(-1, settings.fit.start_crops))
        found, values = trainer.run(crops.drawn(trainer.step, settings.fit.batch), progress())
        if found != names and count:
            tell()
        names, sums, count = found, values if sums is None else sums + values, count + 1
        trainer.step += 1
        now = time.monotonic()
        trainer.elapsed = before + now - begun
        if now - told > TELL_EVERY or trainer.step % max(1, settings.fit.steps // 10) == 0:
            tell()
            if now - was_checked > CHECK_EVERY:
                check()
                was_checked = time.monotonic()
            if now - saved > SAVE_EVERY:
                trainer.save(file, log.history)
                saved = time.monotonic()
    if count:
        tell()
    if trainer.step > first:
        check()
    trainer.save(file, log.history)
    log.card(
        "codec", step=trainer.step, steps=settings.fit.steps, within=within, seconds=round(trainer.elapsed), seed=seed,
        is_done=progress() >= 1, batch=settings.fit.batch, crop=crops.length, corpus=len(crops.samples),
        machine=machine(device), network=settings.network.config(), fit=vars(settings.fit),
    )  # fmt: skip


def read_checkpoint(file, device="cpu"):
    try:
        return torch.load(file, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise WrongSetting(f"{file}: not there; the step 'fit' makes it") from None


def trained(work, settings):
    """The averaged codec of the last checkpoint, ready to be used."""
    saved = read_checkpoint(work / CHECKPOINT)
    if saved["network"] != settings.network.config():
        raise WrongSetting(f"{work / CHECKPOINT}: of another size than is asked for")
    codec = Codec(settings.network)
    codec.load_state_dict(saved["average"])
    for level in codec.quantizer.quantizers if not saved.get("keeps_codes") else ():
        # Means of directions are a little short.
        level.codebook.weight.copy_(torch.nn.functional.normalize(level.codebook.weight, dim=1))
    return codec.eval().requires_grad_(False)
