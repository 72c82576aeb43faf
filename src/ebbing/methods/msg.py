"""New weights where forgetting and keeping pull alike, and little change elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.utils.data import Subset

from ebbing.batches import iterate
from ebbing.errors import InputError
from ebbing.methods.repair import Repairing
from ebbing.methods.unlearner import Run
from ebbing.request import ForgetRequest
from ebbing.task import evaluation_mode, in_single
from ebbing.training import Recipe

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class MSG(Repairing):
    """MSG: in each convolution the share of weights with the smallest abs(g) is drawn anew, then D_r is trained on.

    g = d [CE(a sample of D_r as large as D_f) - CE(D_f)] / d w, summed over batches. The weights drawn anew (Kaiming normal,
    by the fan out) are trained at full steps, the other weights of convolutions at a tenth. Source: the second of the
    NeurIPS 2023 challenge (arXiv 2406.09073), by its form in the public code of Cadet et al., arXiv 2410.01276; there SGD at
    .001, batches of 64, 5 epochs.

    Attributes:
        share: of each convolution's weights that is drawn anew, in [0, 1].
        others: share of a step that the other weights of convolutions make, in [0, 1].
        batch_size: of the batches that g sums over, >= 1.
        repair: see `Repairing`. What g reads counts as well.
        budget: likewise.
        training: likewise.
    """

    share: float = 0.3
    others: float = 0.1
    batch_size: int = 64
    repair: Recipe = field(
        default_factory=lambda: Recipe(
            epochs=10, max_examples=60_000, batch_size=64, optimizer="sgd", learning_rate=1e-2, schedule="one-cycle"
        )
    )

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        for name in ("share", "others"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"`{name}` must lie in [0, 1], but is {getattr(self, name)}.")
        if self.batch_size < 1:
            raise InputError(f"`batch_size` must be at least 1, but is {self.batch_size}.")

    def statistics(self, request: ForgetRequest) -> int:
        """D_f, and as many records of D_r."""
        return len(request.forget) + min(len(request.forget), len(request.retain))

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Draw anew, then repair."""
        fresh = self.drawn_anew(model, run)
        reach = {name: torch.where(new, 1.0, self.others) for name, new in fresh.items()}
        return self.mend(model, run, reach=reach)

    def drawn_anew(self, model: nn.Module, run: Run) -> dict[str, Tensor]:
        """Draw the weights in place; which they are, by the name of the parameter and in its shape.

        Raises:
            InputError: if the model has no convolution.
        """
        found = {
            f"{name}.weight".lstrip("."): module.weight
            for name, module in model.named_modules()
            if isinstance(module, CONVOLUTIONS)
            and isinstance(module.weight, nn.Parameter)
            and module.weight.requires_grad
        }
        if not found:
            raise InputError("MSG draws weights of convolutions anew, but the model has none that is trained.")
        pulls = self._pulls(model, list(found.values()), run)
        fresh = {}
        for (name, weight), pull in zip(found.items(), pulls, strict=True):
            count = round(self.share * weight.numel())
            new = torch.zeros(weight.numel(), dtype=torch.bool, device=weight.device)
            new[pull.abs().flatten().argsort(stable=True)[:count]] = True
            fresh[name] = new.reshape(weight.shape)
            drawn = nn.init.kaiming_normal_(torch.empty_like(weight), mode="fan_out", nonlinearity="relu")
            with torch.no_grad():
                weight.copy_(torch.where(fresh[name], drawn, weight))
        return fresh

    def _pulls(self, model: nn.Module, weights: list[Tensor], run: Run) -> list[Tensor]:
        """G of each weight."""
        retain = run.request.retain
        count = min(len(run.request.forget), len(retain))
        some = Subset(retain, torch.randperm(len(retain), generator=run.generator)[:count].tolist())
        pulls = [in_single(torch.zeros_like(w)) for w in weights]
        with evaluation_mode(model):
            for data, sign in ((some, 1.0), (run.request.forget, -1.0)):
                for batch in iterate(data, batch_size=self.batch_size):
                    with torch.enable_grad():
                        outputs = run.task.forward(model, batch)
                        gradients = torch.autograd.grad(run.task.loss(outputs), weights, allow_unused=True)
                    for pull, gradient in zip(pulls, gradients, strict=True):
                        if gradient is not None:
                            pull += sign * gradient
                    run.journal.advance(len(outputs.targets))
        return pulls
