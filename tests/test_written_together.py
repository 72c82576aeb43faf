"""Files that belong together, struck at every step of their writing: weights and their record, a report and its page."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from torch import nn

from ebbing.auditing import AuditReport
from ebbing.checkpoints import WeightsRecord, read_record, read_weights, record_path, write_weights
from ebbing.errors import InputError
from steps import FULL, INTERRUPTED, KILLED, strike_at_every_step


def network(scale: float) -> nn.Module:
    model = nn.Linear(4, 3)
    nn.init.constant_(model.weight, scale)
    nn.init.zeros_(model.bias)
    return model


def held(path: Path) -> float | None:
    """Which of the networks a file holds; None where there is no file."""
    if not path.exists():
        return None
    model = network(0.0)
    read_weights(path, model)
    return float(model.weight.detach()[0, 0])


@pytest.mark.parametrize("before", ["a pair", "nothing"])
@pytest.mark.parametrize("fault", [KILLED, FULL, INTERRUPTED])
def test_no_weights_stand_beside_a_record_of_others(tmp_path, fault, before) -> None:
    path = tmp_path / "w.safetensors"
    old: WeightsRecord | None = None
    if before == "a pair":
        old = write_weights(path, network(1.0), data="data", records=9, forgotten=(1,))
    kept = {p: p.read_bytes() for p in tmp_path.iterdir()}
    seen = set()

    def prepare() -> None:
        for left in tmp_path.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        for file, content in kept.items():
            file.write_bytes(content)

    def work() -> None:
        write_weights(path, network(2.0), data="data", records=9, forgotten=(1, 2))

    for _ in strike_at_every_step(work, fault, tmp_path, prepare=prepare):
        weights = held(path)
        assert weights in ((1.0 if old else None), 2.0)
        if weights is None:  # a record may be there: the weights are still to come
            assert fault == KILLED or not record_path(path).exists()
            continue
        try:
            record = read_record(path)
        except InputError:  # the new record is there, the new weights are not: refused, not taken for right
            assert fault == KILLED
            assert weights == 1.0
            continue
        assert record is not None
        assert record.forgotten == ((1,) if weights == 1.0 else (1, 2))
        seen.add(weights)
    assert seen >= ({1.0, 2.0} if old else {2.0})


@pytest.mark.parametrize("fault", [KILLED, FULL, INTERRUPTED])
def test_a_report_and_its_page_are_whole(tmp_path, fault, monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "report"))
    from sample_report import bare_report

    before = AuditReport(bare_report(), {})
    after = AuditReport(before.data | {"provenance": {"changed": True}}, {})
    before.save(tmp_path / "before")
    folder = tmp_path / "now"
    seen = set()

    def prepare() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(tmp_path / "before", folder)

    for _ in strike_at_every_step(lambda: after.save(folder), fault, folder, prepare=prepare):
        data = json.loads((folder / "report.json").read_text())
        assert data in (before.data, after.data)
        seen.add(data == after.data)
        assert (folder / "report.html").read_text().rstrip().endswith("</html>")
        assert fault == KILLED or {p.name for p in folder.iterdir()} == {"report.json", "report.html"}
    assert seen == {True, False}
