"""The readers by the names that settings have for them."""

from .conversations import Allava, Moss, OpenOrca, VoiceAssistant
from .recordings import VCTK, LibriTTS, MultilingualLibriSpeech
from .records import Tolerance

LAYOUTS = {
    "libritts": LibriTTS,
    "vctk": VCTK,
    "multilingual-librispeech": MultilingualLibriSpeech,
    "open-orca": OpenOrca,
    "moss": Moss,
    "voice-assistant": VoiceAssistant,
    "allava": Allava,
}
KINDS = {
    "said": "recordings to write down (libritts, vctk, multilingual-librispeech)",
    "read": "written questions (open-orca)",
    "talk": "spoken conversations (voice-assistant, moss)",
    "seen": "pictures that are asked about (allava)",
}


def opened(settings, root, most_broken):
    """Readers by the sets' names, all of which are there, and what they tolerate."""
    tolerance = Tolerance(most_broken)
    return {name: LAYOUTS[one["layout"]](root / one["folder"], tolerance) for name, one in settings["sets"].items()}, tolerance
