"""Dampening without a loss."""

from dataclasses import dataclass
from typing import ClassVar

from ebbing.methods.ssd import SSD


@dataclass(frozen=True)
class LFSSD(SSD):
    """Loss-free selective synaptic dampening: `SSD` with I the mean abs gradient of the squared norm of the logits.

    It needs no labels. Source: Foster et al., arXiv 2402.19308.

    Attributes:
        selection: see `SSD`.
        dampening: likewise.
        batch_size: of the batches whose gradients' absolute values are taken, >= 1.
        records: see `SSD`.
    """

    statistic: ClassVar[str] = "output-norm-gradient"
