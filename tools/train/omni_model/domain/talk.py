"""Questions that need no picture, and their answers of at most eight words.

A topic yields intents: what is asked, what is answered, ways to ask that training has, and ways that are held out.
"""

import random

from .phrasing import Intent
from .words import number, sentence, split, time


ASKED_SUM = (
    "What is {}?|How much is {}?|{}?|Tell me what {} is.|What does {} make?|Can you tell me what {} is?|Please calculate {}.|"
    "I want to know what {} is.|Work out {}.|What do you get for {}?|Do you know what {} is?|Calculate {}, please."
)
CLAUSES_SUM = "what {} is|how much {} is|what {} makes|what {} gives|what one gets for {}|what {} comes to|how much {} makes"
ORDERS_SUM = "calculate {}|work out {}|compute {}|solve {}|figure out {}"
HELD_OUT_SUM = "What's {}?|Could you work out {} for me?|What is the result of {}?"
ASKED_TIME = (
    "What time is it {} {}?|What time is {} {}?|Tell me what time it is {} {}.|Which time is {} {}?|{} {}, what time is it?|"
    "Do you know what time it is {} {}?"
)
CLAUSES_TIME = "what time it is {} {}|which time it is {} {}|what time we have {} {}|how late it is {} {}|what the clock says {} {}"
HELD_OUT_TIME = "What is the time {} {}?|Can you tell me the time {} {}?"
SPANS = {1: "a quarter of an hour", 2: "half an hour", 4: "one hour", 8: "two hours", 12: "three hours"}


def filled(ways, *words):
    return tuple(sentence(way[:-1], way[-1]) for way in parts(ways, *words))


def parts(ways, *words):
    return tuple(way.format(*words) for way in split(ways)) if ways else ()


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
    return Intent("arithmetic", text, answer, filled(ASKED_SUM, text), filled(HELD_OUT_SUM, text), parts(CLAUSES_SUM, text),
                  parts(ORDERS_SUM, text))  # fmt: skip


def clock():
    for start in range(48):
        for quarters, span in SPANS.items():
            for direction, sign in (("after", 1), ("before", -1)):
                words = (f"{span} {direction}", time(start))
                answer = sentence(f"it is {time(start + sign * quarters)}")
                yield Intent("clock", " ".join(words), answer, filled(ASKED_TIME, *words), filled(HELD_OUT_TIME, *words),
                             parts(CLAUSES_TIME, *words))  # fmt: skip


