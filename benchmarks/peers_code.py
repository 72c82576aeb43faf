"""Whole peers, driven as their own authors drive them, and ebbing's own methods beside them: see peers.py.

Each is imported from a checkout at run time. What they import and do not need here is replaced by nothing.
"""

from __future__ import annotations

import importlib
import json
import logging
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, redirect_stdout
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from io import StringIO
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import problems
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import ebbing as eb
from ebbing.batches import iterate, size, spans
from ebbing.methods import EUk, FineTune
from ebbing.models import paper_cnn

parity: Any = importlib.import_module("parity")  # by name, since mypy would read it along with this

commit: Callable[[Path], str | None] = parity.commit
CLASSES = 10
RECIPE = problems.TWO_EPOCHS
YARDSTICK = "retraining"


@dataclass
class Case:
    """What a method starts from: a model of its own, the request, a seed, and the peers' modules."""

    model: nn.Module
    request: eb.ForgetRequest
    seed: int
    generator: torch.Generator
    code: dict[str, Any]
    journal: eb.Journal = field(default_factory=eb.Journal)

    @property
    def label(self) -> int | None:
        """Of the class that is to be forgotten; None where records are."""
        return int(self.request.forget[0][1]) if self.request.concept else None


Unlearning = Callable[[], nn.Module]


@dataclass(frozen=True)
class Method:
    """A row: how an unlearning is prepared, by which settings, and whose code it is, as owner/name; None for ebbing's."""

    prepare: Callable[[Case], Unlearning]
    settings: str
    repository: str | None = None


