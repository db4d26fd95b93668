"""`edgeseg data inspect`, `convert` and `formats` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_datasets import camvid, kitti_road
from tiny_formats import truncate

from edgeseg.cli.main import main
from edgeseg.data import FORMATS, open_dataset


def test_inspect_prints_counts_shares_and_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = kitti_road(tmp_path / "kitti", range(6))
    code = main(["data", "inspect", str(root), "--json", str(tmp_path / "r.json")])
    out = capsys.readouterr().out
    assert f"{root}: kitti-road" in out
    assert "train + val" in out
    assert "16 x 12 (" in out
    # The tiny pictures of um, umm and uu are the same, but not from train to val.
    assert code == 0
    report = json.loads((tmp_path / "r.json").read_text())
    assert [split["samples"] for split in report["splits"]] == [12, 6, 18]
    assert report["problem_counts"] == {"duplicate": 12}


def test_errors_make_exit_code_1_and_the_sheet_is_drawn_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = camvid(tmp_path / "camvid")
    truncate(root / "trainannot/train_001.png")
    sheet = tmp_path / "new" / "sheet.png"
    arguments = ["--split", "train", "--contact-sheet", str(sheet), "--mapping", "driving"]
    assert main(["data", "inspect", str(root), *arguments]) == 1
    out = capsys.readouterr().out
    assert "error: unreadable: train: " in out
    assert "train_001.png: " in out
    with Image.open(sheet) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert pixels.shape[1] == 830, "two panels of 400 pixels"
    assert ((pixels == (128, 64, 128)).all(axis=2)).sum() > 256, "road, in the driving palette, beyond the legend"


def test_convert_and_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = camvid(tmp_path / "camvid")
    assert main(["data", "convert", str(root), str(tmp_path / "out"), "--to", "folder", "--split", "val"]) == 0
    assert "2 samples; lists: val 2" in capsys.readouterr().out
    back, source = open_dataset("folder", tmp_path / "out", "val"), open_dataset("camvid", root, "val")
    assert np.array_equal(back[1].labels, source[1].labels)
    assert main(["data", "convert", str(root), str(tmp_path / "out"), "--to", "voc"]) == 2
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["inspect", "nowhere"], "no such dataset folder"),
        (["inspect", ".", "--format", "camvid", "--mapping", "mars"], "no such mapping file"),
        (["convert", ".", "out", "--to", "voc", "--format", "camvid"], "no split of camvid in it"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(camvid(tmp_path) if "--mapping" in arguments else tmp_path)
    assert main(["data", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_verb_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["data"])
    assert ended.value.code == 2
    assert "VERB" in capsys.readouterr().err


def test_every_format_is_listed_with_its_signs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "formats"]) == 0
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    assert [name for name, *_ in lines] == list(FORMATS)
    assert all(len(line) == 2 for line in lines)


def test_a_sheet_that_is_no_png_is_refused_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["data", "inspect", str(camvid(tmp_path)), "--contact-sheet", str(tmp_path / "sheet.txt")])
    assert "end its name in .png" in capsys.readouterr().err
    assert not (tmp_path / "sheet.txt").exists()
