"""Joint augmentation of image and label map with torchvision.transforms.v2.

Every random choice comes from one seed per sample and epoch, so that a run repeats itself however many workers load.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torchvision import tv_tensors
from torchvision.transforms import v2

from edgeseg.data.base import Sample
from edgeseg.errors import ConfigError

_PADDING_RGB = [124, 116, 104]
"""The ImageNet mean in grey levels, so that padding is about zero after normalisation."""


@dataclass(frozen=True, slots=True)
class AugmentConfig:
    """How a labelled frame is varied. Hue is left alone: its jitter costs more than all the rest together."""

    crop_hw: tuple[int, int]
    """Height and width of a training crop, in pixels."""
    scale: tuple[float, float] = (0.75, 1.75)
    """Range of the random scale, relative to the network's size."""
    flip: float = 0.5
    """Probability of a mirror image."""
    brightness: float = 0.3
    contrast: float = 0.3
    saturation: float = 0.3
    """Relative ranges, as torchvision's ColorJitter takes them."""
    small: str = "pad"
    """What becomes of images that are stored smaller than a crop: `pad` fills up with void, `skip` leaves them out."""

    def __post_init__(self) -> None:
        if min(self.crop_hw) < 32:
            raise ConfigError(f"crop_hw={self.crop_hw}: a crop below 32 pixels leaves nothing at stride 32.")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ConfigError(f"scale={self.scale}: expected two positive factors, the smaller first.")
        if not 0 <= self.flip <= 1:
            raise ConfigError(f"flip={self.flip}: a probability lies between 0 and 1.")
        if min(self.brightness, self.contrast, self.saturation) < 0:
            raise ConfigError("brightness, contrast and saturation are relative ranges; they cannot be negative.")
        if self.small not in ("pad", "skip"):
            raise ConfigError(f'small={self.small!r} is unknown; choose "pad" or "skip".')


class Rescale(v2.Transform):  # type: ignore[misc]  # torchvision has no types
    """Scales image and mask by one random factor of the size at which the frame fits into `size_hw`.

    torchvision's own `ScaleJitter` takes height for width in its target size (frames of 360×480 came out 25 % too
    small), and resizes masks by "nearest", which lies half a pixel beside the image with its half-pixel centres.
    """

    def __init__(self, size_hw: tuple[int, int], scale: tuple[float, float]) -> None:
        super().__init__()
        self._size_hw = size_hw
        self._scale = scale

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """The size in pixels, the same for image and mask."""
        height, width = flat_inputs[0].shape[-2:]
        fitting = min(self._size_hw[0] / height, self._size_hw[1] / width)
        factor = fitting * float(torch.empty(1).uniform_(*self._scale))
        return {"size": (round(height * factor), round(width * factor))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Image bilinearly, mask by the nearest pixel, both with half-pixel centres."""
        if isinstance(inpt, tv_tensors.Mask):
            ids = F.interpolate(inpt[None, None].float(), size=params["size"], mode="nearest-exact")[0, 0]
            return tv_tensors.wrap(ids.to(inpt.dtype), like=inpt)
        # No antialias: the deployed graph resizes without it, and a model should see in training what it will be fed.
        return v2.functional.resize(inpt, list(params["size"]), antialias=False)


class Augment:
    """Sample → (BGR uint8 (h, w, 3), labels int64 (h, w)), scaled, cropped, mirrored and tinted at random."""

    def __init__(self, config: AugmentConfig, size_hw: tuple[int, int], void: int) -> None:
        fill = {tv_tensors.Image: _PADDING_RGB, tv_tensors.Mask: void}
        self._transform = v2.Compose(
            [
                Rescale(size_hw, config.scale),
                v2.RandomCrop(config.crop_hw, pad_if_needed=True, fill=fill),
                v2.RandomHorizontalFlip(config.flip),
                v2.ColorJitter(config.brightness, config.contrast, config.saturation),
            ]
        )

    def __call__(self, sample: Sample, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The variant of `sample` that belongs to `seed`; the global random state is left as it was."""
        image = tv_tensors.Image(torch.from_numpy(sample.image_bgr).permute(2, 0, 1).flip(0))
        mask = tv_tensors.Mask(torch.from_numpy(sample.labels))
        with torch.random.fork_rng(devices=[]):
            # Not torch.manual_seed, which also seeds a GPU's generator, and nothing here would put that back.
            torch.default_generator.manual_seed(seed)
            image, mask = self._transform(image, mask)
        bgr = image.as_subclass(torch.Tensor).flip(0).permute(1, 2, 0).contiguous()
        return bgr, mask.as_subclass(torch.Tensor).long()
