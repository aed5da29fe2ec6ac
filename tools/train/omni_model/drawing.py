"""Draws scenes, many at once, wherever PyTorch computes.

Every shape is seen from its middle: at each angle its edge is so far away. So a table of distances is all that a shape is.
"""

import functools
import math
import struct
import zlib

import numpy as np
import torch

from .domain.scenes import MOST, SHAPES

SIDE = 224
ANGLES = 720
WINDOW = 88  # pixels around a thing in which it is drawn
RGB = {
    "red": (0.83, 0.16, 0.16), "green": (0.18, 0.6, 0.28), "blue": (0.16, 0.36, 0.78), "yellow": (0.95, 0.83, 0.15),
    "orange": (0.95, 0.5, 0.08), "purple": (0.5, 0.2, 0.66), "black": (0.09, 0.09, 0.09), "pink": (0.96, 0.58, 0.74),
}  # fmt: skip


def outline(shape):
    """Corners [n, 2], y down, for a shape about as large as a circle of radius 1."""
    turn = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    if shape == "circle":
        return np.stack([np.cos(turn), np.sin(turn)], 1) * 0.95
    if shape == "square":
        return np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * 0.85
    if shape == "triangle":
        return np.array([[0, -1.05], [1.0, 0.75], [-1.0, 0.75]])
    if shape == "star":
        radius = np.where(np.arange(10) % 2 == 0, 1.12, 0.46)
        angle = np.arange(10) * np.pi / 5 - np.pi / 2
        return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    if shape == "heart":
        y = -(13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn))
        return np.stack([16 * np.sin(turn) ** 3, y - 1.5], 1) / 15.5
    a, b = 0.34, 1.0
    corners = [[-a, -b], [a, -b], [a, -a], [b, -a], [b, a], [a, a], [a, b], [-a, b], [-a, a], [-b, a], [-b, -a], [-a, -a]]
    return np.array(corners)


@functools.cache
def distances():
    """[shapes, ANGLES]: how far the edge is, by the angle from the x axis towards y."""
    angle = np.arange(ANGLES) * 2 * np.pi / ANGLES
    ray = np.stack([np.cos(angle), np.sin(angle)], 1)[:, None]
    table = []
    for shape in SHAPES:
        start = outline(shape)[None]
        along = np.roll(start, -1, axis=1) - start
        across = ray[..., 0] * along[..., 1] - ray[..., 1] * along[..., 0]
        across = np.where(np.abs(across) < 1e-9, 1e-9, across)
        far = (start[..., 0] * along[..., 1] - start[..., 1] * along[..., 0]) / across
        place = (start[..., 0] * ray[..., 1] - start[..., 1] * ray[..., 0]) / across
        table.append(np.where((place >= -1e-6) & (place <= 1 + 1e-6) & (far > 0), far, 0).max(1))
    return torch.from_numpy(np.stack(table).astype(np.float32))


def draw(things, grounds):
    """Scenes as scenes.packed has them, on any device: pictures [batch, 3, 224, 224], 0 to 1 in steps of 1/255."""
    device, batch = things.device, len(things)
    table, colors = distances().to(device), torch.tensor(list(RGB.values()), device=device)
    side = SIDE + 2 * WINDOW  # with a margin, so that every window lies inside
    height = torch.arange(side, device=device) - WINDOW
    shade = 1 - 0.13 * (height[None, :, None] > grounds[:, 3, None, None])
    picture = (grounds[:, :3, None, None] * shade[:, None]).expand(-1, -1, -1, side).contiguous()
    pixel = torch.arange(WINDOW, device=device)
    for column in range(MOST):
        color, shape, left, top, radius, turn = things[:, column, :6].unbind(1)
        x = (left - WINDOW / 2).floor().long()[:, None] + pixel
        y = (top - WINDOW / 2).floor().long()[:, None] + pixel
        dx = (x + 0.5 - left[:, None])[:, None].expand(-1, WINDOW, -1)
        dy = (y + 0.5 - top[:, None])[:, :, None].expand(-1, -1, WINDOW)
        angle = (torch.atan2(dy, dx) - turn[:, None, None]) * (ANGLES / (2 * math.pi))
        edge = table[shape.long().clamp_min(0)].gather(1, angle.round().long().remainder(ANGLES).flatten(1)).view_as(dx)
        cover = (edge * radius[:, None, None] - torch.hypot(dx, dy) + 0.5).clamp(0, 1)
        cover = (cover * (color >= 0)[:, None, None]).flatten(1)[:, None]
        paint = (colors[color.long().clamp_min(0)] + things[:, column, 6:9]).clamp(0, 1)[..., None]
        place = ((y + WINDOW)[:, :, None] * side + (x + WINDOW)[:, None]).clamp(0, side * side - 1)
        place = place.flatten(1)[:, None].expand(-1, 3, -1)
        flat = picture.view(batch, 3, -1)
        under = flat.gather(2, place)
        flat.scatter_(2, place, under + cover * (paint - under))
    return (picture[:, :, WINDOW:-WINDOW, WINDOW:-WINDOW].clamp(0, 1) * 255).round() / 255


def png(picture):
    """One picture [3, height, width], 0 to 1, as a file's bytes."""
    pixels = (picture * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
