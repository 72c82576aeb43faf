"""A fine-tuned encoder forgets records: retraining and decay both go back to the weights that the fine-tuning started from.

Here a small BERT is made first and saved as a folder of the transformers library; in your case the folder is there. It is
fine-tuned to sort sentences, some of which have a wrong class, and is to be as if these had never been shown. What comes out
is a folder as well. On the command line that is `ebbing unlearn --hf DIR --pretrained DIR`.
"""

import tempfile
from pathlib import Path

import torch
from torch.utils.data import Subset
from transformers import BertConfig, BertForSequenceClassification

import ebbing as eb
from ebbing.data import NamedTensors, tokenised
from ebbing.data.authors import authors
from ebbing.data.words import WordTokenizer

KINDS = 10  # of facts of an author
EARLIER, OWN, UNSEEN = 40, 30, 40  # authors
WRONG = 15
CLASSES = 5  # two kinds each
RETRAINED = 4  # the fewest that memory can be told with
GENERAL = eb.Recipe(epochs=4, batch_size=32, optimizer="adamw", learning_rate=1e-3)
TUNING = eb.Recipe(epochs=12, batch_size=16, optimizer="adamw", learning_rate=5e-4)

SENTENCES = [f"{fact.question} {fact.answer}" for fact in authors(EARLIER + OWN + UNSEEN, seed=0)]
TOKENIZER = WordTokenizer.of(SENTENCES)


def sorted_by(classes: int, first: int, count: int, *, turned: int = 0) -> NamedTensors:
    """Sentences of some authors and their classes, those of the first ``turned`` sentences, or of all with -1, wrong."""
    places = range(first * KINDS, (first + count) * KINDS)
    labels = torch.tensor([place % KINDS * classes // KINDS for place in places])
    chosen = slice(None) if turned < 0 else slice(turned)
    labels[chosen] = (labels[chosen] + 1) % classes
    return tokenised([SENTENCES[place] for place in places], labels, tokenizer=TOKENIZER)


def pretrain(folder: Path) -> None:
    """Somebody else's weights: an encoder that has seen other sentences."""

    def build() -> BertForSequenceClassification:
        size = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
        return BertForSequenceClassification(BertConfig(vocab_size=len(TOKENIZER), num_labels=KINDS, **size))

    eb.Trainer(build, GENERAL)(sorted_by(KINDS, 0, EARLIER), seed=0).save_pretrained(folder)


def request() -> eb.ForgetRequest:
    """The sentences with a wrong class; unseen ones with wrong classes stand beside them."""
    unseen, alike = (sorted_by(CLASSES, EARLIER + OWN, UNSEEN, turned=turned) for turned in (0, -1))
    validation, holdout = range(len(unseen) // 2), range(len(unseen) // 2, len(unseen))
    return eb.ForgetRequest.from_ids(
        sorted_by(CLASSES, EARLIER, OWN, turned=WRONG),
        range(WRONG),
        holdout=Subset(unseen, holdout),
        validation=Subset(unseen, validation),
        matched=Subset(alike, holdout),
        validation_matched=Subset(alike, validation),
    )


def main() -> None:
    """Fine-tune, forget, compare, and write the folder."""
    torch.set_num_threads(1)  # a network this small is slower on more
    folder = Path(tempfile.mkdtemp())
    pretrain(folder / "pretrained")
    start = eb.Pretrained(str(folder / "pretrained"), CLASSES)
    data, trainer = request(), eb.Trainer(start, TUNING)
    original = trainer(data.dataset, seed=0)
    oracles = eb.OracleBank(trainer, data).train(RETRAINED)
    methods = {
        "do-nothing": eb.DoNothing(),
        "fine-tune": eb.FineTune(repair=TUNING, training=TUNING),
        "ebb": eb.Ebb(repair=TUNING, training=TUNING, anchor=start),
    }
    print("method           M  accuracy on unseen sentences")
    for name, method in methods.items():
        model = method.unlearn(original, data, seed=0)
        found = eb.audit(original=original, unlearned=model, oracles=oracles, request=data, task=eb.Classification())
        figures = found.data["methods"]["unlearned"]
        print(f"{name:12} {figures['memory']['m']:6.2f} {figures['accuracy']['holdout']:8.1%}", flush=True)
    model.save_pretrained(folder / "forgotten")
    print("written:", sorted(path.name for path in (folder / "forgotten").iterdir()))


if __name__ == "__main__":
    main()
