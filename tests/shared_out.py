"""What tests/test_parallel.py launches on two processes, and runs on one: every figure goes to a file of this process."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import ebbing as eb
from ebbing.errors import InputError
from ebbing.fsdp import is_laid_out, own_part
from ebbing.models.gpt import SmallGPT
from ebbing.parallel import current
from ebbing.rankings import ActivationRatio, FisherRatio, WeightImportance
from ebbing.rates import RankedRate
from ebbing.store import ModelStore, train_or_load
from ebbing.task import Outputs, accuracy
from ebbing.units import find_units, single_weights

BRIGHT = 2.1  # mean of pixels
CLASSES, N = 3, 75  # batches of 16 leave one of 11; two processes never have the same share of that


def images(n: int, seed: int) -> TensorDataset:
    """Images with a class each."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % CLASSES
    return TensorDataset(torch.randn(n, 1, 6, 6, generator=generator) + labels[:, None, None, None], labels)


def network() -> nn.Module:
    """Convolutions and a norm that does not look at batches."""
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, CLASSES)),
    )


class Dropping(nn.Module):
    """Keeps what dropout left of the last batch it trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.kept = nn.Linear(36, CLASSES), torch.empty(0)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of half of the pixels."""
        left = nn.functional.dropout(torch.ones(len(x), 36), 0.5, self.training)
        if self.training:
            self.kept = left
        return self.layer(x.flatten(1) * left)


