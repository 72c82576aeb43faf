"""The networks that ebbing's experiments use; any `torch.nn.Module` will do."""

from ebbing.models.cnn import authors_cnn, digits_cnn, paper_cnn
from ebbing.models.mlp import digits_mlp

__all__ = ["authors_cnn", "digits_cnn", "digits_mlp", "paper_cnn"]
