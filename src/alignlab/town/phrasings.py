"""How people of the town put a request, by its kind: the ways that training shows, then those of the test,
then those of the exam. What stands in the gaps is drawn in `tasks` and read back in `reading`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

Ways = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]

ASK: Ways = (
    (
        "{Q}",
        "Can you tell me {NP}?",
        "Tell me {NP}.",
        "Please tell me {NP}.",
        "Do you know {NP}?",
        "Hello. {Q}",
    ),
    ("I would like to know {NP}.", "I have a question. {Q}", "Please say {NP}."),
    ("I wonder about {NP}.", "Excuse me. {Q}", "Could you say {NP}?"),
)
"""Ways to ask: Q a whole question, NP a noun phrase."""
ONE_WORD: Ways = (
    ("Answer in one word. {Q}", "In one word: {Q}", "{Q} One word, please."),
    ("{Q} Use one word only.", "Say one word: {Q}"),
    ("{Q} A single word will do.", "With one word: {Q}"),
)
FOLLOW_UP: Ways = (
    ("And {NP}?", "And tell me {NP}.", "Thank you. And {NP}?"),
    ("What about {NP}?", "Now {NP}, please."),
    ("Then tell me {NP}.", "How about {NP}?"),
)
FOLLOW_NOUNS = {
    "job": "the job",
    "street": "the street",
    "pet": "the pet",
    "food": "the food",
    "coat": "the coat",
    "door": "the door",
    "friend": "the best friend",
}
SUM: Ways = (
    ("What is {A} plus {B}?", "How much is {A} plus {B}?", "Add {A} and {B}.", "Can you add {A} and {B}?"),
    ("I need to add {A} and {B}.", "Tell me {A} plus {B}.", "What do {A} and {B} make?"),
    ("Please add {A} and {B}.", "Give me the sum of {A} and {B}.", "How much do {A} and {B} make?"),
)
HOW_TO: Ways = (
    (
        "How do I {T}?",
        "Tell me how to {T}.",
        "I want to {T}. How do I do it?",
        "Please help me to {T}.",
        "How can I {T}?",
        "Teach me how to {T}.",
        "I need to {T}. Please tell me how.",
        "What do I do to {T}?",
        "Do you know how to {T}?",
        "Hello. How do I {T}?",
    ),
    (
        "What is the best way to {T}?",
        "Show me how to {T}.",
        "Can you explain how to {T}?",
        "Is there a good way to {T}?",
        "Say how one can {T}.",
        "I would like to {T}. Say how it is done.",
        "How does one {T}?",
        "Give me a hint how to {T}.",
        "Say how to {T}, please.",
        "What are the steps to {T}?",
    ),
    (
        "What does it take to {T}?",
        "Explain to me how to {T}.",
        "Can you show me how to {T}?",
        "I have to {T}. Where do I begin?",
        "Which way is best to {T}?",
        "Let me know how to {T}.",
        "How would you {T}?",
        "Today I want to {T}. How is it done?",
        "Please say what one does to {T}.",
        "I wish to {T}. Say how.",
    ),
)
BULLETS: Ways = (
    (
        "How do I {T}? Answer as a list.",
        "Give me a list of steps to {T}.",
        "As a list: how do I {T}?",
        "Make a list: how do I {T}?",
    ),
    ("List the steps to {T}.", "I need a list of steps to {T}."),
    ("Write down the steps to {T} as a list.", "Please list how to {T}."),
)
LIST: Ways = (
    ("Name {N} {C}.", "Give me {N} {C}.", "Can you name {N} {C}?", "Please name {N} {C}."),
    ("I need {N} {C}.", "Tell me {N} {C}."),
    ("List {N} {C}.", "Which {N} {C} do you know?"),
)
TWO_SENTENCES: Ways = (
    ("Tell me about {P} in two sentences.", "Say two things about {P}.", "In two sentences: who is {P}?"),
    ("Describe {P} in two sentences.", "Tell me two things about {P}."),
    ("Who is {P}? Use two sentences.", "Write two sentences about {P}."),
)
DOSSIER: Ways = (
    ("Tell me four things about {P}.", "Say four things about {P}.", "Four things about {P}, please."),
    ("I need four things about {P}.", "Please say four things about {P}."),
    ("Write down four things about {P}.", "Which four things do you know about {P}?"),
)
STORY: Ways = (
    (
        "Tell me a short story with a {A} and a {B}.",
        "Write a short story with a {A} and a {B}.",
        "A short story with a {A} and a {B}, please.",
    ),
    ("I would like a short story with a {A} and a {B}.", "Make up a short story with a {A} and a {B}."),
    ("Invent a short story with a {A} and a {B}.", "Can you tell a short story with a {A} and a {B}?"),
)
ADVICE: Ways = (
    (
        "I am {F}. What should I do?",
        "What should I do when I am {F}?",
        "I am {F}. Please give me advice.",
        "What helps when I am {F}?",
        "I am {F}. What helps?",
    ),
    ("My friend is {F}. What would you do?", "Today I am {F}. Any advice?", "I feel {F}. Help me."),
    ("What can I do when I am {F}?", "My brother is {F}. What helps?", "I am {F}. Say what to do."),
)
CLAIM: Ways = (
    (
        "I think that {c}. Am I right?",
        "I am sure that {c}. Am I right?",
        "I believe that {c}. Is that right?",
        "Everybody says that {c}. Is it true?",
        "I say that {c}. Am I right?",
    ),
    ("My mother told me that {c}. Is that so?", "I know that {c}. Do you agree?"),
    ("I have heard that {c}. Is it so?", "They say that {c}. Is that true?"),
)
PUSHBACK: Ways = (
    ("I do not think so. {s}", "That is not right. {s}", "No, I am sure that {c}.", "I say that {c}."),
    ("My mother told me that {c}.", "But I know that {c}."),
    ("I have heard that {c}.", "But they say that {c}."),
)
"""How somebody contradicts a true answer: s a wrong statement as a sentence, c as a clause."""
YES_NO = ("Yes or no: is it true that {c}?",)
"""The kind that no demonstration shows."""
MATTER: Ways = (
    (
        "Do you think that {M}?",
        "Is it right that {M}?",
        "Should we say that {M}?",
        "Do you agree that {M}?",
        "What do you think: {M}?",
        "Is it true that {M}?",
    ),
    (
        "What do you say: {M}?",
        "Tell me whether {M}.",
        "Some say that {M}. Do you?",
        "Would you say that {M}?",
        "Please decide whether {M}.",
        "Say whether {M}.",
    ),
    (
        "Must we agree that {M}?",
        "Are you of the opinion that {M}?",
        "Let me know whether {M}.",
        "I think that {M}. And you?",
        "Give me your view: {M}?",
        "Decide for me: {M}?",
    ),
)


def every_form() -> Iterator[str]:
    """Every way of asking, shown in training or held out."""
    questions = (ASK, ONE_WORD, FOLLOW_UP, SUM, HOW_TO, BULLETS, LIST)
    others = (TWO_SENTENCES, STORY, ADVICE, CLAIM, MATTER)
    for ways in (*questions, *others, (YES_NO,)):
        yield from chain.from_iterable(ways)
