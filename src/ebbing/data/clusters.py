"""Clusters within a class: kinds of a thing that nobody has named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ebbing.errors import InputError

if TYPE_CHECKING:
    from sklearn.cluster import KMeans


@dataclass(frozen=True)
class SubClass:
    """One cluster of a class's records, and who else belongs to it.

    Attributes:
        members: (k,) int64 positions of the records of the cluster, ascending.
        label: of the class.
    """

    members: np.ndarray
    label: int
    _machine: KMeans
    _cluster: int

    def holds(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """(n,) bool, which records of other data are of the class and nearest to the cluster's centre."""
        of_class = labels == self.label
        found = torch.zeros(len(labels), dtype=torch.bool)
        if bool(of_class.any()):
            nearest = self._machine.predict(_flat(inputs[of_class]))
            found[of_class] = torch.from_numpy(nearest == self._cluster)
        return found


def sub_class(inputs: Tensor, labels: Tensor, label: int, *, clusters: int = 3, seed: int) -> SubClass:
    """The smallest of some clusters of a class's inputs, by k-means (10 starts).

    Args:
        inputs: (n, ...) of all records.
        labels: (n,) int64.
        label: of the class.
        clusters: k >= 2.
        seed: of the starts.

    Raises:
        InputError: if the class has fewer records than clusters.
    """
    places = (labels == label).nonzero().flatten().numpy()
    if len(places) < clusters:
        raise InputError(f"class {label} must have at least {clusters} records to be divided, but has {len(places)}.")
    from sklearn.cluster import KMeans  # here, because importing scikit-learn takes a second

    machine = KMeans(clusters, n_init=10, random_state=seed).fit(_flat(inputs[places]))
    sizes = np.bincount(machine.labels_, minlength=clusters)
    smallest = int(sizes.argmin())
    return SubClass(places[machine.labels_ == smallest], label, machine, smallest)


def _flat(inputs: Tensor) -> np.ndarray:
    flat: np.ndarray = inputs.reshape(len(inputs), -1).double().numpy()
    return flat
