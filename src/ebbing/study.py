"""A study: one original, several methods, retrained references and the audit, kept in a folder and resumed from it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset

from ebbing import __version__, fingerprint
from ebbing.auditing import AuditReport, audit
from ebbing.bank import ModelStore, OracleBank, Trained, train_or_load
from ebbing.journal import Journal, RunRecord
from ebbing.methods import Unlearner
from ebbing.request import ForgetRequest
from ebbing.training import Trainer

ORACLE_SEEDS = 1000  # the first retrained model has seed + 1000, so that none shares the original's

Progress = Callable[[str, int], Callable[[int], None]]


def silent(what: str, examples: int) -> Callable[[int], None]:
    """Show nothing."""
    return lambda advanced: None


@dataclass(frozen=True)
class Study:
    """What is to be trained, unlearned and judged. Everything finished is kept in ``directory`` and found again.

    Attributes:
        trainer: makes the original and the retrained models.
        request: what must be forgotten.
        methods: by the name they have in the report.
        oracles: how many retrained models, >= 0.
        directory: weights under ``models/``, ``report.json`` and ``report.html``.
        seed: of the original and of the methods; the i-th retrained model has seed + 1000 + i.
        provenance: added to the report's.
    """

    trainer: Trainer
    request: ForgetRequest
    methods: Mapping[str, Unlearner]
    oracles: int
    directory: Path
    seed: int = 0
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def store(self) -> ModelStore:
        """Where weights are kept."""
        return ModelStore(self.directory / "models")

    def run(self, *, progress: Progress = silent) -> AuditReport:
        """Do what is not done yet, audit, and save the report.

        Args:
            progress: called as ``progress(what, examples)`` when something long begins; the function it returns is
                called with the number of examples each time some were processed.
        """
        original = self.original(progress=progress)
        unlearned, records = {}, {}
        for name, method in self.methods.items():
            unlearned[name], records[name] = self.unlearn(name, method, original, progress=progress)
        bank = self.bank(progress=progress)
        progress("audit", 0)
        report = audit(
            original=original,
            unlearned=unlearned,
            oracles=bank,
            request=self.request,
            task=self.trainer.task,
            records=records,
            provenance={
                "device": self.trainer.device,
                "seeds": {"original": self.seed, "methods": self.seed, "oracles": self._oracle_seeds()},
                "recipe": fingerprint.as_plain(self.trainer.recipe),
                **self.provenance,
            },
            seed=self.seed,
        )
        report.save(self.directory)
        return report

    def _oracle_seeds(self) -> list[int]:
        return [self.seed + ORACLE_SEEDS + i for i in range(self.oracles)]

    def original(self, *, progress: Progress = silent) -> nn.Module:
        """The model before: from the store, or trained."""
        examples = self.trainer.recipe.examples(len(self.request.everything))  # type: ignore[arg-type]
        journal = Journal(on_advance=progress("original", examples))
        return train_or_load(
            self.trainer, self.request.everything, seed=self.seed, store=self.store, journal=journal
        ).model

    def bank(self, *, progress: Progress = silent) -> OracleBank:
        """The retrained models: from the store, or trained."""
        bank = OracleBank(self.trainer, self.request, self.store.directory, first_seed=self.seed + ORACLE_SEEDS)
        each = self.trainer.recipe.examples(len(self.request.retain))
        if self.oracles:
            plural = "s" if self.oracles > 1 else ""
            show = progress(f"{self.oracles} retrained model{plural}", each * self.oracles)

            def found(number: int, trained: Trained) -> None:
                if trained.reused:
                    show(each)

            bank.train(self.oracles, journal=Journal(on_advance=show), on_model=found)
        return bank

    def _looked_at(self) -> tuple[Dataset[Any] | None, Dataset[Any] | None]:
        """What stop rules see beside the training set."""
        return self.request.validation, self.request.validation_matched

    def unlearn(
        self, name: str, method: Unlearner, original: nn.Module, *, progress: Progress = silent
    ) -> tuple[nn.Module, RunRecord]:
        """The model after one method and the record of its run: from the store, or made."""
        settings = fingerprint.as_plain(method)
        of = [fingerprint.of_model(original), self.request.fingerprint, settings, type(method).__module__, self.seed]
        of.append(fingerprint.as_plain(self.trainer.task))
        of += [None if seen is None else fingerprint.of_dataset(seen) for seen in self._looked_at()]
        of += _foreign(method)
        key = fingerprint.of_settings(
            [*of, torch.get_num_threads(), torch.__version__, __version__, self.trainer.device]
        )
        summary = (type(method).__doc__ or "").strip().partition("\n")[0]
        show = progress(name, method.expected_examples(self.request) or 0)
        found = self.store.get(key, lambda: deepcopy(original))
        if found is not None and "record" in found[1]:
            facts = json.loads(found[1]["record"])
            show(facts["examples"])
            return found[0], RunRecord(settings=settings, control=method.control, summary=summary, **facts)
        journal = Journal(on_advance=show)
        start = time.perf_counter()
        model = method.unlearn(original, self.request, task=self.trainer.task, seed=self.seed, journal=journal)
        facts = {
            "seconds": time.perf_counter() - start,
            "examples": journal.examples,
            "notes": journal.notes,
            "history": journal.history,
        }
        self.store.put(key, model, {"record": json.dumps(facts), "method": name})
        return model, RunRecord(settings=settings, control=method.control, summary=summary, **facts)


def _foreign(piece: Any) -> list[str]:
    """Source and state of a method, and of the pieces within, that come from outside ebbing; ours add nothing."""
    found = fingerprint.source_of(type(piece))
    if found and not is_dataclass(piece):
        found.append(repr(sorted(vars(piece).items())) if hasattr(piece, "__dict__") else repr(piece))
    if is_dataclass(piece) and not isinstance(piece, type):
        for part in fields(piece):
            found += _foreign(getattr(piece, part.name))
    return found
