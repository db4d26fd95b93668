"""The training loss. One loss a file; `segmentation.TERMS` is the table of them."""

from edgeseg.training.losses.config import LossConfig
from edgeseg.training.losses.segmentation import SegmentationLoss

__all__ = ["LossConfig", "SegmentationLoss"]
