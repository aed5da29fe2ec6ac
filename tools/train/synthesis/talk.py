"""Texts: commands, what sounds like commands, and talk, from a small grammar and from Python's own documentation.

Each comes in two halves, of which training gets one: see held_out.py. Python's documentation (PSF licence) is read from
wherever the interpreter's library lies, and nothing of it is kept.
"""

import ast
import functools
import re
import sysconfig
import zlib
from pathlib import Path

COMMANDS = ["stop", "stop omni", "wait"]
SPELLINGS = ["{}.", "{}!", "{}", "{},"]
# The same command said again at once is the command.
REPEATED = {"stop": ["stop, stop", "stop stop stop"], "wait": ["wait, wait", "wait wait wait"]}

# None of these is a command: they are parts of talk, or sound alike.
NEAR_MISSES = [
    "don't stop", "please don't stop", "never stop", "non stop", "bus stop", "the bus stop", "at the bus stop",
    "a full stop", "the next stop", "stop sign", "the stop sign", "stopwatch", "a stopwatch", "stopped", "he stopped",
    "it stopped raining", "stopping", "stops", "it stops here", "stopper", "stop by later", "stop over in Rome",
    "stop the music at ten", "stop at the corner", "stop there for a while", "we should stop soon", "when did it stop",
    "why did you stop reading", "I can't stop laughing", "where does this train stop", "one stop away",
    "the omni", "omni", "omni bus", "hey omni", "the omni directional one", "omnibus", "omnivore",
    "weight", "body weight", "the weight", "light weight", "way to go", "way too much", "on the way to school",
    "wait a minute I think", "wait for me", "wait until tomorrow", "I can't wait", "can't wait", "just you wait",
    "we have to wait", "waiting", "waited", "waiter", "the waiter came", "wait and see", "how long do I wait",
    "top", "the top", "shop", "the shop", "step", "next step", "stock", "stop gap", "stomp", "star", "store", "start",
    "start over", "spot", "stuff", "pop", "drop", "chop", "hop", "what", "what is it", "wet", "late", "eight", "wake up",
    "wade", "wave", "great", "straight", "rate", "that's right", "way", "ate", "to", "hot", "not", "got it", "stay",
    "state", "statement", "story", "stupid", "strong", "cup", "up", "step on it", "on top", "Tommy", "only", "army",
    "stop only if", "stop on Monday morning", "laptop", "desktop", "rooftop", "doorstep", "nonstop flight",
    "yes", "no", "okay", "thanks", "hello", "go on", "continue", "again", "hm", "um", "oh", "right", "sure", "really",
]  # fmt: skip
HELD_OUT_NEAR_MISSES = [
    "don't stop now", "bus stop sign", "the stopwatch is running", "stop that bus", "the omni is nice", "stopover",
    "wait a second I know", "wait for the bus", "the weight of it", "way to do it", "stopped clock", "a short stop",
    "I couldn't stop", "they will stop", "stop light", "whistle stop tour", "dead weight", "I'll wait", "await",
    "step up", "tip top", "stop and go", "the amount", "swap", "the stock", "wheat", "quite", "wade in", "stop the car",
    "does it stop", "nonstop", "pit stop", "an omni", "weigh it", "waste", "stab", "stub", "staff", "steps", "sharp",
]  # fmt: skip

# Mandarin, on which nothing is trained: the transcript detector's default commands, and what contains or resembles them.
MANDARIN_COMMANDS = ["停", "打断一下", "换个话题"]
MANDARIN_NEAR_MISSES = [
    "不要停", "别停下来", "停车场在哪里", "雨停了", "我们在门口停车", "他停了一下", "请不要打断我", "他打断了老师的话", "打开电视", "打扫一下房间",
    "我们换个地方吧", "换一件衣服", "这个话题很有意思", "他换了电话", "等一下", "听", "听一下", "挺好的", "你好", "好的", "对", "谢谢", "今天天气很好",
    "再说一遍", "明天见",
]  # fmt: skip

