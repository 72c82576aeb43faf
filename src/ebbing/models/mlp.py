"""A multilayer perceptron for scikit-learn's digits."""

from collections import OrderedDict

from torch import nn


def digits_mlp() -> nn.Module:
    """FC 64->128, ReLU, FC 128->64, ReLU, FC 64->10, for 8 x 8 images; 17,226 parameters."""
    return nn.Sequential(
        OrderedDict(
            flatten=nn.Flatten(),
            fc1=nn.Linear(64, 128),
            relu1=nn.ReLU(),
            fc2=nn.Linear(128, 64),
            relu2=nn.ReLU(),
            fc3=nn.Linear(64, 10),
        )
    )
