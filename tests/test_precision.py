"""Training in mixed precision: other weights, figures in single precision, the same verdict."""

import pytest
import torch
from torch import nn

import ebbing as eb
from ebbing.data.selection import select
from ebbing.data.sources import load
from ebbing.models import digits_mlp
from ebbing.study import Study


def test_products_are_in_bfloat16_in_training_and_in_single_precision_elsewhere():
    seen = []
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    model[0].register_forward_hook(lambda module, given, said: seen.append(said.dtype))
    batch = (torch.randn(5, 4), torch.tensor([0, 1, 2, 0, 1]))
    task = eb.MixedPrecision()
    outputs = task.forward(model.train(), batch)
    task.loss(outputs).backward()
    evaluated = task.forward(model.eval(), batch)
    assert seen == [torch.bfloat16, torch.float32]
    assert outputs.logits.dtype == evaluated.logits.dtype == model[0].weight.grad.dtype == torch.float32
    assert torch.equal(evaluated.logits, eb.Classification().forward(model, batch).logits)


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """The same study in single and in mixed precision."""
    request = select("mislabelled:0.05", load("digits"), seed=0)
    found = {}
    for name, task in (("single", eb.Classification()), ("mixed", eb.MixedPrecision())):
        trainer = eb.Trainer(digits_mlp, eb.Recipe(epochs=30, batch_size=64, learning_rate=2e-3), task)
        study = Study(
            trainer=trainer,
            request=request,
            methods={"do-nothing": eb.DoNothing(), "retrain": eb.Retrain(), "ebb": eb.Ebb()},
            oracles=8,
            directory=tmp_path_factory.mktemp(name),
        )
        found[name] = study.run()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("method", ["do-nothing", "retrain", "ebb"])
def test_mixed_precision_leaves_verdicts_as_they_are(reports, method):
    verdicts = {name: report.verdicts[method].outcome for name, report in reports.items()}
    assert verdicts["single"] == verdicts["mixed"]
    assert len({verdict.outcome for verdict in reports["single"].verdicts.values()}) == 3  # they can differ
