"""Convolutional networks: the paper's, that of its authors' public code, and small ones for digits and photographs."""

from collections import OrderedDict

from torch import nn


def paper_cnn() -> nn.Module:
    """Conv 1->32 3x3, ReLU, MaxPool 2, Conv 32->64 3x3, ReLU, MaxPool 2, FC 1600->128, ReLU, FC 128->10.

    For 28 x 28 images; 225,034 parameters, no dropout. The network that arXiv 2410.22374 describes.
    """
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 32, 3),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(32, 64, 3),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(1600, 128),
            relu3=nn.ReLU(),
            fc2=nn.Linear(128, 10),
        )
    )


def authors_cnn() -> nn.Module:
    """Conv 1->32 3x3, ReLU, Conv 32->64 3x3, ReLU, MaxPool 2, Dropout, FC 9216->128, ReLU, Dropout, FC 128->10.

    For 28 x 28 images; 1,199,882 parameters; dropout .25 and .5. The network of the authors' public code; it
    returns logits where theirs returns their log-softmax, which has the same cross entropy.
    """
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 32, 3),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(32, 64, 3),
            relu2=nn.ReLU(),
            pool=nn.MaxPool2d(2),
            dropout1=nn.Dropout(0.25),
            flatten=nn.Flatten(),
            fc1=nn.Linear(9216, 128),
            relu3=nn.ReLU(),
            dropout2=nn.Dropout(0.5),
            fc2=nn.Linear(128, 10),
        )
    )


def cifar_cnn() -> nn.Module:
    """Conv 3->32, 32->64, 64->128 and 128->128, all 3x3, FC 512->128, FC 128->10, a ReLU after every layer but the last.

    MaxPool 2 follows the second, third and fourth convolution. For 32 x 32 photographs; 307,786 parameters, no normalisation,
    no dropout.
    """
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(3, 32, 3),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(32, 64, 3),
            relu2=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv3=nn.Conv2d(64, 128, 3),
            relu3=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            conv4=nn.Conv2d(128, 128, 3),
            relu4=nn.ReLU(),
            pool3=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(512, 128),
            relu5=nn.ReLU(),
            fc2=nn.Linear(128, 10),
        )
    )


def digits_cnn() -> nn.Module:
    """Conv 1->16 3x3, ReLU, Conv 16->32 3x3, ReLU, MaxPool 2, FC 128->64, ReLU, FC 64->10.

    For 8 x 8 images; 13,706 parameters.
    """
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 16, 3),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(16, 32, 3),
            relu2=nn.ReLU(),
            pool=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(128, 64),
            relu3=nn.ReLU(),
            fc2=nn.Linear(64, 10),
        )
    )
