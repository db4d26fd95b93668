"""One step of the optimiser: a batch in, changed weights and the batch's loss out."""

from __future__ import annotations

import inspect
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from edgeseg.errors import ConfigError, UnavailableError
from edgeseg.models.sealed import Preprocess
from edgeseg.training.distillation import Distillation
from edgeseg.training.distributed import all_sum, process_count
from edgeseg.training.losses import SegmentationLoss
from edgeseg.training.seen import Seen


class Step:
    """Trains `network`, which has all that it needs already: device, frozen modules, synchronised statistics.

    A batch is computed in `accumulate` parts, one after the other, and stepped once. `seen` is told what the network
    answered; a teacher's `distillation` is added to the loss.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: SegmentationLoss,
        optimiser: torch.optim.Optimizer,
        preprocess: Preprocess,
        *,
        device: torch.device,
        precision: str,
        accumulate: int,
        clip_norm: float,
        seen: Seen,
        distillation: Distillation | None = None,
    ) -> None:
        self.scaler = torch.amp.GradScaler(device.type, enabled=False)
        self._dtype = reduced_precision(precision, device)
        if self._dtype is torch.float16:
            self.scaler = torch.amp.GradScaler(device.type)
        self._device = device
        self._loss = loss
        self._optimiser = optimiser
        self._preprocess = preprocess
        self._accumulate = accumulate
        self._clip_norm = clip_norm
        self._seen = seen
        self._distillation = distillation
        self._parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self._network = network
        if process_count() > 1:
            # Statistics are the same everywhere already, because every process computes them over all.
            settings: dict[str, Any] = {"device_ids": [device] if device.type == "cuda" else None}
            known = inspect.signature(DistributedDataParallel.__init__).parameters
            # PyTorch 2.15 renamed it, and warns of the old name.
            settings["forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"] = False
            self._network = DistributedDataParallel(network, **settings)

    def __call__(self, frames: torch.Tensor, labels: torch.Tensor) -> float:
        """BGR uint8 (n, h, w, 3) and labels int64 (n, h, w), this process's part → the whole batch's loss."""
        frames, labels = frames.to(self._device), labels.to(self._device)
        parts = list(zip(frames.chunk(self._accumulate), labels.chunk(self._accumulate), strict=True))
        shares = self._shares([part for _, part in parts])
        self._optimiser.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self._device)
        for number, ((part, truth), share) in enumerate(zip(parts, shares, strict=True), 1):
            with self._gradients_meet(at_last=number == len(parts)):
                loss = self._forward(part, truth, share)
                self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        self.scaler.unscale_(self._optimiser)
        nn.utils.clip_grad_norm_(self._parameters, self._clip_norm)
        self.scaler.step(self._optimiser)
        self.scaler.update()
        return float(total)

    def _forward(self, frames: torch.Tensor, labels: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
        images = self._preprocess(frames).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype is not None):
            outputs = self._network(images)
            wanted = self._distillation.answer(images) if self._distillation else None
        self._seen.add(outputs["out"], labels)
        loss: torch.Tensor = share * self._loss({name: logits.float() for name, logits in outputs.items()}, labels)
        if self._distillation and wanted is not None:
            # A teacher speaks of every pixel, so that all parts count the same.
            loss = loss + self._distillation.loss(outputs["out"], wanted) / self._accumulate
        return loss

    def _gradients_meet(self, *, at_last: bool) -> AbstractContextManager[Any]:
        """Processes exchange gradients once a step, with its last part."""
        if isinstance(self._network, DistributedDataParallel) and not at_last:
            return self._network.no_sync()
        return nullcontext()

    def _shares(self, labels: list[torch.Tensor]) -> list[torch.Tensor]:
        """What each part's mean counts in the whole batch's: its labelled pixels, by their class weights.

        With them the parts' cross entropies add up to that of the whole batch. Terms that are no mean over pixels
        (Jaccard, Dice, Lovász, hard pixels) are each part's own, and an auxiliary head's coarser labels have shares of
        their own, a little different.
        """
        if len(labels) == 1:
            return [torch.ones((), device=self._device)]
        counts = all_sum(torch.stack([self._loss.labelled_weight(part) for part in labels]))
        return list((counts / counts.sum().clamp_min(torch.finfo(counts.dtype).tiny)).unbind())


def reduced_precision(name: str, device: torch.device) -> torch.dtype | None:
    """The dtype of mixed precision called `name` on `device`, None for float32 alone; "auto" is float16 on a GPU.

    Raises `ConfigError` for float16 on a CPU, `UnavailableError` for bfloat16 on a GPU without it.
    """
    if name == "float32" or (name == "auto" and device.type != "cuda"):
        return None
    if name == "bfloat16":
        if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
            raise UnavailableError("schedule.precision: this GPU has no bfloat16. Use 'float16' or 'auto'.")
        return torch.bfloat16
    if device.type != "cuda":
        raise ConfigError(f"schedule.precision='float16': not on {device.type}. Use 'float32', 'bfloat16' or 'auto'.")
    return torch.float16
