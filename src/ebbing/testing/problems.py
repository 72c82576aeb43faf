"""The small problems that contracts are checked on, and what tells whether a piece left its hands off."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from ebbing.batches import iterate
from ebbing.observations import Observations, Signals
from ebbing.request import ForgetRequest
from ebbing.training import Recipe, Trainer

CLASSES = 3
TRAIN, UNSEEN, FORGET = 60, 30, 12


class ContractError(AssertionError):
    """A piece does not keep its contract. The message names the promise and what was found."""


def require(kept: bool, promise: str) -> None:
    """Raise the promise as a ContractError where it was not kept."""
    if not kept:
        raise ContractError(promise)


def shown(found: Any) -> str:
    """What was found, for messages: its kind, and the beginning of how it is printed."""
    text = " ".join(repr(found).split())
    return f"{type(found).__name__} {text if len(text) <= 60 else text[:57] + '...'}"


def require_recipe(piece: Any, family: type) -> None:
    """Require an instance of a family, its settings fields of a frozen dataclass: reports and stored results go by these."""
    said = f"{piece.__name__} is a class: call it" if isinstance(piece, type) else f"{shown(piece)} is none"
    require(isinstance(piece, family), f"what is checked must be an instance of {family.__name__}, but {said}.")
    kind = type(piece)
    known = {f.name for f in fields(piece)} if is_dataclass(piece) else set()
    for cls in kind.__mro__[: kind.__mro__.index(family)]:
        declared = [n for n, hint in vars(cls).get("__annotations__", {}).items() if "ClassVar" not in str(hint)]
        parameters = vars(cls).get("__dataclass_params__")
        lost = sorted(set(declared) - known)
        require(
            not lost and (parameters is None or parameters.frozen),
            f"settings must be fields of a frozen dataclass, but {cls.__name__} is none"
            f"{f' and declares {lost}' if lost else ''}. Decorate it with @dataclass(frozen=True).",
        )
    held = sorted(vars(piece).keys() - known)
    require(
        not held, f"settings must be fields of a frozen dataclass, but {kind.__name__} holds {held} beside its fields."
    )


@dataclass
class Passed:
    """How many examples went through the networks of problems, their copies included, and how many came back by gradients."""

    forward: int = 0
    backward: int = 0


_COUNTS: list[Passed] = []


@contextmanager
def passing() -> Iterator[Passed]:
    """Count what goes through the networks of problems meanwhile."""
    passed = Passed()
    _COUNTS.append(passed)
    try:
        yield passed
    finally:
        _COUNTS.remove(passed)


class Network(nn.Sequential):
    """Layers in a row, which note what goes through them."""

    def forward(self, input: Any) -> Any:
        """Run, and count."""
        output = super().forward(input)  # type: ignore[no-untyped-call]
        for passed in _COUNTS:
            passed.forward += len(output)
            if output.requires_grad:
                output.register_hook(partial(self._came_back, passed, len(output)))
        return output

    @staticmethod
    def _came_back(passed: Passed, n: int, gradient: Tensor) -> None:
        passed.backward += n


@dataclass(frozen=True)
class Problem:
    """A trained model and a request, with a name for messages, and what made the model."""

    name: str
    model: nn.Module
    request: ForgetRequest
    trainer: Trainer


class Records(Dataset[tuple[Tensor, Tensor]]):
    """A map-style data set that is not held as tensors."""

    def __init__(self, inputs: Tensor, labels: Tensor) -> None:
        self.inputs, self.labels = inputs, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.inputs[index], self.labels[index]


def mlp() -> nn.Module:
    """Three linear layers for 6 features."""
    return Network(nn.Linear(6, 10), nn.ReLU(), nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, CLASSES))


def cnn() -> nn.Module:
    """Convolution, batch normalisation, dropout."""
    return Network(
        *(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(16, 8), nn.ReLU(), nn.Dropout(0.25), nn.Linear(8, CLASSES)),
    )


def problems(*, whole_class: bool = False) -> Iterator[Problem]:
    """Two models that memorised noise a little: any other model is about as good, so that no run is rolled back.

    Args:
        whole_class: whether all records of one class are to be forgotten, instead of some records.
    """
    shapes: list[tuple[str, Callable[[], nn.Module], tuple[int, ...], Any]] = [
        ("a multilayer perceptron", mlp, (6,), TensorDataset),
        ("a convolutional network", cnn, (1, 6, 6), Records),
    ]
    for name, build, shape, wrap in shapes:
        generator = torch.Generator().manual_seed(1)

        def data(n: int, shape: tuple[int, ...] = shape, wrap: Any = wrap, g: torch.Generator = generator) -> Any:
            return wrap(torch.randn(n, *shape, generator=g), torch.arange(n) % CLASSES)

        train = data(TRAIN)
        ids = range(CLASSES - 1, TRAIN, CLASSES) if whole_class else range(5, 5 + FORGET)
        request = ForgetRequest.from_ids(train, ids, holdout=data(UNSEEN), validation=data(UNSEEN))
        trainer = Trainer(build, Recipe(epochs=2, batch_size=20))
        yield Problem(name, in_use(trainer(train, seed=5)), request, trainer)


def in_use(model: nn.Module) -> nn.Module:
    """The model as somebody may hand it over: a layer in training mode, a bias frozen, gradients left."""
    first = next(m for m in model.modules() if list(m.parameters(recurse=False)))
    first.train()
    first.get_parameter("bias").requires_grad_(False)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 0.5)
    return model


class Forbidden(Dataset[Any]):
    """Data that must not be read: any access is noted, and refused."""

    def __init__(self, name: str, accessed: list[str]) -> None:
        self._name, self._accessed = name, accessed

    def _refuse(self) -> NoReturn:
        self._accessed.append(self._name)
        raise ContractError(f"`{self._name}` must not be read here, but was.")

    def __len__(self) -> int:
        self._refuse()

    def __getitem__(self, index: Any) -> Any:
        self._refuse()

    def __getitems__(self, indices: Any) -> Any:
        self._refuse()

    def __iter__(self) -> Iterator[Any]:
        self._refuse()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # copying asks for such names
            raise AttributeError(name)
        self._refuse()


def guarded(request: ForgetRequest, *splits: str) -> tuple[ForgetRequest, list[str]]:
    """A request whose splits of these names refuse to be read, and the list that such attempts go into."""
    accessed: list[str] = []
    forbidden: dict[str, Any] = {split: Forbidden(split, accessed) for split in splits}
    return replace(request, **forbidden), accessed


def signals(seed: int, n: int, boost: float) -> Signals:
    """Signals of three synthetic models on two classes; ``boost`` is how much larger the margins are."""
    margin = np.random.default_rng(seed).normal(boost, 1.0, size=(3, n))
    p = 1 / (1 + np.exp(-margin))  # of the label
    entropy = -p * np.log(p) - (1 - p) * np.log1p(-p)
    modified = -2 * (1 - p) * np.log(p)
    logits = np.stack((margin, np.zeros_like(margin)), axis=2)
    return Signals(margin, np.maximum(p, 1 - p), entropy, modified, margin > 0, logits)


def splits(seen: Observations) -> list[Signals]:
    """The signals of every split there is."""
    return [s for s in (seen.forget, seen.retain, seen.holdout, seen.matched) if s is not None]


# ---------------------------------------------------------------- what must stay as it was


def as_bytes(tensor: Tensor | None) -> bytes:
    """The bits of a tensor, for comparison."""
    if tensor is None:
        return b"none"
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def bits(model: nn.Module) -> dict[str, bytes]:
    """The bits of every parameter and buffer."""
    return {name: as_bytes(tensor) for name, tensor in model.state_dict().items()}


def bits_of_data(request: ForgetRequest) -> list[bytes]:
    """The bits of the training set."""
    return [as_bytes(part) for batch in iterate(request.dataset, batch_size=TRAIN) for part in batch]


def differing(a: dict[str, bytes], b: dict[str, bytes]) -> list[str]:
    """The names whose bits differ."""
    return sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))


def hooks(model: nn.Module) -> dict[str, int]:
    """How many hooks, and forward methods replaced on the object, each module and parameter has."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    found = {n: sum(len(getattr(m, k)) for k in kinds) + ("forward" in vars(m)) for n, m in model.named_modules()}
    for name, parameter in model.named_parameters():
        found[name] = len(parameter._backward_hooks or ()) + len(parameter._post_accumulate_grad_hooks or ())
    return found


