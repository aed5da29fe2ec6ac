"""Trains a Mini-Omni2 of any size, in the three stages of its paper (arXiv 2410.11190, section 3), on a closed domain that is
generated; docs/training-omni.md tells what it is and how well it does.

The language model, the eyes and the prompts are those of tools/golden.d/mini_omni2, which the Swift nodes agree with: what is
trained here is what runs there.
"""