class Routed(nn.Module):
    """An expert for bright images, of which batches have some, a share of them, or none; and a pooler that nothing reads."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.expert, self.pooler = (nn.Linear(36, CLASSES).double() for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """Logits, more of them for bright images."""
        x = x.flatten(1).double()
        logits, bright = self.layer(x), x.mean(dim=1) > BRIGHT
        return logits.index_add(0, bright.nonzero()[:, 0], self.expert(x[bright])) if bright.any() else logits


class SomeCount(eb.Classification):
    """Only records of the first two classes count."""

    def forward(self, model: nn.Module, batch: Any) -> Outputs:
        """Those of the classification, and which count."""
        outputs = super().forward(model, batch)
        return replace(outputs, mask=outputs.targets < 2)


def main(folder: Path, others: Path) -> None:
    """Train, rank, unlearn and observe."""
    torch.set_num_threads(1)
    with eb.data_parallel() as first:
        found = figures(folder)
        ranks = current()
        found["models that are held"] = np.array(0 if ranks is None else len(ranks.accelerator._models))
        rank = 0 if ranks is None else ranks.rank
        assert first == (rank == 0)
    with eb.data_parallel(sharded=True):
        in_parts = figures_in_parts(folder, others=others)
    np.savez(
        folder / f"process-{rank}.npz", **found, **{f"{name}, in parts": value for name, value in in_parts.items()}
    )


def weights(model: nn.Module) -> np.ndarray:
    """All of them in a row."""
    return torch.cat([p.detach().flatten() for p in model.parameters()]).numpy()


def audited(model: nn.Module, trainer: eb.Trainer, request: eb.ForgetRequest) -> np.ndarray:
    """Every figure of a report but the time it took: readouts of layers and relearning are among them."""
    after, *oracles = (trainer(request.retain, seed=seed) for seed in (10, 11, 12))
    report = eb.audit(original=model, unlearned=after, oracles=oracles, request=request)
    found: list[float] = []

    def collect(value: object) -> None:
        if isinstance(value, dict):
            for name, part in value.items():
                if "seconds" not in name:
                    collect(part)
        elif isinstance(value, list):
            for part in value:
                collect(part)
        elif isinstance(value, float):
            found.append(value)

    collect(report.data)
    return np.array(found)


def figures(folder: Path) -> dict[str, np.ndarray]:
    """By name."""
    data, unseen, task = images(N, 0), images(60, 1), eb.Classification()
    request = eb.ForgetRequest.from_ids(data, range(9), holdout=unseen)
    found: dict[str, np.ndarray] = {}
    recipe = eb.Recipe(epochs=4, batch_size=16, learning_rate=5e-3, optimizer="sgd", schedule="one-cycle")
    store = ModelStore(folder / "store")
    trained = train_or_load(eb.Trainer(network, recipe), data, seed=0, store=store)
    model = trained.model
    found["trained"] = weights(model)
    found["reused"] = np.array(trained.reused)
    found["found again"] = np.array(train_or_load(eb.Trainer(network, recipe), data, seed=0, store=store).reused)
    found["of-some"] = weights(eb.Trainer(network, recipe, task=SomeCount())(data, seed=0))
    found["lone records"] = weights(eb.Trainer(network, replace(recipe, epochs=1, batch_size=1))(images(5, 3), seed=0))
    decayed = replace(recipe, optimizer="adamw", weight_decay=0.1, batch_size=8)
    found["routed"] = weights(eb.Trainer(Routed, decayed)(data, seed=0))
    found["routed, one step"] = weights(eb.Trainer(Routed, replace(decayed, max_examples=8))(data, seed=0))
    units = find_units(model, task=task, batch=data[:2])
    for name, ranking in (("activation", ActivationRatio()), ("fisher", FisherRatio())):
        scores = ranking.scores(model, units, request, task=task, seed=0)
        found[name] = torch.cat([scores[unit.name] for unit in units]).numpy()
    singles = single_weights(model)
    importance = WeightImportance(batch_size=8).scores(model, singles, request, task=task, seed=0)
    found["importance"] = torch.cat([importance[unit.name] for unit in singles]).numpy()
    repair = replace(recipe, epochs=2)
    ranked = RankedRate(ActivationRatio())
    for name, method in (
        ("ebb", eb.Ebb(repair=repair, linear=ranked, conv=ranked, by_memory=False)),
        ("neg-grad-plus", eb.NegGradPlus(repair=repair)),
        ("scrub", eb.SCRUB(repair=repair)),
        ("forgetting-network", eb.ForgettingNetwork(turns=2, learning=repair)),
    ):
        journal = eb.Journal()
        found[name] = weights(method.unlearn(model, request, seed=1, journal=journal))
        found[f"{name} examples"] = np.array(journal.examples)
    seen = eb.observe([model], request, task=task)
    found |= {f"margins of {split}": getattr(seen, split).margin for split in ("forget", "retain", "holdout")}
    found["accuracy"] = np.array(accuracy(model, unseen, task=task))
    found["audit"] = audited(model, eb.Trainer(network, replace(recipe, epochs=1)), request)
    dropping = eb.Trainer(Dropping, replace(recipe, epochs=1, batch_size=20))(images(20, 2), seed=0)
    found["dropout"], found["own"] = weights(dropping), dropping.kept.numpy()
    found["next draw"] = torch.rand(1).numpy()
    return found


WORDS, LENGTH = 30, 6
HELD: list[int] = []  # numbers that lie here of the blocks' weights, at every forward pass


class Watched(eb.Classification):
    """Notes how much lies here of the model that runs."""

    def forward(self, model: nn.Module, batch: Any) -> Outputs:
        """Those of the classification."""
        if is_laid_out(model):
            HELD.append(sum(own_part(p).numel() for n, p in model.named_parameters() if ".layer." in n))
        return super().forward(model, batch)


def sentences(n: int, seed: int) -> list[dict[str, Tensor]]:
    """Sentences, and a word in the middle that says their class."""
    tokens = torch.randint(CLASSES, WORDS, (n, LENGTH), generator=torch.Generator().manual_seed(seed))
    labels = torch.arange(n) % CLASSES
    tokens[:, 3] = labels
    return [
        {"input_ids": t, "attention_mask": torch.ones_like(t), "labels": y} for t, y in zip(tokens, labels, strict=True)
    ]


def reader() -> nn.Module:
    """A small BERT in double precision: what rounding becomes in Adam is small there, and what is wrong is not."""
    from transformers import BertConfig, BertForSequenceClassification

    sizes = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 20}
    none = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = BertConfig(vocab_size=WORDS, max_position_embeddings=LENGTH, num_labels=CLASSES, **sizes, **none)
    return BertForSequenceClassification(config).double()


class Attending(nn.Module):
    """PyTorch's own encoder, whose attention calls no output projection; a convolution before it."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 10, dropout=0.0, batch_first=True)
        self.patches = nn.Conv2d(1, 8, 3, stride=3)
        self.encoder, self.head = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images."""
        return self.head(self.encoder(self.patches(x).flatten(2).transpose(1, 2)).mean(dim=1))


def figures_in_parts(folder: Path, *, others: Path) -> dict[str, np.ndarray]:
    """By name, of models whose parameters lie in parts on the processes where there are several."""
    found: dict[str, np.ndarray] = {}
    recipe = eb.Recipe(epochs=4, batch_size=16, learning_rate=3e-2, schedule="one-cycle", optimizer="sgd")
    repair = replace(recipe, epochs=1)
    bert(found, recipe, repair)
    gpt(found, replace(recipe, learning_rate=0.3), folder, others)
    data, task = images(41, 4), eb.Classification()
    request = eb.ForgetRequest.from_ids(
        data, [0], holdout=images(30, 5)
    )  # the second process has no share of one record
    model = eb.Trainer(Attending, recipe)(data, seed=0)
    found["attending"] = weights(model)
    units = find_units(model, task=task, batch=data[:2])
    for name, ranking in (("activation", ActivationRatio()), ("fisher", FisherRatio())):
        scores = ranking.scores(model, units, request, task=task, seed=0)
        found[name] = torch.cat([scores[unit.name] for unit in units]).numpy()
    held_back = eb.Ebb(repair=repair, by_memory=False, conv_reach=0.5)
    found["attending, ebb"] = weights(held_back.unlearn(model, request, seed=1))
    several = eb.ForgetRequest.from_ids(data, range(6), holdout=images(30, 5))
    found["attending, audit"] = audited(model, eb.Trainer(Attending, replace(recipe, epochs=1)), several)
    return found


def bert(found: dict[str, np.ndarray], recipe: eb.Recipe, repair: eb.Recipe) -> None:
    """Train, unlearn and observe."""
    data, unseen, task = sentences(41, 0), sentences(30, 1), Watched()
    request = eb.ForgetRequest.from_ids(data, range(5), holdout=unseen, validation=sentences(30, 2))
    trained = eb.Trainer(reader, replace(recipe, optimizer="adamw", learning_rate=3e-3), task=task)
    model = trained(data, seed=0)
    found["bert"], found["held here"] = weights(model), np.array(HELD[0] if HELD else 0)
    found["blocks"] = np.array(sum(p.numel() for n, p in model.named_parameters() if ".layer." in n))
    found["accuracy"] = np.array(accuracy(model, unseen, task=task))
    for name, method in (
        ("ebb", eb.Ebb(repair=repair, by_memory=False)),
        ("fine-tune", eb.FineTune(repair=repair)),
        ("neg-grad-plus", eb.NegGradPlus(repair=repair)),
        ("scrub", eb.SCRUB(repair=repair, rounds=2, max_rounds=1, rewind=True)),
        ("rmu", eb.RMU(repair=repair)),
        ("ssd", eb.SSD()),
    ):
        found[f"bert, {name}"] = weights(method.unlearn(model, request, task=task, seed=1))
    seen = eb.observe([model], request, task=task)
    found |= {f"margins of {split}": getattr(seen, split).margin for split in ("forget", "retain", "holdout")}
    found["refused"] = np.array(refusals(model, request, task))


def refusals(model: nn.Module, request: eb.ForgetRequest, task: eb.Task) -> list[str]:
    """What several processes refuse, and that a model is as it was before where a step fails; nothing on one."""
    ranks, said = current(), []
    if ranks is None:
        return said
    other = reader()
    with torch.no_grad():
        next(other.parameters()).add_(ranks.rank)

    def broken(outputs: Outputs, batch: Any) -> Tensor:
        raise InputError("a step that fails")

    before, traces = weights(model), traces_in(model)
    walk = eb.training.Pass(request.retain, 40, broken)
    for attempt in (
        lambda: accuracy(other, request.retain, task=task),
        lambda: eb.L1Sparse().unlearn(model, request, task=task),
        lambda: eb.BadTeacher().unlearn(model, request, task=task),
        lambda: eb.training.descend(model, [walk], eb.Recipe(), task=task, generator=torch.Generator()),
        lambda: accuracy(network_with_batch_norm(), request.retain, task=task),
    ):
        try:
            attempt()
        except InputError as error:
            said.append(str(error))
    assert np.array_equal(weights(model), before)
    assert traces_in(model) == traces
    return said


def traces_in(model: nn.Module) -> list[object]:
    """What modules are, what they hold by name, how many hooks they have, and which parameters."""
    found: list[object] = []
    for module in model.modules():
        hooks = {name: len(kept) for name, kept in vars(module).items() if "hooks" in name and kept is not None}
        found += [
            type(module),
            sorted(vars(module)),
            hooks,
            [(n, id(p)) for n, p in module.named_parameters(recurse=False)],
        ]
    return found


def network_with_batch_norm() -> nn.Module:
    """Sees shares of a batch."""
    return nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))


def gpt(found: dict[str, np.ndarray], recipe: eb.Recipe, folder: Path, others: Path) -> None:
    """Train a language model, write it, and read what one process wrote."""
    build, task = SmallGPT(WORDS, length=LENGTH, width=12, layers=2, heads=2), eb.CausalLM()
    texts = [{**record, "labels": record["input_ids"]} for record in sentences(37, 3)]
    unseen = [{**record, "labels": record["input_ids"]} for record in sentences(20, 6)]
    request = eb.ForgetRequest.from_ids(texts, range(4), holdout=unseen, task=task)
    model = eb.Trainer(build, recipe, task=task)(texts, seed=0)
    found["gpt"] = weights(model)
    assert model.lm_head.weight is model.transformer.wte.weight
    ebb = eb.Ebb(repair=replace(recipe, epochs=1), by_memory=False)
    found["gpt, ebb"] = weights(ebb.unlearn(model, request, task=task, seed=1))
    ranks = current()
    if ranks is None or ranks.rank == 0:
        eb.write_weights(folder / "gpt.safetensors", model)
    read = build()
    eb.read_weights((folder if ranks is None else others) / "gpt.safetensors", read)
    found["gpt, read"] = eb.observe([read], request, task=task).forget.margin


if __name__ == "__main__":
    torch.manual_seed(0)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
