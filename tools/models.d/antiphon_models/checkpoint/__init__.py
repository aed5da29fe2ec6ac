"""Random checkpoints in the layout of the released ones, written without PyTorch, in little memory.

Random weights show shapes, parity and speed, and say nothing of what the real model answers.
"""
