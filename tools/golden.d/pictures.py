"""Makes small pictures of every kind that files hold, what Pillow reads from them, and hashes of what it resizes.

Writes Tests/ImageCaptureTests/Pictures; tools/golden writes the hashes. Pillow must be older than 13, which filters the
columns of some pictures first; what Mini-Omni2 was trained with always begins with the rows.
"""

import base64
import json
import struct
import zlib

import numpy as np
from PIL import Image, PngImagePlugin

from mini_omni2 import inputs, vision

WIDTH, HEIGHT = 21, 16
SIZES = [
    (1, 1), (1, 5), (5, 1), (2, 3), (3, 400), (400, 3), (16, 16), (16, 40), (40, 16), (15, 16), (17, 16), (31, 64), (64, 31),
    (48, 48), (100, 37), (37, 100), (224, 224), (224, 301), (331, 240), (512, 96),
]  # fmt: skip


def noise(width, height, channels):
    """Bytes of a generator that any language repeats; every alpha value is among them."""
    state, values = width * 65536 + height * 256 + channels, bytearray()
    for _ in range(width * height * channels):
        state = (state * 1664525 + 1013904223) & inputs.MASK
        values.append(state >> 24)
    return np.frombuffer(bytes(values), np.uint8).reshape(height, width, channels)


def fnv(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & ((1 << 64) - 1)
    return f"{value:016x}"


def resized():
    entries = []
    for width, height in SIZES:
        for channels, mode in ((1, "L"), (3, "RGB"), (4, "RGBA")):
            pixels = noise(width, height, channels)
            image = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels, mode)
            for size in (16, 224) if width * height < 60000 else (16,):
                entry = {"width": width, "height": height, "channels": channels, "size": size}
                entries.append({**entry, "hash": fnv(vision.resized(image, size).tobytes())})
    return entries


def sixteen_bits(path, values, interlaced=False):
    """Pillow writes neither 16 bits of colour nor interlaced files."""
    height, width, channels = values.shape
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = []
    for left, top, across, down in passes if interlaced else [(0, 0, 1, 1)]:
        part = values[top::down, left::across].astype(">u2")
        if part.size:
            rows += [b"\0" + row.tobytes() for row in part]

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 3: 2, 4: 6}[channels], 0, 0, interlaced)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"".join(rows), 9)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)


def write(root):
    folder = root / "Tests" / "ImageCaptureTests" / "Pictures"
    folder.mkdir(parents=True, exist_ok=True)
    colours, opaque = inputs.picture(WIDTH, HEIGHT, 3), inputs.picture(WIDTH, HEIGHT, 4)
    gamma = PngImagePlugin.PngInfo()
    gamma.add(b"gAMA", struct.pack(">I", 100000))
    colours.save(folder / "rgb.jpg", quality=90)
    colours.save(folder / "progressive.jpg", quality=90, progressive=True, subsampling=0)
    colours.convert("L").save(folder / "grey.jpg", quality=90)
    colours.convert("CMYK").save(folder / "cmyk.jpg", quality=90)
    colours.save(folder / "rgb.png")
    colours.save(folder / "gamma.png", pnginfo=gamma)
    colours.save(folder / "colour-key.png", transparency=colours.getpixel((3, 3)))
    colours.convert("L").save(folder / "grey.png")
    colours.convert("1").save(folder / "bits.png")
    colours.quantize(16).save(folder / "palette.png")
    colours.quantize(16).save(folder / "palette-transparent.png", transparency=bytes(range(0, 256, 16)))
    opaque.save(folder / "rgba.png")
    opaque.convert("LA").save(folder / "grey-alpha.png")
    expected = {}
    for path in sorted(folder.glob("*.*g")):
        image = Image.open(path)
        pixels = np.asarray(image.convert("RGBA" if image.mode in ("LA", "RGBA") else "RGB"))
        expected[path.name] = pixels
    wide = np.asarray(opaque).astype(np.uint16) * 257
    wide += np.arange(wide.size, dtype=np.uint16).reshape(wide.shape) % 100
    wide[np.asarray(opaque) == 255] = 65535
    for name, channels, interlaced in (("grey-16.png", 1, False), ("rgb-16.png", 3, True), ("rgba-16.png", 4, False)):
        sixteen_bits(folder / name, wide[:, :, :channels], interlaced)
        upper = (wide[:, :, :channels] >> 8).astype(np.uint8)  # as Pillow takes of colours; of grey it makes white
        expected[name] = upper.repeat(3, axis=2) if channels == 1 else upper
    with open(folder / "expected.json", "w") as file:
        entries = (
            json.dumps(name) + ": " + json.dumps({
                "width": pixels.shape[1], "height": pixels.shape[0], "channels": pixels.shape[2],
                "pixels": base64.b64encode(pixels.tobytes()).decode(),
            })
            for name, pixels in sorted(expected.items())
        )  # fmt: skip
        file.write("{\n" + ",\n".join(entries) + "\n}\n")