@contextmanager
def quiet() -> Iterator[None]:
    """Inside, nothing is printed nor warned of, and files that are named without a folder go to one that is removed."""
    with tempfile.TemporaryDirectory() as folder, chdir(folder), redirect_stdout(StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# ---------------------------------------------------------------- the peers' code


def imported(references: Path, repositories: set[str | None]) -> dict[str, Any]:
    """Modules of the peers that are asked for. They stay findable, since some import more of themselves while they run."""
    code: dict[str, Any] = {}
    kept: dict[str, ModuleType] = {}
    for repository in sorted(r for r in repositories if r):
        folder = (references / repository.rpartition("/")[2]).resolve()
        with parity.public_code(folder), quiet():
            sys.path.insert(0, str(folder))
            code[repository] = IMPORTS[repository](folder)
            kept |= {n: m for n, m in sys.modules.items() if not isinstance(m, parity._Empty)}
    sys.modules.update(kept)
    return code


def _ssd_code(folder: Path) -> Any:
    return parity.module_at(folder / "src" / "ssd.py", "their_ssd")


def _scrub_code(folder: Path) -> Any:
    names = {name: f"thirdparty.repdistiller.helper.{name}" for name in ("loops", "util")}
    kd = parity.module_at(folder / "thirdparty" / "repdistiller" / "distiller_zoo" / "KD.py", "their_kd")
    return SimpleNamespace(kd=kd, **{short: importlib.import_module(name) for short, name in names.items()})


def _erasure_code(folder: Path) -> Any:
    """With its example for MNIST, from which all settings are taken, and a logger that writes no file."""
    logger = ModuleType("erasure.utils.logger")
    vars(logger)["GLogger"] = SimpleNamespace(getLogger=lambda: logging.getLogger("erasure"))
    sys.modules[logger.__name__] = logger
    config = json.loads((folder / "configs" / "examples" / "MNIST.jsonc").read_text(encoding="utf-8"))
    names = {"factory": "core.factory_base", "local": "utils.config.local_ctx", "torch_model": "model.TorchModel"}
    names |= {"manager": "data.datasets.DatasetManager", "wrapper": "data.datasets.Dataset"}
    names["source"] = "data.data_sources.datasource"
    for unlearner in ERASURE.values():
        importlib.import_module("erasure." + unlearner)
    for name in ("SuccessiveRandomLabels", "composite"):
        importlib.import_module(f"erasure.unlearners.{name}")
    modules = {short: importlib.import_module(f"erasure.{name}") for short, name in names.items()}
    return SimpleNamespace(config=config, **modules)


def _torchunlearn_code(folder: Path) -> Any:
    importlib.import_module("torchunlearn.utils.data")
    return importlib.import_module("torchunlearn")


class Batches:
    """A loader of tensors as ebbing's own training takes them, in a new order each time it is asked."""

    def __init__(self, dataset: Any, batch_size: int, generator: torch.Generator) -> None:
        self._dataset, self._batch_size, self._generator = dataset, batch_size, generator

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(size(self._dataset), generator=self._generator)
        return iterate(self._dataset, batch_size=self._batch_size, order=order)

    def __len__(self) -> int:
        return len(spans(size(self._dataset), self._batch_size))


# ---------------------------------------------------------------- the methods


def retraining(case: Case) -> Unlearning:
    """By ebbing's own trainer."""
    trainer = eb.Trainer(paper_cnn, RECIPE)
    return lambda: trainer(case.request.retain, seed=1000 + case.seed)


def own(method: eb.Unlearner) -> Method:
    """One of ebbing's."""

    def prepare(case: Case) -> Unlearning:
        return lambda: method.unlearn(case.model, case.request, seed=case.seed, journal=case.journal)

    return Method(prepare, f"defaults of ebbing, budget={getattr(method, 'budget', None)}")


def ssd(case: Case, *, mixed: bool = False) -> Unlearning:
    """By ``ParameterPerturber``, as the authors' strategies drive it: the forget set first, then all data.

    There all data are those that stay and then those that go, in batches of the one or of the other. That bounds how much more
    a weight can matter to those that go: where they are a tenth of all data, near the alpha of 10 from which on weights are
    dampened. With ``mixed`` all data keep the data set's order.
    """
    code, request = case.code[SSD], case.request
    parameters = dict.fromkeys(("lower_bound", "exponent", "forget_threshold", "dampening_constant"), 1)
    parameters |= dict.fromkeys(("min_layer", "max_layer"), -1) | {"selection_weighting": 10}
    perturber = code.ParameterPerturber(
        case.model, torch.optim.SGD(case.model.parameters(), lr=0.1), "cpu", parameters | {"magnitude_diff": None}
    )
    width, whole = (
        64 if request.concept else 128,
        None if mixed else torch.cat([request.retain_ids, request.forget_ids]),
    )
    forget, every = (
        [(x, None, y) for x, y in iterate(request.dataset, batch_size=width, order=order)]
        for order in (request.forget_ids, whole)
    )

    def unlearn() -> nn.Module:
        case.model.eval()
        of_forget = perturber.calc_importance(forget)
        perturber.modify_weight(perturber.calc_importance(every), of_forget)
        return case.model

    return unlearn


def scrub(case: Case) -> Unlearning:
    """By ``train_distill``, in the order of the authors' notebook."""
    code = case.code[SCRUB]
    settings = SimpleNamespace(
        **{"distill": "kd", "gamma": 1, "alpha": 0.5, "beta": 0, "lr_decay_epochs": [5, 8, 9], "lr_decay_rate": 0.1},
        **{"sgda_learning_rate": 5e-4, "print_freq": 10**9},
    )
    forget = Batches(case.request.forget, 64, case.generator)
    retain = Batches(case.request.retain, 32, case.generator)
    criteria = nn.ModuleList([nn.CrossEntropyLoss(), code.kd.DistillKL(2), code.kd.DistillKL(2)])

    def unlearn() -> nn.Module:
        modules = nn.ModuleList([case.model, deepcopy(case.model)])
        optimizer = torch.optim.Adam(case.model.parameters(), lr=5e-4, weight_decay=0.1)
        rest = (modules, None, criteria, optimizer, settings)
        for epoch in range(1, 11):
            code.util.adjust_learning_rate(epoch, settings, optimizer)
            if epoch <= 3:
                code.loops.train_distill(epoch, forget, *rest, "maximize", quiet=True)
            code.loops.train_distill(epoch, retain, *rest, "minimize", quiet=True)
        return case.model

    return unlearn


def erasure(module: str) -> Method:
    """An unlearner of ERASURE, driven through its own factory, data manager and predictor."""

    def prepare(case: Case) -> Unlearning:
        code = case.code[ERASURE_AT]
        config = deepcopy(code.config)
        context = SimpleNamespace(cached=False, logger=logging.getLogger("erasure"))
        context.factory = code.factory.ConfigurableFactory(context)
        local = code.local.Local(next(u for u in config["unlearners"] if f".{module}." in json.dumps(u)))
        local.dataset, local.predictor = _erasure_world(code, config, context, case)
        unlearner = context.factory.get_object(local)

        def unlearn() -> nn.Module:
            case.model.load_state_dict(unlearner.unlearn().model.state_dict())
            return case.model

        return unlearn

    return Method(prepare, "configs/examples/MNIST.jsonc of the repository, batches of 64", ERASURE_AT)


def _erasure_world(code: Any, config: dict[str, Any], context: Any, case: Case) -> tuple[Any, Any]:
    """Its data manager over the request, and its predictor around a copy of the model."""
    images, labels = case.request.dataset.tensors  # type: ignore[attr-defined]
    data = TensorDataset(images, labels)
    vars(data)["classes"] = range(CLASSES)

    class Source(code.source.DataSource):  # type: ignore[misc]
        def create_data(self) -> Any:
            return self.get_simple_wrapper(data)

        def get_name(self) -> str:
            return "mnist"

        def get_simple_wrapper(self, data: Any) -> Any:
            return code.wrapper.DatasetWrapper(data)

    class Paired(type(case.model)):  # type: ignore[misc]
        def forward(self, x: Tensor) -> tuple[None, Tensor]:
            return None, super().forward(x)  # first comes what lies below the logits, which no unlearner here reads

    network = deepcopy(case.model)
    network.__class__ = Paired
    given = sys.modules["given_to_erasure"] = ModuleType("given_to_erasure")
    vars(given).update(Source=Source, network=lambda n_classes: network)
    settings = config["data"]["parameters"] | {"DataSource": {"class": "given_to_erasure.Source"}, "partitions": []}
    manager = code.manager.DatasetManager(context, code.local.Local({"parameters": settings}))
    request = case.request
    for name, ids in {"train": None, "forget": request.forget_ids, "retain": request.retain_ids}.items():
        manager.partitions[name] = list(range(len(data))) if ids is None else ids.tolist()
        manager.ref_data_dict[name] = "all"
    config["predictor"]["parameters"]["model"] = {"class": "given_to_erasure.network", "parameters": {}}
    local = code.local.Local(config["predictor"])
    local.dataset = manager
    with mock.patch.object(code.torch_model.TorchModel, "real_fit", return_value=None):  # it is trained
        return manager, context.factory.get_object(local)


def torchunlearn(trainer: str, **settings: Any) -> Method:
    """A trainer of torchunlearn with the optimizer and the five epochs that its own examples have."""

    def prepare(case: Case) -> Unlearning:
        code = case.code[TORCHUNLEARN]
        parts = {"Retain": case.request.retain, "Forget": case.request.forget}
        loaders = {name: Batches(part, 128, case.generator) for name, part in parts.items()}
        robust = code.RobModel(case.model, n_classes=CLASSES)
        own = settings | ({"omit_label": case.label} if trainer == "BoundaryShrink" else {})

        def unlearn() -> nn.Module:
            fitting = getattr(code.unlearn, trainer)(robust, **own)
            fitting.setup(optimizer="SGD(lr=0.01, momentum=0.9, weight_decay=5e-4)", n_epochs=5)
            fitting.fit(train_loaders=code.utils.data.MergedLoaders(loaders), n_epochs=5)
            return case.model

        return unlearn

    more = "".join(f", {name}={value}" for name, value in settings.items())
    return Method(prepare, f"README and demo.ipynb: SGD .01, 5 epochs, batches of 128{more}", TORCHUNLEARN)


SSD, SCRUB = "if-loops/selective-synaptic-dampening", "meghdadk/SCRUB"
ERASURE_AT, TORCHUNLEARN = "aiim-research/ERASURE", "Harry24k/machine-unlearning-pytorch"
IMPORTS = {SSD: _ssd_code, SCRUB: _scrub_code, ERASURE_AT: _erasure_code, TORCHUNLEARN: _torchunlearn_code}
ERASURE = {
    "finetuning": "unlearners.Finetuning",
    "neggrad": "unlearners.NegGrad",
    "advanced-neggrad": "unlearners.AdvancedNegGrad",
    "ssd": "unlearners.SelectiveSynapticDampening",
    "scrub": "unlearners.Scrub",
    "salun": "unlearners.SaliencyMapGeneration",
    "eu-k": "unlearners.eu_k",
}
METHODS = {
    YARDSTICK: Method(retraining, "the original's recipe on the records that stay"),
    **{f"ebb:{b}": own(eb.Ebb(training=RECIPE, budget=b)) for b in (0.2, 0.4)},
    **{f"eu-2:{b}": own(EUk(layers=2, training=RECIPE, budget=b)) for b in (0.2, 0.4)},
    **{f"fine-tune:{b}": own(FineTune(training=RECIPE, budget=b)) for b in (0.2, 0.4)},
    "SSD-authors": Method(ssd, "forget_*_main.py: alpha 10, lambda 1, batches of 64 (class) or 128 (random)", SSD),
    "SSD-authors-mixed": Method(partial(ssd, mixed=True), "as SSD-authors, but all data in the data set's order", SSD),
    "SCRUB-authors": Method(scrub, "small_scale_unlearning.ipynb: Adam 5e-4, decay .1, 10 epochs, 3 away, T 2", SCRUB),
    **{f"ERASURE-{name}": erasure(module.rpartition(".")[2]) for name, module in ERASURE.items()},
    "torchunlearn-finetune": torchunlearn("Finetune"),
    "torchunlearn-neggrad": torchunlearn("NegGrad", retain_lambda=0.5),
    "torchunlearn-boundary-shrink": torchunlearn("BoundaryShrink"),
}
