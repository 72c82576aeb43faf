"""Baselines beside the public code of their authors: the same weights, records, order of batches and draws in.

    python benchmarks/parity.py --references DIR --out results/parity.json

DIR holds checkouts of github.com/if-loops/selective-synaptic-dampening, github.com/meghdadk/SCRUB,
github.com/OPTML-Group/Unlearn-Saliency and github.com/xcadet/deepunlearn, each under its own name. What they import and do not
need here (plots, trackers, image folders) is replaced by nothing. A network for digits is trained, 64 records are to be
forgotten, and both versions of each method run in double precision; the figure is the largest difference between the two
results' weights, as a share of the largest change that the method made.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from copy import deepcopy
from importlib.machinery import ModuleSpec
from io import StringIO
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import ebbing as eb
from ebbing.batches import epoch_orders, iterate
from ebbing.data import load
from ebbing.files import write_text
from ebbing.machine import describe
from ebbing.models import digits_cnn
from ebbing.training import seeded, steps_of, stream

FORGET, CLASSES, RATE, MOMENTUM, ROUNDS = 64, 10, 0.01, 0.9, 3
SEED = 0
Batches = list[tuple[Tensor, Tensor]]


def main() -> None:
    """Run every pair and write the differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--references", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    found: dict[str, Any] = {}
    for name, (repository, pair) in PAIRS.items():
        folder = options.references / repository.rpartition("/")[2]
        request, model = problem(first_class=name == "SalUn")
        with public_code(folder), seeded(stream(SEED, "unlearning")) as generator:
            theirs = pair(deepcopy(model), request, folder, generator)
        journal = eb.Journal()
        ours = METHODS[name].unlearn(model, request, seed=SEED, journal=journal)
        if journal.rolled_back:
            sys.exit(f"{name} was rolled back, so that there is nothing to compare: {journal.rolled_back}")
        found[name] = {"repository": repository, "commit": commit(folder)} | compare(model, ours, theirs)
        print(name, json.dumps(found[name]))
    if options.out:
        command = "python benchmarks/parity.py --references DIR --out results/parity.json"
        facts = describe() | {"command": command}  # wherever DIR was
        write_text(options.out, json.dumps({"methods": found, "provenance": facts}, indent=1) + "\n")


def problem(*, first_class: bool) -> tuple[eb.ForgetRequest, nn.Module]:
    """A request and a trained network. With ``first_class`` every record to forget has label 0.

    One version of SalUn adds what it draws to the label and the other one does not: on label 0 they are alike.
    """
    bundle = load("digits")
    x, y = (t.clone() for t in bundle.train.tensors)
    y[:FORGET] = 0 if first_class else (y[:FORGET] + 1) % CLASSES
    data = TensorDataset(x.double(), y)
    unseen = TensorDataset(bundle.test.tensors[0].double(), bundle.test.tensors[1])
    request = eb.ForgetRequest.from_ids(data, range(FORGET), holdout=unseen, overlap="allow")
    return request, eb.Trainer(network, eb.Recipe(epochs=10, learning_rate=2e-3))(data, seed=SEED)


def network() -> nn.Module:
    """The network for digits, its convolutions without biases: the public MSG draws them anew, as it has none in mind."""
    model = digits_cnn()
    for name in ("conv1", "conv2"):
        getattr(model, name).register_parameter("bias", None)
    return model


def compare(model: nn.Module, ours: nn.Module, theirs: nn.Module) -> dict[str, float]:
    """The largest change that ours made, and the largest difference as a share of it."""
    before, own, other = (
        torch.cat([p.detach().flatten() for _, p in sorted(m.named_parameters())]) for m in (model, ours, theirs)
    )
    change = float((own - before).abs().max())
    return {
        "largest_change": change,
        "weights_changed": int((own != before).sum()),
        "largest_difference_over_change": float((own - other).abs().max()) / change,
    }