# What is asked, a slash, what is answered; the ways to ask, of which the last is held out.
SELF = """
I am Omni, a small assistant. / Who are you?|What is your name?|What are you called?|Tell me your name.|Say your name.|Introduce \
yourself.|May I ask your name?|What are you?|Do you have a name?|Who am I talking to?|How are you called?|Tell me who you are.
I can see, listen and answer. / What can you do?|What are you good at?|How can you help me?|What are you able to do?|What do \
you do?|Tell me how you can help me.|What are your skills?|What can I ask you?|What are you there for?|Tell me what you can do.
I am fine, thank you. / How are you?|How are you today?|How do you feel?|Are you fine?|How do you do?|Are you well?|Are you \
okay?|How are things?|Are you doing well?|How do you feel today?|How is it going?
Hello, what can I do for you? / Hello.|Hi.|Good morning.|Hello, Omni.|Good evening.|Hey.|Good day.|Good afternoon.|Hi, Omni.|\
Hello again.|Hey there.|Good morning, Omni.|Hello there.|Hi there.
You are welcome. / Thank you.|Thanks.|Thank you very much.|Many thanks.|I thank you.|Thank you, Omni.|Thanks, Omni.|That was \
helpful.|Very kind of you.|Thank you so much.|That is nice of you.|Thanks a lot.
Goodbye, see you soon. / Goodbye.|Bye.|See you later.|Good night.|See you.|See you soon.|I have to go.|Good night, Omni.|\
Goodbye, Omni.|See you tomorrow.|Farewell.|Until tomorrow.|Bye bye.
No, I am a computer program. / Are you a person?|Are you human?|Are you real?|Are you alive?|Are you a human?|Are you a man?|\
Are you a woman?|Are you a living being?|Do I speak with a person?|Is there a person talking?|Are you a real person?
I live inside this computer. / Where are you?|Where do you live?|Where are you now?|In which place are you?|Where is your \
home?|What is your home?|Where do you come from?|Which place do you live in?|Tell me where you live.
Yes, I can see pictures. / Can you see?|Can you see pictures?|Do you have eyes?|Do you see?|Can you look at pictures?|Do you \
understand pictures?|Can I show you pictures?|Can you look at things?|Are you able to see?
Yes, I can hear you well. / Can you hear me?|Do you hear me?|Are you listening?|Do you understand me?|Can you understand me?|\
Can you hear my voice?|Are you still listening?|Do you hear what I say?|Are you there?
I am still very young. / How old are you?|What is your age?|When were you born?|How many years old are you?|Are you old?|Are \
you young?|How long have you been here?|Since when do you exist?|Tell me your age.
Two processor cores are enough for me. / What do you run on?|What do you need to run?|How many cores do you need?|What hardware \
do you need?|Do you need a big computer?|Do you need a graphics card?|What kind of computer do you need?|Which machine do you need?
I learned from synthetic voices. / How did you learn?|Where did you learn to speak?|What did you learn from?|How were you \
trained?|What were you trained on?|How did you learn to speak?|From whom did you learn?|Who taught you to speak?
I speak only English. / Which languages do you speak?|What languages do you know?|What languages do you speak?|Do you speak \
German?|Do you speak Spanish?|Can you speak another language?|Do you understand Italian?|Do you speak French?
""".replace("\\\n", "")
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
                   "What is the name of {}'s capital?|What's the capital of {}?",
                   "what the capital of {} is|which city is the capital of {}|how the capital of {} is called",
                   "name the capital of {}|say the capital of {}|give me the capital of {}")  # fmt: skip
    for a, b in pairs(OPPOSITES):
        for word, other in ((a, b), (b, a)):
            yield fact(f"The opposite of {word} is {other}.", word, "What is the opposite of {}?|Tell me the opposite of {}.|"
                       "What is the reverse of {}?|Which word is the opposite of {}?|Do you know the opposite of {}?",
                       "what the opposite of {} is|which word is the opposite of {}|what the reverse of {} is",
                       "name the opposite of {}|give me the opposite of {}|find the opposite of {}")  # fmt: skip
    for animal, count in pairs(LEGS):
        legs = "no legs" if count == "0" else f"{number(int(count))} legs"
        yield fact(f"A {animal} has {legs}.".replace("A ant", "An ant"), animal, "How many legs does a {} have?|"
                   "How many legs has a {}?|Tell me how many legs a {} has.|What number of legs does a {} have?",
                   "how many legs a {} has|how many legs there are on a {}|how many legs a {} walks on",
                   "count the legs of a {}")  # fmt: skip
    for thing, hue in pairs(HUES):
        yield fact(sentence(f"{thing} is {hue}"), thing, "What color is {}?|Which color is {}?|Tell me the color of {}.|"
                   "What is the color of {}?", "what color {} is|which color {} has|what color {} has",
                   "name the color of {}")  # fmt: skip
    for names, what in ((DAYS, "day"), (MONTHS, "month")):
        for place, name in enumerate(names):
            after, before = names[(place + 1) % len(names)], names[place - 1]
            ways = f"Which {what} comes {{}}?|What comes {{}}?|Which {what} is {{}}?|Tell me the {what} {{}}.|"
            ways += f"What {what} is {{}}?"
            more = f"which {what} comes {{}}|what {what} comes {{}}|which {what} is {{}}", f"name the {what} {{}}"
            yield fact(f"{after} comes after {name}.", f"after {name}", ways, *more)
            yield fact(f"{before} comes before {name}.", f"before {name}", ways, *more)
    for parts, whole, count in (entry.split() for entry in COUNTS.split("|")):
        article = "An" if whole == "hour" else "A"
        yield fact(f"{article} {whole} has {number(int(count))} {parts}.", f"{article.lower()} {whole}",
                   f"How many {parts} does {{}} have?|How many {parts} has {{}}?|How many {parts} are in {{}}?|"
                   f"Tell me how many {parts} {{}} has.|What number of {parts} does {{}} have?",
                   f"how many {parts} {{}} has|how many {parts} are in {{}}", f"count the {parts} of {{}}")  # fmt: skip
    for animal, baby in pairs(BABIES):
        yield fact(f"A young {animal} is a {baby}.", animal, "What is a young {} called?|What do you call a young {}?|"
                   "Tell me what a young {} is called.|What is the name of a young {}?",
                   "what a young {} is called|how you call a young {}|how a young {} is called")  # fmt: skip
    for animal, sound in pairs(SOUNDS):
        yield fact(f"A {animal} {sound}.", animal, "What sound does a {} make?|What does a {} do?|Which sound does a {} make?|"
                   "What noise does a {} make?", "what sound a {} makes|which sound a {} makes|how a {} sounds")  # fmt: skip


def pairs(text):
    return (entry.rsplit(" ", 1) for entry in text.split("|"))


def fact(answer, word, ways, clauses="", orders=""):
    """The last of the ways is held out."""
    ways, clauses, orders = (each.replace("a {}", "an {}") if word == "ant" else each for each in (ways, clauses, orders))
    asked = filled(ways, word)
    return Intent("facts", f"{word}: {answer}", answer, asked[:-1], asked[-1:], parts(clauses, word), parts(orders, word))


