"""`edgeseg evaluate` from the command line to the files that it writes, with a bundle whose labels are known."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tiny_bundle import LABELS, brightest_channel, darkest_channel, noise, tiny_bundle
from tiny_datasets import camvid, save_frame, save_grey

from edgeseg.cli.main import main
from edgeseg.labels import LabelMap
from edgeseg.metrics.confusion import ConfusionMatrix
from edgeseg.metrics.registry import METRICS

pytest.importorskip("onnxruntime")
FRAMES = 4


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FP32 gives the brightest channel, FP16 the darkest, so that one cannot be taken for the other."""
    path = tmp_path_factory.mktemp("bundle") / "tiny.edgeseg"
    return tiny_bundle(path, operators={"fp32": "ArgMax", "fp16": "ArgMin"}).path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames whose truth is the brightest channel, except for every seventh pixel, which is void or wrong in turn."""
    root = tmp_path_factory.mktemp("data") / "channels"
    for index in range(FRAMES):
        frame = noise(np.random.default_rng(index))
        truth = brightest_channel(frame)
        truth.flat[::14] = LABELS.void
        truth.flat[7::14] = (truth.flat[7::14] + 1) % 3
        save_frame(root / "images" / f"f{index}.png", frame)
        save_grey(root / "masks" / f"f{index}.png", truth)
    (root / "labels.toml").write_text('names = ["blue", "green", "red"]\n')
    return root


def evaluated(tmp_path: Path, *arguments: object) -> dict[str, Any]:
    report = tmp_path / "report.json"
    assert main(["evaluate", *map(str, arguments), "--json", str(report)]) == 0
    value: dict[str, Any] = json.loads(report.read_text())
    return value


def expected(data: Path, *, darkest: bool = False) -> dict[str, Any]:
    matrix = ConfusionMatrix(LABELS)
    for index in range(FRAMES):
        frame = cv2.imread(str(data / "images" / f"f{index}.png"))
        truth = cv2.imread(str(data / "masks" / f"f{index}.png"), cv2.IMREAD_UNCHANGED)
        assert frame is not None
        assert truth is not None
        bgr = np.asarray(frame, np.uint8)
        matrix.update(np.asarray(truth, np.uint8), darkest_channel(bgr) if darkest else brightest_channel(bgr))
    return matrix.result().to_dict()


def test_table_and_report_agree(tmp_path: Path, bundle: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = evaluated(tmp_path, bundle, "--data", data, "--split", "all")
    right = expected(data)
    assert {key: report[key] for key in right} == right
    assert (report["model"], report["dataset"], report["graph_precision"]) == (str(bundle), "channels all", "fp32")
    assert report["host_resize"] is False
    assert len(report["worst"]) == FRAMES
    assert report["worst"][0]["miou"] <= report["worst"][1]["miou"]
    printed = capsys.readouterr().out
    for name, key in (("mIoU", "miou"), ("mean F1", "mean_f1"), ("frequency-weighted IoU", "frequency_weighted_iou")):
        assert f"{name:<22}   {100 * right[key]:.2f} %" in printed
    for name in LABELS.names:
        row = next(line.split() for line in printed.splitlines() if line.startswith(name))
        assert row[1:5] == [f"{100 * right[figure][name]:.2f}" for figure in ("iou", "precision", "recall", "f1")]


def test_fp16_runs_the_other_graph(tmp_path: Path, bundle: Path, data: Path) -> None:
    report = evaluated(tmp_path, bundle, "--data", data, "--split", "all", "--precision", "fp16", "--threads", 1)
    right = expected(data, darkest=True)
    assert {key: report[key] for key in right} == right
    assert right["miou"] < 0.1


def test_limit(tmp_path: Path, bundle: Path, data: Path) -> None:
    report = evaluated(tmp_path, bundle, "--data", data, "--split", "all", "--format", "folder", "--limit", 2)
    assert report["frames"] == 2
    assert {score["name"] for score in report["worst"]} == {"f0", "f1"}


def test_a_class_that_is_nowhere_is_a_dash(
    tmp_path: Path, bundle: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "plain"
    save_frame(root / "images/a.png", np.full((8, 8, 3), (9, 0, 0), np.uint8))
    save_grey(root / "masks/a.png", np.zeros((8, 8), np.uint8))
    (root / "labels.toml").write_text((data / "labels.toml").read_text())
    report = evaluated(tmp_path, bundle, "--data", root, "--split", "all")
    assert report["iou"] == {"blue": 1.0, "green": None, "red": None}
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("red"))
    assert row.split() == ["red", "-", "-", "-", "-", "0"]


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A bundle and a dataset with road, car and person, whose truth is the brightest channel but for one car."""
    folder = tmp_path_factory.mktemp("street")
    names = LabelMap(("road", "car", "person"), LABELS.palette)
    bundle = tiny_bundle(folder / "street.edgeseg", label_map=names).path
    for index in range(2):
        truth = np.zeros((24, 32), np.uint8)
        truth[4:12, 4:12], truth[4:20, 20:26], truth[:2] = 1, 2, 255
        said = np.where(truth == 255, 0, truth)
        said[4:8, 4:12] = 0
        save_frame(folder / "data/images" / f"{index}.png", np.eye(3, dtype=np.uint8)[said] * 200)
        save_grey(folder / "data/masks" / f"{index}.png", truth)
    (folder / "data/labels.toml").write_text('names = ["road", "car", "person"]\n')
    return bundle, folder / "data"


