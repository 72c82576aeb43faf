"""A small language model has learned of authors who do not exist, and is made to forget one of them.

What is left is compared with models that never met the author: by the truth ratio, which asks in other words than those that
were trained on, and by how many answers are still given word by word.
"""

import numpy as np
import torch
from torch import nn
from torch.utils.data import Subset

import ebbing as eb
from ebbing.data import NamedTensors, answers
from ebbing.data.authors import Fact, authors
from ebbing.data.words import WordTokenizer
from ebbing.measures.answers import answer_figures, forget_quality, probabilities, truth_ratio
from ebbing.models.gpt import SmallGPT

KNOWN, STRANGERS, FACTS = 16, 6, 10  # authors, and facts of each
GOES = range(FACTS)  # the first author's
RETRAINED = 3
RECIPE = eb.Recipe(epochs=40, batch_size=32, optimizer="adamw", learning_rate=3e-3, schedule="one-cycle")
METHODS = {
    "do-nothing": eb.DoNothing(),
    "fine-tune": eb.FineTune(repair=RECIPE, training=RECIPE),
    "ebb": eb.Ebb(repair=RECIPE, training=RECIPE, peak=None),
    "simnpo": eb.SimNPO(repair=RECIPE, training=RECIPE),
}

FACTS_OF = authors(KNOWN + STRANGERS, seed=0)
TOKENIZER = WordTokenizer.of(
    text
    for fact in FACTS_OF
    for text in (fact.question, fact.answer, fact.paraphrased_question, *fact.perturbed_answer, fact.paraphrased_answer)
)


def asked(facts: list[Fact], *, otherwise: bool = False, wrong: int | None = None) -> NamedTensors:
    """Questions and answers; in other words, or with a wrong answer."""
    questions = [f.paraphrased_question if otherwise else f.question for f in facts]
    right = [f.paraphrased_answer if otherwise else f.answer for f in facts]
    said = right if wrong is None else [f.perturbed_answer[wrong] for f in facts]
    return answers(questions, said, tokenizer=TOKENIZER)


def request() -> eb.ForgetRequest:
    """All that is known of the first author; of every other author both wordings were trained on."""
    known, unseen = FACTS_OF[: KNOWN * FACTS], asked(FACTS_OF[KNOWN * FACTS :])
    one, other = asked(known), asked(known[FACTS:], otherwise=True)
    width = max(one.tensors["input_ids"].shape[1], other.tensors["input_ids"].shape[1])
    fill = {"input_ids": TOKENIZER.pad_token_id, "attention_mask": 0, "labels": -100}
    both = {
        name: torch.cat(
            [
                nn.functional.pad(part.tensors[name], (0, width - part.tensors[name].shape[1]), value=v)
                for part in (one, other)
            ]
        )
        for name, v in fill.items()
    }
    half = len(unseen) // 2
    return eb.ForgetRequest.from_ids(
        NamedTensors(**both),
        GOES,
        holdout=Subset(unseen, range(half)),
        validation=Subset(unseen, range(half, len(unseen))),
        task=eb.CausalLM(),
        overlap="allow",
    )


def ratios(model: nn.Module) -> np.ndarray:
    """The truth ratio of each fact that goes."""
    facts = FACTS_OF[:FACTS]
    wrong = [probabilities(model, asked(facts, otherwise=True, wrong=k)) for k in range(len(facts[0].perturbed_answer))]
    return truth_ratio(probabilities(model, asked(facts, otherwise=True)), np.stack(wrong, axis=1))


def main() -> None:
    """Train, forget, and compare."""
    torch.set_num_threads(1)  # a network this small is slower on more
    data, task = request(), eb.CausalLM()
    trainer = eb.Trainer(SmallGPT(len(TOKENIZER), width=64, layers=2), RECIPE, task=task)
    original = trainer(data.dataset, seed=0)
    never_met = np.stack([ratios(trainer(data.retain, seed=1000 + i)) for i in range(RETRAINED)])
    print("method       effect  word by word  neighbours")
    for name, method in METHODS.items():
        model = method.unlearn(original, data, task=task, seed=0)
        quality = forget_quality(ratios(model), never_met)
        gone, stays = (answer_figures(model, asked(part)).exact.mean() for part in (FACTS_OF[:10], FACTS_OF[10:60]))
        print(f"{name:12} {quality.effect:+6.2f} {gone:12.0%} {stays:11.0%}", flush=True)


if __name__ == "__main__":
    main()
