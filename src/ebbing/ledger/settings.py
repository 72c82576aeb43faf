"""``ledger.json``: where a ledger's parts are, and how its requests are processed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ebbing.errors import InputError
from ebbing.files import write_text
from ebbing.sharding import Sharding

SCHEMA = "ebbing.ledger/1"
FILE = "ledger.json"
#: What `ebbing.verdict` may say; written here as that module is not loaded by commands that only read a ledger.
OUTCOMES = (
    "under-forgotten",
    "over-forgotten",
    "damaged",
    "inconclusive",
    "no-measurable-trace",
    "no-memory-found",
    "consistent-with-retraining",
)
SISA = "sisa"  # the one method of an ensemble in shards
GOOD = ("consistent-with-retraining",)


@dataclass(frozen=True)
class Budget:
    """How far a model may drift before it is retrained from scratch.

    Attributes:
        utility: accuracy on the retain set that may be lost against retrained models, as a fraction.
        remembered: earlier batches of requests that may have come back.
        verdicts: audits since the last training from scratch whose outcome the policy does not accept.
    """

    utility: float = 0.005
    remembered: int = 0
    verdicts: int = 2

    def __post_init__(self) -> None:
        """Refuse what is no budget."""
        for name in ("utility", "remembered", "verdicts"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
                raise InputError(f"the budget's `{name}` must be a number >= 0, but is {value!r}.")


@dataclass(frozen=True)
class Settings:
    """What ``ebbing ledger init`` writes. Names are ``pkg.mod:name``, paths are relative to where commands are run.

    Attributes:
        database: URL, without a password.
        key: file of the signing key.
        model: what builds the network.
        data: the full training set, as it was.
        holdout: unseen data.
        matched: unseen data like the records to forget.
        keys: one key for each record of ``data``; without them records go by their positions.
        hf: whether the model is a folder of the transformers library, as its versions then are; there is no ``model``.
        pretrained: with ``hf``: the folder of the checkpoint that the model was fine-tuned from, where retraining starts.
        subjects: a table (``.csv`` with the columns ``subject`` and ``record``), or a function ``subject -> ids``.
        task: turns batches into outputs.
        train_fn: ``(dataset, *, seed) -> model``, for retrained references and for retraining.
        recipe: in the place of ``train_fn``: key=value of an `ebbing.Recipe`, each; with ``pretrained``, of the fine-tuning.
            () says nothing.
        sisa: SHARDS:SLICES where the model is an ensemble trained in shards, of networks that ``model`` builds; ``seed`` is
            then also that of the assignment. None for any other model.
        method: that unlearns, as of ``ebbing unlearn --method``.
        settings: as of ``--set``.
        gone_method: for records that are gone at the source: one that never reads them.
        gone_settings: its settings.
        oracles: retrained references for each audit.
        accept: outcomes of an audit that close a request unattended.
        budget: of drift.
        due_days: after it was received a request is due.
        retention_days: after it was finished, what was trained on its records is purged.
        seed: of everything that is drawn.
        validation_share: of ``holdout`` that methods may look at.
        overlap: as of ``--overlap``.
        neighbours: how near a record of the retain set must be to a forgotten one to be offered, as a share of what is
            usual between the nearest; 0 for equal ones alone.
        threads: of torch; None for its own choice. The number changes bits: leave it as it is.
        workers: processes that retrain references; 0 retrains in this one. `process` may be told others, or a cluster.
        lease: seconds until a worker that is not heard of counts as lost.
    """

    database: str
    key: str
    model: str | None = None
    hf: bool = False
    pretrained: str | None = None
    data: str | None = None
    holdout: str | None = None
    matched: str | None = None
    keys: str | None = None
    subjects: str | None = None
    task: str | None = None
    train_fn: str | None = None
    recipe: tuple[str, ...] = ()
    sisa: str | None = None
    method: str = "ebb"
    settings: tuple[str, ...] = ()
    gone_method: str = "fine-tune"
    gone_settings: tuple[str, ...] = ()
    oracles: int = 16
    accept: tuple[str, ...] = GOOD
    budget: Budget = field(default_factory=Budget)
    due_days: int = 30
    retention_days: int = 30
    seed: int = 0
    validation_share: float = 0.2
    overlap: str = "refuse"
    neighbours: float = 0.25
    threads: int | None = 1
    workers: int = 0
    lease: float = 300.0

    def __post_init__(self) -> None:
        """Refuse what cannot be, all problems at once."""
        wrong = []
        for name in ("oracles", "due_days", "retention_days", "seed", "workers"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                wrong.append(f"`{name}` must be a whole number >= 0, but is {value!r}")
        unknown = [word for word in self.accept if word not in OUTCOMES]
        if unknown:
            wrong.append(f"`accept` must name outcomes ({', '.join(OUTCOMES)}), but names {unknown[0]!r}")
        wrong += self._problems_of_shards()
        wrong += self._problems_of_folders()
        if self.train_fn is not None and self.recipe:
            wrong.append("either `train_fn` or `recipe` must say how is trained, but both do")
        if not isinstance(self.lease, (int, float)) or not self.lease >= 1:
            wrong.append(f"`lease` must be at least 1 second, but is {self.lease!r}")
        if not isinstance(self.neighbours, (int, float)) or not 0 <= self.neighbours <= 1:
            wrong.append(f"`neighbours` must lie in [0, 1], but is {self.neighbours!r}")
        if wrong:
            raise InputError("; ".join(wrong) + ".")

    def _problems_of_shards(self) -> list[str]:
        if self.sisa is None:
            return ["`sisa` must say SHARDS:SLICES where a method is sisa, but says nothing"] if self._by_sisa else []
        wrong = []
        try:
            assert self.sharding is not None  # noqa: S101 - `sisa` says it
        except InputError as error:
            wrong.append(str(error).rstrip("."))
        if (self.method, self.gone_method) != (SISA, SISA):
            wrong.append(
                f"`method` and `gone_method` must be {SISA} where `sisa` is said, but are {self.method} and {self.gone_method}"
            )
        if self.train_fn is not None:
            wrong.append(
                "an ensemble in shards must be trained by a `recipe`, which can stop after each slice, not `train_fn`"
            )
        return wrong

    def _problems_of_folders(self) -> list[str]:
        if not isinstance(self.hf, bool):
            return [f"`hf` must be true or false, but is {self.hf!r}"]
        if not self.hf:
            lacking = "`pretrained` must go with `hf`, a folder of the transformers library, but that is not said"
            return [lacking] if self.pretrained is not None else []
        wrong = [
            f"either `hf` or `{name}` must say what the model is, but both do"
            for name in ("model", "sisa")
            if getattr(self, name) is not None
        ]
        if self.pretrained is None and self.recipe:
            wrong.append("`recipe` must be how the model was fine-tuned from `pretrained`, but that is not said")
        if self.pretrained is not None and self.train_fn is not None:
            wrong.append("either `pretrained` or `train_fn` must say how is trained, but both do")
        return wrong

    @property
    def _by_sisa(self) -> bool:
        return SISA in (self.method, self.gone_method)

    @property
    def sharding(self) -> Sharding | None:
        """How the records are cut into shards; None where the model is no ensemble.

        Raises:
            InputError: if ``sisa`` cannot be read.
        """
        if self.sisa is None:
            return None
        shards, _, slices = str(self.sisa).partition(":")
        if not (shards.isdecimal() and slices.isdecimal()):
            raise InputError(f"`sisa` must be SHARDS:SLICES, such as 5:4, but is {self.sisa!r}.")
        return Sharding(int(shards), int(slices), self.seed)

    def save(self, folder: Path) -> None:
        """Write ``ledger.json``, whole or not at all."""
        write_text(folder / FILE, json.dumps({"schema": SCHEMA} | asdict(self), indent=1) + "\n")


def read_settings(folder: Path) -> Settings:
    """The settings of the ledger in a folder.

    Raises:
        InputError: if there is none, or ``ledger.json`` cannot be read.
    """
    path = folder / FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"there must be a ledger in {folder}, but there is no {path}. `ebbing ledger init`.") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} must be JSON, but cannot be read: {error}.") from None
    return _settings_of(content, path)


def _settings_of(content: Any, path: Path) -> Settings:
    if not isinstance(content, Mapping) or content.get("schema") != SCHEMA:
        raise InputError(f"{path} must have the schema {SCHEMA!r}, but has not.")
    known = {f.name for f in fields(Settings)}
    said = {name: value for name, value in content.items() if name != "schema"}
    unknown = sorted(said.keys() - known)
    if unknown:
        raise InputError(f"{path}: there is no setting {unknown[0]!r}; there are {', '.join(sorted(known))}.")
    try:
        budget = Budget(**said.pop("budget", {}))
        words = {name: tuple(said[name]) for name in ("recipe", "settings", "gone_settings", "accept") if name in said}
        return Settings(**{**said, **words, "budget": budget})
    except TypeError as error:
        raise InputError(f"{path} cannot be read: {error}.") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
