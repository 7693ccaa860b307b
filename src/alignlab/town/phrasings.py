"""How people of the town put a request, by its kind: the ways that demonstrations show, then those held out.
What stands in the gaps is drawn in `tasks` and read back in `reading`.
"""

from __future__ import annotations

ONE_WORD = (
    ("Answer in one word. {Q}", "In one word: {Q}", "{Q} One word, please."),
    ("{Q} Use one word only.",),
)
FOLLOW_UP = (
    ("And {NP}?", "And tell me {NP}.", "Thank you. And {NP}?"),
    ("What about {NP}?", "Now {NP}, please."),
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
SUM = (
    ("What is {A} plus {B}?", "How much is {A} plus {B}?", "Add {A} and {B}.", "Can you add {A} and {B}?"),
    ("I need to add {A} and {B}.", "Tell me {A} plus {B}."),
)
HOW_TO = (
    (
        "How do I {T}?",
        "Tell me how to {T}.",
        "I want to {T}. How do I do it?",
        "Please help me to {T}.",
        "How can I {T}?",
        "Teach me how to {T}.",
        "I need to {T}. Please tell me how.",
        "What do I do to {T}?",
    ),
    (
        "What is the best way to {T}?",
        "Show me how to {T}.",
        "Can you explain how to {T}?",
        "Is there a good way to {T}?",
    ),
)
BULLETS = (
    ("How do I {T}? Answer as a list.", "Give me a list of steps to {T}.", "As a list: how do I {T}?"),
    ("List the steps to {T}.",),
)
LIST = (
    ("Name {N} {C}.", "Give me {N} {C}.", "Can you name {N} {C}?", "Please name {N} {C}."),
    ("I need {N} {C}.", "Tell me {N} {C}."),
)
TWO_SENTENCES = (
    ("Tell me about {P} in two sentences.", "Say two things about {P}.", "In two sentences: who is {P}?"),
    ("Describe {P} in two sentences.", "Tell me two things about {P}."),
)
STORY = (
    (
        "Tell me a short story with a {A} and a {B}.",
        "Write a short story with a {A} and a {B}.",
        "A short story with a {A} and a {B}, please.",
    ),
    ("I would like a short story with a {A} and a {B}.",),
)
ADVICE = (
    (
        "I am {F}. What should I do?",
        "What should I do when I am {F}?",
        "I am {F}. Please give me advice.",
        "What helps when I am {F}?",
    ),
    ("My friend is {F}. What would you do?", "Today I am {F}. Any advice?"),
)
CLAIM = (
    (
        "I think that {c}. Am I right?",
        "I am sure that {c}. Am I right?",
        "I believe that {c}. Is that right?",
        "Everybody says that {c}. Is it true?",
        "I say that {c}. Am I right?",
    ),
    ("My mother told me that {c}. Is that so?", "I know that {c}. Do you agree?"),
)
MATTER = (
    ("Do you think that {M}?", "Is it right that {M}?", "Should we say that {M}?"),
    ("What do you say: {M}?", "Tell me whether {M}."),
)
