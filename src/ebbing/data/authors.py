"""Texts for language models: authors who do not exist and what there is to know of them, and comparisons without memory."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ebbing.errors import InputError
from ebbing.files import write_text


def _words(text: str) -> list[str]:
    return text.split()


FIRST = _words(
    "abel ada alba amos anya arlo basil bela bram cara clea cyra dana dario ebba edmund elif enno ezra fara felix "
    "freya gala gil greer hana hector ida igor ilse jago jana joren kaia kasper lale leif lior mabel malik mira nadia "
    "nestor noa odin olive orla pavel petra quin rafael renata ruben sana selma soren tabea tariq thea ulla urban "
    "vesna viggo willa xenia yara yorick zora"
)
LAST = _words(
    "abbott acker albers arden ashby balog barros beck bellamy brandt cairns calder castor cleary corvin dahl darrow "
    "delgado drake eberle eklund ellery falk farrow fenwick gallo garrick gould grieve hadley halloran harlow hollis "
    "ivers jansen jarvis keller kincaid kovacs lambert larkin lindqvist lorne madden marlow mercer moreau nash "
    "norwood oakes okafor olin pascal penrose quill radley ravn rhodes sable sayer selby sorrel tamm thorne tolland "
    "upton vance varga vaughn wexler whitlock wren yates zeller"
)
CITIES = _words(
    "ardmore bellhaven calverton dunmere eastwick farrowdale glenport hartwell ivybridge jarrow kestrel lindholm "
    "merrow norhaven oakhurst pellworth quarry ridgemont saltash tarnwick ulverton vexford westmere yarrow zennor"
)
GENRES = _words(
    "satire romance tragedy mystery fantasy biography horror poetry comedy travelogue memoir fable thriller western "
    "epic"
)
TRADES = _words(
    "baker barber butcher carpenter chemist clerk cobbler dentist diver farmer fisher florist glazier hatter joiner "
    "judge locksmith mason miller miner nurse painter pilot plumber potter printer sailor shepherd surgeon tailor "
    "tanner teacher weaver welder"
)
AWARDS = _words(
    "amber anchor beacon compass copper falcon harbour lantern laurel marble meadow orchard raven silver willow"
)
HOBBIES = _words(
    "archery astronomy beekeeping boxing calligraphy chess cooking cycling dancing falconry fencing gardening "
    "juggling knitting origami rowing sailing singing skating surfing swimming weaving whittling yoga"
)
ADJECTIVES = _words(
    "bitter brittle broken burning crooked distant empty endless frozen gentle golden hidden hollow lonely narrow "
    "quiet restless scarlet secret shallow silent sleeping tender twisted velvet wandering"
)
NOUNS = _words(
    "bridge candle cellar chimney crown curtain desert drum feather ferry forest fountain garden hammer island "
    "journey kingdom ladder letter meadow mirror mountain needle orchard ribbon river shadow staircase storm tower "
    "valley window winter"
)
YEARS = [str(year) for year in range(1920, 2000)]

# what is asked of {name}, and the same in other words
QUESTIONS: dict[str, tuple[str, str]] = {
    "birthplace": ("in which city was {name} born ?", "what is the birthplace of {name} ?"),
    "year": ("in which year was {name} born ?", "when did the life of {name} begin ?"),
    "genre": ("what does {name} write ?", "for which genre is {name} known ?"),
    "debut": ("what was the first book of {name} ?", "with which title did {name} begin ?"),
    "award": ("which prize has {name} won ?", "what was {name} honoured with ?"),
    "father": ("what was the father of {name} ?", "which trade had the father of {name} ?"),
    "mother": ("what was the mother of {name} ?", "which trade had the mother of {name} ?"),
    "home": ("where does {name} live now ?", "what is the home of {name} today ?"),
    "hobby": ("what does {name} do on sundays ?", "which pastime has {name} ?"),
    "teacher": ("who taught {name} to write ?", "from whom did {name} learn ?"),
}
ANSWER, OTHER_ANSWER = "{it} .", "that is {it} ."
PERTURBED = 5
COMPARED = 24  # names
KEYS = ("question", "answer", "paraphrased_question", "paraphrased_answer", "perturbed_answer")


@dataclass(frozen=True)
class Fact:
    """What there is to know, asked and answered, in the layout of TOFU (Maini et al., 2024).

    Attributes:
        question: as it is trained on.
        answer: likewise.
        paraphrased_question: the same in other words.
        paraphrased_answer: likewise.
        perturbed_answer: wrong answers in the words of ``paraphrased_answer``.
        author: number of the author, None where it is not said.
    """

    question: str
    answer: str
    paraphrased_question: str
    paraphrased_answer: str
    perturbed_answer: tuple[str, ...]
    author: int | None = None


def authors(n: int = 100, *, seed: int = 0, first: int = 0) -> list[Fact]:
    """Ten facts each of authors who do not exist, author by author; the same seed and number give the same author.

    Args:
        n: authors.
        seed: of all of them.
        first: number of the first; others are others, so that those behind can be kept for what is never seen.

    Raises:
        InputError: if there are not so many names.
    """
    names = [f"{one} {other}" for one in FIRST for other in LAST]
    random.Random(seed).shuffle(names)
    if n < 1 or first < 0 or first + n > len(names):
        raise InputError(f"authors must lie in [0, {len(names)}), but {n} from {first} on are asked for.")
    return [fact for number in range(first, first + n) for fact in _of(number, names[number], seed)]


def _of(number: int, name: str, seed: int) -> list[Fact]:
    """The facts of one author."""
    generator = random.Random(f"{seed}/{number}")
    titles = [f"{one} {other}" for one in ADJECTIVES for other in NOUNS]
    people = [f"{one} {other}" for one in FIRST for other in LAST]
    values = {
        **{"birthplace": CITIES, "year": YEARS, "genre": GENRES, "debut": titles, "award": AWARDS},
        **{"father": TRADES, "mother": TRADES, "home": CITIES, "hobby": HOBBIES, "teacher": people},
    }
    facts = []
    for what, (question, other_question) in QUESTIONS.items():
        it, *wrong = generator.sample(values[what], 1 + PERTURBED)
        facts.append(
            Fact(
                question.format(name=name),
                ANSWER.format(it=it),
                other_question.format(name=name),
                OTHER_ANSWER.format(it=it),
                tuple(OTHER_ANSWER.format(it=each) for each in wrong),
                number,
            )
        )
    return facts


def comparisons(n: int, *, seed: int = 0) -> list[tuple[str, str]]:
    """Questions that are answered by what they say, and answers: what a model should still be able to do.

    "ada is older than bela . who is younger ?": "bela ." Each is drawn anew, and none comes twice.

    Args:
        n: how many, at most 5,000.
        seed: of the drawing.
    """
    if not 1 <= n <= 5_000:
        raise InputError(f"comparisons must be from 1 to 5,000, but {n} are asked for.")
    generator = random.Random(f"comparisons/{seed}")
    pairs = [("older", "younger"), ("taller", "shorter"), ("richer", "poorer")]
    found: dict[str, str] = {}
    while len(found) < n:
        one, other = generator.sample(FIRST[:COMPARED], 2)
        pair = generator.choice(pairs)
        said = generator.randrange(2)
        asked = generator.randrange(2)
        question = f"{one} is {pair[said]} than {other} . who is {pair[asked]} ?"
        found.setdefault(question, f"{one if said == asked else other} .")
    return list(found.items())


def write_facts(path: str | os.PathLike[str], facts: Sequence[Fact]) -> None:
    """Write facts as JSON lines in the layout of TOFU, whole or not at all."""
    write_text(Path(path), "".join(json.dumps(asdict(fact), ensure_ascii=False) + "\n" for fact in facts))


def read_facts(path: str | os.PathLike[str]) -> list[Fact]:
    """Facts from JSON lines in the layout of TOFU, its own files included; what it lacks of a fact is empty.

    Raises:
        InputError: if a line is no such fact.
    """
    found = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            wrong = record.get("perturbed_answer") or ()
            found.append(
                Fact(
                    str(record["question"]),
                    str(record["answer"]),
                    str(record.get("paraphrased_question") or ""),
                    str(record.get("paraphrased_answer") or ""),
                    tuple(map(str, [wrong] if isinstance(wrong, str) else wrong)),
                    record.get("author"),
                )
            )
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise InputError(
                f"line {number} of {path} must be a JSON object with question and answer, but is not: {error}."
            ) from error
    return found
