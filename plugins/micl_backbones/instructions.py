"""Text-only instructions for distillation, for language models whose preset has none of its own.

Each is a task with its input, the form of Natural Instructions (Mishra et al., arXiv 2104.08773).
"""

from __future__ import annotations

from itertools import product

_TASKS = (
    "Rewrite the sentence in the past tense.",
    "Say in one word what the sentence is about.",
    "Write a question that the sentence answers.",
    "Continue with one more sentence.",
    "Say the same in other words.",
    "List the nouns of the sentence.",
    "Tell whether the sentence is about something indoors or outdoors.",
    "Give the sentence a title of three words.",
    "Say the opposite of the sentence.",
    "Shorten the sentence as much as you can.",
    "Explain the sentence to a child.",
    "Tell how the person who says this may feel.",
)
_INPUTS = (
    "The train to the coast leaves at nine from the second platform.",
    "My grandmother bakes bread every Saturday before the sun is up.",
    "A good map shows the height of the hills and the depth of the lakes.",
    "The council will vote on the new bridge after the summer.",
    "He forgot the keys on the kitchen table and climbed through the window.",
    "Water boils at a lower temperature high up in the mountains.",
    "The orchestra stopped when the lights in the hall went out.",
    "Wheat, barley and oats are sown in the fields behind the mill.",
    "She learnt to swim in the river before she could read.",
    "The doctor asked him to rest for a week and to drink enough.",
    "Two foxes crossed the empty street while the town was asleep.",
    "The old computer needs ten minutes until it shows the first picture.",
    "Nobody in the village remembers who planted the chestnut tree.",
    "If the wind turns, the boats can reach the harbour this evening.",
    "The library lends tools and instruments as well as books.",
    "They painted the door green because the shop had no other colour.",
)

GENERAL_INSTRUCTIONS = tuple(f"{task}\n{text}" for text, task in product(_INPUTS, _TASKS))
"""All pairs of task and input, ordered so that the tasks alternate."""

QUESTION_PROMPT = (
    "Caption: a black dog jumps over a log\nQuestion: what does the dog jump over? a log\n"
    "Caption: a man plays the guitar on a stage\nQuestion: what does the man play? the guitar\n"
    "Caption: {caption}\nQuestion:"
)
"""A two-shot prompt for a question and its answer, for any language model."""
