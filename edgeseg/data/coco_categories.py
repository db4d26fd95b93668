"""COCO's category ids and names: 80 things, 91 kinds of stuff, and what panoptic segmentation makes of the stuff.

Things and stuff: COCO-Stuff's labels.txt (github.com/nightrome/cocostuff); panoptic: panoptic_coco_categories.json
(github.com/cocodataset/panopticapi). Ids have gaps, where labels of the first plans never came to be.
"""

from __future__ import annotations

_NEVER_USED = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)

_THINGS = """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign,
parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella,
handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard,
surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange,
broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop,
mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors,
teddy bear, hair drier, toothbrush
"""

_STUFF = """
banner, blanket, branch, bridge, building-other, bush, cabinet, cage, cardboard, carpet, ceiling-other,
ceiling-tile, cloth, clothes, clouds, counter, cupboard, curtain, desk-stuff, dirt, door-stuff, fence,
floor-marble, floor-other, floor-stone, floor-tile, floor-wood, flower, fog, food-other, fruit, furniture-other,
grass, gravel, ground-other, hill, house, leaves, light, mat, metal, mirror-stuff, moss, mountain, mud, napkin,
net, paper, pavement, pillow, plant-other, plastic, platform, playingfield, railing, railroad, river, road, rock,
roof, rug, salad, sand, sea, shelf, sky-other, skyscraper, snow, solid-other, stairs, stone, straw,
structural-other, table, tent, textile-other, towel, tree, vegetable, wall-brick, wall-concrete, wall-other,
wall-panel, wall-stone, wall-tile, wall-wood, water-other, waterdrops, window-blind, window-other, wood
"""

_MERGED_STUFF = """
tree-merged, fence-merged, ceiling-merged, sky-other-merged, cabinet-merged, table-merged, floor-other-merged,
pavement-merged, mountain-merged, grass-merged, dirt-merged, paper-merged, food-other-merged,
building-other-merged, rock-merged, wall-other-merged, rug-merged
"""


def _numbered(names: str, ids: list[int]) -> dict[int, str]:
    return dict(zip(ids, " ".join(names.split()).split(", "), strict=True))


THINGS = _numbered(_THINGS, [key for key in range(1, 91) if key not in _NEVER_USED])
"""The 80 categories of objects, ids 1 to 90."""

STUFF = _numbered(_STUFF, list(range(92, 183)))
"""The 91 kinds of stuff of COCO-Stuff, ids 92 to 182."""

_KEPT_IN_PANOPTIC = (
    92, 93, 95, 100, 107, 109, 112, 118, 119, 122, 125, 128, 130, 133, 138, 141, 144, 145, 147, 148, 149, 151, 154,
    155, 156, 159, 161, 166, 168, 171, 175, 176, 177, 178, 180, 181,
)  # fmt: skip

PANOPTIC = THINGS | {key: STUFF[key] for key in _KEPT_IN_PANOPTIC} | _numbered(_MERGED_STUFF, list(range(184, 201)))
"""The 133 categories of panoptic segmentation: stuff that looks alike was merged under the ids 184 to 200."""
