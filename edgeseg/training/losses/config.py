"""What a recipe's `[loss]` table may say."""

from __future__ import annotations

from dataclasses import dataclass

from edgeseg.errors import ConfigError
from edgeseg.settings import at_least

FACTORS = ("cross_entropy", "focal", "boundary", "jaccard", "dice", "lovasz")
"""Keys that are factors of a term of the loss; a term whose factor is 0 is not computed."""


@dataclass(frozen=True, slots=True)
class LossConfig:
    """The terms of the loss over labelled pixels, each with its factor, and the settings of each."""

    cross_entropy: float = 1.0
    class_weight_offset: float = 0.0
    """c of the class weights 1/ln(c + share) in cross entropy, focal and boundary term (ENet, Paszke et al. 2016,
    section 5.2); 0 weighs all classes alike."""
    label_smoothing: float = 0.0
    """Share of the target that the cross entropy spreads over all classes (Szegedy et al. 2016, section 7)."""
    ohem_fraction: float = 1.0
    """Share of the pixels, those with the largest cross entropy, that count (Shrivastava et al. 2016); 1 takes all."""
    jaccard: float = 0.0
    """Factor of the soft Jaccard loss, which follows IoU and so minds small classes."""
    dice: float = 0.0
    """Factor of the soft Dice loss, which follows F1."""
    lovasz: float = 0.0
    """Factor of the Lovász-softmax loss: IoU's own convex extension; sorts every class's pixels, so it takes time."""
    focal: float = 0.0
    """Factor of the focal loss; with `cross_entropy = 0` it stands in its place."""
    focal_gamma: float = 2.0
    """Exponent of the focal loss; 0 is cross entropy, 2 what its authors use (Lin et al. 2017, section 5.1)."""
    boundary: float = 0.0
    """Factor of a cross entropy whose pixels near a class boundary weigh more."""
    boundary_weight: float = 10.0
    """What a pixel at a boundary weighs beyond one far away (w0 = 10 in U-Net, Ronneberger et al. 2015, section 3)."""
    boundary_sigma: float = 2.0
    """Pixels over which that extra weight falls to 61 %."""
    auxiliary: float = 0.4
    """Factor of the auxiliary head's cross entropy."""

    def __post_init__(self) -> None:
        for name in (*FACTORS, "focal_gamma", "boundary_weight", "auxiliary"):
            at_least(0, **{name: getattr(self, name)})
        if not any(getattr(self, name) for name in FACTORS):
            raise ConfigError(f"every term is 0; give at least one of {', '.join(FACTORS)} a factor above 0.")
        if not (self.class_weight_offset == 0 or self.class_weight_offset > 1):
            raise ConfigError(f"class_weight_offset={self.class_weight_offset}: expected 0, or a number above 1.")
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"label_smoothing={self.label_smoothing}: expected 0 up to, but not including, 1.")
        if not 0 < self.ohem_fraction <= 1:
            raise ConfigError(f"ohem_fraction={self.ohem_fraction}: expected a share above 0, at most 1.")
        if not 0 < self.boundary_sigma <= 20:
            raise ConfigError(f"boundary_sigma={self.boundary_sigma}: expected above 0, at most 20 pixels.")
