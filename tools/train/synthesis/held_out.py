"""What training never hears, in one place: detectors are measured on these voices and texts.

- The engine festival, whole. Its voice ked is a speaker whom no other engine has; kal and slt-hts are other syntheses of
  speakers whom flite has too.
- espeak-ng's variants and accent below.
- Whole templates and words of the talk (talk.py), and the near-misses below.
"""

ENGINES = ["festival"]
ESPEAK_VARIANTS = ["f4", "m5", "Annie", "Michael", "klatt3", "grandpa", "linda", "Hugo", "steph2", "victor"]
ESPEAK_ACCENTS = ["en-gb-scotland"]
# Ways to write a command: they change its melody.
SPELLINGS = ["{}?", "{}..."]


def is_held_out(voice):
    if voice.engine in ENGINES:
        return True
    if voice.engine != "espeak":
        return False
    accent, variant = voice.name.split("+")
    return variant in ESPEAK_VARIANTS or accent in ESPEAK_ACCENTS