@dataclass(frozen=True)
class Snapshot:
    """Everything about a model that a guest must leave as it was."""

    aspects: dict[str, dict[str, Any]]

    @classmethod
    def of(cls, model: nn.Module) -> Snapshot:
        """Take it."""
        return cls(
            {
                "weights or buffers": bits(model),
                "gradients": {n: as_bytes(p.grad) for n, p in model.named_parameters()},
                "requires_grad": {n: p.requires_grad for n, p in model.named_parameters()},
                "training mode": {n: m.training for n, m in model.named_modules()},
                "hooks": hooks(model),
                "modules": {n: type(m) for n, m in model.named_modules()},
            }
        )

    def require_untouched(self, model: nn.Module, *, by: str) -> None:
        """Raise ContractError if the model is not as it was."""
        for (aspect, before), now in zip(self.aspects.items(), Snapshot.of(model).aspects.values(), strict=True):
            changed = [n or "the model" for n in before.keys() | now.keys() if before.get(n) != now.get(n)]
            require(
                not changed,
                f"{by} must leave the model it is given untouched, but changed {aspect} of {sorted(changed)}.",
            )


@contextmanager
def random_state_kept(what: str, *, disturbed_by: int) -> Iterator[None]:
    """Require that the global random states are the same afterwards; they start from another place each time."""

    def states() -> list[Any]:
        name, keys, *rest = np.random.get_state()  # noqa: NPY002
        return [torch.get_rng_state().tolist(), random.getstate(), [name, list(keys), *rest]]

    with torch.random.fork_rng(devices=[]):
        torch.rand(disturbed_by)
        before = states()
        yield
        for library, a, b in zip(("torch", "random", "numpy"), before, states(), strict=True):
            require(a == b, f"{what} must leave the global random state of {library} untouched, but changed it.")
