"""A ledger whose model is a folder of the transformers library: its versions are such folders."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from ebbing.checkpoints import WeightsRecord
from ebbing.errors import InputError
from ebbing.files import write_whole
from ebbing.ledger.digests import weights_digest
from ebbing.ledger.manifest import Manifest, digests_of
from ebbing.pretrained import CONFIG, Configured, Pretrained, copy_folder, weights_in, write_folder

ARCHITECTURE = "architecture"  # the folder of the configuration that all versions have, in the ledger's


def check_source(source: Path, pretrained: str | None) -> None:
    """Refuse a folder that is no model, and a checkpoint that it cannot have been fine-tuned from; both are loaded once.

    Raises:
        InputError: saying what is wrong.
    """
    try:
        Pretrained(str(source))()
    except InputError as error:
        raise InputError(f"--hf: {error}") from error
    if pretrained is None:
        return
    try:
        Pretrained(pretrained, like=str(source))()
    except InputError as error:
        raise InputError(f"--pretrained: {error}") from error


def take_in(ledger: Path, source: Path, name: str) -> str:
    """Copy a model into the ledger's folder as a version; the file that stands for it."""
    write_whole(ledger / ARCHITECTURE / CONFIG, lambda made: _copied(source / CONFIG, made))
    copy_folder(source, ledger / "models" / name)
    return _noted(ledger, name)


@dataclass(frozen=True)
class Folders:
    """What the versions of a ledger have in common, where they are folders.

    Attributes:
        ledger: the ledger's folder.
    """

    ledger: Path

    @property
    def architecture(self) -> str:
        """The folder of their configuration; it holds no weights, and stays when versions are purged."""
        return str(self.ledger / ARCHITECTURE)

    @property
    def build(self) -> Configured:
        """Makes an untrained network."""
        return Configured(self.architecture)

    def start(self, pretrained: str) -> Pretrained:
        """What makes the model that a fine-tuning from a checkpoint begins with."""
        return Pretrained(pretrained, like=self.architecture)

    def load(self, manifest: Manifest) -> nn.Module:
        """The model of a version.

        Raises:
            InputError: if a file of its is not what was written, or is more than was.
        """
        for name, wanted in manifest.files.items():
            path = self.ledger / name
            if not path.is_file() or weights_digest(path) != wanted:
                raise InputError(
                    f"{path} must be of the version that it lies in, but is not what was written. Restore it."
                )
        if more := manifest.strangers(self.ledger):
            raise InputError(f"{more[0]} must not be there: it was not written with the version. Remove it.")
        return Pretrained(str((self.ledger / manifest.weights).parent))()

    def write(self, name: str, model: nn.Module, record: WeightsRecord, *, like: Manifest) -> str:
        """Put a version in place, with the tokenizer and configuration of another; the file that stands for it.

        Args:
            name: of the version. A folder of this name is of a worker that was stopped before the version was written down.
            model: the version.
            record: what is known of it.
            like: the version that it was made from.
        """
        place = self.ledger / "models" / name
        shutil.rmtree(place, ignore_errors=True)
        write_folder(place, model, like=(self.ledger / like.weights).parent, record=record)
        return _noted(self.ledger, name)


def _noted(ledger: Path, name: str) -> str:
    """Write down what a version consists of, once its files are in place."""
    place = ledger / "models" / name
    files = [f"{ARCHITECTURE}/{CONFIG}", *(f"models/{name}/{path.name}" for path in place.iterdir())]
    weights = weights_in(place).relative_to(ledger).as_posix()
    Manifest(weights, digests_of(ledger, files, {}), sharding=None, seed=0).save(ledger / "models" / f"{name}.json")
    return f"models/{name}.json"


def _copied(source: Path, name: str) -> None:
    shutil.copyfile(source, name)
