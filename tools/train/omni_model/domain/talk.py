"""Questions that need no picture, and their answers of at most eight words.

A topic yields intents: what is asked, what is answered, ways to ask that training has, and ways that are held out.
"""

import random
from dataclasses import dataclass

from .words import number, sentence, time


@dataclass(frozen=True)
class Intent:
    topic: str
    key: str
    answer: str
    asked: tuple
    held_out: tuple


ASKED_SUM = (
    "What is {}?|How much is {}?|{}?|Tell me what {} is.|What does {} make?|Can you tell me what {} is?|Please calculate {}.|"
    "I want to know what {} is.|Work out {}.|What do you get for {}?|Do you know what {} is?|Calculate {}, please."
)
HELD_OUT_SUM = "What's {}?|Could you work out {} for me?|What is the result of {}?"
ASKED_TIME = (
    "What time is it {} {}?|What time is {} {}?|Tell me what time it is {} {}.|Which time is {} {}?|{} {}, what time is it?|"
    "Do you know what time it is {} {}?"
)
HELD_OUT_TIME = "What is the time {} {}?|Can you tell me the time {} {}?"
SPANS = {1: "a quarter of an hour", 2: "half an hour", 4: "one hour", 8: "two hours", 12: "three hours"}


def split(text):
    return tuple(text.split("|"))


def filled(ways, *words):
    return tuple(sentence(way[:-1].format(*words), way[-1]) for way in split(ways))


def arithmetic(most=20, most_factor=10):
    for a in range(most + 1):
        for b in range(most + 1):
            yield _sum(a, b, "plus", a + b)
            if a >= b:
                yield _sum(a, b, "minus", a - b)
    for a in range(1, most_factor + 1):
        for b in range(1, most_factor + 1):
            yield _sum(a, b, "times", a * b)


def _sum(a, b, sign, result):
    text = f"{number(a)} {sign} {number(b)}"
    answer = sentence(f"{text} is {number(result)}")
    return Intent("arithmetic", text, answer, filled(ASKED_SUM, text), filled(HELD_OUT_SUM, text))


def clock():
    for start in range(48):
        for quarters, span in SPANS.items():
            for direction, sign in (("after", 1), ("before", -1)):
                words = (f"{span} {direction}", time(start))
                answer = sentence(f"it is {time(start + sign * quarters)}")
                yield Intent("clock", " ".join(words), answer, filled(ASKED_TIME, *words), filled(HELD_OUT_TIME, *words))


# What is asked, a slash, what is answered; the ways to ask, of which the last is held out.
SELF = """
I am Omni, a small assistant. / Who are you?|What is your name?|What are you called?|Tell me your name.|Tell me who you are.
I can see, listen and answer. / What can you do?|What are you good at?|How can you help me?|Tell me what you can do.
I am fine, thank you. / How are you?|How are you today?|How do you feel?|Are you fine?|How is it going?
Hello, what can I do for you? / Hello.|Hi.|Good morning.|Hello, Omni.|Good evening.|Hi there.
You are welcome. / Thank you.|Thanks.|Thank you very much.|Many thanks.|Thanks a lot.
Goodbye, see you soon. / Goodbye.|Bye.|See you later.|Good night.|Bye bye.
No, I am a computer program. / Are you a person?|Are you human?|Are you real?|Are you alive?|Are you a real person?
I live inside this computer. / Where are you?|Where do you live?|Where are you now?|Tell me where you live.
Yes, I can see pictures. / Can you see?|Can you see pictures?|Do you have eyes?|Are you able to see?
Yes, I can hear you well. / Can you hear me?|Do you hear me?|Are you listening?|Are you there?
I am still very young. / How old are you?|What is your age?|When were you born?|Tell me your age.
Two processor cores are enough for me. / What do you run on?|What do you need to run?|Which machine do you need?
I learned from synthetic voices. / How did you learn?|Where did you learn to speak?|Who taught you to speak?
I speak only English. / Which languages do you speak?|What languages do you know?|Do you speak French?
"""
CAPITALS = (
    "France Paris|Germany Berlin|Italy Rome|Spain Madrid|Portugal Lisbon|England London|Ireland Dublin|Scotland Edinburgh|"
    "Norway Oslo|Sweden Stockholm|Finland Helsinki|Denmark Copenhagen|Austria Vienna|Poland Warsaw|Hungary Budapest|"
    "Greece Athens|Russia Moscow|Japan Tokyo|China Beijing|Egypt Cairo|Canada Ottawa|Cuba Havana|Peru Lima|Kenya Nairobi"
)
OPPOSITES = (
    "hot cold|big small|old young|rich poor|fast slow|high low|long short|open closed|black white|left right|up down|"
    "good bad|happy sad|early late|light dark|full empty|wet dry|strong weak|hard soft|clean dirty"
)
LEGS = "spider 8|dog 4|cat 4|horse 4|bird 2|bee 6|ant 6|fly 6|cow 4|snake 0|fish 0|chicken 2"
HUES = "grass green|snow white|blood red|coal black|the sky blue|a lemon yellow|a tomato red|a carrot orange|milk white"
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
COUNTS = "days week 7|months year 12|hours day 24|minutes hour 60|seconds minute 60|corners triangle 3|sides square 4"
BABIES = "dog puppy|cat kitten|cow calf|sheep lamb|horse foal|hen chick|duck duckling|bear cub"
SOUNDS = "dog barks|cat meows|cow moos|sheep bleats|duck quacks|lion roars|bee buzzes|snake hisses|wolf howls|pig grunts"


