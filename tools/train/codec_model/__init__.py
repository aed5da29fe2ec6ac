"""Trains a SNAC codec (Siuzdak, Grötschla, Lanzendörfer 2024) of any size; docs/codec.md tells how well it does.

network.py has the release's architecture and its names, export.py writes its layout, codes.py serves those who train on
codes.
"""
