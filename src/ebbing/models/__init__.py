"""The networks that ebbing's experiments use; any `torch.nn.Module` will do."""

from ebbing.models.cnn import authors_cnn, cifar_cnn, digits_cnn, paper_cnn
from ebbing.models.mlp import digits_mlp
from ebbing.models.resnet import resnet18, resnet18_grey, small_resnet, small_resnet_plain
from ebbing.models.vit import small_vit

__all__ = [
    "authors_cnn",
    "cifar_cnn",
    "digits_cnn",
    "digits_mlp",
    "paper_cnn",
    "resnet18",
    "resnet18_grey",
    "small_resnet",
    "small_resnet_plain",
    "small_vit",
]
