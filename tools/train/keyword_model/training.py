"""Fits the network to the scenes, in pieces as long as there is time for."""

import math
import os
import time

import numpy as np
import torch
from torch.nn import functional

from .network import Network

BATCH = 64
# A label of rows of which neither is asked.
IGNORED = -1
RATE = 3e-3
# Rows of a command are few, and count more.
WEIGHTS = [1.0, 3.0, 3.0, 3.0]


def load(paths):
    """Spectrograms as float16 and labels of these shards."""
    shards = [np.load(path) for path in paths]
    mel = torch.from_numpy(np.concatenate([shard["mel"] for shard in shards]))
    return mel, torch.from_numpy(np.concatenate([shard["labels"] for shard in shards])).long()


def varied(mel, generator):
    """Louder or softer, and with bands missing: what a scene need not be made anew for."""
    gain = torch.empty(len(mel), 1, 1).uniform_(-2, 2, generator=generator)
    mel = torch.maximum(mel + gain, torch.tensor(math.log(1e-5)))
    for index in range(len(mel)):
        width, first = (int(torch.randint(n, (1,), generator=generator)) for n in (6, 30))
        if width < 5:
            mel[index, :, first : first + width] = mel[index, :, first : first + width].mean()
    return mel


def loss_of(logits, labels, weights):
    return functional.cross_entropy(logits, labels, weight=weights, ignore_index=IGNORED)


def scores(network, mel):
    """The probability that some command has just been said, averaged over three rows: [scenes, rows]."""
    with torch.no_grad():
        parts = [1 - torch.softmax(network(part.float()), dim=1)[:, 0] for part in mel.split(128)]
    said = torch.cat(parts)
    return functional.avg_pool1d(functional.pad(said, (2, 0))[:, None], 3, stride=1)[:, 0]


def validated(network, mel, labels):
    """For a few thresholds: the part of commands that is found, and of scenes without any that are false alarms."""
    network.eval()
    found = scores(network, mel)
    commands = labels > 0
    has = commands.any(dim=1)
    lines = []
    for threshold in (0.5, 0.8, 0.9, 0.95):
        fired = found > threshold
        recall = (fired & (labels != 0)).any(dim=1)[has].float().mean()
        false = (fired & (labels == 0)).any(dim=1)
        lines.append(f"{threshold}: recall {recall:.3f} false {false[~has].float().mean():.4f}")
    network.train()
    return "; ".join(lines)


def fit(work, shards, steps, seed, minutes):
    """Goes on from work/checkpoint.pt, if it is there, and leaves it behind."""
    begun = time.monotonic()
    paths = [work / f"scenes-{n:03}.npz" for n in range(shards)]
    # What was mistaken once is heard more often than the rest.
    paths += 4 * sorted(work.glob("mined-*.npz"))
    mel, labels = load(paths)
    check = load([work / f"scenes-{n:03}.npz" for n in (shards, shards + 1)])
    torch.manual_seed(seed)
    network = Network()
    average = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998), use_buffers=True
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.01)
    step, file = 0, work / "checkpoint.pt"
    if file.exists():
        saved = torch.load(file, weights_only=True)
        network.load_state_dict(saved["network"]), average.load_state_dict(saved["average"])
        optimizer.load_state_dict(saved["optimizer"])
        step = saved["step"]

    def save():
        saved = {"network": network.state_dict(), "average": average.state_dict(), "step": step}
        saved["optimizer"] = optimizer.state_dict()
        torch.save(saved, file.with_suffix(".part"))
        os.replace(file.with_suffix(".part"), file)

    weights, total = torch.tensor(WEIGHTS), 0.0
    while step < steps and time.monotonic() - begun < 60 * minutes:
        # What is drawn depends on the step alone, so that stopping changes nothing.
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        chosen = torch.randint(len(mel), (BATCH,), generator=generator)
        rate = RATE * min(1, (step + 1) / 200) * (0.5 + 0.5 * math.cos(math.pi * min(1, step / steps)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = loss_of(network(varied(mel[chosen].float(), generator)), labels[chosen], weights)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        average.update_parameters(network)
        step += 1
        total += loss.item()
        if step % 100 == 0:
            print(f"{step}: loss {total / 100:.4f}, {time.monotonic() - begun:.0f} s", flush=True)
            total = 0.0
        if step % 500 == 0:
            print(f"{step}: {validated(average.module, *check)}", flush=True)
            save()
    save()
    print(f"{step}: {validated(average.module, *check)}", flush=True)


def trained(work):
    """The averaged network of the last checkpoint, ready to be used."""
    network = Network()
    average = torch.optim.swa_utils.AveragedModel(network, use_buffers=True)
    average.load_state_dict(torch.load(work / "checkpoint.pt", weights_only=True)["average"])
    return average.module.eval()