def facts():
    for line in SELF.strip().splitlines():
        answer, asked = line.split(" / ")
        ways = split(asked)
        yield Intent("self", ways[0], answer, ways[:-1], ways[-1:])
    for country, city in pairs(CAPITALS):
        yield fact(f"The capital of {country} is {city}.", country, "What is the capital of {}?|"
                   "Which city is the capital of {}?|Tell me the capital of {}.|Do you know the capital of {}?|"
                   "What is the name of {}'s capital?|What's the capital of {}?")  # fmt: skip
    for a, b in pairs(OPPOSITES):
        for word, other in ((a, b), (b, a)):
            yield fact(f"The opposite of {word} is {other}.", word, "What is the opposite of {}?|Tell me the opposite of {}.|"
                       "What is the reverse of {}?|Which word is the opposite of {}?|Do you know the opposite of {}?")
    for animal, count in pairs(LEGS):
        legs = "no legs" if count == "0" else f"{number(int(count))} legs"
        yield fact(f"A {animal} has {legs}.".replace("A ant", "An ant"), animal, "How many legs does a {} have?|"
                   "How many legs has a {}?|Tell me how many legs a {} has.|What number of legs does a {} have?")  # fmt: skip
    for thing, hue in pairs(HUES):
        yield fact(sentence(f"{thing} is {hue}"), thing, "What color is {}?|Which color is {}?|Tell me the color of {}.|"
                   "What is the color of {}?")  # fmt: skip
    for names, what in ((DAYS, "day"), (MONTHS, "month")):
        for place, name in enumerate(names):
            after, before = names[(place + 1) % len(names)], names[place - 1]
            ways = f"Which {what} comes {{}}?|What comes {{}}?|Which {what} is {{}}?|Tell me the {what} {{}}.|"
            ways += f"What {what} is {{}}?"
            yield fact(f"{after} comes after {name}.", f"after {name}", ways)
            yield fact(f"{before} comes before {name}.", f"before {name}", ways)
    for parts, whole, count in (entry.split() for entry in COUNTS.split("|")):
        article = "An" if whole == "hour" else "A"
        yield fact(f"{article} {whole} has {number(int(count))} {parts}.", f"{article.lower()} {whole}",
                   f"How many {parts} does {{}} have?|How many {parts} has {{}}?|How many {parts} are in {{}}?|"
                   f"Tell me how many {parts} {{}} has.|What number of {parts} does {{}} have?")  # fmt: skip
    for animal, baby in pairs(BABIES):
        yield fact(f"A young {animal} is a {baby}.", animal, "What is a young {} called?|What do you call a young {}?|"
                   "Tell me what a young {} is called.|What is the name of a young {}?")  # fmt: skip
    for animal, sound in pairs(SOUNDS):
        yield fact(f"A {animal} {sound}.", animal, "What sound does a {} make?|What does a {} do?|Which sound does a {} make?|"
                   "What noise does a {} make?")  # fmt: skip


