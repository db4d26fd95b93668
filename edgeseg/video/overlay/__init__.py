"""What is drawn over the camera picture, one module for each thing: classes, legend, road, people, curve, banners."""

from edgeseg.video.overlay.overlay import MODES, Overlay

__all__ = ["MODES", "Overlay"]
