"""`edgeseg predict` from the command line: pictures, shares, and models by every name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import tiny_network
from tiny_bundle import brightest_channel, noise, tiny_bundle

from edgeseg.cli.main import main
from edgeseg.errors import UnavailableError
from edgeseg.models import pretrained
from edgeseg.models.checkpoint import save_checkpoint
from edgeseg.types import Frame


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return tiny_bundle(tmp_path / "tiny.edgeseg").path


def photo(path: Path, frame_bgr: Frame | None = None) -> Path:
    frame = noise(np.random.default_rng(3), (40, 60)) if frame_bgr is None else frame_bgr
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), frame)
    return path


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str]:
    code = main(["predict", *map(str, arguments)])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return code, lines[0].removeprefix("edgeseg: error: ")


def test_pictures_lie_beside_the_photo_and_shares_are_printed(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = np.zeros((40, 60, 3), np.uint8)
    frame[:30] = (200, 10, 10)
    frame[30:] = (10, 10, 200)
    path = photo(tmp_path / "my photo.png", frame)
    report = tmp_path / "report.json"
    assert main(["predict", "--model", str(bundle), str(path), "--json", str(report)]) == 0
    overlay, labels = tmp_path / "my photo.overlay.png", tmp_path / "my photo.labels.png"
    assert capsys.readouterr().out.splitlines() == [f"{path}: blue 75.0 %, red 25.0 %", f"  {overlay}", f"  {labels}"]
    np.testing.assert_array_equal(cv2.imread(str(labels), cv2.IMREAD_UNCHANGED), brightest_channel(frame))
    painted = cv2.imread(str(overlay))
    assert painted is not None
    assert painted.shape == frame.shape
    assert not np.array_equal(painted, frame)
    told = json.loads(report.read_text())
    assert (told["model"], told["network_hw"], told["failed"]) == (str(bundle), [24, 32], {})
    assert told["photos"][0]["shares"] == {"blue": 0.75, "red": 0.25}
    assert told["photos"][0]["size_hw"] == [40, 60]


def test_a_photo_is_turned_upright(bundle: Path, tmp_path: Path) -> None:
    """Orientation 6: the camera was held upright, its pixels lie on their side (Exif 2.3, 4.6.4)."""
    frame = np.zeros((32, 64, 3), np.uint8)
    frame[:, :32, 0] = frame[:, 32:, 2] = 250
    path = photo(tmp_path / "turned.jpg", frame)
    tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    exif = b"Exif\0\0" + tiff
    data = path.read_bytes()
    path.write_bytes(data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:])
    assert main(["predict", "--model", str(bundle), str(path), "--output", str(tmp_path / "out")]) == 0
    labels = cv2.imread(str(tmp_path / "out" / "turned.labels.png"), cv2.IMREAD_UNCHANGED)
    assert labels is not None
    assert labels.shape == (64, 32)
    assert (labels[:28].max(), labels[36:].min()) == (0, 2)


def test_a_checkpoint_and_a_network_with_weights_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_network.register(monkeypatch)
    checkpoint, path = tmp_path / "tiny.safetensors", photo(tmp_path / "a.png")
    save_checkpoint(checkpoint, tiny_network.trained())
    for index, model in enumerate(
        (
            ["--model", str(checkpoint)],
            ["--weights", str(checkpoint)],
            ["--model", tiny_network.NAME, "--weights", str(checkpoint)],
            ["--model", str(checkpoint), "--size", "32x48"],
        )
    ):
        assert main(["predict", str(path), *model, "--output", str(tmp_path / f"{index}")]) == 0
    first, *others = [(tmp_path / f"{index}" / "a.labels.png").read_bytes() for index in range(4)]
    assert others == [first] * 3
    assert main(["predict", str(path), "--model", str(checkpoint), "--size", "64x64", "--output", str(tmp_path)]) == 0
    assert (tmp_path / "a.labels.png").read_bytes() != first


def test_pretrained_weights_are_asked_for_by_the_networks_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def no_network(url: str) -> Path:
        asked.append(url)
        raise UnavailableError("no network")

    monkeypatch.setattr(pretrained, "fetch", no_network)
    arguments = ("--model", "deeplabv3_resnet101", "--weights", "pretrained", photo(tmp_path / "photo.png"))
    assert error_of(capsys, *arguments) == (3, "no network")
    assert asked == ["https://download.pytorch.org/models/deeplabv3_resnet101_coco-586e9e4e.pth"]


def test_without_a_model_it_is_the_default_models_bundle(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle.rename(tmp_path / "edgeseg-default.edgeseg")
    monkeypatch.chdir(tmp_path)
    assert main(["predict", str(photo(tmp_path / "a.png"))]) == 0
    assert (tmp_path / "a.labels.png").is_file()


def test_a_photo_that_cannot_be_read_does_not_stop_the_others(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = photo(tmp_path / "good.png")
    (tmp_path / "torn.png").write_bytes(good.read_bytes()[:-9])
    arguments = ("--model", bundle, tmp_path / "torn.png", tmp_path / "none.jpg", good, "--json", tmp_path / "r.json")
    code, message = error_of(capsys, *arguments)
    assert code == 2
    assert message.startswith(f"{tmp_path / 'torn.png'}: truncated PNG")
    assert message.endswith("(2 photos could not be read.)")
    assert (tmp_path / "good.labels.png").is_file()
    assert set(json.loads((tmp_path / "r.json").read_text())["failed"]) == {
        str(tmp_path / "torn.png"),
        str(tmp_path / "none.jpg"),
    }


def test_photos_that_would_overwrite_each_other_are_refused(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = photo(tmp_path / "a" / "x.png"), photo(tmp_path / "b" / "x.png")
    code, message = error_of(capsys, "--model", bundle, one, other, "--output", tmp_path / "out")
    assert (code, message) == (
        2,
        f"{one} and {other} would both be written to {tmp_path / 'out' / 'x'}.overlay.png. "
        "Rename one, or run them apart.",
    )
    assert not (tmp_path / "out").exists()


def test_a_photo_of_another_shape_is_told_of(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_network.register(monkeypatch)
    save_checkpoint(tmp_path / "tiny.safetensors", tiny_network.trained())
    upright = photo(tmp_path / "upright.png", noise(np.random.default_rng(1), (80, 60)))
    assert main(["predict", "--model", str(bundle), str(upright)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "note: upright.png is 80x60, which the network sees squeezed to 24x32; "
        "a bundle exported with --size 32x24 keeps its shape."
    )
    arguments = ["predict", "--model", str(tmp_path / "tiny.safetensors"), str(upright)]
    assert main(arguments) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("to 32x48; --size 40x32 keeps its shape.")
    assert main([*arguments, "--size", "40x32"]) == 0
    assert "note" not in capsys.readouterr().out


def test_names_that_contradict_each_other_are_refused(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = photo(tmp_path / "a.png")
    for arguments, problem in (
        (["--model", bundle, "--weights", "pretrained"], "has weights of its own: name a network instead"),
        (["--model", bundle, "--size", "64x96"], "is a bundle, whose network runs at one size"),
        (
            ["--weights", "pretrained"],
            "pretrained does not exist; expected a bundle (a folder), a checkpoint (a file), or --model",
        ),
        (["--model", "road.edgeseg"], "road.edgeseg does not exist; expected a bundle"),
        (
            ["--model", "unet", "--weights", "pretrained"],
            "'unet' is neither a file or folder here nor a network; known: ",
        ),
        (["--model", "fcn_resnet50"], "fcn_resnet50 knows nothing without weights"),
        (["--model", "fcn_resnet18", "--weights", "pretrained"], "no pretrained weights for fcn_resnet18"),
        (["--model", bundle, "--alpha", "2"], "alpha=2.0"),
    ):
        code, message = error_of(capsys, path, *arguments)
        assert code == 2
        assert problem in message


def test_a_bundle_needs_no_torch(bundle: Path, tmp_path: Path) -> None:
    path = photo(tmp_path / "a.png")
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'torchvision', 'onnx', 'safetensors', 'matplotlib'))); "
        "from edgeseg.cli.main import main; sys.exit(main(['predict', '--model', *sys.argv[1:]]))"
    )
    command = [sys.executable, "-c", code, str(bundle), str(path)]
    root = Path(__file__).resolve().parents[2]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "a.labels.png").is_file()