def pairs(text):
    return (entry.rsplit(" ", 1) for entry in text.split("|"))


def fact(answer, word, ways):
    asked = filled(ways.replace("a {}", "an {}") if word == "ant" else ways, word)
    return Intent("facts", f"{word}: {answer}", answer, asked[:-1], asked[-1:])


QUESTIONS = (
    "Who won {}?|When does {} begin?|How expensive is {}?|What do you think of {}?|Who invented {}?|How does {} work?|"
    "Where can I buy {}?|What is the history of {}?|Why is {} so popular?"
)
HELD_OUT_QUESTIONS = "Who is the owner of {}?|How far away is {}?"
TOPICS = split(
    "the last game|the new film|the concert|a good phone|the election|the train|this song|a plane ticket|the telephone|"
    "a steam engine|the stock market|the museum|my neighbor's car|the hotel|the bakery|a violin|the airport|chess|football"
)
ORDERS = (
    "Book {}.|Order {}.|Send {} to my brother.|Sell {}.|Please buy {}.|Open {}.|Find {} for me.|Pay for {}.|Remind me of {}."
)
HELD_OUT_ORDERS = "Get me {}.|Cancel {}."
THINGS = split(
    "a table for two|a taxi|a pizza|my old bicycle|two tickets|the front door|a message|the garage|a hotel room|some flowers|"
    "a new lamp|the meeting|my letter|a cup of coffee|the package|a birthday cake|the window|an umbrella"
)
DO_NOT_KNOW, CANNOT = "Sorry, I do not know that.", "Sorry, I cannot do that."


def refusals():
    for topic in TOPICS:
        yield Intent("refusals", topic, DO_NOT_KNOW, filled(QUESTIONS, topic), filled(HELD_OUT_QUESTIONS, topic))
    for thing in THINGS:
        yield Intent("refusals", thing, CANNOT, filled(ORDERS, thing), filled(HELD_OUT_ORDERS, thing))


ASKED_REPEAT = "Repeat after me: {}|Say this: {}|Please say: {}|Repeat: {}|Say after me: {}"
HELD_OUT_REPEAT = "Please repeat: {}"
WORDS = {
    "who": "the|my|our|your|this|that|every",
    "which": "old|young|small|big|happy|quiet|green|red|white|friendly|tired|little",
    "whom": "dog|cat|horse|teacher|doctor|farmer|sister|brother|neighbor|child|king|sailor|baker|bird",
    "does": "sleeps|sings|waits|plays|works|sits|runs|reads|laughs|eats|dances|swims|dreams|smiles",
    "where": "in the garden|under the tree|at home|near the river|in the kitchen|on the hill|by the door|at school|"
    "on the roof|behind the house|in the rain|after dinner|every morning|all day",
}


def a_sentence(rng):
    """Five to eight words."""
    who, which, whom, does, where = (rng.choice(words.split("|")) for words in WORDS.values())
    return sentence(f"{who} {which if rng.random() < 0.7 else ''} {whom} {does} {where}".replace("  ", " "))


def repeated(count, held_out, seed):
    """Sentences to be said again; `held_out` more are asked for in training's words, but never in training."""
    rng, sentences = random.Random(seed), {}
    while len(sentences) < count + held_out:
        sentences.setdefault(a_sentence(rng), None)
    for place, said in enumerate(sentences):
        ways = tuple(way.format(said) for way in split(ASKED_REPEAT))
        if place < count:
            yield Intent("repeat", said, said, ways, (HELD_OUT_REPEAT.format(said),))
        else:
            yield Intent("repeat", said, said, (), ways[:1])
