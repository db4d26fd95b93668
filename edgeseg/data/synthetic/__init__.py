"""A synthetic drive: endless, deterministic road video with exact ground truth, drawn with numpy and OpenCV alone.

    camera.py    the pinhole camera and the bending road: road coordinates → pixels
    canvas.py    picture and ids (class + depth) drawn in step from the same geometry
    ground.py    sky, road, pavement, markings
    textures.py  facades.py                     noise, trees, hedges; house fronts
    statics.py   vehicles.py   people.py        the things that draw themselves
    layout.py    which things stand along each stretch of road, from seed and number alone
    traffic.py   what moves, as closed formulas of time
    weather.py   haze, darkness, lamps, rain, lens, sensor: reads depth, never touches labels
    drive.py     SyntheticDrive: the frame at an index
    dataset.py   SyntheticDataset: a drive as a labelled dataset

The world is three-dimensional and consistent from frame to frame; everything is painted from far to near. A frame
depends on the parameters and its index alone, so frames can be asked for in any order.
"""

from edgeseg.data.synthetic.dataset import FORMAT, SyntheticDataset, open_synthetic
from edgeseg.data.synthetic.drive import SCENES, SyntheticDrive

__all__ = ["FORMAT", "SCENES", "SyntheticDataset", "SyntheticDrive", "open_synthetic"]
