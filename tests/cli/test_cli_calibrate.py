"""`edgeseg calibrate` from the command line: what it writes, prints and refuses, and its exit codes."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
import tiny_network
from tiny_datasets import random_frame, save_frame
from tiny_scenes import Drawn, camvid_of, drive, scene

from edgeseg.cli.main import main
from edgeseg.graph import export
from edgeseg.graph.export import ExportedGraph
from edgeseg.graph.recipe import ExportConfig
from edgeseg.models import checkpoint as checkpoints
from edgeseg.models.checkpoint import TrainedModel, save_checkpoint
from edgeseg.quantize.calibration_set import open_calibration
from edgeseg.quantize.ranges import METHODS, RangeTable


@pytest.fixture(scope="module", autouse=True)
def exported_once() -> Iterator[None]:
    """Always the same network: a graph is made once for each size."""
    made: dict[ExportConfig, ExportedGraph] = {}
    export_graph = export.export_graph

    def exported(trained: TrainedModel, config: ExportConfig) -> ExportedGraph:
        if config not in made:
            made[config] = export_graph(trained, config)
        return made[config]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "export_graph", exported)
        yield


@pytest.fixture(autouse=True)
def tiny_is_a_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tiny_network.register(monkeypatch)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def checkpoint(tmp_path: Path) -> str:
    save_checkpoint(tmp_path / "pets.safetensors", tiny_network.trained())
    return str(tmp_path / "pets.safetensors")


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    test = {f"other_{index}": Drawn(500 + index) for index in range(4)}
    return camvid_of(tmp_path / "camvid", {"train": drive(40, dark=(3, 11)), "val": drive(4), "test": test})


def test_set_ranges_audit_and_sheet_are_written(
    checkpoint: str, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.json"
    assert main(["calibrate", checkpoint, "--data", str(dataset), "--count", "33", "--json", str(report)]) == 0
    folder = tmp_path / "pets.calibration"
    written = {"calibration.json", "ranges.json", "audit.json", "contact_sheet.png"}
    assert {path.name for path in folder.iterdir()} == written
    chosen, table = open_calibration(folder), RangeTable.load(folder / "ranges.json")
    assert (len(chosen), table.frames, table.calibration_digest) == (33, 33, chosen.digest)
    assert all(table.of("logits", method).high > table.of("logits", method).low for method in METHODS)
    assert table.of("image", "min-max").low < 0  # normalised
    printed = capsys.readouterr()
    assert f"calibration set {chosen.digest[:12]}: 33 frames, 2 scenes" in printed.out
    assert "held against camvid test: 4 frames" in printed.out
    assert "warning: missing classes: no frame shows building, pole" in printed.out
    assert printed.err == ""
    exporting = f"edgeseg export --int8 --checkpoint {checkpoint} --calibration-data pets.calibration"
    assert printed.out.endswith(f"next: {exporting}\n")
    assert json.loads(report.read_text()) == json.loads((folder / "audit.json").read_text())
    assert main(["calibrate", checkpoint, "--data", str(folder), "--output", "again"]) == 0  # the set made before
    for name in ("calibration.json", "ranges.json"):
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    sheet = cv2.imread(str(folder / "contact_sheet.png"))
    assert sheet is not None
    assert sheet.shape[1] == 4 * 270 + 10


def test_leakage_is_refused_with_exit_code_1_and_nothing_is_written(
    checkpoint: str, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calibrate", checkpoint, "--data", str(dataset), "--against", "val", "--count", "40"]) == 1
    printed = capsys.readouterr()
    assert "error: leakage: 4 of 40 frames: village_0000 is village_0000 of camvid val, town_0001 is" in printed.out
    assert printed.err.startswith("edgeseg: error: the calibration set is refused: leakage: 4 of 40 frames")
    assert printed.err.count("\n") == 1
    assert not (tmp_path / "pets.calibration").exists()


def test_the_test_split_is_refused_without_being_asked(
    checkpoint: str, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calibrate", checkpoint, "--data", str(dataset), "--split", "test"]) == 1
    assert "leakage: 4 of 4 frames" in capsys.readouterr().err


def test_random_images_are_refused(checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for index in range(3):
        save_frame(tmp_path / "random" / f"{index}.png", random_frame(index, (48, 64)))
    assert main(["calibrate", checkpoint, "--data", "random"]) == 1
    assert "noise: 3 of 3 frames" in capsys.readouterr().err


def test_images_are_held_against_a_dataset(
    checkpoint: str, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for index in range(498, 502):
        save_frame(tmp_path / "camera" / f"{index}.png", scene(index))
    assert main(["calibrate", checkpoint, "--data", "camera", "--against-data", str(dataset)]) == 1
    assert "500 is other_0 of camvid test, 501 is other_1" in capsys.readouterr().err


def test_a_cache_for_tensorrt_has_the_scales_of_the_table(
    checkpoint: str, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ["--size", "32x32", "--camera-size", "48x64"]
    command = ["calibrate", checkpoint, "--data", str(dataset), "--count", "2", *sizes, "--tensorrt-cache", "10.3.0"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "calibration.cache: for the FP32 graph of the bundle, in TensorRT 10.3.0" in printed
    assert f"--checkpoint {checkpoint} {' '.join(sizes)} --calibration-data" in printed
    header, *lines = (tmp_path / "pets.calibration" / "calibration.cache").read_text().splitlines()
    assert header == "TRT-100300-EntropyCalibration2"
    table = RangeTable.load(tmp_path / "pets.calibration" / "ranges.json")
    scales = dict(line.split(": ") for line in lines)
    image = table.of("image")
    (scale,) = struct.unpack(">f", bytes.fromhex(scales["image"]))
    assert scale == pytest.approx(max(-image.low, image.high) / 127, rel=1e-6)
    exported = export.export_graph(tiny_network.trained(), ExportConfig(size_hw=(32, 32), camera_hw=(48, 64)))
    table.check_graph(exported.model)
    assert set(scales) <= {name for node in exported.model.graph.node for name in node.output}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "camvid", "--tensorrt-cache", "11.0.0"], "versions 7 to 10 do"),
        (["--data", "camvid", "--size", "big"], "big"),
        ([], "no frames to calibrate on: name a dataset with --data, or a video with --video"),
        (["--data", "nowhere"], "no such file: .*nowhere|nowhere: no such"),
        (["--data", "empty"], "empty: an empty folder; expected images"),
        (["--data", "camvid", "--count", "0"], "at least 1 frame"),
        (["--data", "camvid", "--split", "nights"], "nights"),
        (["--video", "synthetic://drive?seed=1"], "without end"),
        (["--data", "camera", "--against", "test"], "camera has no splits"),
        (["--data", "camvid", "--output", "empty"], "is there already"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    checkpoint: str,
    dataset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    (tmp_path / "empty").mkdir()
    save_frame(tmp_path / "camera" / "1.png", scene(1))
    assert main(["calibrate", checkpoint, *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(message, error), error


def test_without_data_the_default_model_is_calibrated_on_the_synthetic_drive(
    checkpoint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load = checkpoints.load_checkpoint
    monkeypatch.setattr(checkpoints, "load_checkpoint", lambda path: load(path or Path(checkpoint)))
    monkeypatch.setattr("edgeseg.quantize.calibration_set.SCENES", ("day", "night"))
    assert main(["calibrate", "--count", "4", "--output", "default"]) == 0
    printed = capsys.readouterr()
    assert "no --data: calibrating on the synthetic drive in all weathers" in printed.err
    assert "leakage was not looked for" in printed.out
    assert {frame.name.split("_")[1] for frame in open_calibration("default").frames} == {"day", "night"}
