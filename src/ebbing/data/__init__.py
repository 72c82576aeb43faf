"""Data sets to unlearn from: the digits, MNIST, Fashion-MNIST, CIFAR-10, texts, and canaries to hide in them."""

from ebbing.batches import Gathering, NamedTensors
from ebbing.data.canaries import mislabel
from ebbing.data.download import download
from ebbing.data.idx import read_idx
from ebbing.data.mapped import MappedArrays, TableRecords
from ebbing.data.sources import NAMES, DataBundle, cifar10, digits, fashion_mnist, load, mnist
from ebbing.data.text import answers, tensors_of_columns, tokenised

__all__ = [
    "NAMES",
    "DataBundle",
    "Gathering",
    "MappedArrays",
    "NamedTensors",
    "TableRecords",
    "answers",
    "cifar10",
    "digits",
    "download",
    "fashion_mnist",
    "load",
    "mislabel",
    "mnist",
    "read_idx",
    "tensors_of_columns",
    "tokenised",
]
