"""Which frames to calibrate on: rare classes first, then every scene and every brightness in turn."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgeseg.quantize.look import Look

BRIGHTNESS_STEPS = (60.0, 100.0, 140.0)
"""Mean grey values that part dark, dim, bright and glaring frames. Measured: night 26 to 36, dusk 41 to 57, rain 64 to
91, day 85 to 130, fog 100 to 147 on the synthetic drive; CamVid's train split 46 to 172."""

SCENE_CHANGE_BITS = 80
"""A frame whose hash differs in more bits from the one before begins a scene, where names tell no sequences."""

_CLASS_PART = 8
"""Every class is wanted in an eighth of the frames, as far as it occurs."""
_LAST_NUMBER = re.compile(r"[\W_]*[A-Za-z]?\d+\D*$")
"""What counts the frames within a sequence: `_006690` of 0001TP_006690, `_f00000` of Seq05VD_f00000."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A frame that may be chosen."""

    index: int
    name: str
    look: Look
    scene: str
    classes: frozenset[str] | None = None
    """Classes that it shows; None where nobody labelled it."""


def brightness_step(brightness: float) -> int:
    """0 for a dark frame to 3 for a glaring one."""
    return int(np.searchsorted(BRIGHTNESS_STEPS, brightness, side="right"))


def name_scenes(names: Sequence[str], looks: Sequence[Look]) -> list[str]:
    """The scene of each frame, in the source's order: its sequence by name, or else a new one at a change of view."""
    sequences = [_LAST_NUMBER.sub("", name) for name in names]
    if len(set(sequences)) > 1:
        return sequences
    scenes: list[str] = []
    number = 0
    for index, look in enumerate(looks):
        number += index > 0 and look.distance(looks[index - 1]) > SCENE_CHANGE_BITS
        scenes.append(f"scene {number}")
    return scenes


def choose(candidates: Sequence[Candidate], count: int, rng: np.random.Generator) -> list[int]:
    """Positions of at most `count` candidates, ascending; the same picture is taken once.

    First each class gets a frame, the rarest first, and then, within half of `count`, up to an eighth of the frames;
    of several frames the one that shows most classes in want is taken. The others go in turn to every cell of scene
    and brightness, spread over its length: what is rare in the source is not rare in the choice.
    """
    first: dict[str, int] = {}
    for position, candidate in enumerate(candidates):
        first.setdefault(candidate.look.sha256, position)
    usable = list(first.values())
    picked = _for_classes(candidates, usable, count, rng)
    cells: dict[tuple[str, int], list[int]] = {}
    for position in usable:
        candidate = candidates[position]
        cells.setdefault((candidate.scene, brightness_step(candidate.look.brightness)), []).append(position)
    queues = [[position for position in _spread(cell, rng) if position not in picked] for cell in cells.values()]
    rng.shuffle(queues)
    while len(picked) < count and any(queues):
        for queue in queues:
            if queue and len(picked) < count:
                picked.add(queue.pop(0))
    return sorted(picked)


def _for_classes(
    candidates: Sequence[Candidate], usable: Sequence[int], count: int, rng: np.random.Generator
) -> set[int]:
    shows = {position: candidates[position].classes or frozenset() for position in usable}
    places = {
        name: [position for position in usable if name in shows[position]] for name in set().union(*shows.values())
    }
    rarest_first = sorted(places, key=lambda name: (len(places[name]), name))
    order = {position: rank for rank, position in enumerate(rng.permutation(usable).tolist())}
    picked: set[int] = set()
    for least, budget in ((1, count), (-(-count // _CLASS_PART), count // 2)):
        goals = {name: min(least, len(places[name])) for name in places}
        have = {name: sum(position in picked for position in places[name]) for name in places}
        for name in rarest_first:
            while have[name] < goals[name] and len(picked) < budget:
                wanted = {other for other in goals if have[other] < goals[other]}
                left = (position for position in places[name] if position not in picked)
                best = max(left, key=lambda position: (len(shows[position] & wanted), -order[position]))
                picked.add(best)
                for shown in shows[best]:
                    have[shown] += 1
    return picked


def _spread(positions: Sequence[int], rng: np.random.Generator) -> list[int]:
    """In the order of reversed binary digits (van der Corput), from a random start: any beginning of it is spread."""
    digits = max(1, (len(positions) - 1).bit_length())
    start = int(rng.integers(len(positions)))
    turned = [positions[(start + rank) % len(positions)] for rank in range(len(positions))]
    ranks = sorted(range(len(turned)), key=lambda rank: int(f"{rank:0{digits}b}"[::-1], 2))
    return [turned[rank] for rank in ranks]
