"""Export settings: refused where they make no sense, merged without overriding anything silently."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeseg.errors import ConfigError
from edgeseg.graph.recipe import ExportConfig, merge, parse_size, read_recipe


@pytest.mark.parametrize("size_hw", [(31, 480), (360, 8193), (0, 0), (-360, 480)])
def test_sizes_out_of_range_are_refused(size_hw: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match=f"size is {size_hw[0]}x{size_hw[1]}"):
        ExportConfig(size_hw=size_hw)
    with pytest.raises(ConfigError, match="camera_size"):
        ExportConfig(camera_hw=size_hw)


def test_any_camera_and_one_camera_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="exclude each other"):
        ExportConfig(camera_hw=(720, 1280), dynamic=True)


@pytest.mark.parametrize(("text", "size_hw"), [("360x480", (360, 480)), ("720X1280", (720, 1280))])
def test_a_size_is_height_times_width(text: str, size_hw: tuple[int, int]) -> None:
    assert parse_size(text) == size_hw


@pytest.mark.parametrize("text", ["360", "360x", "x480", "360*480", "-360x480", "3.5x480", "²x480", ""])
def test_what_is_not_a_size_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="360x480"):
        parse_size(text)


def _recipe(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_recipe_names_only_what_it_sets(tmp_path: Path) -> None:
    path = _recipe(tmp_path, "[export]\nsize = [360, 480]\nfp16 = true\ntransposed = 'sub-pixel'\n")
    assert read_recipe(path) == {"size_hw": (360, 480), "fp16": True, "transposed": "sub-pixel"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[export]\nsizes = [360, 480]\n", "unknown sizes"),
        ("[export]\nsize = [360]\n", "size = "),
        ("[export]\nsize = [360.0, 480]\n", "size = "),
        ("[export]\nsize = '360x480'\n", "size = "),
        ("[export]\nfp16 = 1\n", "fp16 = 1"),
        ("[export]\ndynamic = 'yes'\n", "dynamic = "),
        ("[export]\ntransposed = 'bilinear'\n", "transposed = 'bilinear'; expected one of decided-first"),
        ("[exports]\n", "found also exports"),
        ("export = 3\n", r"one table \[export\]"),
        ("", "found none"),
        ("[export\n", "not TOML"),
    ],
)
def test_a_recipe_that_says_anything_else_is_refused(tmp_path: Path, text: str, found: str) -> None:
    with pytest.raises(ConfigError, match=found):
        read_recipe(_recipe(tmp_path, text))


def test_a_recipe_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml cannot be read"):
        read_recipe(tmp_path / "absent.toml")


def test_flags_add_to_a_recipe() -> None:
    config = merge({"size_hw": (360, 480)}, {"fp16": True})
    assert config == ExportConfig(size_hw=(360, 480), fp16=True)


def test_a_flag_may_repeat_a_recipe() -> None:
    assert merge({"fp16": True}, {"fp16": True}).fp16


@pytest.mark.parametrize(
    ("recipe", "flags", "words"),
    [
        ({"size_hw": (360, 480)}, {"size_hw": (512, 512)}, "size is 360x480 in the recipe and 512x512"),
        ({"fp16": False}, {"fp16": True}, "fp16 is false in the recipe and true"),
        ({"camera_hw": (720, 1280)}, {"dynamic": True}, "exclude each other"),
    ],
)
def test_a_flag_that_contradicts_a_recipe_is_refused(
    recipe: dict[str, object], flags: dict[str, object], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        merge(recipe, flags)


RECIPES = Path(__file__).resolve().parents[2] / "export"


def test_the_recipes_of_the_repository_are_valid_and_listed() -> None:
    recipes = sorted(RECIPES.glob("*.toml"))
    page = (RECIPES / "README.md").read_text(encoding="utf-8")
    targets = {"orin_nano", "orin_nx", "agx_orin", "thor", "desktop_rtx", "cpu"}
    assert targets <= {path.stem for path in recipes}
    for path in recipes:
        merge(read_recipe(path), {})
        assert f"| [{path.name}]({path.name}) |" in page