def test_more_metrics(tmp_path: Path, street: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    bundle, data = street
    report = evaluated(
        tmp_path, bundle, "--data", data, "--split", "all", "--metrics", "free-space, objects,kitti-road"
    )
    metrics = report["metrics"]
    assert list(metrics) == ["free-space", "objects", "kitti-road"]
    assert metrics["free-space"]["false_free_space_rate"] == pytest.approx(32 / (64 + 96))
    assert metrics["objects"]["overall"]["object_recall"] == 1.0
    assert (metrics["kitti-road"]["max_f"], metrics["kitti-road"]["labels"]["recall"]) == (None, 1.0)
    printed = capsys.readouterr().out
    assert "False free space" in printed
    assert "Person by height" in printed
    assert "MaxF and AP need a checkpoint" in printed


def test_all_metrics_and_another_object_class(tmp_path: Path, street: tuple[Path, Path]) -> None:
    bundle, data = street
    options = ("--metrics", "all", "--object-class", "car")
    metrics = evaluated(tmp_path, bundle, "--data", data, "--split", "all", *options)["metrics"]
    assert list(metrics) == list(METRICS)
    assert (metrics["objects"]["class"], metrics["objects"]["overall"]["found"]) == ("car", 2)
    assert metrics["flicker"]["pairs"] == 1


def test_all_leaves_out_what_the_classes_do_not_allow(
    tmp_path: Path, bundle: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = evaluated(tmp_path, bundle, "--data", data, "--split", "all", "--metrics", "all")
    assert set(report["metrics"]) == {"boundary", "trimap", "flicker"}
    assert "note: free-space was left out: no class is called road" in capsys.readouterr().out


def test_a_dataset_in_the_models_classes(tmp_path: Path, street: tuple[Path, Path]) -> None:
    """Road, car and person for a model with other ids that takes a car for the rest: its road is green, a car blue."""
    _, data = street
    shutil.copytree(data, tmp_path / "data")
    names = LabelMap(("rest", "road", "person"), LABELS.palette)
    model = tiny_bundle(tmp_path / "road.edgeseg", label_map=names).path
    (tmp_path / "mapping.toml").write_text(
        'default = "rest"\n[target]\nnames = ["rest", "road", "person"]\n[classes]\nroad = "road"\nperson = "person"\n'
    )
    for index in range(2):
        frame = np.full((24, 32, 3), (0, 200, 0), np.uint8)
        frame[4:12, 4:12] = (200, 0, 0)
        save_frame(tmp_path / "data/images" / f"{index}.png", frame)
    options = ("--mapping", tmp_path / "mapping.toml", "--metrics", "kitti-road")
    report = evaluated(tmp_path, model, "--data", tmp_path / "data", "--split", "all", *options)
    car, person, road = 64, 96, 22 * 32 - 64 - 96
    assert report["matrix"] == [[2 * car, 0, 0], [0, 2 * road, 0], [0, 2 * person, 0]]
    assert report["metrics"]["kitti-road"]["labels"]["false_positive_rate"] == pytest.approx(person / (car + person))


def test_a_clip_without_truth(tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A still picture with texture, so that its motion is certain, does not flicker."""
    frame = noise(np.random.default_rng(1), (48, 64))
    for index in range(4):
        save_frame(tmp_path / "clip" / f"{index}.png", frame)
    report = evaluated(tmp_path, bundle, "--video", tmp_path / "clip", "--limit", 3)
    flicker = report["metrics"]["flicker"]
    assert (flicker["frames"], flicker["pairs"], flicker["cuts"], flicker["truth"]) == (3, 2, 0, None)
    assert (flicker["prediction"]["flicker"], flicker["prediction"]["mtc"]) == (0.0, 1.0)
    assert "2 pairs of frames" in capsys.readouterr().out


def test_pictures(tmp_path: Path, bundle: Path, data: Path) -> None:
    pytest.importorskip("matplotlib")
    sheet, confusion = tmp_path / "sheet.png", tmp_path / "confusion.PNG"
    options = ("--contact-sheet", sheet, "--confusion", confusion)
    evaluated(tmp_path, bundle, "--data", data, "--split", "all", *options)
    for path in (sheet, confusion):
        picture = cv2.imread(str(path))
        assert picture is not None
        assert min(picture.shape[:2]) > 300


def test_frames_of_another_size_than_the_graph_are_pointed_out(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = tiny_bundle(tmp_path / "small.edgeseg", (12, 16)).path
    report = evaluated(tmp_path, small, "--data", data, "--split", "all")
    assert report["host_resize"] is True
    assert "resized outside it" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--data", "nowhere"], "nowhere: no such dataset folder"),
        (["--data", "nowhere", "--format", "camvid"], "nowhere: no such folder"),
        (["--data", "DATA", "--split", "dev"], "no split 'dev'"),
        (["--data", "DATA", "--split", "all", "--limit", "0"], "limit=0"),
        (["--data", "CAMVID"], "model's 3 classes (blue, green, red) are not the 11 of camvid test"),
        (["--data", "DATA", "--format", "camvid"], "test.txt: no such list"),
        (["--data", "DATA", "--split", "all", "--metrics", "boundry"], "choose from boundary, trimap"),
        (["--data", "DATA", "--split", "all", "--metrics", "free-space"], "no class is called road"),
        (["--data", "DATA", "--split", "all", "--object-class", "red"], "Ask for it with --metrics objects"),
        (["--data", "DATA", "--metrics", "boundary", "--object-class", "red"], "Ask for it with --metrics objects"),
        (["--data", "DATA", "--split", "all", "--metrics", "objects", "--object-class", "x"], "unknown class x"),
        (["--video", "nowhere.mp4"], "no such file: nowhere.mp4"),
        (["--video", "DATA/images/f0.png"], "1 frame(s): flicker is a change"),
        (["--video", "DATA/images", "--metrics", "all"], "--metrics needs a truth"),
        (["--video", "DATA/images", "--contact-sheet", "a.png"], "--contact-sheet needs a truth"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(
    tmp_path: Path,
    bundle: Path,
    data: Path,
    arguments: list[str],
    problem: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = {"DATA": str(data), "CAMVID": str(camvid(tmp_path / "camvid"))}
    assert (
        main(["evaluate", str(bundle), *(places.get(word, word.replace("DATA/", f"{data}/")) for word in arguments)])
        == 2
    )
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert problem in lines[0]
    assert lines[0].startswith("edgeseg: error: ")


def test_figures_are_recorded_in_checkpoints_alone(
    bundle: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(bundle), "--data", str(data), "--record"]) == 2
    assert "--record writes the figures of a whole split into a .safetensors file" in capsys.readouterr().err


def test_a_missing_bundle(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(tmp_path / "none.edgeseg"), "--data", str(data), "--split", "all"]) == 2
    assert "none.edgeseg does not exist" in capsys.readouterr().err


def test_pictures_must_be_png(bundle: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(["evaluate", str(bundle), "--data", str(data), "--contact-sheet", "sheet.webp"])
    assert exit_info.value.code == 2
    assert "end its name in .png" in capsys.readouterr().err
