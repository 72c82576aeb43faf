"""Contracts for pieces written elsewhere: ``check_unlearner(Mine())`` says in a sentence which promise is broken.

Each check runs the piece on small problems made here, in milliseconds to a few seconds: a multilayer perceptron, and
a convolutional network with batch normalisation and dropout whose data set is no `TensorDataset`.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from ebbing.attacks import Attack
from ebbing.batches import iterate
from ebbing.curves import ForgettingCurve
from ebbing.errors import InputError
from ebbing.journal import Journal
from ebbing.methods import Unlearner
from ebbing.observations import Observations, Signals
from ebbing.rankings import Ranking
from ebbing.rankings.ranking import Scores
from ebbing.rates import Rate
from ebbing.request import ForgetRequest
from ebbing.task import Classification, evaluation_mode
from ebbing.training import Recipe, Trainer
from ebbing.units import find_units

CLASSES = 3
TRAIN, UNSEEN, FORGET = 60, 30, 12


class ContractError(AssertionError):
    """A piece does not keep its contract. The message names the promise and what was found."""


def _require(kept: bool, promise: str) -> None:
    if not kept:
        raise ContractError(promise)


def check_unlearner(method: Unlearner) -> None:
    """Check an unlearning method: what `Unlearner` promises, on two small models.

    The model passed in is bitwise untouched (parameters, buffers, gradients, mode, hooks, ``requires_grad``), and so
    are the data and the global random states; the same seed gives the same bits; the holdout and the matched examples
    are never read; the result shares no memory with the input, is finite, in the same mode and without hooks; a request
    without validation data works or is refused with `InputError`. Gradients may be left in the result.

    Args:
        method: with settings that do not ruin a small model: what a rolled-back run returns is the original, of
            which nothing could be concluded.

    Raises:
        ContractError: at the first promise that is broken.
    """
    for problem in _problems():
        request, accessed = _guarded(problem.request, "holdout", "matched")
        before, data = _Snapshot.of(problem.model), _bits_of_data(problem.request)
        states: list[dict[str, bytes]] = []
        for seed in (0, 1, 0):
            with _random_state_kept(f"unlearn() on {problem.name}", disturbed_by=len(states)):
                journal = Journal()
                result = method.unlearn(problem.model, request, task=Classification(), seed=seed, journal=journal)
            _require(not accessed, f"the holdout and matched examples must never be read, but {accessed} were.")
            _require(
                journal.rolled_back is None,
                f"the run on {problem.name} must end in a result to check, but was rolled back: {journal.rolled_back}. "
                "Use gentler settings.",
            )
            before.require_untouched(problem.model, by="unlearn()")
            _require(data == _bits_of_data(problem.request), "unlearn() must not change the data, but did.")
            _require_clean(result, problem)
            states.append(_bits(result))
        _require(
            states[0] == states[2],
            f"the same seed must give the same weights bit for bit, but two runs on {problem.name} differ in "
            f"{_differing(states[0], states[2])}.",
        )
        bare = replace(request, validation=None, validation_matched=None)
        try:
            result = method.unlearn(problem.model, bare, task=Classification(), seed=0)
        except InputError:
            continue
        _require(not accessed, f"without validation data, too, the holdout must not be read, but {accessed} were.")
        _require_clean(result, problem)


def _require_clean(result: nn.Module, problem: _Problem) -> None:
    """What an unlearned model must be, whatever made it."""
    model = problem.model
    _require(result is not model, "the result must be a new model, but is the one that was passed in.")
    theirs = {t.untyped_storage().data_ptr() for t in model.state_dict().values()}
    shared = [n for n, t in result.state_dict().items() if t.untyped_storage().data_ptr() in theirs]
    _require(not shared, f"the result must share no memory with the model passed in, but shares {shared}.")
    hooked = [n or "the model" for n, count in _hooks(result).items() if count]
    _require(not hooked, f"no hook, gate or replaced forward may be left in the result, but is in {hooked}.")
    tensors = itertools.chain(result.named_parameters(), result.named_buffers())
    wild = [n for n, t in tensors if t.is_floating_point() and not bool(torch.isfinite(t).all())]
    _require(not wild, f"the result's weights must be finite, but are not in {wild}.")
    _require(result.training == model.training, "the result must be in the mode of the model passed in, but is not.")
    wanted = {n: p.requires_grad for n, p in model.named_parameters()}
    changed = [n for n, p in result.named_parameters() if wanted.get(n, p.requires_grad) != p.requires_grad]
    _require(not changed, f"requires_grad in the result must be as it was passed in, but differs in {changed}.")
    with evaluation_mode(result):
        logits = Classification().forward(result, next(iterate(problem.request.dataset, batch_size=8))).logits
    _require(
        logits.shape == (8, CLASSES) and bool(torch.isfinite(logits).all()),
        "the result must give finite outputs of the original's shape, but does not.",
    )


def check_ranking(ranking: Ranking) -> None:
    """Check a ranking: what `Ranking` promises, on two small models.

    Finite scores (n,) for every group; the same seed gives the same scores; weights, gradients, hooks, mode and the global
    random states are as they were; only the forget and retain sets are read.

    Args:
        ranking: to be checked.

    Raises:
        ContractError: at the first promise that is broken.
    """
    task = Classification()
    for problem in _problems():
        unseen = ("holdout", "matched", "validation", "validation_matched")
        request, accessed = _guarded(problem.request, *unseen)
        batch = next(iterate(request.dataset, batch_size=16))
        units = find_units(problem.model, task=task, batch=batch)
        before = _Snapshot.of(problem.model)
        runs: list[Scores] = []
        for seed in (0, 1, 0):
            with _random_state_kept("scores()", disturbed_by=len(runs)):
                runs.append(ranking.scores(problem.model, units, request, task=task, seed=seed))
            _require(not accessed, f"a ranking reads the forget and retain sets alone, but {accessed} were read.")
            before.require_untouched(problem.model, by="scores()")
        sizes = {group.name: (group.size,) for group in units}
        shapes = {name: tuple(scores.shape) for name, scores in runs[0].items()}
        _require(shapes == sizes, f"scores() must give {sizes} on {problem.name}, but gives {shapes}.")
        for name in sizes:
            first, again = runs[0][name], runs[2][name]
            _require(bool(torch.isfinite(first).all()), f"scores must be finite, but those of {name!r} are not.")
            _require(
                torch.equal(first, again), f"the same seed must give the same scores, but those of {name!r} differ."
            )


def check_curve(curve: ForgettingCurve) -> None:
    """Check a forgetting curve: what `ForgettingCurve` promises, on a grid of times and decay times.

    factor(0, any) = 1; factor(t > 0, 0) = 0; factor(t, inf) = 1; in [0, 1]; never rising in t; the same at every call;
    what is out of range is refused with `InputError`.

    Args:
        curve: to be checked.

    Raises:
        ContractError: at the first promise that is broken.
    """
    times = [0.0, 1e-6, 0.1, 0.5, 1.0, 2.0, 3.7, 10.0, 1e3, 1e9]
    for dtype in (torch.float32, torch.float64):
        tau = torch.tensor([0.0, 1e-6, 0.3, 1.0, 2.0, 50.0, 1e9, float("inf")], dtype=dtype)
        asked = tau.clone()
        rows = torch.stack([curve.factor(t, tau) for t in times])  # (times, n)
        again = torch.stack([curve.factor(t, tau) for t in reversed(times)]).flip(0)
        _require(torch.equal(tau, asked), "factor() must not change `tau`, but does.")
        _require(rows.shape == (len(times), len(tau)), f"factor() must give (n,), but gives {tuple(rows.shape[1:])}.")
        _require(bool(((rows >= 0) & (rows <= 1)).all()), "factors must lie in [0, 1], but some do not.")
        _require(torch.equal(rows, again), "a factor must depend on t and tau alone, but a second call differs.")
        _require(bool((rows[0] == 1).all()), f"factor(0, tau) must be 1 for every tau, but is {rows[0].tolist()}.")
        _require(bool((rows[1:, 0] == 0).all()), f"factor(t > 0, 0) must be 0, but is {rows[1:, 0].tolist()}.")
        _require(bool((rows[:, -1] == 1).all()), f"factor(t, inf) must be 1, but is {rows[:, -1].tolist()}.")
        _require(bool((rows.diff(dim=0) <= 0).all()), "a factor must never rise with t, but does.")
    one, nan = torch.ones(1), torch.tensor([1.0, float("nan")])
    for t, wrong in ((-1.0, one), (float("inf"), one), (float("nan"), one), (1.0, -one), (1.0, nan)):
        try:
            curve.factor(t, wrong)
        except InputError:
            continue
        raise ContractError(f"factor({t}, {wrong.tolist()}) must be refused with InputError, but is not.")


def check_rate(rate: Rate) -> None:
    """Check a rate: decay times in [0, inf], never longer for a higher score, the same for the same score.

    Args:
        rate: to be checked, on groups of several units, of one unit, and of units that tie.

    Raises:
        ContractError: at the first promise that is broken.
    """
    _require(isinstance(rate.ranking, Ranking), f"a rate must have a `ranking`, but has {rate.ranking!r}.")
    generator = torch.Generator().manual_seed(0)
    scores = {
        "spread": torch.randn(17, generator=generator, dtype=torch.float64),
        "single precision": torch.randn(9, generator=generator),
        "tied": torch.tensor([3.0, -1.0, 3.0, 0.0, -1.0, -1.0, 3.0], dtype=torch.float64),
        "all tied": torch.zeros(5, dtype=torch.float64),
        "one unit": torch.tensor([0.7], dtype=torch.float64),
    }
    asked = {name: s.clone() for name, s in scores.items()}
    with _random_state_kept("tau()", disturbed_by=0):
        taus, again = rate.tau(scores), rate.tau(scores)
    _require(all(torch.equal(scores[n], asked[n]) for n in scores), "tau() must not change the scores, but does.")
    shapes, sizes = ({n: tuple(v.shape) for n, v in found.items()} for found in (taus, scores))
    _require(shapes == sizes, f"tau() must give a decay time per unit, {sizes}, but gives {shapes}.")
    for name, s in scores.items():
        tau = taus[name]
        _require(bool((tau >= 0).all()), f"decay times must lie in [0, inf], but are {tau.tolist()} for {name} scores.")
        _require(
            torch.equal(tau, again[name]), "the same scores must give the same decay times, but a second call differs."
        )
        higher = s[:, None] > s[None, :]  # (n, n)
        longer = tau[:, None] > tau[None, :]
        _require(
            not bool((higher & longer).any()), f"a higher score must not decay more slowly, but does for {name} scores."
        )
        tied = s[:, None] == s[None, :]
        _require(
            not bool((tied & longer).any()), f"units that tie must have one decay time, but do not for {name} scores."
        )


def check_attack(attack: Attack) -> None:
    """Check a membership attack: what `Attack.run` promises, on synthetic models.

    One result per model with figures in [0, 1]; the same whatever other models are judged beside it; no figure without
    matched examples, and the reason; the same seed gives the same result; the observations are not changed.

    Args:
        attack: to be checked.

    Raises:
        ContractError: at the first promise that is broken.
    """
    seen = Observations(
        *(_signals(i, n, boost) for i, (n, boost) in enumerate(((60, 1.0), (40, 1.0), (40, 0), (70, 0))))
    )
    kept = [getattr(split, f.name).copy() for split in _splits(seen) for f in fields(Signals)]
    with _random_state_kept("run()", disturbed_by=0):
        results, again, alone = attack.run(seen, seed=0), attack.run(seen, seed=0), attack.run(seen[1:2], seed=0)
        bare = attack.run(replace(seen, matched=None), seed=0)
    now = [getattr(split, f.name) for split in _splits(seen) for f in fields(Signals)]
    same = all(np.array_equal(a, b) for a, b in zip(kept, now, strict=True))
    _require(same, "an attack must not change the observations, but does.")
    counts = (len(results), len(bare))
    _require(counts == (3, 3), f"an attack must give one result per model, but gives {counts} for 3.")
    for result in results:
        figures = (result.auc, result.low, result.high, result.tpr_at_1pct_fpr, result.accuracy)
        inside = all(f is None or 0 <= f <= 1 for f in figures)
        _require(inside, f"every figure must be None or lie in [0, 1], but they are {figures}.")
        _require(result.auc is not None, "an attack on enough records must give an AUC, but gives None.")
    _require(results == again, "the same seed must give the same result, but does not.")
    _require(results[1:2] == alone, "a result must not depend on the models judged beside it, but does.")
    _require(
        all(r.auc is None and r.reason for r in bare),
        "without matched examples there must be no figure but a reason, but there is a figure or no reason.",
    )


# ---------------------------------------------------------------- the small problems


@dataclass(frozen=True)
class _Problem:
    """A trained model and a request, with a name for messages."""

    name: str
    model: nn.Module
    request: ForgetRequest


class _Records(Dataset[tuple[Tensor, Tensor]]):
    """A map-style data set that is not held as tensors."""

    def __init__(self, inputs: Tensor, labels: Tensor) -> None:
        self.inputs, self.labels = inputs, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.inputs[index], self.labels[index]


def _mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 10), nn.ReLU(), nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, CLASSES))


def _cnn() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(16, 8), nn.ReLU(), nn.Dropout(0.25), nn.Linear(8, CLASSES)),
    )


def _problems() -> Iterator[_Problem]:
    """Two models that memorised noise a little: any other model is about as good, so that no run is rolled back."""
    shapes: list[tuple[str, Callable[[], nn.Module], tuple[int, ...], Any]] = [
        ("a multilayer perceptron", _mlp, (6,), TensorDataset),
        ("a convolutional network", _cnn, (1, 6, 6), _Records),
    ]
    for name, build, shape, wrap in shapes:
        generator = torch.Generator().manual_seed(1)

        def data(n: int, shape: tuple[int, ...] = shape, wrap: Any = wrap, g: torch.Generator = generator) -> Any:
            return wrap(torch.randn(n, *shape, generator=g), torch.arange(n) % CLASSES)

        train = data(TRAIN)
        request = ForgetRequest.from_ids(train, range(5, 5 + FORGET), holdout=data(UNSEEN), validation=data(UNSEEN))
        model = Trainer(build, Recipe(epochs=2, batch_size=20))(train, seed=5)
        model.get_submodule("0").train()
        model.get_parameter("0.bias").requires_grad_(False)
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, 0.5)
        yield _Problem(name, model, request)


class _Forbidden(Dataset[Any]):
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


def _guarded(request: ForgetRequest, *splits: str) -> tuple[ForgetRequest, list[str]]:
    """A request whose splits of these names refuse to be read, and the list that such attempts go into."""
    accessed: list[str] = []
    forbidden: dict[str, Any] = {split: _Forbidden(split, accessed) for split in splits}
    return replace(request, **forbidden), accessed


def _signals(seed: int, n: int, boost: float) -> Signals:
    """Signals of three synthetic models on two classes; ``boost`` is how much larger the margins are."""
    margin = np.random.default_rng(seed).normal(boost, 1.0, size=(3, n))
    p = 1 / (1 + np.exp(-margin))  # of the label
    entropy = -p * np.log(p) - (1 - p) * np.log1p(-p)
    modified = -2 * (1 - p) * np.log(p)
    return Signals(margin, np.maximum(p, 1 - p), entropy, modified, margin > 0)


def _splits(seen: Observations) -> list[Signals]:
    return [s for s in (seen.forget, seen.retain, seen.holdout, seen.matched) if s is not None]


# ---------------------------------------------------------------- what must stay as it was


def _bytes(tensor: Tensor | None) -> bytes:
    if tensor is None:
        return b"none"
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def _bits(model: nn.Module) -> dict[str, bytes]:
    return {name: _bytes(tensor) for name, tensor in model.state_dict().items()}


def _bits_of_data(request: ForgetRequest) -> list[bytes]:
    return [_bytes(part) for batch in iterate(request.dataset, batch_size=TRAIN) for part in batch]


def _differing(a: dict[str, bytes], b: dict[str, bytes]) -> list[str]:
    return sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))


def _hooks(model: nn.Module) -> dict[str, int]:
    """How many hooks, and forward methods replaced on the object, each module and parameter has."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    found = {n: sum(len(getattr(m, k)) for k in kinds) + ("forward" in vars(m)) for n, m in model.named_modules()}
    for name, parameter in model.named_parameters():
        found[name] = len(parameter._backward_hooks or ()) + len(parameter._post_accumulate_grad_hooks or ())
    return found


