"""``ebbing fingerprint``: name the data that weights were trained on, in a record beside them."""

from __future__ import annotations

from pathlib import Path

from ebbing import fingerprint
from ebbing.batches import size
from ebbing.checkpoints import WeightsRecord, digest_of, read_record, record_path, write_record
from ebbing.cli.checks import check_file, noted, raise_all
from ebbing.cli.loading import dataset_of
from ebbing.cli.screen import make_console, print_line
from ebbing.errors import InputError
from ebbing.inspection import require_steady
from ebbing.pretrained import is_folder, padding_in, weights_in


def write_fingerprint(*, weights: Path, data: str, training_seconds: float | None) -> None:
    """Write the record; one that is there and says the same stays.

    Raises:
        InputError: if the data cannot be named, or a record says otherwise.
    """
    problems: list[str] = []
    weights = weights_in(weights)
    with noted(problems):
        check_file(weights, "--weights")
    with noted(problems):
        pad = padding_in(weights.parent) if is_folder(weights.parent) else 0
        dataset = dataset_of(data, "--data", pad=pad)
    raise_all(problems)
    require_steady(dataset, name="data")
    named = fingerprint.of_dataset(dataset)
    console = make_console()
    earlier = read_record(weights)
    if earlier is not None and earlier.data not in (None, named):
        raise InputError(
            f"the record beside {weights} says that it was trained on other data ({earlier.data}, {earlier.records} records) "
            f"than these ({named}, {size(dataset)} records). Pass those, or delete {record_path(weights)} if it is wrong."
        )
    if earlier is None or earlier.data is None or training_seconds is not None:
        known = earlier or WeightsRecord(weights=digest_of(weights))
        write_record(
            weights,
            WeightsRecord(
                weights=known.weights,
                data=named,
                records=size(dataset),
                forgotten=known.forgotten,
                training_seconds=known.training_seconds if training_seconds is None else training_seconds,
                made_by=known.made_by,
            ),
        )
    print_line(console, f"{record_path(weights)}: {size(dataset)} records, fingerprint {named}")