QUESTIONS = (
    "Who won {}?|When does {} begin?|How expensive is {}?|What do you think of {}?|Who invented {}?|How does {} work?|"
    "Where can I buy {}?|What is the history of {}?|Why is {} so popular?|Who made {}?|Who wrote {}?|Who likes {}?|Who built {}?|"
    "When does {} end?|When is {}?|How old is {}?|How big is {}?|How long is {}?|How much does {} cost?|How do I get to {}?|"
    "How do I repair {}?|How did you like {}?|Where does {} come from?|Why do people like {}?|What is the price of {}?|"
    "What is good about {}?|What is wrong with {}?|What happened to {}?|What is better than {}?|Is {} any good?|Do you like {}?|"
    "Have you heard of {}?|Should I see {}?|Can you explain {}?|Tell me about {}.|Tell me a story about {}.|Explain {} to me.|"
    "What do you know about {}?|Who knows {}?|How popular is {}?|How heavy is {}?|Is {} far away?|Do I need {}?"
)
HELD_OUT_QUESTIONS = "Who is the owner of {}?|How far away is {}?"
TOPICS = split(
    "the last game|the new film|the concert|a good phone|the election|the train|this song|a plane ticket|the telephone|"
    "a steam engine|the stock market|the museum|my neighbor's car|the hotel|the bakery|a violin|the airport|chess|football"
)
# Training alone has these.
MORE_TOPICS = split(
    "the weather|the moon|the last war|a good doctor|the president|the king of England|my car|the bus|the internet|the lottery|"
    "a guitar|tennis|the price of gold|a good book|the ocean|my phone|the radio|a new computer|the library|the highest mountain|"
    "love|the meaning of life|the market|the piano|a rocket|the best restaurant|the news|my boss|the party|this movie"
)
ORDERS = (
    "Book {}.|Order {}.|Send {} to my brother.|Sell {}.|Please buy {}.|Open {}.|Find {} for me.|Pay for {}.|Remind me of {}.|"
    "Bring me {}.|Give me {}.|Buy {}.|Buy {} for my sister.|Call {}.|Close {}.|Bring {}.|Fetch {}.|Deliver {} to my house.|"
    "Reserve {}.|Repair {}.|Clean {}.|Move {}.|Take {} away.|Throw {} away.|Send {} to my office.|Write {}.|Print {}.|Play {}.|"
    "Turn on {}.|Turn off {}.|Look for {}.|Search for {}.|Pack {}.|Prepare {}.|Change {}.|Make {}.|Paint {}.|Carry {}.|"
    "Put {} on the table.|I need {}.|I want {}.|Show me {}.|Hand me {}.|Lend me {}.|Hide {}.|Can you bring me {}?|Can you open {}?"
)
HELD_OUT_ORDERS = "Get me {}.|Cancel {}."
THINGS = split(
    "a table for two|a taxi|a pizza|my old bicycle|two tickets|the front door|a message|the garage|a hotel room|some flowers|"
    "a new lamp|the meeting|my letter|a cup of coffee|the package|a birthday cake|the window|an umbrella"
)
MORE_THINGS = split(
    "the lamp|the television|the heating|an email|a photo|a sandwich|some music|a bottle of water|the dishes|my shoes|"
    "the newspaper|my homework|a new phone|the bill|a rental car|an appointment|the alarm clock|my suitcase|a chair|a warm coat|"
    "the kitchen table|my calendar|the lights|a bus ticket|a glass of milk|my hat|the curtains|a blanket|the report|some bread"
)
DO_NOT_KNOW, CANNOT = "Sorry, I do not know that.", "Sorry, I cannot do that."


def refusals():
    for answer, asked, kinds in (
        (DO_NOT_KNOW, QUESTIONS, ((TOPICS, HELD_OUT_QUESTIONS), (MORE_TOPICS, ""))),
        (CANNOT, ORDERS, ((THINGS, HELD_OUT_ORDERS), (MORE_THINGS, ""))),
    ):
        for about, held_out in kinds:
            yield from (Intent("refusals", each, answer, filled(asked, each), filled(held_out, each)) for each in about)


ASKED_REPEAT = (
    "Repeat after me: {}|Say this: {}|Please say: {}|Repeat: {}|Say after me: {}|Now say: {}|Speak after me: {}|Your turn: {}|"
    "Say the sentence: {}|Say the words: {}|Say it like me: {}|Now you: {}|Listen and say: {}"
)
WAYS_REPEAT = 5  # of those, for each sentence
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
        ways = tuple(way.format(said) for way in rng.sample(split(ASKED_REPEAT), WAYS_REPEAT))
        if place < count:
            yield Intent("repeat", said, said, ways, (HELD_OUT_REPEAT.format(said),))
        else:
            yield Intent("repeat", said, said, (), (split(ASKED_REPEAT)[0].format(said),))
