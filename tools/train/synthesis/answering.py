"""The voice that answers: hibari's, at its own rate."""

import functools

import numpy as np

RATE = 24_000
VOICE = "heart"


@functools.cache
def _voice(name):
    from hibari import Hibari

    return Hibari(voice=name)


def say(text, speed=1.0, seed=0, voice=VOICE):
    """24 kHz, float32 of full scale at 1; the same seed gives the same samples."""
    return np.asarray(_voice(voice)(text, speed=speed, seed=seed), np.float32)
