from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tiny_bundle import LABELS, noise, read_manifest, tiny_bundle, tiny_graph, tiny_writer, write_sealed

from edgeseg import __version__
from edgeseg.bundle import Bundle, BundleWriter, Manifest
from edgeseg.errors import BundleError, ConfigError

FILES = (
    "manifest.json",
    "model.fp32.onnx",
    "model.fp16.onnx",
    "golden/day_000.png",
    "golden/day_000.labels.png",
    "golden/night_000.png",
    "golden/night_000.labels.png",
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a sound bundle lies."""
    return tiny_bundle(tmp_path / "tiny.edgeseg").path


def contents(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


class TestOpen:
    def test_gives_back_what_was_written(self, path: Path) -> None:
        bundle = Bundle.open(path)
        rng = np.random.default_rng(7)
        assert set(contents(path)) == set(FILES)
        assert (bundle.name, bundle.label_map, bundle.precisions) == ("tiny", LABELS, ("fp32", "fp16"))
        assert bundle.manifest.lineage == {"source": "tests"}
        assert bundle.manifest.parity == {"fp32": {"argmax_agreement": 1.0}}
        assert bundle.manifest.accuracy is None
        assert bundle.manifest.edgeseg == __version__
        assert bundle.contract.camera_hw is None
        assert bundle.contract.network_hw == (24, 32)
        assert bundle.graph_bytes("fp32") == tiny_graph() == bundle.graph_path().read_bytes()
        golden = bundle.golden()
        assert [frame.name for frame in golden] == ["day_000", "night_000"]
        np.testing.assert_array_equal(golden[0].frame_bgr, noise(rng))
        np.testing.assert_array_equal(golden[0].labels, golden[0].frame_bgr.argmax(axis=2))

    def test_finish_and_open_agree(self, tmp_path: Path) -> None:
        written = tiny_bundle(tmp_path / "a.edgeseg", (8, 12))
        assert written.manifest == Bundle.open(str(written.path)).manifest
        assert written.contract.camera_hw == (8, 12)
        assert str(written.contract.frame) == "frame: uint8 (1, 8, 12, 3)"
        assert str(written.contract.labels) == "labels: uint8 (1, 8, 12)"

    @pytest.mark.parametrize("file", FILES)
    def test_one_flipped_byte_anywhere_is_noticed(self, path: Path, file: str) -> None:
        victim = path / file
        sound = victim.read_bytes()
        rng = np.random.default_rng(len(file))
        beginning = range(min(100, len(sound)))
        positions = {*beginning, len(sound) - 1, *(int(position) for position in rng.integers(0, len(sound), 50))}
        message = "manifest|schema" if file == "manifest.json" else re.escape(Path(file).name) + ".*xport it again"
        for position in positions:
            torn = bytearray(sound)
            torn[position] ^= int(rng.integers(1, 256))
            victim.write_bytes(torn)
            with pytest.raises(BundleError, match=message):
                Bundle.open(path)
        victim.write_bytes(sound)
        Bundle.open(path)

    def test_the_message_names_the_damaged_file_and_the_next_step(self, path: Path) -> None:
        (path / "model.fp16.onnx").write_bytes(b"x" + tiny_graph()[1:])
        with pytest.raises(BundleError, match=r"model\.fp16\.onnx is damaged or altered.*export it again") as caught:
            Bundle.open(path)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("file", FILES)
    def test_truncated_and_missing_files_are_noticed(self, path: Path, file: str) -> None:
        victim = path / file
        sound = victim.read_bytes()
        for length in (0, 1, len(sound) // 2, len(sound) - 1):
            victim.write_bytes(sound[:length])
            with pytest.raises(BundleError, match=Path(file).name.replace(".", r"\.")):
                Bundle.open(path)
        victim.unlink()
        with pytest.raises(BundleError, match=Path(file).name.replace(".", r"\.")):
            Bundle.open(path)

    def test_a_path_that_is_no_bundle(self, path: Path, tmp_path: Path) -> None:
        with pytest.raises(BundleError, match=r"nowhere\.edgeseg: there is no such bundle.*edgeseg export"):
            Bundle.open(tmp_path / "nowhere.edgeseg")
        with pytest.raises(BundleError, match="a bundle is a folder"):
            Bundle.open(path / "manifest.json")
        with pytest.raises(BundleError, match=r"is not a bundle: it has no manifest\.json"):
            Bundle.open(path / "golden")

    def test_unlisted_files_are_left_alone(self, path: Path) -> None:
        (path / "engines").mkdir()
        (path / "engines" / "model.plan").write_bytes(b"native code")
        (path / "model.int4.onnx").write_bytes(b"not in the manifest")
        assert Bundle.open(path).precisions == ("fp32", "fp16")

    def test_unknown_precision_lists_what_there_is(self, path: Path) -> None:
        with pytest.raises(BundleError, match="no int8 graph; it has: fp32, fp16"):
            Bundle.open(path).graph_bytes("int8")

    def test_a_file_altered_after_opening_is_not_handed_out(self, path: Path) -> None:
        bundle = Bundle.open(path)
        bundle.graph_path().write_bytes(tiny_graph(operator="ArgMin"))
        with pytest.raises(BundleError, match=r"model\.fp32\.onnx is damaged or altered"):
            bundle.graph_bytes()

    @pytest.mark.parametrize("file", ["model.fp32.onnx", "golden/day_000.png"])
    def test_links_out_of_the_bundle_are_refused(self, path: Path, tmp_path: Path, file: str) -> None:
        outside = tmp_path / "outside"
        (path / file).rename(outside)
        (path / file).symlink_to(outside)
        with pytest.raises(BundleError, match="a link that leads out of the bundle"):
            Bundle.open(path)

    def test_a_loop_of_links(self, path: Path) -> None:
        (path / "model.fp32.onnx").unlink()
        (path / "model.fp32.onnx").symlink_to("model.fp32.onnx")
        with pytest.raises(BundleError, match=r"model\.fp32\.onnx"):
            Bundle.open(path)

    def test_a_link_to_the_whole_bundle_is_fine(self, path: Path, tmp_path: Path) -> None:
        link = tmp_path / "link.edgeseg"
        link.symlink_to(path, target_is_directory=True)
        assert Bundle.open(link).name == "tiny"

    def test_a_folder_in_place_of_a_file(self, path: Path) -> None:
        (path / "model.fp32.onnx").unlink()
        (path / "model.fp32.onnx").mkdir()
        with pytest.raises(BundleError, match="in the manifest but not on disk"):
            Bundle.open(path)

    def test_golden_pictures_that_do_not_decode(self, path: Path) -> None:
        sixteen_bits = cv2.imencode(".png", np.zeros((24, 32, 3), np.uint16))[1].tobytes()
        for data in (b"", b"no picture", sixteen_bits):
            alter_file(path, "golden/day_000.png", data)
            with pytest.raises(BundleError, match="golden frame day_000: the frame is"):
                Bundle.open(path).golden()


def alter_file(bundle: Path, relative: str, data: bytes) -> None:
    """Change a file, and the manifest with it."""
    (bundle / relative).write_bytes(data)
    manifest = read_manifest(bundle)
    manifest["files"][relative] = hashlib.sha256(data).hexdigest()
    write_sealed(bundle, manifest)


def put(*keys: str | int, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        place: Any = manifest
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return change


def drop(*keys: str | int) -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        place: Any = manifest
        for key in keys[:-1]:
            place = place[key]
        del place[keys[-1]]

    return change


class TestManifest:
    @pytest.mark.parametrize(
        "garbage",
        [
            b"",
            b"{",
            b"[]",
            b"null",
            b"7",
            b"\xff\xfe\x00",
            b"[" * 100_000,
            b'{"schema": NaN}',
            b'{"schema": ' + b"9" * 5000 + b"}",
            b'{"schema": "1"}',
            b'{"schema": true}',
            b'{"schema": 1}',
            b'{"schema": 1, "sha256": "\\ud800"}',
            b'{"schema": 1, "sha256": ""}',
        ],
    )
    def test_garbage_is_a_bundle_error(self, garbage: bytes) -> None:
        with pytest.raises(BundleError):
            Manifest.from_bytes(garbage)

    def test_a_later_schema_says_which_edgeseg_reads_it(self, path: Path) -> None:
        write_sealed(path, {**read_manifest(path), "schema": 2, "edgeseg": "7.1.0", "a later field": 0})
        with pytest.raises(
            BundleError, match=r"schema 2, written by edgeseg 7\.1\.0.*Install edgeseg 7\.1\.0 or later"
        ):
            Bundle.open(path)

    def test_a_schema_that_never_was(self, path: Path) -> None:
        write_sealed(path, {**read_manifest(path), "schema": 0})
        with pytest.raises(BundleError, match="there is no such schema"):
            Bundle.open(path)

    def test_an_edited_class_name_is_noticed(self, path: Path) -> None:
        file = path / "manifest.json"
        file.write_bytes(file.read_bytes().replace(b'"green"', b'"grain"'))
        with pytest.raises(BundleError, match="damaged or altered: its own sha256"):
            Bundle.open(path)

    def test_sealing_again_changes_nothing(self, path: Path) -> None:
        data = (path / "manifest.json").read_bytes()
        assert Manifest.from_bytes(data).to_bytes() == data

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (put("colour", value="red"), "unknown fields: colour"),
            (drop("name"), "has no field 'name'"),
            (put("name", value=7), "field 'name' is of type int, expected str"),
            (put("lineage", value=None), "field 'lineage' is null, expected dict"),
            (put("accuracy", value=[]), "field 'accuracy' is of type list, expected dict"),
            (drop("latency"), "no field 'latency'"),
            (put("classes", "void", value=1), "classes are unusable.*void"),
            (put("classes", "void", value="255"), "classes are more than"),
            (put("classes", "names", value="bgr"), "classes are more than"),
            (put("classes", "names", 1, value="blue"), "found twice: blue"),
            (put("contract", "frame", "dtype", value="float32"), r"expected uint8 \(1, H, W, 3\)"),
            (put("contract", "frame", "shape", value=[1, 3, None, None]), r"expected uint8 \(1, H, W, 3\)"),
            (put("contract", "frame", "shape", value=[1, 24, None, 3]), r"expected uint8 \(1, H, W, 3\)"),
            (put("contract", "frame", "shape", value=[3]), r"expected uint8 \(1, H, W, 3\)"),
            (put("contract", "labels", "shape", value=[1, 24, 32]), r"uint8 \(1, H, W\) of the input's size"),
            (put("contract", "network_hw", value=[24]), "'network_hw' has 1 values, expected 2"),
            (put("contract", "network_hw", value=[24, 0]), "not sizes and scales"),
            (put("contract", "std", value=[1.0, 1.0, 0.0]), "not sizes and scales"),
            (put("contract", "mean", value=[1, 1, 1]), "'mean' is of type int, expected float"),
            (put("graphs", value={}), "at least one graph and one golden frame"),
            (put("graphs", value=[]), "expected dict"),
            (put("graphs", "fp32", value=None), "graph 'fp32' is null"),
            (put("graphs", "fp32", "opset", value=True), "'opset' is of type bool, expected int"),
            (put("graphs", "fp32", "bytes", value=3), "has 226 bytes, but its manifest says 3"),
            (put("graphs", "fp32", "file", value="model.onnx"), "not the files it hashes: model.fp32.onnx, model.onnx"),
            (put("graphs", "fp32", "file", value="model.fp16.onnx"), "not the files it hashes: model.fp32.onnx"),
            (put("golden", value=[]), "at least one graph and one golden frame"),
            (put("golden", 0, "may_differ", value={"fp32": 0}), "no tolerance for each of: fp32, fp16"),
            (put("golden", 0, "may_differ", "fp32", value=-1), "no tolerance"),
            (put("golden", 0, "may_differ", "fp32", value=0.5), "expected int"),
            (put("golden", 0, "extra", value=1), "unknown fields: extra"),
            (put("files", "model.fp32.onnx", value="abc"), "not 64 hexadecimal digits"),
            (put("files", "model.fp32.onnx", value=None), "is null, expected str"),
            (put("files", "spare.bin", value="0" * 64), "not the files it hashes: spare.bin"),
            *[
                (put("files", outside, value="0" * 64), "not a path inside a bundle")
                for outside in (
                    "../x",
                    "/etc/passwd",
                    "a/../../x",
                    "..",
                    ".",
                    "",
                    "a\\b",
                    "C:x",
                    "a//b",
                    "manifest.json",
                    "a\n",
                )
            ],
        ],
    )
    def test_a_manifest_sealed_by_another_hand_is_read_strictly(
        self, path: Path, change: Callable[[dict[str, Any]], None], message: str
    ) -> None:
        manifest = read_manifest(path)
        change(manifest)
        write_sealed(path, manifest)
        with pytest.raises(BundleError, match=message):
            Bundle.open(path)


class TestWriter:
    def test_an_existing_bundle_is_replaced_as_a_whole(self, path: Path) -> None:
        (path / "engines").mkdir()
        (path / "engines" / "old.plan").write_bytes(b"made of the old graph")
        tiny_bundle(path, operators={"fp32": "ArgMin"})
        assert Bundle.open(path).precisions == ("fp32",)
        assert set(contents(path)) == set(FILES) - {"model.fp16.onnx"}
        assert [entry.name for entry in path.parent.iterdir()] == [path.name]

    def test_a_damaged_bundle_can_be_exported_again(self, path: Path) -> None:
        (path / "manifest.json").write_bytes(b"{")
        assert tiny_bundle(path).name == "tiny"

    def test_an_empty_folder_is_taken(self, tmp_path: Path) -> None:
        (tmp_path / "empty.edgeseg").mkdir()
        assert tiny_bundle(tmp_path / "empty.edgeseg").name == "tiny"

    @pytest.mark.parametrize("existing", ["holiday.jpg", "manifest.json"])
    def test_any_other_folder_is_refused_and_untouched(self, tmp_path: Path, existing: str) -> None:
        folder = tmp_path / "photos"
        folder.mkdir()
        (folder / existing).write_bytes(b"{}")
        with pytest.raises(BundleError, match="exists and is not a bundle"):
            tiny_bundle(folder)
        assert contents(tmp_path) == {f"photos/{existing}": b"{}"}

    def test_a_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("mine")
        with pytest.raises(BundleError, match="exists and is not a bundle"):
            tiny_bundle(tmp_path / "notes.txt")

    def test_a_folder_that_appeared_meanwhile_is_refused_too(self, tmp_path: Path) -> None:
        frame = np.zeros((8, 12, 3), np.uint8)
        with tiny_writer(tmp_path / "a.edgeseg") as writer:
            writer.add_graph("fp32", tiny_graph(), opset=20)
            writer.add_golden("one", frame, frame[..., 0])
            (tmp_path / "a.edgeseg").mkdir()
            (tmp_path / "a.edgeseg" / "holiday.jpg").touch()
            with pytest.raises(BundleError, match="exists and is not a bundle"):
                writer.finish(lineage={})
        assert contents(tmp_path) == {"a.edgeseg/holiday.jpg": b""}

    def test_a_path_that_the_system_refuses(self, tmp_path: Path) -> None:
        with pytest.raises(BundleError, match="cannot be read as a bundle"):
            Bundle.open(tmp_path / ("x" * 5000))

    def test_a_failure_inside_leaves_the_old_bundle_and_nothing_else(self, path: Path) -> None:
        before = contents(path.parent)
        with pytest.raises(ZeroDivisionError), tiny_writer(path) as writer:  # noqa: PT012
            writer.add_graph("fp32", tiny_graph(), opset=20)
            raise ZeroDivisionError
        assert contents(path.parent) == before

    def test_leaving_without_finish_discards(self, tmp_path: Path) -> None:
        with tiny_writer(tmp_path / "a.edgeseg") as writer:
            writer.add_graph("fp32", tiny_graph(), opset=20)
        assert list(tmp_path.iterdir()) == []

    def test_a_swap_that_fails_puts_the_old_bundle_back(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        before = contents(path.parent)
        rename = Path.rename

        def no_rename_of_the_new(self: Path, target: Path) -> Path:
            if self.suffix == ".partial":
                raise PermissionError(13, "Permission denied")
            return rename(self, target)

        monkeypatch.setattr(Path, "rename", no_rename_of_the_new)
        with pytest.raises(BundleError, match=r"tiny\.edgeseg cannot be written \(Permission denied\)"):
            tiny_bundle(path)
        assert contents(path.parent) == before

    def test_a_place_that_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(BundleError, match=r"a\.edgeseg cannot be written"):
            tiny_bundle(tmp_path / "file" / "a.edgeseg")

    def test_tolerances_are_whole_pixels(self, tmp_path: Path) -> None:
        frame = np.zeros((100, 200, 3), np.uint8)
        with tiny_writer(tmp_path / "a.edgeseg") as writer:
            writer.add_graph("fp32", tiny_graph(), opset=20)
            writer.add_graph("fp16", tiny_graph(), opset=20)
            writer.add_golden("grey", frame, frame[..., 0])
            bundle = writer.finish(lineage={})
        # 20,000 pixels: 0.01 % and 0.1 %
        assert bundle.golden()[0].may_differ == {"fp32": 2, "fp16": 20}

    def test_int8_may_add_pixels_to_those_that_it_labelled_otherwise_where_it_was_made(self, tmp_path: Path) -> None:
        frame = np.zeros((100, 200, 3), np.uint8)
        with tiny_writer(tmp_path / "a.edgeseg") as writer:
            for precision in ("fp32", "int8-cpu", "int8-trt"):
                writer.add_graph(precision, tiny_graph(), opset=20)
            writer.add_golden("grey", frame, frame[..., 0], differing={"int8-cpu": 300})
            bundle = writer.finish(lineage={}, int8={"budget": {"max_miou_drop": 0.3}})
        assert bundle.golden()[0].may_differ == {"fp32": 2, "int8-cpu": 300 + 100, "int8-trt": 200}
        assert bundle.manifest.int8 == {"budget": {"max_miou_drop": 0.3}}

    def test_without_int8_the_manifest_does_not_speak_of_it(self, tmp_path: Path) -> None:
        bundle = tiny_bundle(tmp_path / "a.edgeseg")
        assert "int8" not in read_manifest(bundle.path)
        assert bundle.manifest.int8 is None

    def test_time_is_utc(self, tmp_path: Path) -> None:
        noon_in_tokyo = datetime(2026, 5, 1, 12, tzinfo=timezone(timedelta(hours=9)))
        with BundleWriter(
            tmp_path / "a.edgeseg",
            name="a",
            label_map=LABELS,
            network_hw=(8, 8),
            camera_hw=None,
            mean=(0.5, 0.5, 0.5),
            std=(0.2, 0.2, 0.2),
            clock=lambda: noon_in_tokyo,
        ) as writer:
            writer.add_graph("fp32", tiny_graph(), opset=20)
            writer.add_golden("one", np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8))
            assert writer.finish(lineage={}).manifest.created == "2026-05-01T03:00:00+00:00"

    def test_what_cannot_be_added(self, tmp_path: Path) -> None:
        frame, labels = np.zeros((8, 12, 3), np.uint8), np.zeros((8, 12), np.uint8)
        with tiny_writer(tmp_path / "a.edgeseg", (8, 12)) as writer:
            writer.add_graph("fp32", tiny_graph((8, 12)), opset=20)
            writer.add_golden("good", frame, labels)
            with pytest.raises(ConfigError, match="unknown precision 'fp64'; known: fp32, fp16"):
                writer.add_graph("fp64", b"", opset=20)
            with pytest.raises(ConfigError, match="has a fp32 graph already"):
                writer.add_graph("fp32", b"", opset=20)
            for name in ("good", "../out", "", "a.b"):
                with pytest.raises(ConfigError, match="must be unique, of letters"):
                    writer.add_golden(name, frame, labels)
            with pytest.raises(ConfigError, match=r"the frame is \(6, 12\), the graphs take \(8, 12\)"):
                writer.add_golden("small", frame[:6], labels[:6])
            with pytest.raises(ConfigError, match=r"the labels are uint8 \(8, 6\)"):
                writer.add_golden("narrow", frame, labels[:, :6])
            with pytest.raises(ConfigError, match=r"the frame is uint8 \(8, 12\)"):
                writer.add_golden("grey", frame[..., 0], labels)
            with pytest.raises(ConfigError, match="class id 3 in the labels, but there are 3 classes"):
                writer.add_golden("void", frame, labels + 3)
            writer.finish(lineage={})
            with pytest.raises(ConfigError, match="inside its `with` block"):
                writer.add_golden("late", frame, labels)
        assert set(contents(tmp_path / "a.edgeseg")) == {
            "manifest.json",
            "model.fp32.onnx",
            "golden/good.png",
            "golden/good.labels.png",
        }

    def test_evidence_is_not_optional(self, tmp_path: Path) -> None:
        with tiny_writer(tmp_path / "a.edgeseg") as writer:
            writer.add_graph("fp32", tiny_graph(), opset=20)
            with pytest.raises(BundleError, match="at least one graph and one golden frame"):
                writer.finish(lineage={})
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("record", [{"loss": float("nan")}, {"matrix": np.zeros(2)}])
    def test_records_that_json_cannot_hold(self, tmp_path: Path, record: dict[str, Any]) -> None:
        frame = np.zeros((8, 12, 3), np.uint8)
        with tiny_writer(tmp_path / "a.edgeseg") as writer:
            writer.add_graph("fp32", tiny_graph(), opset=20)
            writer.add_golden("one", frame, frame[..., 0])
            with pytest.raises(ConfigError, match="cannot be written as JSON"):
                writer.finish(lineage=record)
        assert list(tmp_path.iterdir()) == []

    def test_a_bundle_can_be_moved(self, path: Path, tmp_path: Path) -> None:
        copy = tmp_path / "elsewhere" / "copy.edgeseg"
        shutil.copytree(path, copy)
        assert len(Bundle.open(copy).golden()) == 2
