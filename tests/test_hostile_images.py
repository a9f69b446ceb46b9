"""Images from somebody else: folders with anything in them, files of any kind, and arrays of any kind."""

from __future__ import annotations

import io
import os
import struct
import sys
import zipfile
import zlib
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from frugalnas.tasks.data import DataSource, load_search
from hostile import MARKUP, TERMINAL, calm, fuzz
from tiny import images

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes, links and such names are others there")


def squares(root: Path, count: int = 4) -> Path:
    """A folder of two classes of good images."""
    for label in ("a", "b"):
        (root / label).mkdir(parents=True)
        for place in range(count):
            pixels = np.full((8, 8, 3), 20 * place + 90 * (label == "b"), np.uint8)
            pixels[place] = 255
            Image.fromarray(pixels).save(root / label / f"{place}.png")
    return root


def png(width: int, height: int, *, depth: int = 8, colour: int = 0, data: bytes = b"") -> bytes:
    """A PNG whose header says what it likes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def saved(mode: str, kind: str, size: tuple[int, int] = (9, 7), **more: Any) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size).save(file, kind, **more)
    return file.getvalue()


def ill() -> dict[str, bytes]:
    """Files of images that are damaged, rare, or mean harm."""
    animated = io.BytesIO()
    frames = [Image.new("P", (8, 8), index) for index in range(5)]
    frames[0].save(animated, "GIF", save_all=True, append_images=frames[1:])
    good = saved("RGB", "PNG", (40, 30))
    return {
        "empty.png": b"",
        "text.jpg": b"#!/bin/sh\ntouch owned\n",
        "short.png": good[: len(good) // 2],
        "bomb.png": png(60_000, 60_000, data=bytes(1000)),
        "between.png": png(13_000, 13_000, data=bytes(1000)),  # beyond the limit, where Pillow only warns
        "flat.png": png(0, 0),
        "long.png": png(2**31 - 1, 1),
        "bomb.gif": b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\0\0\0" + bytes(50),
        "deep.png": saved("I;16", "PNG"),
        "float.tiff": saved("F", "TIFF"),
        "cmyk.jpg": saved("CMYK", "JPEG"),
        "bits.png": saved("1", "PNG"),
        "alpha.webp": saved("RGBA", "WEBP"),
        "animated.gif": animated.getvalue(),
        "thin.png": saved("L", "PNG", (3000, 1)),
        "script.ppm": b"P6 100000 100000 255\n" + bytes(100),
        "eps.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 50 50\n(owned) (w) file\n",
        "text.png": good[:33] + struct.pack(">I", 5) + b"zTXt" + b"a\0\0xx" + b"\0\0\0\0" + good[33:],
    }


def test_images_that_mean_harm_are_left_out_and_named(tmp_path):
    root = squares(tmp_path / "images")
    for name, content in ill().items():
        (root / "a" / name).write_bytes(content)
    said = calm("data", "check", root, codes=[0])
    for name in ("empty.png", "text.jpg", "short.png", "bomb.png", "between.png", "bomb.gif", "script.ppm", "eps.png"):
        assert f"a/{name}: " in said.out, name
    for name in ("deep.png", "cmyk.jpg", "bits.png", "alpha.webp", "animated.gif", "thin.png"):
        assert f"a/{name}: " not in said.out, name
    for name in ("bomb.png", "between.png"):
        assert f"a/{name}: more than 89,478,485 pixels" in said.out
    assert calm("data", "check", root, "--strict").code == 2


NAMES = (*(TERMINAL.replace("\0", ""), MARKUP.replace("/", "_"), "\udcff\udc80", "x" * 250, "-rf", "$(touch owned)"),)


def test_a_folder_with_anything_in_it(tmp_path):
    """Pipes, devices, sockets, links out and in circles, unreadable names: nothing waits, nothing outside is read."""
    root, outside = squares(tmp_path / "images"), squares(tmp_path / "outside")
    os.mkfifo(root / "a" / "pipe.png")
    (root / "a" / "zero.png").symlink_to("/dev/zero")
    (root / "a" / "out.png").symlink_to(outside / "a" / "0.png")
    (root / "a" / "up.png").symlink_to("../../outside/a/1.png")
    (root / "a" / "loop.png").symlink_to("loop.png")
    (root / "a" / "gone.png").symlink_to("nowhere.png")
    (root / "a" / "circle").symlink_to("..")
    (root / "a" / "folder.png").mkdir()
    (root / "c").symlink_to(outside / "b")
    for name in NAMES:
        content = (root / "b" / "0.png").read_bytes()
        (root / "b" / f"{name[:200]}.png").write_bytes(content)
        (root / "b" / f"{name[:200]}.jpg").write_bytes(b"none")
    said = calm("data", "check", root, codes=[0])
    for name in ("pipe", "zero", "out", "up", "loop", "gone"):
        assert f"a/{name}.png: " in said.out, name
    train, validation = load_search(DataSource(str(root)))
    assert len(train) + len(validation) == 8 + len(NAMES)
    calm("data", "check", root, "--json", codes=[0])
    calm("inspect", "--data", root, "--samples", 1)


@pytest.mark.parametrize("name", NAMES)
def test_classes_of_any_name(tmp_path, name):
    root = squares(tmp_path / "images")
    (root / "b").rename(root / name)
    calm("data", "check", root)
    calm("data", "check", root, "--json")
    (root / "val" / name).mkdir(parents=True)
    calm("data", "check", root)


@fuzz(14)
@given(data=st.data())
def test_a_damaged_image_is_left_out_or_read(tmp_path_factory, data):
    root = squares(tmp_path_factory.mktemp("damaged", numbered=True) / "images")
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"]))
    content = bytearray(saved("RGB", kind, (20, 15)))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(1, len(content))) if data.draw(st.booleans()) else len(content)
    (root / "a" / f"it.{kind.lower()}").write_bytes(bytes(content[:end]))
    calm("data", "check", root, codes=[0])


# Arrays


def npy(header: str, data: bytes = b"", version: int = 1) -> bytes:
    """An .npy file whose header says what it likes."""
    text = header.encode("latin1") + b"\n"
    return b"\x93NUMPY" + bytes((version, 0)) + struct.pack("<H" if version == 1 else "<I", len(text)) + text + data


GOOD = npy("{'descr': '|u1', 'fortran_order': False, 'shape': (8, 8, 8), }", bytes(range(256)) * 2)
LABELS = npy("{'descr': '<i8', 'fortran_order': False, 'shape': (8,), }", np.tile([0, 1], 4).astype("<i8").tobytes())
HEADERS = (
    "{'descr': '|O', 'fortran_order': False, 'shape': (8,), }",
    "{'descr': '<f8', 'fortran_order': True, 'shape': (8, 8, 8), }",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000, 1000000, 1000000), }",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (70000000000, 8, 8), }",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (-8, 8, 8), }",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (0, 8, 8), }",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (), }",
    "{'descr': [('a', '|O'), ('b', '<f4')], 'fortran_order': False, 'shape': (8,), }",
    "{'descr': '<U100000000', 'fortran_order': False, 'shape': (8,), }",
    "{'descr': '<M8[s]', 'fortran_order': False, 'shape': (8,), }",
    "{'descr': '<c16', 'fortran_order': False, 'shape': (8, 8, 8), }",
    "{'descr': '|V0', 'fortran_order': False, 'shape': (8, 8, 8), }",
    "__import__('os').system('touch owned')",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (8, 8, 8), 'x': 1}",
    "(" * 9000,
    "",
)


def archive(path: Path, members: list[tuple[str, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members:
            file.writestr(name, content)
    return path


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("name", ["x_train", "y_train", "class_names"])
def test_an_array_that_says_what_it_likes(tmp_path, header, name):
    members = {"x_train": GOOD, "y_train": LABELS} | {name: npy(header, bytes(600))}
    file = archive(tmp_path / "x.npz", [(f"{key}.npy", value) for key, value in members.items()])
    calm("data", "check", file)


def test_no_pickle_is_loaded(tmp_path):
    evil = np.array([Evil()], dtype=object)
    for name in ("x_train", "y_train", "class_names"):
        file = images(tmp_path / "x.npz", count=8, **{name: evil})
        assert "cannot be read" in calm("data", "check", file, codes=[2]).out
    assert not Path("owned").exists()


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch owned",)


def test_members_that_are_there_twice_lead_out_or_are_none(tmp_path):
    good = [("x_train.npy", GOOD), ("y_train.npy", LABELS)]
    for more in (
        good,
        [("../../x_val.npy", GOOD)],
        [("/etc/x.npy", b"")],
        [("x_train", b"other")],
        [("y_train.npy/", b"")],
        [(f"{TERMINAL}.npy", GOOD), ("x_val.npy", b"text"), ("y_val.npy", LABELS)],
    ):
        with pytest.warns(UserWarning) if more is good else nullcontext():
            file = archive(tmp_path / "x.npz", [*good, *more])
        calm("data", "check", file)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.npz"]


@pytest.mark.parametrize("size", [2**31, 2**45])
def test_a_bomb_of_zeros_takes_no_more_than_it_says(tmp_path, size):
    """An array of some GB in some MB, and one that says so and has nothing."""
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({size // 64}, 8, 8), }}"
    file = archive(tmp_path / "x.npz", [("x_train.npy", npy(header, bytes(10**6))), ("y_train.npy", LABELS)])
    assert calm("data", "check", file).code == 2


@fuzz(12)
@given(data=st.data())
def test_a_damaged_archive_is_refused_or_read(tmp_path_factory, data):
    file = images(tmp_path_factory.mktemp("damaged", numbered=True) / "x.npz", count=16)
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(1, len(content))) if data.draw(st.booleans()) else len(content)
    file.write_bytes(bytes(content[:end]))
    calm("data", "check", file)
