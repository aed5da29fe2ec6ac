"""Many ways to ask the same. What is asked in a dozen ways is answered when it is asked in one of them: of sums that were written
97 % were right, of the same sums in three ways that training has not 81 %."""

from dataclasses import dataclass

from .words import sentence, split


@dataclass(frozen=True)
class Intent:
    """What is asked and answered; ways to ask that training has, and ways that are held out. clauses and orders: what other ways
    are made of."""

    topic: str
    key: str
    answer: str | None  # None where it takes a picture
    asked: tuple
    held_out: tuple = ()
    clauses: tuple = ()
    orders: tuple = ()


# Around what is to be known, as in "what five plus two is".
AROUND = split(
    "Tell me {}.|Please tell me {}.|Can you tell me {}?|Could you tell me {}?|Will you tell me {}?|Would you tell me {}?|"
    "Do you know {}?|Do you happen to know {}?|I want to know {}.|I would like to know {}.|I need to know {}.|I wonder {}.|"
    "I forgot {}.|Let me know {}.|Say {}.|Can you say {}?|Could you please say {}?|Do you have any idea {}?|"
    "Help me to find out {}.|Let us find out {}.|I have no idea {}.|Guess {}.|You surely know {}.|My friend asks {}.|"
    "Somebody asked me {}.|Are you able to tell me {}?|Remind me {}.|Do you remember {}?|I am not sure {}.|Just tell me {}."
)
# Around what is to be done, as in "count the stars".
WISHES = split(
    "{}.|Please {}.|{}, please.|Can you {}?|Could you {}?|Would you {}?|Will you please {}?|Could you please {}?|"
    "I want you to {}.|I would like you to {}.|You should {}.|Now {}.|Let us {}.|Help me to {}.|Try to {}.|"
    "Are you able to {}?|Be so kind and {}.|Just {}.|May I ask you to {}?|You may {} now."
)
# Before anything.
BEFORE = split(
    "Omni, |Hey, |Okay, |So, |Now, |Well, |Hello, |Excuse me, |And |Listen, |All right, |By the way, |One more question: |"
    "I have a question: |Quickly, |Good, |Then |Hi, |Hm, |Next question: "
)


def widened(rng, intent, most):
    """Ways to ask, at most `most`: the intent's own, and of all that can be made of them some. None of those held out."""
    own = list(dict.fromkeys(intent.asked))
    if not own or len(own) >= most:
        return rng.sample(own, most) if own else []
    made = [sentence(way[:-1].format(clause), way[-1]) for way in AROUND for clause in intent.clauses]
    made += [sentence(way[:-1].format(order), way[-1]) for way in WISHES for order in intent.orders]
    # A third have something before them.
    made = [before + way[0].lower() + way[1:] if not way.startswith("I ") and rng.random() < 1 / 3 else way
            for way, before in zip(made, rng.choices(BEFORE, k=len(made)))]  # fmt: skip
    made += [before + way[0].lower() + way[1:] for way in own for before in BEFORE if not way.startswith("I ")]
    taken = {*own, *intent.held_out}
    made = [way for way in dict.fromkeys(made) if way not in taken]
    return own + rng.sample(made, min(len(made), most - len(own)))
