"""Trains the network of the keyword-detector node; docs/keyword.md tells what it is and how well it does.

features.py and network.py are the reference of ModelKit/Keyword, number by number.
"""