WORDS = {
    "person": "my mother|my father|the teacher|a friend|our neighbour|the doctor|Anna|Peter|the driver|somebody|the boss|"
    "your sister|the children|the people next door|Thomas|Mary|my colleague|the waiter|a stranger|the whole team",
    "thing": "the red car|a cup of tea|the old house|my phone|this book|the kitchen window|a warm coat|the garden|the train|"
    "that picture|the front door|a glass of water|the radio|the new computer|some bread|the garage|her bicycle|the report|"
    "the weather|a long letter|the music|the soup|his guitar|the budget|the map|a stopwatch|the weight|the bus",
    "place": "in the park|at home|on the table|near the station|in London|at the office|behind the shop|under the bridge|"
    "at the bus stop|upstairs|in the mountains|by the river|across the street|at school|in the hospital|at the top",
    "time": "yesterday|this morning|on Sunday|next week|in the evening|at eight o'clock|last summer|every day|tonight|"
    "before lunch|after the meeting|in November|all night|for two hours|right now|sometimes",
    "did": "found|bought|forgot|painted|repaired|saw|lost|cleaned|sold|brought|opened|needed|liked|stopped|dropped|weighed|"
    "waited for|looked at|talked about|asked for|was waiting with|pushed|carried|remembered",
    "do": "find|buy|paint|repair|see|clean|sell|bring|open|need|like|stop|drop|weigh|wait for|look at|talk about|ask for|"
    "carry|remember|use|keep|move|explain|translate|describe|draw",
    "how": "slowly|again|quite well|carefully|by accident|without a word|as fast as possible|together|too late|once more",
    "adjective": "beautiful|expensive|strange|easy|cold|important|quiet|late|great|wet|hot|difficult|funny|empty|strong",
    "number": "two|three|five|eight|eleven|twenty|forty two|a hundred|three thousand",
}  # fmt: skip
TEMPLATES = [
    "{person} {did} {thing} {place}.", "{time}, {person} {did} {thing}.", "Can you {do} {thing} for me?",
    "How do I {do} {thing} {place}?", "What is the {adjective} way to {do} {thing}?", "I think {thing} is very {adjective}.",
    "{person} {did} {thing} {time}, and {person} {did} {thing} {how}.", "We had to wait {place} for {person}.",
    "Tell me something about {thing}.", "The bus will stop {place} {time}.", "Why is {thing} so {adjective} {time}?",
    "If {person} comes {time}, we will {do} {thing}.", "There were {number} of them {place}.",
    "Don't stop until you {do} {thing}.", "{person} said that {thing} was {adjective}.", "It did not stop raining {time}.",
    "Please {do} {thing} {how}.", "I can't wait to {do} {thing}.", "My weight is {number} kilos {time}.",
    "Where did {person} {do} {thing}?", "She used to {do} {thing} {place}, but {time} she stopped.",
    "Let me {do} {thing} first, then we {do} {thing}.", "No, {person} was {adjective} {time}.",
    "We waited {time} and {did} {thing}.", "Which is more {adjective}, {thing} or {thing}?",
    "{number} or {number}, it does not matter to {person}.", "Stop the {adjective} one {place} and {do} {thing}.",
    "Wait until {person} can {do} {thing}.", "He would not stop talking about {thing}.", "{time} I will {do} {thing} {how}.",
]  # fmt: skip
HELD_OUT_TEMPLATES = [
    "Have you ever tried to {do} {thing} {place}?", "When it rains, {person} never stops {place}.",
    "I was about to {do} {thing} when {person} came.", "You should not wait {time} with {thing}.",
    "{person} stood {place} and did not know how to {do} {thing}.", "Could we {do} {thing} {time} instead?",
    "After {number} years {thing} is still {adjective}.", "The last stop is {place}, as {person} told me.",
    "Nobody {did} {thing} as {how} as {person}.", "What would happen to {thing} if {person} stopped {place}?",
    "It is {adjective} to {do} {thing}, isn't it?", "My friend waits {place}, she has {number} bags.",
]  # fmt: skip


def sentence(rng, held_out=False):
    """One made from the grammar; rng: random.Random."""
    template = rng.choice(HELD_OUT_TEMPLATES if held_out else TEMPLATES)
    text = re.sub(r"\{(\w+)\}", lambda found: rng.choice(WORDS[found[1]].split("|")), template)
    return text[0].upper() + text[1:]


@functools.cache
def documentation(held_out=False):
    """Sentences of Python's documentation strings, half of its modules each."""
    library = Path(sysconfig.get_paths()["stdlib"])
    found = set()
    for path in sorted(library.glob("*.py")) + sorted(library.glob("[a-z]*/*.py")):
        if "packages" in path.parts[-2] or (zlib.crc32(path.stem.encode()) % 2 == 1) != held_out:
            continue
        try:
            tree = ast.parse(path.read_text(errors="replace"))
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Module)):
                text = re.sub(r"\s+", " ", ast.get_docstring(node) or "")
                found.update(re.findall(r"\b[A-Z][a-z]*(?: [a-z']+,?){3,20} [a-z]+\.", text))
    return sorted(found)


def talk(rng, held_out=False):
    """A sentence of the one or the other kind."""
    texts = documentation(held_out)
    return rng.choice(texts) if texts and rng.random() < 0.5 else sentence(rng, held_out)
