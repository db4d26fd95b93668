"""Whether the camera still shows the world: blackout, frozen picture, blur and their like.

base.py           Health: the faults at one frame
look.py           the small picture that every detector looks at
latch.py          hysteresis, so that no banner flickers
blackout.py  whiteout.py  frozen.py     one detector a file
monitor.py        HealthMonitor: all of them on one stream; a new detector is one line in its table
    inject.py         any source with a broken camera; inject_pictures.py: what a fault does to a picture
"""

from edgeseg.video.health.base import FAULTS, HEALTHY, Health
from edgeseg.video.health.monitor import DETECTORS, HealthMonitor

__all__ = ["DETECTORS", "FAULTS", "HEALTHY", "Health", "HealthMonitor"]
