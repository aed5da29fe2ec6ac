"""Types of ports: a name with particulars, written `audio[channels=1, rate=16000]`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Dict, Optional, Union

_WORD = re.compile(r"[a-z0-9-]{1,64}\Z")
_OFFSET, _PRIME, _MASK = 0xCBF29CE484222325, 0x00000100000001B3, 0xFFFFFFFFFFFFFFFF


def fnv1a(data: bytes, basis: int = _OFFSET) -> int:
    """FNV-1a, 64 bits."""
    for byte in data:
        basis = ((basis ^ byte) * _PRIME) & _MASK
    return basis


@dataclass(frozen=True)
class PortType:
    """The type of a port or a message. A particular that is not mentioned is open: it agrees with any value."""

    name: str
    particulars: Dict[str, Union[int, str]] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "PortType":
        """Raises ValueError if the text is no type."""
        name, particulars = text.strip(" "), {}
        if "[" in name:
            name, _, inside = name.partition("[")
            if not inside.endswith("]"):
                raise ValueError(f"'{text}' is not a type")
            for part in inside[:-1].split(","):
                key, equals, value = (piece.strip(" ") for piece in part.partition("="))
                if not equals or not _WORD.match(key) or not _WORD.match(value) or key in particulars:
                    raise ValueError(f"'{text}' is not a type")
                particulars[key] = int(value) if re.fullmatch(r"-?[0-9]+", value) else value
        if not _WORD.match(name):
            raise ValueError(f"'{text}' is not a type")
        return cls(name, particulars)

    def mismatch(self, feeding: "PortType") -> Optional[str]:
        """Why an output of this type cannot feed an input of that type; None if it can."""
        if self.name != feeding.name:
            return f"{self.name} is not {feeding.name}"
        for key, wanted in sorted(feeding.particulars.items()):
            given = self.particulars.get(key, wanted)
            if given != wanted:
                return f"{key} is {given}, not {wanted}"
        return None

    @property
    def schema(self) -> int:
        """Identifies the type on the wire: FNV-1a over its canonical spelling."""
        return fnv1a(str(self).encode())

    def __str__(self) -> str:
        if not self.particulars:
            return self.name
        inside = ", ".join(f"{key}={value}" for key, value in sorted(self.particulars.items()))
        return f"{self.name}[{inside}]"
