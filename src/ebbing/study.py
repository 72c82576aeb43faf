"""A study: one original, several methods, retrained references and the audit, kept in a folder and resumed from it."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset

from ebbing import __version__, fingerprint
from ebbing.attacks import Attack, with_standard
from ebbing.auditing import AuditReport, audit
from ebbing.bank import OracleBank
from ebbing.battery import Level
from ebbing.errors import InputError
from ebbing.journal import Journal, RunRecord
from ebbing.methods import Unlearner
from ebbing.pool import Workers, compute
from ebbing.request import ForgetRequest
from ebbing.store import AnyTrainer, ModelStore, Trained, train_many, train_or_load
from ebbing.task import Classification, Task
from ebbing.training import Trainer

ORACLE_SEEDS = 1000  # the first retrained model has seed + 1000, so that none shares the original's

Progress = Callable[[str, int], Callable[[int], None]]


def silent(what: str, examples: int) -> Callable[[int], None]:
    """Show nothing."""
    return lambda advanced: None


def unwatched(name: str, model: nn.Module, record: RunRecord) -> None:
    """Do nothing with a model that was just unlearned."""


@dataclass(frozen=True)
class Study:
    """What is to be trained, unlearned and judged. Everything finished is kept in ``directory`` and found again.

    Attributes:
        trainer: makes the retrained models, and the original where none is given; None where nothing is trained.
        request: what must be forgotten.
        methods: by the name they have in the report.
        oracles: how many models are retrained, >= 0.
        directory: weights under ``models/``, ``report.json`` and ``report.html``.
        seed: of the original and of the methods; the i-th retrained model has seed + 1000 + i.
        provenance: added to the report's, as it is when the report is made.
        given: the original, where it is the user's own.
        retrained: models retrained elsewhere, judged by beside those retrained here.
        task: turns batches into outputs; by default the trainer's, or `Classification`.
        inside: whether the audit looks inside the models, see `ebbing.auditing.audit`.
        workers: processes that train and unlearn, one thread each, or an executor; None does it in this process.
        originals: how many originals, with seeds from ``seed``, each of which is unlearned: several are what measures over
            models need. 1 where the original is given.
        measures: how much is measured, see `ebbing.auditing.audit`.
        technical: whether the report has what specialists look at, see `ebbing.auditing.audit`.
        show_examples: whether the report may show forgotten records.
        attacks: of your own, reported beside the standard ones, see `ebbing.auditing.audit`.
        threads: that methods run with, as stored models are named by it; None for those that torch has here.
        report: the files of the report without their endings; by default ``report`` in ``directory``.
    """

    trainer: AnyTrainer | None
    request: ForgetRequest
    methods: Mapping[str, Unlearner]
    oracles: int
    directory: Path
    seed: int = 0
    provenance: dict[str, Any] = field(default_factory=dict)
    given: nn.Module | None = None
    retrained: Sequence[nn.Module] = ()
    task: Task = None  # type: ignore[assignment]  # set below, never None afterwards
    report: Path | None = None
    inside: bool = True
    workers: Workers | None = None
    originals: int = 1
    measures: Level | None = "quick"
    technical: bool = False
    show_examples: bool = False
    attacks: Sequence[Attack] = ()
    threads: int | None = None

    def __post_init__(self) -> None:
        """Refuse what could not be run, and take the trainer's task where none is given."""
        if self.given is None and not isinstance(self.trainer, Trainer):
            raise InputError("a study needs an original: pass `given`, or a Trainer that makes one.")
        if self.originals < 1 or (self.given is not None and self.originals > 1):
            raise InputError(
                f"`originals` must be at least 1, and 1 where the original is given, but is {self.originals}. More originals "
                "need a Trainer that makes them."
            )
        if self.oracles and self.trainer is None:
            raise InputError(
                f"{self.oracles} retrained models need a trainer, but there is none. Pass one, or oracles=0."
            )
        if self.task is None:
            own = self.trainer.task if isinstance(self.trainer, Trainer) else Classification()
            object.__setattr__(self, "task", own)
        with_standard(self.attacks)
        for method in self.methods.values():
            method.require_fit(self.request, task=self.task)

    @property
    def store(self) -> ModelStore:
        """Where weights are kept."""
        return ModelStore(self.directory / "models")

    def run(
        self,
        *,
        progress: Progress = silent,
        on_unlearned: Callable[[str, nn.Module, RunRecord], None] = unwatched,
    ) -> AuditReport:
        """Do what is not done yet, audit, and save the report.

        Args:
            progress: called as ``progress(what, examples)`` when something long begins; the function it returns is
                called with the number of examples each time some were processed.
            on_unlearned: called with the name, the model and the record of each method as soon as there are.
        """
        originals = self._originals(progress)
        unlearned: dict[str, list[nn.Module]] = {}
        records = {}
        for name, method in self.methods.items():
            pairs = self._unlearn_all(name, method, originals, progress)
            unlearned[name], records[name] = [model for model, _ in pairs], together([record for _, record in pairs])
            on_unlearned(name, unlearned[name][0], records[name])
        bank = self.bank(progress=progress)
        show = progress("audit", len(originals) * (1 + len(unlearned)) + len(bank))
        report = audit(
            original=originals,
            unlearned=unlearned,
            oracles=bank,
            request=self.request,
            task=self.task,
            records=records,
            provenance={
                "device": _device_of(originals[0]),
                "seeds": self._seeds(),
                "recipe": fingerprint.as_plain(self.trainer.recipe) if isinstance(self.trainer, Trainer) else None,
                **self.provenance,
            },
            seed=self.seed,
            inside=self.inside,
            measures=self.measures,
            technical=self.technical,
            show_examples=self.show_examples,
            attacks=self.attacks,
            on_model=lambda: show(1),
        )
        files = self.report or self.directory / "report"
        report.save(files.parent, name=files.name)
        return report

    def _seeds(self) -> dict[str, Any]:
        own: int | list[int] = self.seed if self.originals == 1 else [self.seed + i for i in range(self.originals)]
        oracles = [self.seed + ORACLE_SEEDS + i for i in range(self.oracles)]
        return {"original": own, "methods": own, "oracles": oracles}

    def _originals(self, progress: Progress) -> list[nn.Module]:
        """The models before, in the order of their seeds."""
        if self.originals == 1 or not isinstance(self.trainer, Trainer):
            return [self.original(progress=progress)]
        each = self.trainer.recipe.examples(len(self.request.everything))  # type: ignore[arg-type]
        show = progress(f"{self.originals} originals", each * self.originals)
        data = self.request.for_training("everything")
        seeds = range(self.seed, self.seed + self.originals)
        found = {}
        journal = Journal(on_advance=show)
        for seed, trained in train_many(
            self.trainer, data, seeds, store=self.store, workers=self.workers, journal=journal
        ):
            if trained.reused:
                show(each)
            found[seed] = trained.model
        return [found[seed] for seed in seeds]

    def _unlearn_all(
        self, name: str, method: Unlearner, originals: Sequence[nn.Module], progress: Progress
    ) -> list[tuple[nn.Module, RunRecord]]:
        """What a method makes of each original, with the same seed as it."""
        if len(originals) > 1 and self.workers is not None:
            show = progress(f"{name}, {len(originals)} models", len(originals))
            numbers = list(range(len(originals)))
            one_thread = replace(self, threads=1, attacks=())  # methods have nothing of attacks, which need not travel
            work, folders = (one_thread, name, method, list(originals)), [self.store.directory]
            for _ in compute(_unlearn_one, work, numbers, workers=self.workers, folders=folders):
                show(1)
            return [one_thread.number(i).unlearn(name, method, model) for i, model in enumerate(originals)]
        return [self.number(i).unlearn(name, method, model, progress=progress) for i, model in enumerate(originals)]

    def number(self, i: int) -> Study:
        """The study of one of several originals."""
        return self if i == 0 else replace(self, seed=self.seed + i)

    def original(self, *, progress: Progress = silent) -> nn.Module:
        """The model before: given, from the store, or trained."""
        if self.given is not None or not isinstance(self.trainer, Trainer):
            return self.given  # type: ignore[return-value]  # one of the two is there, see above
        examples = self.trainer.recipe.examples(len(self.request.everything))  # type: ignore[arg-type]
        journal = Journal(on_advance=progress("original", examples))
        data = self.request.for_training("everything")
        return train_or_load(self.trainer, data, seed=self.seed, store=self.store, journal=journal).model

    def bank(self, *, progress: Progress = silent) -> OracleBank:
        """The retrained models: given, from the store, or trained."""
        bank = OracleBank(
            self.trainer,
            self.request,
            self.store.directory,
            first_seed=self.seed + ORACLE_SEEDS,
            given=self.retrained,
        )
        if not self.oracles:
            return bank
        # a function of the user's says nothing of its examples: a model counts as one
        counted = isinstance(self.trainer, Trainer)
        each = self.trainer.recipe.examples(len(self.request.retain)) if isinstance(self.trainer, Trainer) else 1
        plural = "s" if self.oracles > 1 else ""
        show = progress(f"{self.oracles} retrained model{plural}", each * self.oracles)

        def found(number: int, trained: Trained) -> None:
            if trained.reused or not counted:
                show(each)

        journal = Journal(on_advance=show)
        bank.train(len(self.retrained) + self.oracles, workers=self.workers, journal=journal, on_model=found)
        return bank

    def pairs(self, name: str, method: Unlearner, n: int) -> list[tuple[nn.Module, nn.Module, RunRecord]]:
        """``n`` originals with seeds from ``seed``, what the method makes of each with the same seed, and the records.

        Stored and found again like everything else: measures that need many models (U-LiRA, KLoM) train nothing twice.

        Raises:
            InputError: if there is no trainer to make originals.
        """
        bank = OracleBank(self.trainer, self.request, self.store.directory)
        originals = bank.originals(n, first_seed=self.seed, workers=self.workers)
        return [(original, *self.number(i).unlearn(name, method, original)) for i, original in enumerate(originals)]

    def _looked_at(self) -> tuple[Dataset[Any] | None, Dataset[Any] | None]:
        """What stop rules see beside the training set."""
        return self.request.validation, self.request.validation_matched

    def unlearn(
        self, name: str, method: Unlearner, original: nn.Module, *, progress: Progress = silent
    ) -> tuple[nn.Module, RunRecord]:
        """The model after one method and the record of its run: from the store, or made."""
        settings = fingerprint.as_plain(method)
        of: list[Any] = [
            fingerprint.of_model(original),
            self.request.fingerprint,
            method,
            fingerprint.as_in_caller(type(method).__module__),
            self.seed,
        ]
        of += [fingerprint.as_plain(self.task), *fingerprint.sources_of(self.task)]
        of += [None if seen is None else fingerprint.of_dataset(seen) for seen in self._looked_at()]
        of += fingerprint.sources_of(method)
        if self.request.training_view is not None:
            of.append(fingerprint.of_dataset(self.request.for_training("retain")))
        of.append(_device_of(original))
        key = fingerprint.of_settings([*of, self.threads or torch.get_num_threads(), torch.__version__, __version__])
        summary = (type(method).__doc__ or "").strip().partition("\n")[0]
        show = progress(name, method.expected_examples(self.request) or 0)
        found = self.store.get(key, lambda: deepcopy(original))
        if found is not None and "record" in found[1]:
            facts = json.loads(found[1]["record"])
            show(facts["examples"])
            return found[0], RunRecord(settings=settings, control=method.control, summary=summary, **facts)
        journal = Journal(on_advance=show)
        start = time.perf_counter()
        model = method.unlearn(original, self.request, task=self.task, seed=self.seed, journal=journal)
        facts = {
            "seconds": time.perf_counter() - start,
            "examples": journal.examples,
            "notes": journal.notes,
            "history": journal.history,
            "rolled_back": journal.rolled_back,
            "factors": journal.factors,
        }
        told = {"record": json.dumps(facts), "role": "unlearned", "method": name, "seed": str(self.seed)}
        self.store.put(key, model, told | {"ebbing": __version__, "torch": torch.__version__})
        return model, RunRecord(settings=settings, control=method.control, summary=summary, **facts)


def _unlearn_one(what: tuple[Study, str, Unlearner, list[nn.Module]], number: int) -> None:
    """Of a worker: unlearn one original, and keep the result."""
    study, name, method, originals = what
    study.number(number).unlearn(name, method, originals[number])


def together(records: Sequence[RunRecord]) -> RunRecord:
    """The record of several runs of a method: the medians of what they took, the notes of all, the turns of the first."""
    first = records[0]
    if len(records) == 1:
        return first
    seconds = [record.seconds for record in records if record.seconds is not None]
    examples = [record.examples for record in records if record.examples is not None]
    undone = [record.rolled_back for record in records if record.rolled_back is not None]
    return replace(
        first,
        seconds=statistics.median(seconds) if seconds else None,
        examples=round(statistics.median(examples)) if examples else None,
        notes=list(dict.fromkeys(note for record in records for note in record.notes)),
        rolled_back=undone[0] if undone else None,
    )


def _device_of(model: nn.Module) -> str:
    return str(next((p.device for p in model.parameters()), "cpu"))
