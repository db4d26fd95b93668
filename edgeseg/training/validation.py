"""Validation while training: the averaged weights, through the very preprocessing and argmax that get exported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from edgeseg.data import SegmentationDataset
from edgeseg.labels import LabelMap
from edgeseg.metrics.confusion import ConfusionMatrix, EvaluationResult, FrameScore
from edgeseg.metrics.evaluate import require_same_classes
from edgeseg.models.sealed import Preprocess, SealedNetwork
from edgeseg.training import distributed
from edgeseg.training.losses.segmentation import coarser_labels
from edgeseg.training.sheets import EpochSheet
from edgeseg.types import Frame, Labels


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What validation found, the same on every process."""

    result: EvaluationResult
    cross_entropy: float
    """Plain, in nats per labelled pixel at the network's size; whatever the recipe's loss is."""
    sheet: Frame
    """BGR contact sheet of a few frames, always the same ones."""

    def row(self) -> dict[str, float]:
        """Its columns of the history."""
        return {
            "validation_cross_entropy": self.cross_entropy,
            "miou": self.result.miou,
            "pixel_accuracy": self.result.pixel_accuracy,
        }


class Validation:
    """Measures networks on `dataset`, whose frames the processes share out: each frame is counted once.

    Raises `ConfigError` where the dataset's classes are not `label_map`'s.
    """

    def __init__(
        self, dataset: SegmentationDataset, label_map: LabelMap, preprocess: Preprocess, device: torch.device
    ) -> None:
        require_same_classes(label_map, dataset)
        self._dataset = dataset
        self._preprocess = preprocess
        self._device = device

    def __call__(
        self,
        network: nn.Module,
        stop: Callable[[], bool] = lambda: False,
        title: str = "",
    ) -> Measured | None:
        """The figures of the whole dataset, and a sheet under `title`; None where any process was asked to `stop`."""
        sealed = SealedNetwork(network, self._preprocess, None).to(self._device).eval()
        everything, stopped = ConfusionMatrix(self._dataset.label_map), False
        nll, pixels, sheet = 0.0, 0, EpochSheet(len(self._dataset))
        with distributed.all_or_none():
            for index in range(distributed.process_rank(), len(self._dataset), distributed.process_count()):
                if stopped := stop():
                    break
                sample = self._dataset[index]
                prediction, own_nll, own_pixels = self._answer(sealed, sample.image_bgr, sample.labels)
                nll, pixels = nll + own_nll, pixels + own_pixels
                frame = ConfusionMatrix(self._dataset.label_map)
                frame.update(sample.labels, prediction)
                everything += frame
                score = FrameScore(index, sample.name, frame.result().miou if frame.pixels else None)
                sheet.add(score, sample, prediction)
        if distributed.highest(int(stopped)):
            return None
        label_map = self._dataset.label_map
        result = sum(distributed.gather(everything), ConfusionMatrix(label_map)).result()
        # In the order of the processes, so that the last bit is the same on all of them.
        sums = distributed.gather((nll, pixels))
        cross_entropy = sum(own for own, _ in sums) / max(1, sum(count for _, count in sums))
        return Measured(result, cross_entropy, sheet.picture(label_map, title))

    @torch.inference_mode()
    def _answer(self, sealed: SealedNetwork, frame_bgr: Frame, truth: Labels) -> tuple[Labels, float, int]:
        """Labels at the frame's size; the sum of −ln p of the true classes at the network's, and of how many pixels."""
        frame = torch.from_numpy(frame_bgr)[None].to(self._device)
        logits = sealed.logits(frame)
        labels: Labels = sealed.labels(logits, frame.shape[1:3])[0].cpu().numpy()
        void = self._dataset.label_map.void
        wanted = coarser_labels(torch.from_numpy(truth)[None].to(self._device).long(), logits.shape[-2:])
        nll = F.cross_entropy(logits.float(), wanted, ignore_index=void, reduction="sum")
        return labels, float(nll), int((wanted != void).sum())
