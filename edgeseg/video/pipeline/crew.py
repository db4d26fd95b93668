"""The loop's threads: what one of them raises is kept, and one that hangs is left behind."""

from __future__ import annotations

from collections.abc import Callable

from edgeseg.video.pipeline.channel import Channel
from edgeseg.video.pipeline.work import Work
from edgeseg.video.timing import Timing, Worker


class Crew:
    """Threads, each between the channel that it empties and the one that it fills."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._workers: dict[str, Worker] = {}
        self._channels: list[Channel[Work]] = []
        self._left_behind: dict[str, Callable[[], None]] = {}
        self.defect: BaseException | None = None
        """What the first thread that failed raised."""

    def start(
        self, name: str, job: Callable[[], None], arriving: Channel[Work] | None, following: Channel[Work]
    ) -> None:
        """Run `job` on a thread. However it ends, the stages on both sides are told: none waits for ever."""

        def run() -> None:
            try:
                job()
            except BaseException as error:  # raised in the caller's thread, not lost with this one
                self.defect = self.defect or error
            finally:
                following.finish()
                if arriving is not None:
                    arriving.close()
                self._left_behind.get(name, _nothing)()

        self._channels.append(following)
        self._workers[name] = self._timing.start(run, f"edgeseg-{name}")

    @property
    def queue_peak(self) -> int:
        """The most frames that ever waited between two stages."""
        return max(channel.peak for channel in self._channels)

    def stop(self) -> None:
        """Throw away what is on its way. The threads end when they have done what they are at."""
        for channel in self._channels:
            channel.close()

    def join(self, until_s: float, late: Callable[[str], Callable[[], None]]) -> tuple[str, ...]:
        """Wait until then, on the timing's clock. Returns the names of those that hang; `late` gives what they do when
        they come back after all."""
        for name, worker in self._workers.items():
            worker.join(max(0.0, until_s - self._timing.clock()))
            if worker.is_alive():
                self._left_behind[name] = late(name)
                if not worker.is_alive():  # it came back this very moment, maybe before it was told what to do then
                    del self._left_behind[name]
        return tuple(self._left_behind)


def _nothing() -> None:
    pass
