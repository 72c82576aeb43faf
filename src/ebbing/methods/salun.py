"""Random labels on the weights that the forget set hangs on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ebbing.batches import iterate, size
from ebbing.errors import InputError
from ebbing.methods.random_labels import RandomLabels
from ebbing.methods.unlearner import Run
from ebbing.request import ForgetRequest
from ebbing.task import evaluation_mode, in_single


@dataclass(frozen=True)
class SalUn(RandomLabels):
    """SalUn: `RandomLabels` on a part of the weights; the others stay exactly where they are.

    The part is the top share of all weights by abs(sum over batches of d CE(batch of D_f) / d w), in evaluation mode. Labels
    are drawn among all classes, as in the public code. Source: Fan et al., arXiv 2310.12508; share .5, SGD at .01 with
    momentum .9, 10 epochs there.

    Attributes:
        share: of the weights that are trained, in (0, 1].
        batch_size: of the batches that the saliency sums over, >= 1.
        rounds: see `RandomLabels`.
        wrong_only: likewise.
        repair: see `Repairing`. The forget set that saliency reads counts as well.
        budget: likewise.
        training: likewise.
    """

    share: float = 0.5
    batch_size: int = 256
    wrong_only: bool = False

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        if not 0 < self.share <= 1:
            raise InputError(f"`share` must lie in (0, 1], but is {self.share}.")
        if self.batch_size < 1:
            raise InputError(f"`batch_size` must be at least 1, but is {self.batch_size}.")

    def statistics(self, request: ForgetRequest) -> int:
        """The forget set once."""
        return len(request.forget)

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Choose the weights, and alternate on them."""
        return self.train(model, self.passes(run), run, reach=self.salient(model, run))

    def salient(self, model: nn.Module, run: Run) -> dict[str, Tensor]:
        """1 for the chosen weights and 0 for the others, by the name of the parameter and in its shape."""
        weights = {n: p for n, p in model.named_parameters() if p.requires_grad}
        sums = {n: in_single(torch.zeros_like(p)) for n, p in weights.items()}
        with evaluation_mode(model):
            for batch in iterate(run.request.forget, batch_size=self.batch_size):
                with torch.enable_grad():
                    value = run.task.loss(run.task.forward(model, batch))
                    found = torch.autograd.grad(value, list(weights.values()), allow_unused=True)
                for total, gradient in zip(sums.values(), found, strict=True):
                    if gradient is not None:
                        total += gradient
        run.journal.advance(size(run.request.forget))
        saliency = torch.cat([total.abs().flatten() for total in sums.values()])
        mask = torch.zeros_like(saliency)
        mask[saliency.argsort(descending=True, stable=True)[: int(self.share * len(saliency))]] = 1.0
        parts = torch.split(mask, [total.numel() for total in sums.values()])
        return {n: part.reshape(p.shape).to(p.dtype) for (n, p), part in zip(weights.items(), parts, strict=True)}
