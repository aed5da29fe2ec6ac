"""How codebooks follow their directions: a start by k-means, running means, and new life for what nothing falls to."""

import torch
from torch.nn import functional


def _nearest(points, centres):
    return torch.cat([(part @ centres.T).argmax(1) for part in points.split(1 << 16)])


def spherical_means(points, count, rounds=20):
    """Centres [count, width] of length 1 for points of length 1 [n, width], and how many points each has."""
    few = len(points) < count
    drawn = torch.randint(len(points), (count,), device=points.device)
    centres = points[drawn if few else torch.randperm(len(points), device=points.device)[:count]]
    for _ in range(rounds):
        chosen = _nearest(points, centres)
        sums = torch.zeros_like(centres).index_add_(0, chosen, points)
        counts = torch.bincount(chosen, minlength=count)
        # A centre without points goes to some point.
        drawn = points[torch.randint(len(points), (count,), device=points.device)]
        centres = functional.normalize(torch.where(counts[:, None] > 0, sums, drawn), dim=1)
    return centres, counts


@torch.no_grad()
def start(quantizer, latent):
    """Codebooks from latent rows [batch, latent, rows], one level after the other."""
    for level in quantizer.quantizers:
        directions = level.directions(latent)
        book = level.codebook
        centres, counts = spherical_means(directions.transpose(1, 2).flatten(0, 1), len(book.weight))
        share = counts.float().clamp(min=0.5) / counts.sum()
        book.weight.copy_(centres)
        # As many as if a hundredth of these had come lately: soon they are forgotten.
        book.counts.copy_(share)
        book.sums.copy_(centres * share[:, None])
        latent = latent - level.rows(level.entries(level.nearest(directions)))


@torch.no_grad()
def follow(quantizer, found, memory, revives):
    """
    Moves the codebooks to what has just been found, the quantizer's third result.

    memory: in steps. revives: entries that hardly anything falls to become directions of this batch.
    """
    for level, (directions, codes) in zip(quantizer.quantizers, found):
        book = level.codebook
        size = len(book.weight)
        points, chosen = directions.transpose(1, 2).flatten(0, 1), codes.flatten()
        ones = torch.full((len(chosen),), 1 / len(chosen), device=chosen.device)
        counts = torch.zeros_like(book.counts).index_add_(0, chosen, ones)
        sums = torch.zeros_like(book.sums).index_add_(0, chosen, points * ones[:, None])
        book.counts.lerp_(counts, 1 / memory)
        book.sums.lerp_(sums, 1 / memory)
        if revives:
            dead = (book.counts < 0.1 / size)[:, None]
            drawn = points[torch.randint(len(points), (size,), device=points.device)]
            book.sums.copy_(torch.where(dead, drawn / size, book.sums))
            book.counts.copy_(torch.where(dead[:, 0], 1 / size, book.counts))
        # Sums of an entry that nothing falls to shrink and keep their direction.
        book.weight.copy_(functional.normalize(book.sums, dim=1))


def perplexity(codes, size):
    """How many entries are in use, and of how many equally frequent ones these codes would be as hard to guess."""
    counts = torch.bincount(codes.flatten(), minlength=size).double()
    share = counts / counts.sum().clamp(min=1)
    return int((counts > 0).sum()), float(torch.exp(torch.special.entr(share).sum()))
