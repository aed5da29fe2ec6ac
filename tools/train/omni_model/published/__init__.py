"""The published data sets that Mini-Omni2 was trained on (arXiv 2410.11190, table 1), in the layouts they are published in,
and the pretrained models that it begins with.

records.py says what all sets are read as; recordings.py and conversations.py hold a reader for each layout; gathering.py
turns records into shards that stages draw from, held.py holds some of them at a time; qwen2.py and vision.py read the
language model and the eyes.
"""
