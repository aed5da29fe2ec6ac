"""The step `listener`: what the row that listens is taught on, the keyword detector's scenes as the codec hears them."""

import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import torch
from keyword_model import clips, scenes
from synthesis import engines, signal

from . import listening, speech, training, voice
from .pipeline import NotReady, spoken_by, wait_for_codec

SCENES = 2  # of four seconds, one after another, in a sound
SHARD = 64  # sounds that are made at once

_stage = None


def requests(settings, shares, seed, unseen):
    """Clips of which scenes are made: commands, what sounds like them, talk, and the assistant's own voice."""

    def pick(rng, kind):
        return engines.Voice("hibari", "heart") if kind == "own" else speech.drawn(rng, shares, unseen)

    # Of a test less is enough.
    return clips.requests(seed, settings["clips"] * (0.25 if unseen else 1), pick, unseen)


def _start(path, seed, backgrounds):
    global _stage
    torch.set_num_threads(1)
    _stage = scenes.Stage(clips.Pool(path), seed, backgrounds)


def _sounds(job):
    """(seed, number, count): samples int16 [count, samples] at the codec's rate, whole frames, and the commands' ends."""
    seed, number, count = job
    rng, sounds, ends = np.random.default_rng((seed, 3000, number)), [], []
    for _ in range(count):
        parts = [_stage.placed(rng) for _ in range(SCENES)]
        ends.append([end + place * scenes.COUNT / signal.RATE for place, (_, each) in enumerate(parts) for _, end in each])
        sound = np.concatenate([samples for samples, _ in parts]).astype(np.float32) / 32768
        sounds.append(signal.pcm(signal.resampled(sound, listening.RATE / signal.RATE)))
    length = len(sounds[0]) // listening.FRAME * listening.FRAME
    return np.stack(sounds)[:, :length], ends


def make(work, codec, wait):
    """listener.pt and listener-test.pt, which is of voices and texts that training never hears. codec: its folder, or None for
    a stand-in; wait: minutes for it to appear."""
    settings, speaking = work.settings["listener"], work.settings["speech"]
    others = [speaking.get(name, {}) for name in ("unseen_voices", "unseen_engines")]
    kinds = [("listener", settings["sounds"], [speaking["engines"]], False), ("listener-test", settings["test"], others, True)]
    todo = []
    for place, (name, count, shares, unseen) in enumerate(kinds):
        shares = {engine: share for each in shares for engine, share in each.items() if spoken_by(engine)}
        if not shares:
            print(f"{name}: none of its voices is there; it is not made", flush=True)
        elif not work.path(f"{name}.pt").exists():
            spoken = work.path(f"{name}-clips.npz")
            if not spoken.exists():
                wanted = requests(settings, shares, work.seed + place, unseen)
                clips.make(spoken, work.seed, 1, work.processes, wanted, get_context("spawn"))
            todo.append((name, spoken, count, work.seed + place))
    for each in todo:
        _encode(work, codec, wait, *each)


def _encode(work, codec, wait, name, spoken, count, seed):
    minutes = work.minutes("listener")
    jobs = [(seed, number, min(SHARD, count - SHARD * number)) for number in range(-(-count // SHARD))]
    start, codes, wanted = (spoken, seed, work.settings["listener"]["backgrounds"]), [], []
    with ProcessPoolExecutor(work.processes, get_context("spawn"), _start, start) as pool:
        made = pool.map(_sounds, jobs)
        # Meanwhile they are being made.
        try:
            wait_for_codec(codec, wait)
        except NotReady:
            pool.shutdown(cancel_futures=True)
            raise
        coded, begun = voice.coder(codec, work.settings["language"]["codes"], work.device), time.monotonic()
        for sounds, ends in made:
            found = torch.stack(coded(list(sounds.astype(np.float32) / 32768)))
            codes.append(found)
            wanted += [listening.labels(each, found.shape[1]) for each in ends]
            if minutes and time.monotonic() - begun > 60 * minutes:
                pool.shutdown(cancel_futures=True)
                break
    found = {"codes": torch.cat(codes), "wanted": torch.from_numpy(np.stack(wanted))}
    training.save({**found, "codec": str(codec)}, work.path(f"{name}.pt"))
    said = len(listening.commands(found["wanted"]))
    print(f"{name}: {len(wanted)} sounds, {listening.hours(found['codes']):.2f} h, {said} commands, "
          f"{time.monotonic() - begun:.0f} s", flush=True)  # fmt: skip


def load(work, name="listener"):
    """Sounds on the device: those to train on, and the last tenth, by which the threshold is chosen; of a test all and none.
    None where there are none."""
    if not work.path(f"{name}.pt").exists():
        return None
    saved = work.load(f"{name}.pt", "listener")
    codes, wanted = saved["codes"].to(work.device), saved["wanted"].to(work.device)
    kept = len(codes) if name != "listener" else max(1, len(codes) * 9 // 10)
    return listening.Sounds(codes[:kept], wanted[:kept]), listening.Sounds(codes[kept:], wanted[kept:])
