"""The ensemble: what it says, what it keeps in its folder, and that it goes on where it was stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import ebbing as eb
from ebbing import ensemble as module
from ebbing.ensemble import ShardedEnsemble, mean_logits
from ebbing.errors import InputError
from ebbing.fingerprint import of_tensors
from ebbing.journal import Journal
from ebbing.task import Outputs, margin

N, CLASSES = 48, 3
DATA = TensorDataset(torch.randn(N, 5, generator=torch.Generator().manual_seed(0)), torch.arange(N) % CLASSES)


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, CLASSES))


TRAINER = eb.Trainer(build, eb.Recipe(epochs=3, batch_size=8))


def made(folder: Path, **settings: int) -> ShardedEnsemble:
    return ShardedEnsemble(TRAINER, eb.Sharding(3, 2), folder=folder, **settings)


def digest(model: nn.Module) -> str:
    return of_tensors(model.state_dict())


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*.safetensors"))


def test_margins_come_from_averaged_probabilities(tmp_path: Path) -> None:
    model = made(tmp_path).fit(DATA)
    inputs, labels = DATA.tensors
    with torch.no_grad():
        p = np.mean([m(inputs).double().softmax(1).numpy() for m in model.members], axis=0)[range(N), labels]
        found = margin(Outputs(model(inputs), labels)).numpy()
    np.testing.assert_allclose(found, np.log(p) - np.log1p(-p), atol=1e-4)


def test_one_logit_is_averaged_as_a_probability() -> None:
    logits = [torch.tensor([-40.0, 0.0, 2.0]), torch.tensor([3.0, 1.0, 2.0])]
    p = torch.stack(logits).double().sigmoid().mean(0)
    for shape in ((3,), (3, 1)):
        found = mean_logits([z.reshape(shape) for z in logits])
        torch.testing.assert_close(found.double().reshape(3), p.logit(), atol=1e-5, rtol=1e-5)
    sure = mean_logits([torch.tensor([[200.0, 0.0]])] * 2)
    torch.testing.assert_close(sure, torch.tensor([[0.0, -200.0]]))


def test_a_dict_of_inputs_reaches_members_that_take_keywords_and_those_that_do_not() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.own = build()

        def forward(self, x):
            return self.own(x)

    class Dict(Named):
        def forward(self, inputs):
            return (self.own(inputs["x"]),)

    for kind in (Named, Dict):
        model = ShardedEnsemble(eb.Trainer(kind), eb.Sharding(2, 1), folder="never-written")
        said = eb.Classification().forward(model, {"x": DATA.tensors[0], "labels": DATA.tensors[1]})
        plain = mean_logits([m.own(DATA.tensors[0]) for m in model.members])
        assert torch.equal(said.logits, plain)


def test_every_stage_leaves_a_checkpoint_and_a_second_training_reads_them(tmp_path: Path) -> None:
    first, again = Journal(), Journal()
    model = made(tmp_path).fit(DATA, journal=first)
    assert [name[:17] for name in files(tmp_path)] == [f"shard-0{s}/slice-0{r}" for s in range(3) for r in (1, 2)]
    other = made(tmp_path).fit(DATA, journal=again)
    assert digest(other) == digest(model)
    assert first.examples == pytest.approx(3 * N, abs=6)  # three epochs, whole examples in each stage
    assert again.examples == 0


def test_members_are_trained_on_their_shards_alone(tmp_path: Path) -> None:
    changed = TensorDataset(DATA.tensors[0].clone(), DATA.tensors[1])
    place = int(made(tmp_path).sharding.places(N)[7]) // 2
    changed.tensors[0][7] += 1
    one, two = made(tmp_path / "a").fit(DATA), made(tmp_path / "b").fit(changed)
    differ = [digest(a) != digest(b) for a, b in zip(one.members, two.members, strict=True)]
    assert differ == [shard == place for shard in range(3)]


def test_what_was_interrupted_goes_on_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = made(tmp_path / "whole").fit(DATA)
    real, calls = module.fit, []

    def stopped(*args, **settings):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(*args, **settings)

    monkeypatch.setattr(module, "fit", stopped)
    with pytest.raises(KeyboardInterrupt):
        made(tmp_path / "cut").fit(DATA)
    assert len(files(tmp_path / "cut")) == 3
    assert digest(made(tmp_path / "cut").fit(DATA)) == digest(whole)
    assert len(calls) == 4 + 3  # the stage that was cut, and the two after it


@pytest.mark.parametrize("harm", ["cut", "swapped"])
def test_a_damaged_checkpoint_is_made_again(tmp_path: Path, harm: str) -> None:
    model = made(tmp_path).fit(DATA)
    last, other = (next((tmp_path / f"shard-0{s}").glob("slice-02*")) for s in (0, 1))
    last.write_bytes(last.read_bytes()[:-9] if harm == "cut" else other.read_bytes()[:-4] + b"\0\0\0\1")
    journal = Journal()
    assert digest(made(tmp_path).fit(DATA, journal=journal)) == digest(model)
    assert journal.examples == 2 * N // 3  # one stage of one shard: two epochs of its records


def test_another_seed_recipe_or_record_shares_no_checkpoint(tmp_path: Path) -> None:
    made(tmp_path).fit(DATA)
    made(tmp_path, seed=1).fit(DATA)
    assert len(files(tmp_path)) == 12
    hotter = eb.Trainer(build, eb.Recipe(epochs=3, batch_size=8, learning_rate=2e-3))
    ShardedEnsemble(hotter, eb.Sharding(3, 2), folder=tmp_path).fit(DATA)
    assert len(files(tmp_path)) == 18


def test_pruning_keeps_what_is_of_these_records(tmp_path: Path) -> None:
    rest = [i for i in range(N) if i != 7]
    made(tmp_path).fit(DATA)
    before = files(tmp_path)
    model = made(tmp_path).fit(DATA, ids=rest)
    removed = {str(p.relative_to(tmp_path)) for p in model.prune(DATA, ids=rest)}
    hit = eb.Sharding(3, 2).stages(N, [7])
    assert {(int(name[6:8]), int(name[15:17])) for name in removed} == set(hit)
    assert removed <= set(before)
    journal = Journal()
    assert digest(made(tmp_path).fit(DATA, ids=rest, journal=journal)) == digest(model)
    assert journal.examples == 0


def test_what_cannot_be_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ebbing\.Trainer.*but the trainer is"):
        ShardedEnsemble(build, folder=tmp_path)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="must not set max_examples, but sets 7"):
        ShardedEnsemble(eb.Trainer(build, eb.Recipe(max_examples=7)), folder=tmp_path)
    places = eb.Sharding(3, 2).places(N)
    with pytest.raises(InputError, match="shard 1 of 3 keeps none of the 32"):
        made(tmp_path).fit(DATA, ids=[i for i in range(N) if places[i] // 2 != 1])
    with pytest.raises(InputError, match=r"must lie in \[0, 48\), but reach from -1 to 3"):
        made(tmp_path).fit(DATA, ids=[-1, 3])
    with pytest.raises(InputError, match="1 are repeated"):
        made(tmp_path).fit(DATA, ids=[3, 3])
    assert files(tmp_path) == []
