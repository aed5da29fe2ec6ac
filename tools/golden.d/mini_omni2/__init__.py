"""The reference side of Mini-Omni2's exactness: a micro checkpoint in the layout of the release, and what PyTorch makes
of it. Used by tools/golden; docs/goldens.md describes what it writes.
"""
