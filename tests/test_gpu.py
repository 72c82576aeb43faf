"""On a GPU everything keeps its promises: contracts, the same bits again, the models of a processor, the same verdicts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from inspect import isabstract, isclass
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import ebbing as eb
import ebbing.methods
import ebbing.rankings
import ebbing.sabotage
from ebbing.bench.cells import Places, cells_of, make_cells
from ebbing.bench.tasks import TASKS
from ebbing.data.selection import select
from ebbing.data.sources import load
from ebbing.methods import Unlearner
from ebbing.models import digits_cnn, digits_mlp, small_resnet, small_vit
from ebbing.rankings import Ranking
from ebbing.resident import kept_at
from ebbing.study import Study
from ebbing.testing import check_ranking, check_unlearner
from ebbing.training import train_together
from ebbing.training.seeding import WORKSPACE

pytestmark = pytest.mark.gpu
EXPORTED = [getattr(family, name) for family in (ebbing.methods, ebbing.sabotage) for name in family.__all__]
METHODS = {
    c.__name__: c()
    for c in EXPORTED
    if isclass(c) and issubclass(c, Unlearner) and not isabstract(c) and c.__name__ != "SISA"
}
RANKINGS = {
    name: getattr(ebbing.rankings, name)
    for name in ebbing.rankings.__all__
    if isclass(getattr(ebbing.rankings, name)) and issubclass(getattr(ebbing.rankings, name), Ranking)
}


def images(n: int, side: int = 28, seed: int = 0) -> TensorDataset:
    generator = torch.Generator().manual_seed(seed)
    return TensorDataset(
        torch.randn(n, 1, side, side, generator=generator), torch.randint(0, 10, (n,), generator=generator)
    )


def farthest(one: nn.Module, other: nn.Module) -> float:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return max(float((a.cpu().double() - b.cpu().double()).abs().max()) for a, b in pairs)


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Convolutions in single precision, not in the GPU's shorter form of it."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.mark.parametrize("name", METHODS)
def test_methods_keep_the_contract(cuda: str, name: str) -> None:
    check_unlearner(METHODS[name], device=cuda)


@pytest.mark.parametrize("name", [n for n, kind in RANKINGS.items() if not isabstract(kind) and n != "Inverse"])
def test_rankings_keep_the_contract(cuda: str, name: str) -> None:
    check_ranking(RANKINGS[name](), device=cuda)


@pytest.fixture
def strict(cuda: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Deterministic algorithms or none: without this, torch's fused attention warns and takes another."""
    monkeypatch.setenv(WORKSPACE, ":4096:8")
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("build", [digits_cnn, small_resnet])
def test_a_seed_gives_the_same_bits_again(cuda: str, build: type) -> None:
    bits_are_the_same_again(cuda, build)


def test_a_seed_gives_the_same_bits_again_with_attention(cuda: str, strict: None) -> None:
    bits_are_the_same_again(cuda, small_vit)


def bits_are_the_same_again(cuda: str, build: type) -> None:
    side = 8 if build is digits_cnn else 28
    trainer = eb.Trainer(build, eb.Recipe(epochs=2, batch_size=64), device=cuda)
    first, again = (trainer(images(256, side), seed=1) for _ in range(2))
    assert next(first.parameters()).device.type == cuda
    assert farthest(first, again) == 0
    assert farthest(first, trainer(images(256, side), seed=2)) > 1e-3


def test_the_models_are_those_of_a_processor(cuda: str, exact: None) -> None:
    recipe = eb.Recipe(epochs=2, batch_size=64, optimizer="sgd", learning_rate=0.05)
    here, there = (eb.Trainer(digits_cnn, recipe, device=device)(images(256, 8), seed=1) for device in ("cpu", cuda))
    assert farthest(here, there) < 1e-4


@pytest.mark.filterwarnings("ignore:Memory Efficient attention")
@pytest.mark.parametrize(("build", "side"), [(digits_cnn, 8), (small_vit, 28)])
def test_together_gives_the_models_of_one_by_one(cuda: str, exact: None, build: type, side: int) -> None:
    recipe = eb.Recipe(epochs=2, batch_size=64, optimizer="sgd", learning_rate=0.05)
    trainer = eb.Trainer(build, recipe, device=cuda, together=3)
    for seed, model in enumerate(train_together(trainer, images(256, side), seeds=[0, 1, 2])):
        assert farthest(model, trainer(images(256, side), seed=seed)) < 1e-4


def test_data_stay_on_the_device(cuda: str) -> None:
    device, tensor = torch.device(cuda, 0), torch.randn(8, 3)
    (there,) = kept_at([tensor], device)
    assert kept_at([tensor], device)[0].data_ptr() == there.data_ptr()
    vast = torch.empty(1).expand(2**38)  # a terabyte on paper
    assert kept_at([vast], device)[0] is vast


@pytest.fixture(scope="module")
def reports(cuda: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, eb.AuditReport]:
    """The same study on a processor, on the GPU, and there in mixed precision."""
    request = select("mislabelled:0.05", load("digits"), seed=0)
    found = {}
    recipe = eb.Recipe(epochs=30, batch_size=64, learning_rate=2e-3)
    for name, trainer in {
        "processor": eb.Trainer(digits_mlp, recipe),
        "gpu": eb.Trainer(digits_mlp, recipe, device=cuda, together=8),
        "mixed": eb.Trainer(digits_mlp, recipe, eb.MixedPrecision(), cuda, together=8),
    }.items():
        study = Study(
            trainer=trainer,
            request=request,
            methods={"do-nothing": eb.DoNothing(), "retrain": eb.Retrain(), "ebb": eb.Ebb()},
            oracles=8,
            directory=tmp_path_factory.mktemp(name),
        )
        found[name] = study.run()
    return found


@pytest.mark.parametrize("where", ["gpu", "mixed"])
@pytest.mark.parametrize("method", ["do-nothing", "retrain", "ebb"])
def test_the_verdict_is_that_of_a_processor(reports: dict[str, eb.AuditReport], where: str, method: str) -> None:
    assert reports[where].verdicts[method].outcome == reports["processor"].verdicts[method].outcome
    assert len({verdict.outcome for verdict in reports["processor"].verdicts.values()}) > 1  # they can differ


def test_a_cell_of_the_leaderboard(cuda: str, tmp_path: Path) -> None:
    task = replace(TASKS["digits-random5-cnn/v1"], models=4, recipe=eb.Recipe(epochs=4, learning_rate=5e-3))
    places = Places(tmp_path / "results", tmp_path / "work", device=cuda)
    cells = cells_of([task], {"ebb": eb.Ebb()}, (0.1,))
    made = list(make_cells(cells, places, workers=4))
    facts = json.loads(places.cell(cells[0]).read_text(encoding="utf-8"))
    assert len(made) == 2 * task.models + 1
    assert facts["provenance"]["hardware"]["accelerator"] == torch.cuda.get_device_name()


def test_the_command_line(cuda: str, tmp_path: Path) -> None:
    words = "run --forget random:0.1 --method ebb --oracles 4 --recipe epochs=4 --together 4 --no-download"
    command = [sys.executable, "-m", "ebbing", *words.split(), "--out", str(tmp_path / "run")]  # auto takes the GPU
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))
    assert "cuda" in json.dumps(report)
