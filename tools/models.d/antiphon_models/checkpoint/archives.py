"""Writes the zip archives of `torch.save` and `torch.jit.save`: a pickle that names tensors, and an entry for each one's
numbers, stored as they are and aligned to 64 bytes.
"""

import json
import math
import struct
import zipfile
from typing import Callable, Dict, NamedTuple, Tuple

from .numbers import Kind

ALIGNMENT = 64
PADDING = 0x4246  # the extra field "FB", in which PyTorch too puts what fills up to the alignment


class Tensor(NamedTuple):
    """A tensor to be written: `content(numbers)` makes its bytes, chunk by chunk."""

    kind: Kind
    shape: Tuple[int, ...]
    content: Callable

    @property
    def count(self):
        return math.prod(self.shape)

    @property
    def bytes(self):
        return self.count * self.kind.size


class Module(NamedTuple):
    """A scripted module: its class, and its tensors and modules by name."""

    kind: str
    attributes: Dict[str, object]


class Pickle:
    """A pickle of dictionaries, numbers, tensors and modules, in the opcodes that PyTorch writes (protocol 2)."""

    def __init__(self, package=None):
        self.package = package  # of the modules' classes
        self.data = bytearray(b"\x80\x02")
        self.tensors = []  # in the order of their storages' keys

    def finish(self, value):
        self.write(value)
        return bytes(self.data + b".")

    def write(self, value):
        if value is None:
            self.data += b"N"
        elif value is True or value is False:
            self.data += b"\x88" if value else b"\x89"
        elif isinstance(value, int):
            self.data += b"J" + struct.pack("<i", value)
        elif isinstance(value, str):
            text = value.encode()
            self.data += b"X" + struct.pack("<I", len(text)) + text
        elif isinstance(value, Tensor):
            self.tensor(value)
        elif isinstance(value, Module):
            self.name(self.package, value.kind)
            self.data += b")\x81"
            self.write({**value.attributes, "training": False})
            self.data += b"b"
        elif isinstance(value, dict):
            self.data += b"}("
            for key, entry in value.items():
                self.write(key)
                self.write(entry)
            self.data += b"u"
        else:
            self.data += b"("
            for entry in value:
                self.write(entry)
            self.data += b"t"

    def name(self, module, name):
        self.data += f"c{module}\n{name}\n".encode()

    def tensor(self, tensor):
        """`_rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks)`"""
        self.name("torch._utils", "_rebuild_tensor_v2")
        self.data += b"(("
        self.write("storage")
        self.name("torch", tensor.kind.storage)
        for value in (str(len(self.tensors)), "cpu", tensor.count):
            self.write(value)
        self.data += b"tQ"
        strides = [math.prod(tensor.shape[i + 1 :]) for i in range(len(tensor.shape))]
        for value in (0, tensor.shape, strides, False):
            self.write(value)
        self.name("collections", "OrderedDict")
        self.data += b")RtR"
        self.tensors.append(tensor)


class Archive:
    """An archive of a folder's entries; the folder is named after the file, as PyTorch does."""

    def __init__(self, path):
        self.folder = path.name.rsplit(".", 1)[0]
        self.file = open(path, "wb")
        self.zip = zipfile.ZipFile(self.file, "w", zipfile.ZIP_STORED)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        # After an error the file is thrown away: its directory need not be right.
        if kind is None:
            self.zip.close()
        self.file.close()

    def entry(self, name, chunks, size):
        info = zipfile.ZipInfo(f"{self.folder}/{name}")
        info.file_size = size
        # A local header has 30 bytes, the name and the extra fields, here one with a head of 4; large entries have a
        # zip64 field of 20 bytes before it.
        wide = 20 if size * 1.05 > zipfile.ZIP64_LIMIT else 0
        start = self.file.tell() + 30 + len(info.filename.encode()) + wide + 4
        info.extra = struct.pack("<HH", PADDING, -start % ALIGNMENT) + b"Z" * (-start % ALIGNMENT)
        with self.zip.open(info, "w") as out:
            for chunk in chunks:
                out.write(chunk)

    def text(self, name, content):
        data = content if isinstance(content, bytes) else content.encode()
        self.entry(name, [data], len(data))

    def tensors(self, tensors, numbers, progress):
        for key, tensor in enumerate(tensors):

            def counted(chunks):
                for chunk in chunks:
                    yield chunk
                    progress.add(len(chunk))

            self.entry(f"data/{key}", counted(tensor.content(numbers)), tensor.bytes)


def save(path, value, numbers, progress):
    """What `torch.save` makes of a dictionary."""
    pickle = Pickle()
    data = pickle.finish(value)
    with Archive(path) as archive:
        archive.text("data.pkl", data)
        archive.text("byteorder", "little")
        archive.tensors(pickle.tensors, numbers, progress)
        archive.text("version", "3\n")


def save_script(path, module, package, numbers, progress):
    """What `torch.jit.save` makes of a module that has no methods. Modules of one class have the same attributes."""
    pickle, classes = Pickle(f"__torch__.{package}"), {}
    data = pickle.finish(module)
    declare(module, package, classes)
    with Archive(path) as archive:
        archive.tensors(pickle.tensors, numbers, progress)
        archive.text("data.pkl", data)
        archive.text(f"code/__torch__/{package}.py", "\n".join(classes.values()))
        archive.text("constants.pkl", Pickle().finish(()))
        archive.text("byteorder", "little")
        archive.text("version", "3\n")


def declare(module, package, classes):
    """Adds the module's class, and before it those that it uses, in the language of TorchScript."""
    if module.kind in classes:
        return
    lines, parameters, buffers = [], [], []
    for name, value in {**module.attributes, "training": False}.items():
        if isinstance(value, Module):
            declare(value, package, classes)
            kind = f"__torch__.{package}.{value.kind}"
        elif isinstance(value, Tensor):
            kind = "Tensor"
            (buffers if value.kind.storage == "LongStorage" else parameters).append(name)
        else:
            kind = "bool"
        lines.append(f'  __annotations__["{name}"] = {kind}' if name.isdigit() else f"  {name} : {kind}")
    head = f"class {module.kind}(Module):\n"
    for name, entries in (("parameters", parameters), ("buffers", buffers)):
        head += f"  __{name}__ = [{''.join(json.dumps(entry) + ', ' for entry in entries)}]\n"
    classes[module.kind] = head + "\n".join(lines) + "\n"
