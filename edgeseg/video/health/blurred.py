"""Blurred: out of focus, a dirty or a wet lens. Nothing in the picture has a sharp edge any more."""

from __future__ import annotations

from edgeseg.video.health.latch import Latch
from edgeseg.video.health.look import Distribution, Look

FAR_PX = 6
"""An edge's whole contrast is measured over this distance in the small picture, its steepest part over one pixel."""
NOISE = {0.98: 3.45, 0.995: 4.16, 0.999: 4.88}
"""The strongest edges, of 2, 0.5 and 0.1 % of the pixels (a dark scene has few) → how much larger the steps of pure
noise are there than their median, by the folded normal distribution. The largest sharpness counts."""
SOFT = 0.3
"""Sharpness of a picture that nobody takes for sharp: measured 0.25 and less out of focus by 1 % of the width; 0.35 and
more, mostly 0.5 to 0.8, on clean pictures, also at night, in rain and in fog."""
SOFTER = 0.4
"""Below this a picture is blurred if it is also much softer than this camera's pictures were."""
DROP = 0.55
"""How much of its earlier sharpness it may have left for that."""
NOISY = 3
"""Median difference between neighbours, in grey levels, from which nothing is judged: at night the noise is as strong
as the edges that the dark leaves, and clean pictures came down to a sharpness of 0.18."""
LEARN_S, FORGET_S = 10.0, 60.0
"""Seconds over which the camera's own sharpness is learned from good pictures, and from softer ones: a darker road is
got used to, a film on the lens is reported for about a minute."""


def sharpness(look: Look) -> float:
    """Share of the strongest edges' contrast that lies within one pixel: about 0.5 for a sharp picture, 0.2 for a soft.

    Contrast is divided out, so fog and night are no blur. The better of the two directions counts, so a picture that
    motion smears in one direction is no blur either.
    """
    best = 0.0
    for near, far in zip(look.steps, look.steps_of(FAR_PX), strict=True):
        # Every second row has the same distribution, at half the cost.
        steps, contrasts = Distribution(near[::2]), Distribution(far[::2])
        median = steps.quantile(0.5) + 0.5  # whole grey levels: it may be that much more
        for share, factor in NOISE.items():
            step, noise = steps.quantile(share), factor * median
            best = max(best, max(step**2 - noise**2, 0.0) ** 0.5 / max(contrasts.quantile(share), 1))
    return best


class Blurred:
    """Compares the sharpness with what no camera in focus has, and with the camera's own before."""

    def __init__(self, fps: float) -> None:
        self._latch = Latch(on_after=3, off_after=max(3, round(fps / 3)))
        self._fps = fps
        self._seen = 0
        self._usual = 0.0

    def __call__(self, look: Look) -> bool:
        """Whether the picture is blurred; not while it is too noisy to tell."""
        if min(Distribution(near[::2]).quantile(0.5) for near in look.steps) >= NOISY:
            return self._latch(False)
        now = sharpness(look)
        softer = now < min(SOFTER, DROP * self._usual)
        self._learn(now, FORGET_S if softer else LEARN_S)
        return self._latch(softer or now < SOFT)

    def _learn(self, now: float, over_s: float) -> None:
        """A mean at first, then an exponential one over `over_s`."""
        self._seen += 1
        self._usual += (now - self._usual) / min(self._seen, over_s * self._fps)
