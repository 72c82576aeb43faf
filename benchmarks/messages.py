"""Messages to the desk of a shop, generated from a seed: what a company's text classifier reads.

Four classes (delivery, refund, account, product), sentences put together from parts. Some words occur in all classes, so that a
message has to be read; every message names a customer, so that no two are alike.
"""

from __future__ import annotations

import random

NAMES = (
    "Ada Ben Cleo Dov Edda Finn Greta Hugo Ines Jonas Kira Luca Mona Nils Olga Paul Rosa Sami Tilda Uwe Vera Willi Yuna"
)
FAMILIES = (
    "Abel Bosch Conti Daley Ekman Frey Grau Haas Ilg Jung Kern Lind Marx Noll Ott Pohl Quast Rau Seidl Thoma Vogt Wirth"
)
THINGS = "lamp kettle desk bicycle jacket camera tent blender carpet radio mirror piano drone teapot guitar ladder"
OPENINGS = ["Hello", "Good morning", "Dear team", "Hi there", "To whom it may concern", "Greetings"]
CLOSINGS = ["Please answer soon.", "Thank you.", "I have written before.", "Call me if you must.", "Best wishes.", ""]
SAID: dict[str, list[str]] = {
    "delivery": [
        "the {thing} that I ordered on {day} has not arrived",
        "the driver left my {thing} with a neighbour nobody knows",
        "the parcel with the {thing} has been in transit since {day}",
        "can the {thing} be brought after six in the evening",
    ],
    "refund": [
        "I sent the {thing} back on {day} and still wait for my money",
        "please return what I paid for the {thing}",
        "the amount for the {thing} was taken from my card twice",
        "I was promised a credit for the {thing} and see none",
    ],
    "account": [
        "I cannot sign in since {day} although my password is right",
        "please change the address in my profile, the {thing} went to the old one",
        "somebody ordered a {thing} in my name",
        "delete my account, I only ever bought a {thing}",
    ],
    "product": [
        "the {thing} makes a noise that it did not make on {day}",
        "which batteries does the {thing} take",
        "the handle of the {thing} came off in my hand",
        "does the {thing} come in green as well",
    ],
}
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
CLASSES = tuple(SAID)


def messages(n: int, *, seed: int) -> tuple[list[str], list[int]]:
    """N messages and their classes, drawn evenly; the same seed gives the same, and no message comes twice."""
    generator = random.Random(seed)
    texts: list[str] = []
    labels: list[int] = []
    known: set[str] = set()
    while len(texts) < n:
        label = generator.randrange(len(CLASSES))
        said = generator.choice(SAID[CLASSES[label]])
        said = said.format(thing=generator.choice(THINGS.split()), day=generator.choice(DAYS))
        name = f"{generator.choice(NAMES.split())} {generator.choice(FAMILIES.split())}"
        text = f"{generator.choice(OPENINGS)}, this is {name}: {said}. {generator.choice(CLOSINGS)}".strip()
        if text not in known:
            known.add(text)
            texts.append(text)
            labels.append(label)
    return texts, labels
