"""PyTorch: the trained network itself, behind the same contract as its exports."""

from __future__ import annotations

import numpy as np
import torch

from edgeseg.bundle import Bundle
from edgeseg.errors import ConfigError, InputError
from edgeseg.models.sealed import SealedNetwork
from edgeseg.runtime.session import Session, SessionOutput, check_input, check_output, check_threads
from edgeseg.types import CONFIDENCE, INVALID, Frame, TensorSpec


class TorchSession(Session):
    """A sealed network in PyTorch, on the device where its parameters are. It gives the confidence too.

    `threads` sets the number of threads of the whole process: PyTorch has no other.
    """

    backend = "torch"

    def __init__(self, sealed: SealedNetwork, *, threads: int | None = None) -> None:
        check_threads(threads)
        if threads is not None:
            torch.set_num_threads(threads)
        height, width = sealed.camera_hw or (None, None)
        self.inputs = TensorSpec("frame", "uint8", (1, height, width, 3))
        self.outputs = TensorSpec("labels", "uint8", (1, height, width))
        self.confidence = TensorSpec(CONFIDENCE, "uint8", (1, height, width))
        self._sealed: SealedNetwork | None = sealed.eval()
        self._device = next((parameter.device for parameter in sealed.parameters()), torch.device("cpu"))

    @classmethod
    def from_bundle(cls, bundle: Bundle, *, precision: str, threads: int | None) -> TorchSession:
        """Not possible: raises `ConfigError`."""
        del precision, threads
        raise ConfigError(
            f"{bundle.path} holds ONNX graphs, which torch does not run. Give the checkpoint, or use onnxruntime."
        )

    def run_all(self, frame: Frame) -> SessionOutput:
        """uint8 (1, H, W, 3) BGR → uint8 (1, H, W) labels and confidence."""
        check_input(frame, self.inputs)
        if self._sealed is None:
            raise InputError("this torch session was closed; open a new one.")
        # torch warns of a read-only array, because it could be written to through the tensor.
        writable = frame if frame.flags.writeable else frame.copy()
        with torch.inference_mode():
            batch = torch.from_numpy(writable).to(self._device)
            logits = self._sealed.logits(batch)
            labels = self._sealed.labels(logits, batch.shape[1:3])
            confidence = self._sealed.confidence(logits, batch.shape[1:3])
            if not torch.isfinite(logits).all():
                labels.fill_(INVALID)  # as the exported graph does
                confidence.fill_(0)
            output = SessionOutput(*(np.asarray(given.cpu().numpy()) for given in (labels, confidence)))
        check_output(output, frame, self.backend)
        return output

    def close(self) -> None:
        """Let go of the network."""
        self._sealed = None
