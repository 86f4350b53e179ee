"""A classifier as a project would write it around its own module."""

from __future__ import annotations

import numpy as np
import torch


class ModuleClassifier:
    """A module with the protocol of a differentiable model; ``scale`` and ``shift`` spoil what it prepares."""

    task = "classification"
    files = ()
    device = torch.device("cpu")
    digest = "0" * 64

    def __init__(self, module, *, class_names=(), batch_size=64, scale=1.0, shift=0.0, name="candidate"):
        self.module = module
        self.name = name
        self.class_names = tuple(class_names)
        self.batch_size = batch_size
        self.description = {"name": name}
        self._scale, self._shift = scale, shift

    def prepare(self, images):
        """Return grey images, in 0..1 unless spoilt."""
        grey = np.stack([image[:, :, 0] for image in images])[:, None].astype(np.float32) / 255
        return grey * np.float32(self._scale) + np.float32(self._shift)

    def logits(self, images):
        """Return what the module says."""
        return self.module(images)

    def forward(self, prepared):
        """Run the module."""
        return self.module(torch.from_numpy(prepared))

    def predict(self, images):
        """Return probabilities."""
        self.module.eval()
        with torch.no_grad():
            return self.logits(torch.from_numpy(self.prepare(images))).softmax(dim=1).numpy()
