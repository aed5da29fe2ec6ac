"""All sentences that a closed domain answers with, as a grammar for PocketSphinx: a finite state automaton that takes just
these, the smallest there is."""

import re


def words(text):
    """As dictionaries of pronunciations have them: in small letters, apostrophes within a word kept."""
    return re.findall(r"[a-z]+(?:'[a-z]+)*", text.lower())


def automaton(sentences):
    """(states, transitions (from, to, word), final states); state 0 is the first. Ends that are alike are shared."""
    tree = {}
    for sentence in sentences:
        node = tree
        for word in sentence:
            node = node.setdefault(word, {})
        node[None] = None
    numbers, transitions, final = {}, [], set()

    def number(node):
        """The same for nodes from which the same can follow."""
        after = tuple((word, None if follower is None else number(follower)) for word, follower in sorted(
            node.items(), key=lambda entry: entry[0] or ""))  # fmt: skip
        if after not in numbers:
            numbers[after] = len(numbers)
            for word, follower in after:
                if word is None:
                    final.add(numbers[after])
                else:
                    transitions.append((numbers[after], follower, word))
        return numbers[after]

    first = number(tree)
    swapped = {first: 0, 0: first}
    place = lambda state: swapped.get(state, state)  # noqa: E731
    moved = sorted((place(start), place(end), word) for start, end, word in transitions)
    return len(numbers), moved, {place(state) for state in final}


def written(name, sentences):
    """The grammar as a file in Sphinx's FSG format. It has one final state, which those that may be last lead to."""
    states, transitions, final = automaton(sentences)
    lines = [f"FSG_BEGIN {name}", f"NUM_STATES {states + 1}", "START_STATE 0", f"FINAL_STATE {states}"]
    lines += [f"TRANSITION {start} {end} 1.0 {word}" for start, end, word in transitions]
    lines += [f"TRANSITION {state} {states} 1.0" for state in sorted(final)]
    return "\n".join([*lines, "FSG_END"]) + "\n"
