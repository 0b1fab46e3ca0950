"""Exports a pixel-attention network with PyTorch's own exporters: the fixtures of images/pixel_attention.rs.

PAN for a factor of 2 (Zhao et al., "Efficient image super-resolution using pixel attention", ECCV Workshops 2020), 261,403
parameters with 16 blocks, random weights. Needs PyTorch, onnx and onnxscript from PyPI (made with torch 2.15.0, onnx 1.23.2):

    python pan.py OUT_FOLDER

writes pan.zip (16 blocks, the TorchScript exporter) and pan_dynamo.zip (2 blocks, the torch.export one).
"""

import math
import pathlib
import sys
import zipfile

import onnx
import torch
from torch import nn
from torch.nn import functional as F

CHANNELS = 40
HIGH_CHANNELS = 24
SIDE = 48
SLOPE = 0.2
# Of what a branch adds to its trunk; with it the trunk grows two- to threefold over 16 blocks, as trained ones do.
BRANCH = 0.3
# Of what is added to the enlarged picture: more than a trained network adds, which is mostly edges.
DETAIL = 0.1


def convolution(inputs, outputs, size, bias=True):
    return nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=bias)


class SelfCalibrated(nn.Module):
    """A block of two halves: a plain one, and one whose features are weighted pixel by pixel."""

    def __init__(self, channels):
        super().__init__()
        half = channels // 2
        self.reduce_plain = convolution(channels, half, 1, bias=False)
        self.reduce_weighted = convolution(channels, half, 1, bias=False)
        self.plain = convolution(half, half, 3, bias=False)
        self.attention = convolution(half, half, 1)
        self.features = convolution(half, half, 3, bias=False)
        self.after = convolution(half, half, 3, bias=False)
        self.join = convolution(2 * half, channels, 1, bias=False)

    def forward(self, x):
        plain = F.leaky_relu(self.reduce_plain(x), SLOPE)
        weighted = F.leaky_relu(self.reduce_weighted(x), SLOPE)
        plain = F.leaky_relu(self.plain(plain), SLOPE)
        weighted = self.features(weighted) * torch.sigmoid(self.attention(weighted))
        weighted = F.leaky_relu(self.after(weighted), SLOPE)
        return self.join(torch.cat([plain, weighted], dim=1)) + x


class Network(nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.first = convolution(3, CHANNELS, 3)
        self.blocks = nn.Sequential(*[SelfCalibrated(CHANNELS) for _ in range(blocks)])
        self.trunk = convolution(CHANNELS, CHANNELS, 3)
        self.enlarged = convolution(CHANNELS, HIGH_CHANNELS, 3)
        self.attention = convolution(HIGH_CHANNELS, HIGH_CHANNELS, 1)
        self.high = convolution(HIGH_CHANNELS, HIGH_CHANNELS, 3)
        self.detail = convolution(HIGH_CHANNELS, 3, 3)

    def forward(self, x):
        shallow = self.first(x)
        x_2 = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        deep = shallow + self.trunk(self.blocks(shallow))
        high = self.enlarged(F.interpolate(deep, scale_factor=2, mode="nearest"))
        high = F.leaky_relu(high * torch.sigmoid(self.attention(high)), SLOPE)
        high = F.leaky_relu(self.high(high), SLOPE)
        return self.detail(high) + x_2


def network(blocks):
    """With normal weights of the deviation of He et al. 2015, but for BRANCH and DETAIL, rounded so that the file packs well."""
    torch.manual_seed(1)
    model = Network(blocks).eval()
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if name.endswith("bias"):
                weights.normal_(0, 0.05)
            else:
                nn.init.kaiming_normal_(weights, a=SLOPE)
                weights.mul_(BRANCH if ".join." in name else DETAIL if name.startswith("detail") else 1)
            # An eighth of the deviation, as a power of two.
            step = 2.0 ** round(math.log2(weights.std().item() / 8))
            weights.copy_((weights / step).round() * step)
    return model


def write(folder, name, model, dynamo):
    path = folder / f"{name}.onnx"
    names = {"input_names": ["low"], "output_names": ["high"]}
    options = {"dynamo": True, "external_data": False} if dynamo else {"dynamo": False, "opset_version": 17}
    torch.onnx.export(model, (torch.rand(1, 3, SIDE, SIDE),), str(path), **names, **options)
    exported = onnx.load(path)
    # Traces of the exporter name files of the machine that it ran on.
    for node in exported.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    entry = zipfile.ZipInfo(path.name, (2020, 1, 1, 0, 0, 0))
    with zipfile.ZipFile(folder / f"{name}.zip", "w") as archive:
        archive.writestr(entry, exported.SerializeToString(), zipfile.ZIP_DEFLATED, 9)
    path.unlink()


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    whole = network(16)
    print(sum(weights.numel() for weights in whole.parameters()), "parameters")
    write(folder, "pan", whole, dynamo=False)
    write(folder, "pan_dynamo", network(2), dynamo=True)
