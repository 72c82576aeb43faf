"""What must be forgotten, from one line."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from ebbing.data.selection import select
from ebbing.data.sources import DataBundle, load
from ebbing.errors import InputError
from ebbing.planted import SwappedLabels
from ebbing.request import ForgetRequest
from ebbing.task import Classification

N, UNSEEN = 1297, 500
PLANTING = ("mislabelled:0.05", "confusion:3,5:0.2", "gaussian:0.05:0.5")


@pytest.fixture(scope="module")
def bundle() -> DataBundle:
    return load("digits")


@pytest.fixture
def ids_file(tmp_path: Path) -> Path:
    path = tmp_path / "ids.txt"
    path.write_text("# mine\n3\n\n  7  # and this one\n1296\n")
    return path


def labels_of(dataset) -> Tensor:
    return Classification().targets(dataset)


def images_of(dataset) -> set[bytes]:
    return {dataset[i][0].numpy().tobytes() for i in range(len(dataset))}


def shares(labels: Tensor) -> Tensor:
    return torch.bincount(labels, minlength=10) / len(labels)


def same(a: ForgetRequest, b: ForgetRequest) -> bool:
    splits = ("holdout", "validation", "matched", "validation_matched")
    pairs = [(getattr(a, s), getattr(b, s)) for s in splits]
    return (
        a.fingerprint == b.fingerprint
        and all(torch.equal(labels_of(x), labels_of(y)) for x, y in pairs)
        and all(images_of(x) == images_of(y) for x, y in pairs)
    )


@pytest.mark.parametrize(
    ("rule", "count", "kind"),
    [
        ("random:0.1", 130, "random"),
        ("balanced:0.05", 60, "balanced"),
        ("mislabelled:0.05", 65, "mislabelled"),
        ("random:1e-3", 1, "random"),
        ("confusion:3,5:0.1", 26, "confusion"),
        ("gaussian:0.05:0.5", 65, "gaussian"),
    ],
)
def test_counts(rule, count, kind, bundle) -> None:
    request = select(rule, bundle, seed=0)
    assert (len(request.forget), len(request.retain)) == (count, N - count)
    assert request.kind == kind
    assert (len(request.validation), len(request.holdout)) == (UNSEEN // 5, UNSEEN - UNSEEN // 5)
    assert not request.concept


def test_a_class_goes_as_a_whole(bundle) -> None:
    request = select("class:3", bundle, seed=0)
    labels = bundle.train.tensors[1]
    assert request.concept
    assert len(request.forget) == int((labels == 3).sum())
    assert set(labels_of(request.forget).tolist()) == {3}
    assert set(labels_of(request.retain).tolist()) == set(range(10)) - {3}
    for unseen, matched in (
        (request.holdout, request.matched),
        (request.validation, request.validation_matched),
    ):
        assert 3 not in labels_of(unseen)
        assert set(labels_of(matched).tolist()) == {3}


def test_a_sub_class_is_a_cluster_and_what_is_unseen_of_it_leaves_the_holdout(bundle) -> None:
    request = select("subclass:3", bundle, seed=0)
    inputs, labels = bundle.train.tensors
    gone = set(request.forget_ids.tolist())
    of_class = set((labels == 3).nonzero().flatten().tolist())
    assert gone < of_class
    assert len(gone) <= len(of_class) / 3
    assert request.concept

    def centre(ids) -> Tensor:
        return inputs[sorted(ids)].flatten(1).mean(dim=0)

    inside, outside = centre(gone), centre(of_class - gone)
    near = [float((x.flatten() - inside).norm()) < float((x.flatten() - outside).norm()) for x in inputs[sorted(gone)]]
    assert sum(near) / len(near) > 0.85  # of as many records drawn at random about half
    for unseen, others in ((request.matched, request.holdout), (request.validation_matched, request.validation)):
        assert all(int(y) == 3 for _, y in unseen)
        assert not set(unseen.indices) & set(others.indices)
    again = select("subclass:3", bundle, seed=0)
    assert again.fingerprint == request.fingerprint
    assert again.matched.indices == request.matched.indices


def test_balanced_takes_the_same_number_of_each_class(bundle) -> None:
    request = select("balanced:0.05", bundle, seed=0)
    assert torch.bincount(labels_of(request.forget), minlength=10).tolist() == [6] * 10


def test_ids_from_a_file(ids_file, bundle) -> None:
    request = select(str(ids_file), bundle, seed=0)
    assert request.forget_ids.tolist() == [3, 7, 1296]
    assert (request.kind, request.description) == ("ids", "the 3 records listed in ids.txt")


@pytest.mark.parametrize("rule", ["random:0.1", "balanced:0.05", "class:3", "subclass:3", *PLANTING])
def test_splits_are_disjoint(rule, bundle) -> None:
    request = select(rule, bundle, seed=0)
    assert not set(request.forget_ids.tolist()) & set(request.retain_ids.tolist())
    # the digits hold no image twice, so that a shared image is a shared record
    seen = images_of(request.dataset)
    validation = images_of(request.validation) | images_of(request.validation_matched)
    holdout = images_of(request.holdout) | images_of(request.matched)
    assert not seen & validation
    assert not seen & holdout
    assert not validation & holdout


@pytest.mark.parametrize("rule", ["random:0.1", "balanced:0.05", "gaussian:0.1:1"])
def test_matched_examples_have_the_mix_of_the_forgotten(rule, bundle) -> None:
    request = select(rule, bundle, seed=0)
    wanted = shares(labels_of(request.forget))
    found = labels_of(request.matched)
    assert (shares(found) - wanted).abs().max() < 10 / len(found)  # each class is rounded down to a whole record


def test_a_wrong_label_is_on_the_forgotten_records_and_nowhere_else(bundle) -> None:
    request = select("mislabelled:0.05", bundle, seed=0)
    true, given = bundle.train.tensors[1], labels_of(request.dataset)
    assert (true != given).nonzero().flatten().tolist() == request.forget_ids.tolist()
    assert torch.equal(bundle.train.tensors[0], request.dataset.tensors[0])
    assert torch.equal(labels_of(request.retain), true[request.retain_ids])


def test_of_unseen_examples_only_the_matched_ones_are_mislabelled(bundle) -> None:
    request = select("mislabelled:0.05", bundle, seed=0)
    images, labels = bundle.test.tensors
    truth = {image.numpy().tobytes(): int(label) for image, label in zip(images, labels, strict=True)}

    def wrong(dataset) -> list[bool]:
        return [
            truth[image.numpy().tobytes()] != int(label) for image, label in (dataset[i] for i in range(len(dataset)))
        ]

    assert not any(wrong(request.holdout))
    assert not any(wrong(request.validation))
    for matched, part in ((request.matched, request.holdout), (request.validation_matched, request.validation)):
        assert all(wrong(matched))
        assert images_of(matched) <= images_of(part)
    # the true classes of the canaries give the mix
    true = torch.tensor([truth[request.matched[i][0].numpy().tobytes()] for i in range(len(request.matched))])
    wanted = shares(bundle.train.tensors[1][request.forget_ids])
    assert (shares(true) - wanted).abs().max() < 10 / len(true)


@pytest.mark.parametrize("rule", ["random:0.1", "balanced:0.05", *PLANTING])
def test_the_seed_draws_everything(rule, bundle) -> None:
    first, again, other = (select(rule, bundle, seed=seed) for seed in (4, 4, 5))
    assert same(first, again)
    assert first.forget_ids.tolist() != other.forget_ids.tolist()
    assert images_of(first.holdout) != images_of(other.holdout)


@pytest.mark.parametrize("rule", PLANTING)
def test_the_split_of_unseen_data_does_not_depend_on_the_rule(rule, bundle) -> None:
    a, b = (select(r, bundle, seed=1) for r in ("random:0.1", rule))
    assert images_of(a.holdout) == images_of(b.holdout)
    assert images_of(a.validation) == images_of(b.validation)


@pytest.mark.parametrize("pair", [(3, 5), (9, 0)])
@pytest.mark.parametrize("fraction", [0.02, 0.4])
def test_swapped_labels_are_on_the_forgotten_records_of_both_classes_and_nowhere_else(pair, fraction, bundle) -> None:
    request = select(f"confusion:{pair[0]},{pair[1]}:{fraction}", bundle, seed=0)
    true, given = bundle.train.tensors[1], labels_of(request.dataset)
    assert request.planted == SwappedLabels(pair)
    assert (true != given).nonzero().flatten().tolist() == request.forget_ids.tolist()
    other = {pair[0]: pair[1], pair[1]: pair[0]}
    was, now = true[request.forget_ids].tolist(), labels_of(request.forget).tolist()
    assert now == [other[c] for c in was]
    for c in pair:
        assert was.count(c) == round(fraction * int((true == c).sum()))


def test_unseen_examples_are_swapped_likewise_and_the_holdout_is_true(bundle) -> None:
    request = select("confusion:3,5:0.2", bundle, seed=0)
    images, labels = bundle.test.tensors
    truth = {image.numpy().tobytes(): int(label) for image, label in zip(images, labels, strict=True)}
    for matched, part in ((request.matched, request.holdout), (request.validation_matched, request.validation)):
        assert images_of(matched) <= images_of(part)
        assert {(truth[x.numpy().tobytes()], int(y)) for x, y in matched} == {(3, 5), (5, 3)}
        assert all(truth[x.numpy().tobytes()] == int(y) for x, y in part)


def test_noise_is_on_the_forgotten_records_as_the_request_says(bundle) -> None:
    request = select("gaussian:0.1:0.5", bundle, seed=0)
    clean, noisy = bundle.train.tensors[0], request.dataset.tensors[0]
    assert ((clean != noisy).flatten(1).any(dim=1)).nonzero().flatten().tolist() == request.forget_ids.tolist()
    assert torch.allclose(noisy[request.forget_ids] - request.planted.noise, clean[request.forget_ids], atol=1e-6)
    assert torch.equal(labels_of(request.dataset), bundle.train.tensors[1])
    noise = request.planted.noise
    assert request.planted.sd == 0.5
    assert abs(float(noise.std()) / 0.5 - 1) < 6 / (2 * noise.numel()) ** 0.5


def test_unseen_examples_get_noise_of_another_draw(bundle) -> None:
    request = select("gaussian:0.1:0.5", bundle, seed=0)
    drawn = []
    for matched, part in ((request.matched, request.holdout), (request.validation_matched, request.validation)):
        noisy = torch.stack([x for x, _ in matched])
        plain, labels = torch.stack([x for x, _ in part]), labels_of(part)
        distance = torch.cdist(noisy.flatten(1), plain.flatten(1))
        nearest = distance.argmin(dim=1)  # noise of length 4 moves no digit beyond another
        assert len(set(nearest.tolist())) == len(noisy)
        assert torch.equal(labels_of(matched), labels[nearest])
        added = noisy - plain[nearest]
        assert abs(float(added.std()) / 0.5 - 1) < 6 / (2 * added.numel()) ** 0.5
        drawn.append(added)
    for one, other in ((drawn[0], drawn[1]), (drawn[0], request.planted.noise)):
        assert (torch.cdist(one.flatten(1), other.flatten(1)) > 1).all()


@pytest.mark.parametrize("rule", ["random:0.1", "class:3", "mislabelled:0.05"])
def test_of_other_rules_nothing_is_said_to_be_planted(rule, bundle) -> None:
    assert select(rule, bundle, seed=0).planted is None


@pytest.mark.parametrize("rule", ["mislabelled:0.2", "confusion:3,5:0.2", "gaussian:0.2:1"])
def test_the_bundle_is_left_as_it_was(rule, bundle) -> None:
    before = [t.clone() for t in (*bundle.train.tensors, *bundle.test.tensors)]
    select(rule, bundle, seed=0)
    assert all(torch.equal(a, b) for a, b in zip(before, (*bundle.train.tensors, *bundle.test.tensors), strict=True))


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("random", r"fraction of 'random' must lie in \(0, 1\)"),
        ("random:0", r"must lie in \(0, 1\)"),
        ("random:1", r"must lie in \(0, 1\)"),
        ("random:nan", r"must lie in \(0, 1\)"),
        ("mislabelled:many", r"must lie in \(0, 1\)"),
        ("random:1e-9", r"selects 0 of 1297"),
        ("balanced:0.001", r"takes 0 records of each class"),
        ("balanced:0.99", r"takes 128 records of each class.*smallest class"),
        ("class:10", r"a label in \[0, 10\)"),
        ("subclass:10", r"a label in \[0, 10\)"),
        ("class:-1", r"a label in \[0, 10\)"),
        ("class:three", r"a label in \[0, 10\)"),
        ("class:³", r"a label in \[0, 10\)"),
        ("class:", r"a label in \[0, 10\)"),
        ("rando:0.1", r"neither a rule nor a file"),
        ("confusion", r"two different labels in \[0, 10\), but the rule is 'confusion'\. For example"),
        ("confusion:3:0.2", r"two different labels"),
        ("confusion:3,3:0.2", r"two different labels"),
        ("confusion:3,10:0.2", r"two different labels"),
        ("confusion:3,-1:0.2", r"two different labels"),
        ("confusion:3,5,7:0.2", r"two different labels"),
        ("confusion:3,5", r"the fraction of 'confusion:3,5' must lie in \(0, 1\)"),
        ("confusion:3,5:1", r"must lie in \(0, 1\)"),
        ("confusion:3,5:0.001", r"selects 0 of 13\d"),
        ("gaussian:0.1", r"a finite standard deviation > 0.*but the rule is 'gaussian:0\.1'\. For example"),
        ("gaussian:0.1:0", r"a finite standard deviation > 0"),
        ("gaussian:0.1:-1", r"a finite standard deviation > 0"),
        ("gaussian:0.1:nan", r"a finite standard deviation > 0"),
        ("gaussian:0.1:inf", r"a finite standard deviation > 0"),
        ("gaussian:0.1:1:2", r"a finite standard deviation > 0"),
        ("gaussian:1:1", r"the fraction of 'gaussian:1:1' must lie in \(0, 1\)"),
        ("gaussian:1e-9:1", r"selects 0 of 1297"),
    ],
)
def test_a_rule_that_cannot_be_read(rule, message, bundle) -> None:
    with pytest.raises(InputError, match=message):
        select(rule, bundle, seed=0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must name at least one record"),
        ("# nothing\n", "must name at least one record"),
        ("1\nbanana\n", r"ids\.txt, line 2: an id must be a whole number, but is 'banana'"),
        ("1.5\n", r"line 1: an id must be a whole number"),
        ("1\n1\n", "must name each record once, but 1 of 2 are repeated"),
        ("-1\n1297\n", r"must lie in \[0, 1297\), but contains \[-1, 1297\]"),
        ("9" * 40, "is far outside"),
    ],
)
def test_a_file_that_cannot_be_used(text, message, bundle, tmp_path) -> None:
    path = tmp_path / "ids.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        select(str(path), bundle, seed=0)
