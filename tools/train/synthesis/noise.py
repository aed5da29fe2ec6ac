"""Noise and rooms, generated."""

import numpy as np

from .signal import RATE, convolved, resampled, scaled


def coloured(rng, count, slope):
    """Noise whose power falls by so many dB an octave: 0 white, 3 pink, 6 brown."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    frequency = np.fft.rfftfreq(count, 1 / RATE)
    spectrum *= np.maximum(frequency, 40.0) ** (-slope / 6.02)
    return _unit(np.fft.irfft(spectrum, count))


def hum(rng, count):
    """The mains and what fans make: a low tone with overtones, and a rush of air."""
    time = np.arange(count) / RATE
    base = rng.choice([50.0, 60.0, 100.0, 120.0]) * rng.uniform(0.99, 1.01)
    total = np.zeros(count)
    for overtone in range(1, int(rng.integers(4, 20))):
        strength = rng.uniform(0.2, 1) / overtone ** rng.uniform(0.5, 1.5)
        total += strength * np.sin(2 * np.pi * base * overtone * time + rng.uniform(0, 6.28))
    return _unit(total + coloured(rng, count, 6) * rng.uniform(0.05, 0.5) * np.std(total))


def music(rng, count):
    """Like music: chords of plucked and held tones over a beat."""
    total = np.zeros(count, dtype=np.float64)
    beat = rng.uniform(0.25, 0.6)
    root = 110 * 2 ** (rng.integers(0, 12) / 12)
    scale = [0, 2, 4, 5, 7, 9, 11] if rng.random() < 0.5 else [0, 2, 3, 5, 7, 8, 10]
    for step in range(int(count / RATE / beat) + 1):
        start = int(step * beat * RATE)
        for _ in range(int(rng.integers(1, 4))):
            pitch = root * 2 ** (scale[rng.integers(0, 7)] / 12 + rng.integers(0, 3))
            length = min(count - start, int(RATE * beat * rng.uniform(0.8, 4)))
            if length <= 0:
                continue
            time = np.arange(length) / RATE
            envelope = np.exp(-time * rng.uniform(0.8, 6)) * np.minimum(1, time / 0.01)
            tone = sum(np.sin(2 * np.pi * pitch * k * time) / k ** rng.uniform(1, 2.5) for k in range(1, 7))
            total[start : start + length] += envelope * tone
        if rng.random() < 0.7:
            length = min(count - start, int(0.12 * RATE))
            if length > 0:
                click = rng.standard_normal(length) * np.exp(-np.arange(length) / RATE * rng.uniform(30, 90))
                total[start : start + length] += click * rng.uniform(0.3, 1.2)
    return _unit(total)


def babble(rng, count, talk):
    """Several people at once.

    talk: clips of speech; 3 to 7 streams of them are laid over each other.
    """
    total = np.zeros(count, dtype=np.float32)
    for _ in range(int(rng.integers(3, 8))):
        position = -int(rng.integers(0, 3 * RATE))
        strength = rng.uniform(0.4, 1)
        while position < count:
            clip = scaled(talk[rng.integers(0, len(talk))], -20)
            clip = resampled(clip, rng.uniform(0.9, 1.1))
            first, last = max(0, position), min(count, position + len(clip))
            if last > first:
                total[first:last] += strength * clip[first - position : last - position]
            position += len(clip) + int(rng.integers(0, RATE // 3))
    return _unit(total)


def room(rng, longest=0.5):
    """An impulse response: the direct sound, a few reflections, and noise that dies away."""
    decay = rng.uniform(0.08, longest)
    count = int(RATE * decay)
    time = np.arange(count) / RATE
    tail = rng.standard_normal(count) * 10 ** (-3 * time / decay)
    tail[: int(rng.integers(30, 120))] = 0
    for _ in range(int(rng.integers(2, 8))):
        place = int(rng.integers(20, max(21, min(count, 600))))
        if place < count:
            tail[place] += rng.choice([-1, 1]) * rng.uniform(1, 6)
    response = tail * 10 ** (-rng.uniform(2, 18) / 20) / np.sqrt(np.sum(tail**2) + 1e-9)
    response[0] = 1
    return response.astype(np.float32)


def loudspeaker(rng, samples):
    """As a microphone hears the assistant's loudspeaker: without lows, through the room, late."""
    frequency = np.fft.rfftfreq(len(samples), 1 / RATE)
    corner = rng.uniform(120, 450)
    spectrum = np.fft.rfft(samples) * (frequency / np.hypot(frequency, corner))
    narrow = np.fft.irfft(spectrum, len(samples)).astype(np.float32)
    return convolved(narrow, room(rng, 0.4))


def mixed(speech, noise, ratio, level=None):
    """Noise under speech at a ratio in dB.

    level: of the speech in dBFS, if it is not the sound's own (signal.speech_level).
    """
    from .signal import speech_level

    spoken = 10 ** (level / 20) if level is not None else speech_level(speech)
    found = float(np.sqrt(np.mean(np.square(noise)) + 1e-12))
    return speech + noise * np.float32(spoken / found * 10 ** (-ratio / 20))


def _unit(samples):
    return (samples / (np.sqrt(np.mean(np.square(samples))) + 1e-9)).astype(np.float32)
