"""Nodes of Antiphon graphs, written in Python.

    import antiphon

    class Shout(antiphon.Node):
        text = antiphon.Input(antiphon.Text)
        loud = antiphon.Output(antiphon.Text)

        def on_text(self, text, turn):
            self.loud.send(antiphon.Text(text.string.upper()))

    antiphon.run(Shout)
"""

from .mailbox import Received, SessionBegan, SessionEnded, TurnEnded, TurnInterrupted
from .messages import (
    AnswerState, AudioChunk, AudioCodes, Control, Detection, Features, ImageFrame, Message, Playhead, Said, Text, Tokens,
)
from .node import Input, Node, Output
from .porttype import PortType
from .runtime import run
from .session import Session, Turn, TurnCut

__all__ = [
    "AnswerState", "AudioChunk", "AudioCodes", "Control", "Detection", "Features", "ImageFrame", "Input", "Message", "Node",
    "Output", "Playhead", "PortType", "Received", "Said", "Session", "SessionBegan", "SessionEnded", "Text", "Tokens",
    "Turn", "TurnCut", "TurnEnded", "TurnInterrupted", "run",
]
