"""What the nano model can talk about: a closed domain, generated.

talk.py has questions that need no picture, scenes.py the pictures, asking.py the questions about them, and collected.py
puts them together. Each way to ask that is marked as held out, and each pair of color and shape in scenes.HELD_OUT, never
reaches training.
"""