def commit(folder: Path) -> str | None:
    """Of a checkout, where it is one."""
    done = subprocess.run(["git", "-C", folder, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


# ---------------------------------------------------------------- the same batches


class Replay:
    """A loader that goes through an epoch of batches each time it is asked to."""

    def __init__(self, epochs: list[Batches], dataset: Any = None) -> None:
        self._epochs, self._asked, self.dataset = epochs, 0, dataset

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        self._asked += 1
        return iter(self._epochs[(self._asked - 1) % len(self._epochs)])

    def __len__(self) -> int:
        return len(self._epochs[0])


def drawn(dataset: Any, *, batch_size: int, generator: torch.Generator) -> Batches:
    """One epoch in an order from the generator."""
    order = next(epoch_orders(len(dataset), examples=len(dataset), generator=generator))
    return list(iterate(dataset, batch_size=batch_size, order=order))


def by_turns(
    request: eb.ForgetRequest, generator: torch.Generator, *, first: int, batch_size: int
) -> tuple[Replay, Replay]:
    """Loaders of both sets for rounds of which the first ones visit the forget set too, drawn in the order of the visits."""
    forget, retain = [], []
    for number in range(ROUNDS):
        if number < first:
            forget.append(drawn(request.forget, batch_size=batch_size, generator=generator))
        retain.append(drawn(request.retain, batch_size=128, generator=generator))
    return Replay(forget), Replay(retain)


# ---------------------------------------------------------------- the public code


class _Nothing(type):
    """A class that stands for whatever is asked of it."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Nothing(name, (), {})

    def __getitem__(cls, key: Any) -> Any:
        return _Nothing("item", (), {})

    def keys(cls) -> list[str]:
        """None: it can stand for a mapping."""
        return []


class _Empty(ModuleType):
    """A module that has whatever is looked for."""

    __all__: list[str] = []  # noqa: RUF012
    __path__: list[str] = []  # noqa: RUF012

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Nothing(name, (), {})


class _Finder:
    """Finds an empty module for every name that nothing else has."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec:
        return ModuleSpec(name, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Empty(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


@contextmanager
def public_code(folder: Path) -> Iterator[None]:
    """Inside, what is missing is empty, a GPU is no other place, precision stays double, and nothing is printed.

    Afterwards all is as before.
    """
    if not folder.is_dir():
        sys.exit(f"{folder} must be a checkout of the public code, but is not there.")
    modules, path, finders = dict(sys.modules), list(sys.path), list(sys.meta_path)
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(StringIO()))
        for kind in (Tensor, nn.Module):
            stack.enter_context(mock.patch.object(kind, "cuda", lambda self, *_, **__: self))
        stack.enter_context(mock.patch.object(Tensor, "float", Tensor.double))
        sys.meta_path.append(_Finder())  # type: ignore[arg-type]
        try:
            yield
        finally:
            sys.meta_path[:], sys.path[:] = finders, path
            for name in set(sys.modules) - set(modules):
                del sys.modules[name]


def module_at(path: Path, name: str) -> Any:
    """A module from a file."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        sys.exit(f"{path} must be a module of the public code, but is not.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def sgd(model: nn.Module, **settings: float) -> torch.optim.Optimizer:
    """The optimizer of every pair."""
    return torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM, **settings)


def ssd(model: nn.Module, request: eb.ForgetRequest, folder: Path, generator: torch.Generator) -> nn.Module:
    """Selective synaptic dampening by ``ParameterPerturber``, on a model in evaluation mode."""
    code = module_at(folder / "src" / "ssd.py", "their_ssd")
    parameters = {
        **dict.fromkeys(("lower_bound", "exponent", "forget_threshold"), 1),
        **dict.fromkeys(("min_layer", "max_layer"), -1),
        "magnitude_diff": None,
        "dampening_constant": METHODS["SSD"].dampening,
        "selection_weighting": METHODS["SSD"].selection,
    }
    model.eval()
    perturber = code.ParameterPerturber(model, sgd(model), "cpu", parameters)
    loaders = [
        [(x, None, y) for x, y in iterate(data, batch_size=128)] for data in (request.everything, request.forget)
    ]
    every, forget = (perturber.calc_importance(loader) for loader in loaders)
    perturber.modify_weight(every, forget)
    return model


def neg_grad_plus(model: nn.Module, request: eb.ForgetRequest, folder: Path, generator: torch.Generator) -> nn.Module:
    """NegGrad+ by ``train_negrad``."""
    sys.path.insert(0, str(folder))
    code = importlib.import_module("thirdparty.repdistiller.helper.loops")
    retain = drawn(request.retain, batch_size=128, generator=generator)
    forget = list(iterate(request.forget, batch_size=FORGET))
    alpha = METHODS["NegGradPlus"].retain_weight
    code.train_negrad(1, retain, forget, model, nn.CrossEntropyLoss(), sgd(model), alpha, None, quiet=True)
    return model


def scrub(model: nn.Module, request: eb.ForgetRequest, folder: Path, generator: torch.Generator) -> nn.Module:
    """SCRUB by ``train_distill``, in the order of the public notebook."""
    sys.path.insert(0, str(folder))
    code = importlib.import_module("thirdparty.repdistiller.helper.loops")
    kd = module_at(folder / "thirdparty" / "repdistiller" / "distiller_zoo" / "KD.py", "their_kd")
    method, optimizer = METHODS["SCRUB"], sgd(model)
    modules = nn.ModuleList([model, deepcopy(model)])
    criteria = nn.ModuleList([nn.CrossEntropyLoss(), *(kd.DistillKL(method.temperature) for _ in range(2))])
    settings = SimpleNamespace(
        distill="kd", gamma=method.label_weight, alpha=method.divergence_weight, beta=0.0, print_freq=10**9
    )
    forget, retain = by_turns(request, generator, first=method.max_rounds, batch_size=32)
    for number in range(ROUNDS):
        if number < method.max_rounds:
            code.train_distill(number, forget, modules, None, criteria, optimizer, settings, "maximize", quiet=True)
        code.train_distill(number, retain, modules, None, criteria, optimizer, settings, "minimize", quiet=True)
    return model


def salun(model: nn.Module, request: eb.ForgetRequest, folder: Path, generator: torch.Generator) -> nn.Module:
    """SalUn by ``save_gradient_ratio`` and ``RL``."""
    sys.path.insert(0, str(folder / "Classification"))
    for empty in ("utils", "dataset", "imagenet", "pruner"):
        sys.modules[empty] = _Empty(empty)
    package = sys.modules["unlearn"] = _Empty("unlearn")
    package.__path__ = [str(folder / "Classification" / "unlearn")]
    masking = module_at(folder / "Classification" / "generate_mask.py", "their_masks")
    rl = importlib.import_module("unlearn.RL")
    rl.utils = SimpleNamespace(
        AverageMeter=lambda: SimpleNamespace(update=lambda *_: None, avg=0.0), accuracy=lambda *_: [torch.zeros(1)]
    )
    settings = SimpleNamespace(
        **{"unlearn_lr": RATE, "momentum": MOMENTUM, "weight_decay": 5e-4, "unlearn_epochs": ROUNDS, "warmup": 0},
        **{"decreasing_lr": "91,136", "rewind_epoch": 0, "imagenet_arch": False, "unlearn": "RL", "dataset": "cifar10"},
        **{"num_classes": CLASSES, "print_freq": 10**9, "save_dir": tempfile.gettempdir()},
    )
    masks: list[dict[str, Tensor]] = []
    whole = list(iterate(request.forget, batch_size=256))
    with mock.patch.object(torch, "save", lambda mask, path: masks.append(mask)):
        masking.save_gradient_ratio({"forget": whole}, model, nn.CrossEntropyLoss(), settings)
    half = masks[4]  # of ten shares
    forget, retain = by_turns(request, generator, first=ROUNDS, batch_size=128)
    forget.dataset = request.forget
    rl.RL({"forget": forget, "retain": retain}, model, nn.CrossEntropyLoss(), settings, half)
    return model


def msg(model: nn.Module, request: eb.ForgetRequest, folder: Path, generator: torch.Generator) -> nn.Module:
    """MSG by ``KGLTop2``; which retained records it samples, and what it draws, is what ours does."""
    for name in ("munl", "munl.settings", "munl.unlearning", "munl.unlearning.common"):
        sys.modules[name] = _Empty(name)
    code = module_at(folder / "munl" / "unlearning" / "kgltop2.py", "their_msg")
    sample = torch.randperm(len(request.retain), generator=generator)
    retain = Replay([drawn(request.retain, batch_size=128, generator=generator)], request.retain)
    optimizer = SimpleNamespace(learning_rate=RATE, weight_decay=0.0, momentum=MOMENTUM)
    cfg = SimpleNamespace(init_rate=METHODS["MSG"].share, optimizer=optimizer, num_epochs=1)
    this = SimpleNamespace(cfg=cfg, device="cpu")
    forget = Replay([list(iterate(request.forget, batch_size=FORGET))], request.forget)
    model.eval()
    with mock.patch.object(torch, "randperm", _first_then(sample, torch.randperm)), same_draws():
        return code.KGLTop2.unlearn(this, model, retain, forget, None)


def _first_then(value: Tensor, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A function whose first call returns a value."""
    values = [value]
    return lambda *args, **settings: values.pop() if values else function(*args, **settings)


@contextmanager
def same_draws() -> Iterator[None]:
    """Kaiming's initialisation from a generator of its own for each shape, whatever was drawn before."""
    kaiming = nn.init.kaiming_normal_

    def fixed(tensor: Tensor, **settings: Any) -> Tensor:
        with seeded(tensor.numel()):
            return kaiming(tensor, **settings)

    with mock.patch.object(nn.init, "kaiming_normal_", fixed):
        yield


class _SameDraws(eb.MSG):
    def forget(self, model: nn.Module, run: Any) -> nn.Module:
        with same_draws():
            return super().forget(model, run)


N_RETAIN = 1297 - FORGET
STEPS = eb.Recipe(epochs=99, batch_size=128, optimizer="sgd", learning_rate=RATE, momentum=MOMENTUM)


def _steps(examples: int, **settings: Any) -> eb.Recipe:
    return eb.Recipe(**(vars(STEPS) | {"max_examples": examples} | settings))


METHODS: dict[str, Any] = {
    "SSD": eb.SSD(selection=40.0),
    "NegGradPlus": eb.NegGradPlus(
        retain_weight=0.95,
        forget_batch_size=FORGET,
        repair=_steps(N_RETAIN + FORGET * steps_of(N_RETAIN, N_RETAIN, 128)),
    ),
    "SCRUB": eb.SCRUB(
        rounds=ROUNDS, max_rounds=2, forget_batch_size=32, repair=_steps(2 * (2 * FORGET + ROUNDS * N_RETAIN))
    ),
    "SalUn": eb.SalUn(rounds=ROUNDS, repair=_steps(ROUNDS * (FORGET + N_RETAIN), weight_decay=5e-4)),
    "MSG": _SameDraws(repair=_steps(N_RETAIN)),
}
PAIRS: dict[str, tuple[str, Callable[..., nn.Module]]] = {
    "SSD": ("if-loops/selective-synaptic-dampening", ssd),
    "NegGradPlus": ("meghdadk/SCRUB", neg_grad_plus),
    "SCRUB": ("meghdadk/SCRUB", scrub),
    "SalUn": ("OPTML-Group/Unlearn-Saliency", salun),
    "MSG": ("xcadet/deepunlearn", msg),
}


if __name__ == "__main__":
    main()