@dataclass(frozen=True)
class _Snapshot:
    """Everything about a model that a guest must leave as it was."""

    aspects: dict[str, dict[str, Any]]

    @classmethod
    def of(cls, model: nn.Module) -> _Snapshot:
        """Take it."""
        return cls(
            {
                "weights or buffers": _bits(model),
                "gradients": {n: _bytes(p.grad) for n, p in model.named_parameters()},
                "requires_grad": {n: p.requires_grad for n, p in model.named_parameters()},
                "training mode": {n: m.training for n, m in model.named_modules()},
                "hooks": _hooks(model),
                "modules": {n: type(m) for n, m in model.named_modules()},
            }
        )

    def require_untouched(self, model: nn.Module, *, by: str) -> None:
        """Raise ContractError if the model is not as it was."""
        for (aspect, before), now in zip(self.aspects.items(), _Snapshot.of(model).aspects.values(), strict=True):
            changed = [n or "the model" for n in before.keys() | now.keys() if before.get(n) != now.get(n)]
            _require(
                not changed,
                f"{by} must leave the model it is given untouched, but changed {aspect} of {sorted(changed)}.",
            )


@contextmanager
def _random_state_kept(what: str, *, disturbed_by: int) -> Iterator[None]:
    """Require that the global random states are the same afterwards; they start from another place each time."""

    def states() -> list[Any]:
        name, keys, *rest = np.random.get_state()  # noqa: NPY002
        return [torch.get_rng_state().tolist(), random.getstate(), [name, list(keys), *rest]]

    with torch.random.fork_rng(devices=[]):
        torch.rand(disturbed_by)
        before = states()
        yield
        for library, a, b in zip(("torch", "random", "numpy"), before, states(), strict=True):
            _require(a == b, f"{what} must leave the global random state of {library} untouched, but changed it.")
