"""Data sets to unlearn from: the digits, MNIST, Fashion-MNIST, CIFAR-10, and canaries to hide in them."""

from ebbing.data.canaries import mislabel
from ebbing.data.download import download
from ebbing.data.idx import read_idx
from ebbing.data.sources import NAMES, DataBundle, cifar10, digits, fashion_mnist, load, mnist

__all__ = [
    "NAMES",
    "DataBundle",
    "cifar10",
    "digits",
    "download",
    "fashion_mnist",
    "load",
    "mislabel",
    "mnist",
    "read_idx",
]
