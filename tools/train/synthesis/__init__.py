"""Synthetic speech, noise and rooms: what the keyword detector is trained on, and what detectors are measured on.

Everything is made by programs of Debian and a wheel, at 16 kHz, as float32 of full scale at 1, and the same seed gives
the same samples. held_out.py says what never reaches training.
"""
