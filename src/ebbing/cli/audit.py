"""``ebbing audit``: weights made by anybody's method, judged beside the original and retrained models."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from ebbing.auditing import audit
from ebbing.checkpoints import read_record
from ebbing.cli.checks import check_writable, files_of, noted
from ebbing.cli.measuring import tell_measures
from ebbing.cli.own import FAILED, Own, OwnOptions, check_record, prepare, tell_evidence, tell_request
from ebbing.cli.references import check_references, references_among
from ebbing.cli.screen import command_line, make_console, print_line, print_report, shown


@dataclass(frozen=True)
class AuditOptions:
    """The options of ``ebbing audit``."""

    own: OwnOptions
    original: tuple[Path, ...]
    unlearned: tuple[Path, ...]
    out: Path
    retrained: tuple[Path, ...] = ()


def run_audit(options: AuditOptions) -> int:
    """Judge, and say so; the exit code.

    Raises:
        InputError: if an option cannot be used.
    """
    console = make_console()
    problems: list[str] = []
    files = {"--original": options.original, "--unlearned": options.unlearned, "--retrained": options.retrained}
    for option, paths in files.items():
        found: list[Path] = []
        for path in paths:
            with noted(problems):
                found += files_of(path, option)
        files[option] = tuple(found)
    if not problems:
        with noted(problems):
            check_references(files["--retrained"], {o: p for o, p in files.items() if o != "--retrained"})
    with noted(problems):
        check_writable(options.out)
    own = prepare(options.own, problems)
    files["--retrained"] = tuple(references_among(files["--retrained"], options.retrained, own.request, console))
    models = {option: [own.load(path, option, console) for path in paths] for option, paths in files.items()}
    for path in files["--original"]:
        check_record(path, own.request, console)
    _tell_made_for_another(files["--unlearned"], own, console)
    tell_request(own, models["--original"][0], console)
    tell_evidence(own.request, len(files["--retrained"]), console)
    tell_measures(
        options.own.measures,
        models["--original"][0],
        own.request,
        task=own.task,
        originals=len(files["--original"]),
        methods=1,
        retrained=len(files["--retrained"]),
        console=console,
    )
    started = time.perf_counter()
    with shown(console) as progress:
        show = progress("audit", sum(map(len, models.values())))
        report = audit(
            original=models["--original"],
            unlearned=models["--unlearned"],
            oracles=models["--retrained"],
            request=own.request,
            task=own.task,
            provenance={
                "command": command_line(),
                "model": options.own.model,
                "weights": {option.removeprefix("--"): [str(p) for p in paths] for option, paths in files.items()},
            },
            seed=options.own.seed,
            measures=options.own.measures,
            technical=options.own.technical,
            show_examples=options.own.show_examples,
            attacks=own.attacks,
            on_model=lambda: show(1),
        )
        report.save(options.out)
    print_report(report, options.out / "report", console, seconds=time.perf_counter() - started)
    if report.verdict.outcome in own.fail_if:
        print_line(console, f"--fail-if: the verdict is {report.verdict.outcome}.")
        return FAILED
    return 0


def _tell_made_for_another(paths: tuple[Path, ...], own: Own, console: Console) -> None:
    """Warn where the record beside unlearned weights does not name the records of this request."""
    for path in paths:
        record = read_record(path)
        if record is None or record.data != own.request.data_fingerprint:
            continue
        missing = len(set(own.request.forget_ids.tolist()) - set(record.forgotten))
        if missing:
            print_line(
                console,
                f"Warning: by the record beside {path} it was not made to forget {missing} of the "
                f"{len(own.request.forget_ids)} records of this request.",
            )
