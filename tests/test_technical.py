"""What specialists look at: likeness of layers, where predictions moved, factors; and pictures only where asked for."""

import base64
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import TensorDataset

import ebbing as eb
from ebbing.data import load
from ebbing.data.selection import select
from ebbing.errors import InputError
from ebbing.measures import linear_cka
from ebbing.methods import ForgettingNetwork
from ebbing.models import digits_mlp
from ebbing.pictures import NOT_IMAGES, pictures_of
from ebbing.study import Study


def cka_by_hsic(x, y):
    """The definition by kernels: HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L))."""
    n = len(x)
    h = np.eye(n) - 1 / n

    def hsic(a, b):
        return np.trace(a @ a.T @ h @ b @ b.T @ h)

    return hsic(x, y) / np.sqrt(hsic(x, x) * hsic(y, y))


@pytest.mark.parametrize("shapes", [((20, 3), (20, 5)), ((8, 30), (8, 4)), ((6, 40), (6, 40))])
def test_cka_is_its_definition_by_kernels(shapes):
    generator = np.random.default_rng(0)
    x, y = (generator.standard_normal(shape) for shape in shapes)
    assert linear_cka(x, y) == pytest.approx(cka_by_hsic(x, y))


@given(seed=st.integers(0, 1000), scale=st.floats(0.01, 100))
def test_cka_does_not_mind_a_rotation_a_multiple_or_a_shift(seed, scale):
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((15, 4))
    rotation = np.linalg.qr(generator.standard_normal((4, 4)))[0]
    assert linear_cka(x, scale * x @ rotation + 3) == pytest.approx(1.0)
    other = generator.standard_normal((15, 6))
    assert linear_cka(x, other) == pytest.approx(linear_cka(other, x))
    assert 0 <= linear_cka(x, other) < 1


def test_cka_of_what_does_not_vary_is_unknown_and_of_what_does_not_fit_refused():
    assert np.isnan(linear_cka(np.ones((5, 2)), np.eye(5)))
    with pytest.raises(InputError, match=r"the same n >= 2 records, but have \(5, 2\) and \(4, 2\)"):
        linear_cka(np.ones((5, 2)), np.ones((4, 2)))
    with pytest.raises(InputError, match="finite"):
        linear_cka(np.full((5, 2), np.nan), np.ones((5, 2)))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    request = select("mislabelled:0.1", load("digits", train_size=400), seed=0)
    trainer = eb.Trainer(digits_mlp, eb.Recipe(epochs=4, learning_rate=3e-3))
    brief = eb.Recipe(epochs=1)
    methods = {
        "ebb": eb.Ebb(training=trainer.recipe, budget=1.0),
        "fnn": ForgettingNetwork(turns=1, learning=brief),
        "do-nothing": eb.DoNothing(),
    }
    return Study(trainer, request, methods, 4, tmp_path_factory.mktemp("technical"), technical=True)


@pytest.fixture(scope="module")
def blocks(study):
    return {name: block["technical"] for name, block in study.run().data["methods"].items()}


def test_factors_are_those_that_the_method_decayed_by(blocks):
    groups = blocks["ebb"]["factors"]
    assert groups
    assert all(values == pytest.approx([np.exp(-4 / 0.5)] * len(values)) for values in groups.values())
    ranked = next(iter(blocks["fnn"]["factors"].values()))
    assert ranked == sorted(ranked)
    assert (ranked[0], ranked[-1]) == pytest.approx((np.exp(-4 / 2), np.exp(-4 / 200)))
    assert blocks["do-nothing"]["factors"] is None


def test_layers_of_retrained_models_are_the_floor(blocks):
    for layer, found in blocks["do-nothing"]["cka"].items():
        assert 0 < found["value"] <= 1, layer
        assert found["floor"]["low"] <= found["floor"]["mean"] <= found["floor"]["high"] <= 1, layer


def test_where_predictions_went(blocks, study):
    forgotten = len(study.request.forget)
    untouched = np.array(blocks["do-nothing"]["predictions"]["original_to_after"])
    assert np.array_equal(untouched, np.diag(np.diag(untouched)))
    for block in blocks.values():
        for matrix in ("original_to_after", "after_to_retrained"):
            counts = np.array(block["predictions"][matrix])
            assert counts.shape == (10, 10)
            assert counts.sum() == pytest.approx(forgotten, abs=0.5)


def test_the_technical_part_needs_no_measures(study):
    block = replace(study, measures=None).run().data["methods"]["do-nothing"]
    assert block["measures"] is None
    assert block["technical"]["predictions"]["classes"] == 10


def test_without_being_asked_a_report_has_neither(study, tmp_path):
    data = replace(study, technical=False, directory=study.directory).run().data
    assert {block["technical"] for block in data["methods"].values()} == {None}
    assert data["examples"] is None
    assert "data:image" not in json.dumps(data)


def test_pictures_are_those_records():
    request = select("mislabelled:0.1", load("digits", train_size=400), seed=0)
    shown = pictures_of(request, task=eb.Classification())
    assert len(shown["images"]) == 24
    assert shown["note"].startswith("24 of the 40")
    labels = eb.Classification().targets(request.dataset)
    forgotten = set(request.forget_ids.tolist())
    for image in shown["images"]:
        assert image["position"] in forgotten
        assert image["label"] == str(int(labels[image["position"]]))
        assert base64.b64decode(image["uri"].partition(",")[2]).startswith(b"\x89PNG")


def test_what_is_no_image_is_not_shown():
    generator = torch.Generator().manual_seed(0)
    table, unseen = (TensorDataset(torch.randn(60, 5, generator=generator), torch.arange(60) % 2) for _ in range(2))
    request = eb.ForgetRequest.from_ids(table, range(6), holdout=unseen)
    assert pictures_of(request, task=eb.Classification()) == {"note": NOT_IMAGES, "images": []}
