"""The models of the example: a pedestrian detector of 132,661 parameters and a crop classifier.

The detector takes RGB images of 192x144 px as float32 (n, 3, 144, 192), normalised as ``(x - 0.5) / 0.25`` with x in
[0, 1]: whoever calls it normalises. The classifier takes RGB crops of 32x32 px as float32 (n, 3, 32, 32) in [0, 1] and
normalises inside, so that a perturbation is bounded in the units of the image.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

STRIDE = 4
HEIGHT, WIDTH = 144, 192
MEAN, STD = 0.5, 0.25
CLASSES = ("background", "pedestrian")


def _block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Residual(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _block(channels, channels)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``relu(x + f(x))``."""
        return F.relu(x + self.second(self.first(x)))


class PedestrianDetector(nn.Module):
    """Anchor-free one-class detector: a small feature pyramid down to stride 4, a heatmap and four distances a cell."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _block(3, 16, 2)
        self.stage4 = nn.Sequential(_block(16, 24, 2), Residual(24))
        self.stage8 = nn.Sequential(_block(24, 40, 2), Residual(40))
        self.stage16 = nn.Sequential(_block(40, 56, 2), _block(56, 56))
        self.lateral4, self.lateral8, self.lateral16 = nn.Conv2d(24, 32, 1), nn.Conv2d(40, 32, 1), nn.Conv2d(56, 32, 1)
        self.merge8, self.merge4 = _block(32, 32), _block(32, 32)
        self.head = _block(32, 32)
        self.heat = nn.Conv2d(32, 1, 1)
        self.reach = nn.Conv2d(32, 4, 1)
        nn.init.constant_(self.heat.bias, -3.5)
        nn.init.constant_(self.reach.bias, 2.0)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return heatmap logits (n, 1, 36, 48) and distances left, top, right, bottom in pixels (n, 4, 36, 48)."""
        fine = self.stage4(self.stem(images))
        middle = self.stage8(fine)
        coarse = self.stage16(middle)
        middle = self.merge8(self.lateral8(middle) + F.interpolate(self.lateral16(coarse), scale_factor=2.0))
        fine = self.merge4(self.lateral4(fine) + F.interpolate(middle, scale_factor=2.0))
        features = self.head(fine)
        return self.heat(features), torch.exp(self.reach(features).clamp(max=6.0))


class DecodedDetector(nn.Module):
    """The detector with its decoder: the K highest local maxima of the heatmap, best first, before suppression."""

    def __init__(self, detector: PedestrianDetector, candidates: int = 60) -> None:
        super().__init__()
        self.detector = detector
        self.candidates = candidates
        rows, columns = torch.meshgrid(torch.arange(HEIGHT // STRIDE), torch.arange(WIDTH // STRIDE), indexing="ij")
        centres = (torch.stack([columns, rows], -1).reshape(1, -1, 2) + 0.5) * STRIDE
        self.register_buffer("centres", centres.float())

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return boxes (n, K, 4) xyxy in pixels of the input, scores (n, K) and labels (n, K), int64 zeros."""
        heat, reach = self.detector(images)
        scores = torch.sigmoid(heat)
        peaks = scores * (F.max_pool2d(scores, 3, 1, 1) == scores)
        reach = reach.flatten(2).transpose(1, 2)
        boxes = torch.cat([self.centres - reach[..., :2], self.centres + reach[..., 2:]], -1)
        best, index = torch.topk(peaks.flatten(1), self.candidates, dim=1)
        boxes = torch.gather(boxes, 1, index.unsqueeze(-1).expand(-1, -1, 4))
        left, top, right, bottom = boxes.unbind(-1)
        inside = (left.clamp(0, WIDTH), top.clamp(0, HEIGHT), right.clamp(0, WIDTH), bottom.clamp(0, HEIGHT))
        return torch.stack(inside, -1), best, torch.zeros_like(index)


class CropClassifier(nn.Module):
    """Tell background (0) from pedestrian (1) on crops of 32x32 px, RGB in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _block(3, 24),
            _block(24, 32, 2),
            _block(32, 48, 2),
            _block(48, 64, 2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.score = nn.Linear(64, len(CLASSES))

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        """Return logits (n, 2)."""
        return self.score(self.features((crops - MEAN) / STD))


def build_detector() -> PedestrianDetector:
    """Build the detector with fresh weights; input normalised RGB (n, 3, 144, 192)."""
    return PedestrianDetector()


def build_classifier() -> CropClassifier:
    """Build the crop classifier with fresh weights; input RGB in [0, 1], (n, 3, 32, 32)."""
    return CropClassifier()
