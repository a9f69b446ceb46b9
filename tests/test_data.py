"""Data sources: what is read, what is refused, and that a search cannot see the test part."""

import gzip
import io
import os
import struct
import subprocess
import sys
import tracemalloc
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from frugalnas.core import InputError
from frugalnas.tasks import data, folders, named
from frugalnas.tasks.arrays import to_pixels
from frugalnas.tasks.data import DataSource, Images, check, load_search, load_test, load_train, split


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(path: Path, array: np.ndarray, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def colour_folder(root: Path, classes: tuple[str, ...] = ("cat", "dog"), count: int = 5, size: int = 32) -> Path:
    for number, name in enumerate(classes):
        for index in range(count):
            save(root / name / f"{index}.png", noise(100 * number + index, size, size, 3))
    return root


def npz(path: Path, **members: np.ndarray) -> DataSource:
    arrays = {"x_train": noise(0, 20, 8, 8, 3), "y_train": np.arange(20) % 4} | members
    np.savez_compressed(path, **{name: array for name, array in arrays.items() if array is not None})
    return DataSource(str(path))


def garbled(path: Path, *members: str) -> None:
    """Overwrite the content of members of a zip file: reading one of them fails, the others stay whole."""
    with zipfile.ZipFile(path) as archive:
        offsets = [archive.getinfo(f"{member}.npy").header_offset for member in members]
    with path.open("r+b") as file:
        for offset in offsets:
            file.seek(offset + 70)
            file.write(b"\xff" * 20)


def one_line(error: pytest.ExceptionInfo[InputError]) -> str:
    text = str(error.value)
    assert text
    assert "\n" not in text
    return text


# The shipped data


def test_the_default_is_real_balanced_and_small() -> None:
    train, validation = load_search(DataSource())
    test = load_test(DataSource())
    assert (len(train), len(validation), len(test)) == (8000, 2000, 2500)
    for images, count in ((train, 800), (validation, 200), (test, 250)):
        assert set(images.counts.values()) == {count}
        assert images.pixels.shape[1:] == (1, 28, 28)
    assert train.classes[9] == "Ankle boot"
    assert check(DataSource()).problems == ()  # so no test image is among the training images
    assert named.SHIPPED.stat().st_size < 6_000_000
    assert "MIT" in (named.SHIPPED.parent / "LICENSE-fashion-mnist").read_text(encoding="utf-8")


def test_the_module_does_not_import_torch() -> None:
    code = "import sys, frugalnas.tasks.data; sys.exit('torch' in sys.modules or 'torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# The split


@given(
    counts=st.lists(st.integers(2, 40), min_size=2, max_size=5),
    validation=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**63),
)
def test_split_is_disjoint_stratified_and_complete(counts: list[int], validation: float, seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts).astype(np.int64)
    pixels = np.arange(len(labels), dtype="<u4").view(np.uint8).reshape(-1, 4, 1, 1)  # the pixels are the index
    images = Images(pixels, labels, tuple(map(str, range(len(counts)))), "numbered")
    train, held_out = split(images, validation, seed)
    number = [part.pixels.reshape(-1).view("<u4") for part in (train, held_out)]
    assert sorted(np.concatenate(number).tolist()) == list(range(len(labels)))
    for part, indices in zip((train, held_out), number, strict=True):
        assert (part.labels == labels[indices]).all()
        assert min(part.counts.values()) >= 1
    for count, kept in zip(counts, held_out.counts.values(), strict=True):
        assert abs(kept - count * validation) <= 1


def test_the_seed_alone_decides_the_split() -> None:
    images = Images(noise(0, 60, 1, 4, 4), (np.arange(60) % 3).astype(np.int64), ("a", "b", "c"), "x")
    np.random.seed(1)  # noqa: NPY002
    first = split(images, 0.3, seed=7)
    np.random.seed(2)  # noqa: NPY002
    again, other = split(images, 0.3, seed=7), split(images, 0.3, seed=8)
    assert (first[1].pixels == again[1].pixels).all()
    assert (first[1].pixels != other[1].pixels).any()


def test_the_source_passes_its_seed_and_share_to_the_split() -> None:
    default, seeded = (load_search(DataSource(seed=seed))[1] for seed in (0, 1))
    assert (default.pixels != seeded.pixels).any()
    assert len(load_search(DataSource(validation=0.1))[1]) == 1000


def test_a_class_with_one_image_cannot_be_split(tmp_path: Path) -> None:
    source = npz(tmp_path / "a.npz", y_train=np.array([0] * 19 + [1]))
    with pytest.raises(InputError) as error:
        load_search(source)
    assert "class '1' has 1 image" in one_line(error)


@pytest.mark.parametrize(
    "wrong",
    [
        {"validation": 0.0},
        {"validation": 1.0},
        {"validation": float("nan")},
        {"seed": -1},
        {"resolution": -1},
        {"source": ""},
    ],
)
def test_a_source_refuses_values_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=rf"data\.{next(iter(wrong))}"):
        DataSource(**wrong)  # type: ignore[arg-type]


# Test images stay out of a search


def test_a_search_reads_an_npz_whose_test_part_is_garbled(tmp_path: Path) -> None:
    source = npz(tmp_path / "a.npz", x_test=noise(1, 8, 8, 8, 3), y_test=np.arange(8) % 4)
    garbled(tmp_path / "a.npz", "x_test", "y_test")
    train, validation = load_search(source)
    assert len(train) + len(validation) == len(load_train(source)) == 20
    with pytest.raises(InputError, match="test"):
        load_test(source)


def test_a_search_reads_a_folder_whose_test_part_is_garbled(tmp_path: Path) -> None:
    colour_folder(tmp_path / "train")
    for number in range(3):
        save(tmp_path / "test" / "cat" / f"{number}.png", noise(number, 32, 32)).write_bytes(b"garbled")
    (tmp_path / "test" / "unheard_of").mkdir()
    source = DataSource(str(tmp_path), strict=True)
    train, validation = load_search(source)
    assert len(train) + len(validation) == len(load_train(source)) == 10
    assert all(name.startswith("train/") for name in train.files + validation.files)
    with pytest.raises(InputError, match="unheard_of"):
        load_test(source)


def test_a_search_reads_only_the_training_idx_files(tmp_path: Path) -> None:
    write_idx(tmp_path, "train", noise(0, 20, 28, 28), np.arange(20) % 10)
    source = DataSource("fashion-mnist", root=str(tmp_path))
    assert sum(map(len, load_search(source))) == 20
    with pytest.raises(InputError, match="t10k-images"):
        load_test(source)


def test_a_validation_part_of_its_own_is_used_and_belongs_to_the_final_training(tmp_path: Path) -> None:
    colour_folder(tmp_path / "train", count=6)
    save(tmp_path / "valid" / "dog" / "v.png", noise(9, 32, 32, 3))
    train, validation = load_search(DataSource(str(tmp_path), validation=0.5))
    assert (len(train), validation.files, validation.labels.tolist()) == (12, ("valid/dog/v.png",), [1])
    assert load_train(DataSource(str(tmp_path))).files == train.files + validation.files
    source = npz(tmp_path / "a.npz", x_val=noise(5, 4, 8, 8, 3), y_val=np.arange(4))
    assert [len(part) for part in load_search(source)] == [20, 4]


# Folders


def test_a_folder_is_read_in_sorted_order_with_its_pixels(tmp_path: Path) -> None:
    colour_folder(tmp_path, ("b", "a"))
    save(tmp_path / "a" / "deeper" / "x.PNG", noise(50, 32, 32, 3))
    (tmp_path / "README.md").write_text("not in a class folder, not an image")
    images = load_train(DataSource(str(tmp_path)))
    assert images.classes == ("a", "b")
    assert images.files == tuple(sorted(images.files))
    assert images.counts == {"a": 6, "b": 5}
    assert images.skipped == images.notes == ()
    for file, pixels in zip(images.files, images.pixels, strict=True):
        assert (pixels.transpose(1, 2, 0) == np.asarray(Image.open(tmp_path / file))).all()


def test_sizes_are_mixed_square_and_antialiased(tmp_path: Path) -> None:
    wide = np.zeros((64, 192, 3), dtype=np.uint8)
    wide[:, 64:128] = 200  # the centre square; the sides are cropped away
    save(tmp_path / "a" / "wide.png", wide)
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::2] = 255  # sampling without antialiasing would give all black or all white
    save(tmp_path / "b" / "stripes.png", stripes)
    images = load_train(DataSource(str(tmp_path), resolution=16))
    assert images.pixels.shape == (2, 3, 16, 16)
    assert (images.pixels[0][:, :, 2:-2] == 200).all()
    assert (abs(images.pixels[1].astype(int) - 127) < 15).all()
    assert images.sizes == ((64, 64), (192, 64))
    assert "2 sizes from 64x64 to 192x64" in images.notes[0]


def test_large_jpegs_keep_their_place_and_orientation(tmp_path: Path) -> None:
    picture = np.zeros((600, 800, 3), dtype=np.uint8)
    picture[:, 400:] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise: what was right is below
    save(tmp_path / "a" / "x.jpg", picture, exif=exif)
    save(tmp_path / "b" / "x.jpg", picture)
    turned, plain = load_train(DataSource(str(tmp_path))).pixels.astype(int)
    assert turned[:, :12].max() < 20
    assert turned[:, 20:].min() > 235
    assert plain[:, :, :12].max() < 20
    assert plain[:, :, 20:].min() > 235


def test_a_jpeg_decoded_at_a_fraction_looks_like_one_decoded_whole(tmp_path: Path) -> None:
    picture = Image.fromarray(noise(0, 40, 40, 3)).resize((160, 160), Image.Resampling.BICUBIC)
    for name in ("a", "b"):
        save(tmp_path / name / "x.jpg", np.asarray(picture), quality=95)
    images = load_train(DataSource(str(tmp_path)))
    whole = Image.open(tmp_path / "a" / "x.jpg").resize((32, 32), Image.Resampling.BICUBIC)
    assert abs(images.pixels[0].transpose(1, 2, 0).astype(int) - np.asarray(whole)).mean() < 4


GRAY = np.full((32, 32), 128, dtype=np.uint8)
CLEAR = np.dstack([np.zeros((32, 32, 3), np.uint8), np.zeros((32, 32), np.uint8)])
MODES = {
    "L": (Image.fromarray(GRAY), 1, 128),
    "LA": (Image.fromarray(GRAY).convert("LA"), 1, 128),
    "1": (Image.new("1", (32, 32), 1), 1, 255),
    "16 bit": (Image.fromarray(np.full((32, 32), 200 * 257 + 60, dtype=np.uint16)), 1, 200),
    "RGB": (Image.new("RGB", (32, 32), (1, 2, 3)), 3, (1, 2, 3)),
    "palette": (Image.new("RGB", (32, 32), (1, 2, 3)).quantize(4), 3, (1, 2, 3)),
    "clear RGBA on white": (Image.fromarray(CLEAR), 3, (255, 255, 255)),
    "CMYK": (Image.new("CMYK", (32, 32), (0, 0, 0, 255)), 3, (0, 0, 0)),
}


@pytest.mark.parametrize("name", MODES)
def test_every_kind_of_image_becomes_8_bit_gray_or_rgb(tmp_path: Path, name: str) -> None:
    image, channels, value = MODES[name]
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        image.save(tmp_path / label / ("x.tif" if name == "CMYK" else "x.png"))
    images = load_train(DataSource(str(tmp_path)))
    assert images.in_channels == channels
    assert images.pixels[0, :, 5, 5].tolist() == np.atleast_1d(value).tolist()


def test_gray_and_transparent_images_join_colour_ones(tmp_path: Path) -> None:
    save(tmp_path / "train" / "a" / "gray.png", GRAY)
    save(tmp_path / "train" / "a" / "clear.png", CLEAR)
    save(tmp_path / "train" / "b" / "colour.png", noise(0, 32, 32, 3))
    save(tmp_path / "test" / "a" / "gray.png", GRAY)
    images = load_train(DataSource(str(tmp_path)))
    assert images.pixels.shape == (3, 3, 32, 32)
    assert (images.pixels[1] == 128).all()
    assert ["1 of 3 images are grayscale" in note for note in images.notes] == [True, False]
    assert "1 images have transparency" in images.notes[1]
    assert load_test(DataSource(str(tmp_path))).in_channels == 3  # as in training, though all its images are gray


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-600])


def bomb(path: Path) -> None:
    """A small file of 10,000 x 10,000 pixels: above Pillow's limit for a warning and below that for its error."""
    head = b"IHDR" + struct.pack(">IIBBBBB", 10_000, 10_000, 1, 0, 0, 0, 0)
    body = b"IDAT" + zlib.compress(bytes(1251 * 10_000))
    chunks = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (head, body, b"IEND")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def floating(path: Path) -> None:
    Image.new("F", (32, 32)).save(path, "TIFF")


def link_out(path: Path) -> None:
    outside = save(path.parents[2] / "outside.png", noise(0, 32, 32, 3))
    path.unlink()
    path.symlink_to(outside)


def broken_link(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.parent / "gone.png")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGE = {
    "truncated": (truncated, "truncated"),
    "empty": (lambda path: path.write_bytes(b""), "empty file"),
    "text": (lambda path: path.write_text("hello"), "not an image that Pillow can read"),
    "bomb": (bomb, "decompression bomb"),
    "float": (floating, "floating-point"),
    "link out of the folder": (link_out, "symbolic link out of the folder"),
    "broken link": (broken_link, "not a regular file"),
    "pipe": (pipe, "not a regular file"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_files_that_cannot_be_read_are_named_and_skipped_or_refused(tmp_path: Path, name: str) -> None:
    damage, reason = DAMAGE[name]
    root = colour_folder(tmp_path / "images", count=4)
    damage(root / "cat" / "1.png")
    images = load_train(DataSource(str(root)))
    assert images.files == tuple(f"{c}/{i}.png" for c in ("cat", "dog") for i in range(4) if (c, i) != ("cat", 1))
    for file, pixels in zip(images.files, images.pixels, strict=True):  # nothing moved when the hole was closed
        assert (pixels.transpose(1, 2, 0) == np.asarray(Image.open(root / file))).all()
    assert len(images.skipped) == 1
    assert images.skipped[0].startswith("cat/1.png: ")
    assert reason in images.skipped[0]
    with pytest.raises(InputError) as error:
        load_train(DataSource(str(root), strict=True))
    assert "1 files refused, the first cat/1.png" in one_line(error)


def test_other_things_in_the_folder_are_named(tmp_path: Path) -> None:
    root, outside = colour_folder(tmp_path / "images"), colour_folder(tmp_path / "outside")
    (root / "cat" / "notes.txt").write_text("x")
    (root / "cat" / ".hidden.png").write_text("x")
    (root / "cat" / "a\nb.png").write_text("x")
    (root / "cat" / "loop").symlink_to(root)
    (root / "bird").symlink_to(outside / "cat")
    save(root / "loose.png", noise(0, 8, 8))
    images = load_train(DataSource(str(root)))
    assert images.classes == ("cat", "dog")
    assert images.counts == {"cat": 5, "dog": 5}
    assert sorted(images.skipped) == [
        "'cat/a\\nb.png': not an image that Pillow can read",
        "bird: symbolic link out of the folder",
        "cat/loop: symbolic link to a folder",
        "cat/notes.txt: not an image file",
        "loose.png: not in the folder of a class",
    ]


def empty(root: Path) -> None:
    root.mkdir()


def loose_images(root: Path) -> None:
    save(root / "1.png", GRAY)


def one_class(root: Path) -> None:
    colour_folder(root, ("cat",))


def all_corrupt(root: Path) -> None:
    for path in colour_folder(root).rglob("*.png"):
        truncated(path)


def no_headers(root: Path) -> None:
    for path in colour_folder(root).rglob("*.png"):
        path.write_text("x")


def only_text(root: Path) -> None:
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        (root / name / "1.txt").write_text("x")


def empty_classes(root: Path) -> None:
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)


def one_class_corrupt(root: Path) -> None:
    for path in colour_folder(root).glob("dog/*.png"):
        truncated(path)


def without_train(root: Path) -> None:
    colour_folder(root / "test")


def two_validations(root: Path) -> None:
    for name in ("train", "val", "Valid"):
        colour_folder(root / name)


def unknown_class(root: Path) -> None:
    colour_folder(root / "train")
    colour_folder(root / "val", ("cat", "dogs"))


def train_elsewhere(root: Path) -> None:
    colour_folder(root.parent / "elsewhere")
    root.mkdir()
    (root / "train").symlink_to(root.parent / "elsewhere")


def idx_files(root: Path) -> None:
    root.mkdir()
    write_idx(root, "train", noise(0, 2, 8, 8), np.arange(2))


def an_archive_inside(root: Path) -> None:
    root.mkdir()
    npz(root / "pictures.npz")


FOLDERS = {
    empty: "is empty: expected one folder of images for each class",
    loose_images: "holds '1.png' and 0 more: expected one folder",
    one_class: "has one class, 'cat'",
    all_corrupt: "no readable image: 10 files, the first cat/0.png: image file is truncated",
    no_headers: "no readable image: 10 files, the first cat/0.png: not an image",
    only_text: "no image: 2 files, the first cat/1.txt: not an image file",
    empty_classes: "its class folders are empty",
    one_class_corrupt: "no training image of class 'dog'",
    without_train: "has test/ but no train/",
    two_validations: "expected one validation folder",
    unknown_class: "class 'dogs' that train has not; did you mean 'dog'?",
    train_elsewhere: "symbolic link out of",
    idx_files: "--data mnist --root",
    an_archive_inside: "pictures.npz'?",
}


@pytest.mark.parametrize("make", FOLDERS)
def test_a_folder_that_cannot_be_used_is_refused_in_one_line(tmp_path: Path, make) -> None:  # type: ignore[no-untyped-def]
    make(tmp_path / "images")
    with pytest.raises(InputError) as error:
        load_search(DataSource(str(tmp_path / "images")))
    assert FOLDERS[make] in one_line(error)
    report = check(DataSource(str(tmp_path / "images")))
    assert not report.usable
    assert report.problems[0] == str(error.value)


def test_decoding_holds_the_array_and_little_else(tmp_path: Path) -> None:
    paths = [save(tmp_path / "x.png", noise(0, 64, 64, 3))] * 1500
    folders.decoded(paths[:10], 3, 64)
    tracemalloc.start()
    pixels, _ = folders.decoded(paths, 3, 64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.1 * pixels.nbytes


# Arrays


@pytest.mark.parametrize(
    ("change", "shape"),
    [
        (lambda x: x, (3, 8, 8)),
        (lambda x: x.transpose(0, 3, 1, 2), (3, 8, 8)),
        (lambda x: x[..., 0], (1, 8, 8)),
        (lambda x: x[..., :1], (1, 8, 8)),
        (lambda x: x.astype(np.int64), (3, 8, 8)),
        (lambda x: x.astype(np.float32), (3, 8, 8)),
        (lambda x: x / 255, (3, 8, 8)),
    ],
)
def test_every_layout_and_number_type_gives_the_same_pixels(tmp_path: Path, change, shape) -> None:  # type: ignore[no-untyped-def]
    x = noise(0, 20, 8, 8, 3)
    images = load_train(npz(tmp_path / "a.npz", x_train=change(x)))
    assert images.pixels.dtype == np.uint8
    assert images.pixels.shape == (20, *shape)
    assert images.pixels.flags.c_contiguous
    assert (images.pixels == x.transpose(0, 3, 1, 2)[:, : shape[0]]).all()


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=4, max_dims=4, min_side=5, max_side=8)), st.integers(1, 4))
def test_channels_first_and_last_are_told_apart(array: np.ndarray, channels: int) -> None:
    last = array[..., :channels]
    assert (to_pixels(last, "x") == to_pixels(last.transpose(0, 3, 1, 2), "x")).all()


def test_arrays_are_resized_and_cropped(tmp_path: Path) -> None:
    x = np.zeros((20, 8, 24, 3), dtype=np.uint8)
    x[:, :, 8:16] = 99
    source = npz(tmp_path / "a.npz", x_train=x)
    images = load_train(source)
    assert images.pixels.shape == (20, 3, 8, 8)
    assert (images.pixels == 99).all()
    assert "24x8 cropped" in images.notes[0]
    assert load_train(replace(source, resolution=5)).resolution == 5


def test_classes_have_their_names_or_numbers(tmp_path: Path) -> None:
    assert load_train(npz(tmp_path / "a.npz")).classes == ("0", "1", "2", "3")
    source = npz(tmp_path / "b.npz", class_names=np.array(["w", "x", "y", "z"]), y_train=(np.arange(20) % 4)[:, None])
    assert load_train(source).classes == ("w", "x", "y", "z")
    with_test = npz(tmp_path / "c.npz", x_test=noise(0, 2, 8, 8, 3), y_test=np.array([0, 1]))
    assert load_test(with_test).classes == ("0", "1", "2", "3")  # of training, though test has only two of them


def with_nan(x: np.ndarray) -> np.ndarray:
    x = x / 255
    x[3, 1, 2, 0], x[4, 0, 0, 0] = np.nan, np.inf
    return x


X, Y = noise(0, 20, 8, 8, 3), np.arange(20) % 4
ARRAYS = {
    "NaN": ({"x_train": with_nan(X)}, "2 NaN or infinite values, the first at (3, 1, 2, 0)"),
    "normalised": ({"x_train": X / 127 - 1}, "values from -1 to 1.00787: expected [0, 1] or [0, 255]"),
    "12 bit": ({"x_train": X.astype(np.uint16) * 16}, "values from 0 to 4080: expected [0, 255]"),
    "text": ({"x_train": X.astype(str)}, "expected uint8 or float"),
    "objects": ({"x_train": X.astype(object)}, "x_train cannot be read: Object arrays cannot be loaded"),
    "flat": ({"x_train": X.reshape(20, -1)}, "shape (20, 192): expected images"),
    "many channels": ({"x_train": noise(0, 20, 32, 32, 20)}, "at most 16 channels"),
    "no images": ({"x_train": X[:0], "y_train": Y[:0]}, "shape (0, 8, 8, 3)"),
    "zero size": ({"x_train": X[:, :0]}, "shape (20, 0, 8, 3)"),
    "too few labels": ({"y_train": Y[:9]}, "20 images but there are 9 labels"),
    "negative": ({"y_train": Y - 1}, "5 labels out of range, the first is -1 at 0"),
    "from one": ({"y_train": Y + 1}, "no training image of class '0'"),
    "gap": ({"y_train": Y * 2}, "no training image of class '1', 3 empty classes"),
    "too high": ({"y_train": Y * 1000}, "y_train goes up to 3000 with 20 labels"),
    "beyond the names": ({"class_names": np.array(["a", "b", "c"])}, "5 labels out of range, the first is 3 at 3"),
    "numbered names": ({"class_names": np.arange(4)}, "class_names is int64 of shape (4,): expected text"),
    "float labels": ({"y_train": Y.astype(float)}, "y_train is float64 of shape (20,): expected integer labels"),
    "one-hot": ({"y_train": np.eye(4, dtype=int)[Y]}, "y_train is int64 of shape (20, 4): expected integer labels"),
    "one class": ({"y_train": Y * 0}, "one class, '0'"),
    "no labels": ({"y_train": None, "y_trian": Y}, "has no 'y_train'; did you mean 'y_trian'?"),
    "no pixels": ({"x_train": None}, "has no 'x_train'"),
}


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.filterwarnings("error")
def test_an_npz_that_cannot_be_used_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    members, message = ARRAYS[name]
    source = npz(tmp_path / "a.npz", **members)
    with pytest.raises(InputError) as error:
        load_search(source)
    assert message in one_line(error)
    report = check(source)
    assert not report.usable
    assert report.problems[0] == str(error.value)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04hello", b"\x80\x04N."])
def test_a_file_that_is_no_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"not a readable \.npz"):
        load_train(DataSource(str(tmp_path / "a.npz")))


def test_a_single_array_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, X)
    (tmp_path / "a.npz").write_bytes(buffer.getvalue())
    with pytest.raises(InputError, match="holds one array"):
        load_train(DataSource(str(tmp_path / "a.npz")))


# Names


def write_idx(folder: Path, prefix: str, pixels: np.ndarray, labels: np.ndarray, zipped: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in (("images-idx3", pixels), ("labels-idx1", labels)):
        header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
        content = header + array.astype(np.uint8).tobytes()
        path = folder / f"{prefix}-{name}-ubyte{'.gz' if zipped else ''}"
        path.write_bytes(gzip.compress(content) if zipped else content)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(("name", "below"), [("fashion-mnist", ""), ("mnist", "MNIST/raw"), ("kmnist", "KMNIST/raw")])
def test_idx_files_are_read_without_torchvision(
    tmp_path: Path, name: str, below: str, zipped: bool, monkeypatch
) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setitem(sys.modules, "torchvision", None)
    train, test = noise(0, 20, 28, 28), noise(1, 10, 28, 28)
    write_idx(tmp_path / below, "train", train, np.arange(20) % 10, zipped)
    write_idx(tmp_path / below, "t10k", test, np.arange(10), zipped)
    source = DataSource(name, root=str(tmp_path))
    images = load_train(source)
    assert (images.pixels[:, 0] == train).all()
    assert images.labels.tolist() == [*range(10), *range(10)]
    assert (load_test(source).pixels[:, 0] == test).all()
    assert check(source).problems[0].startswith("train: 10 classes with fewer than 10 images")


@pytest.mark.skipif(not named.DEBIAN_FASHION.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_the_shipped_images_are_those_of_debians_package() -> None:
    whole, shipped = load_train(DataSource("fashion-mnist")), load_train(DataSource())
    assert len(whole) == 60_000
    known = {image.tobytes(): label for image, label in zip(whole.pixels, whole.labels, strict=True)}
    assert all(known[i.tobytes()] == label for i, label in zip(shipped.pixels, shipped.labels, strict=True))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:-5], "announces 640 bytes of data and holds 635"),
        (lambda content: content + b"x", "announces 640 bytes of data and holds more"),
        (lambda content: b"\x00\x00\x0d\x03" + content[4:], "not an idx file of unsigned bytes"),
        (lambda content: b"", "not an idx file of unsigned bytes"),
        (lambda content: content[:4] + b"\xff" * 12, "cannot be read"),
    ],
)
def test_damaged_idx_files_are_refused(tmp_path: Path, damage, message: str) -> None:  # type: ignore[no-untyped-def]
    write_idx(tmp_path, "train", noise(0, 10, 8, 8), np.arange(10))
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError) as error:
        load_train(DataSource("mnist", root=str(tmp_path)))
    assert message in one_line(error)


def test_a_truncated_gzip_is_refused(tmp_path: Path) -> None:
    write_idx(tmp_path, "train", noise(0, 10, 8, 8), np.arange(10), zipped=True)
    truncated_gzip = tmp_path / "train-images-idx3-ubyte.gz"
    truncated_gzip.write_bytes(truncated_gzip.read_bytes()[:-50])
    with pytest.raises(InputError, match="cannot be read"):
        load_train(DataSource("mnist", root=str(tmp_path)))


def test_torchvisions_classes_read_what_is_on_disk(tmp_path: Path) -> None:
    pytest.importorskip("torchvision")
    train = noise(0, 20, 28, 28)
    for prefix, pixels in (("train", train), ("t10k", noise(1, 10, 28, 28))):
        write_idx(tmp_path / "FashionMNIST" / "raw", prefix, pixels, np.arange(len(pixels)) % 10)
    known = replace(named.KNOWN["fashion-mnist"], classes=())
    pixels, labels, classes = named.read_torchvision("fashion-mnist", known, str(tmp_path), "train")
    assert (pixels == train).all()
    assert labels.dtype == np.int64
    assert classes[0] == "T-shirt/top"
    assert len(named.read_torchvision("fashion-mnist", known, str(tmp_path), "test")[1]) == 10


@pytest.mark.parametrize("name", named.KNOWN)
def test_a_known_data_set_that_is_not_there_and_cannot_be_downloaded(tmp_path: Path, name: str, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("torchvision")
    if name == "svhn":
        pytest.importorskip("scipy")

    def offline(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", offline)
    with pytest.raises(InputError) as error:
        load_search(DataSource(name, root=str(tmp_path)))
    assert f"{name} is not in {str(tmp_path)!r} and cannot be downloaded" in one_line(error)


@pytest.mark.parametrize("partly", [False, True])
def test_a_failed_download_leaves_no_empty_folder(tmp_path: Path, monkeypatch, partly: bool) -> None:  # type: ignore[no-untyped-def]
    def constructor(root: str, train: bool, download: bool) -> None:
        raw = Path(root) / "FashionMNIST" / "raw"
        if download:
            raw.mkdir(parents=True)
            if partly:
                (raw / "part.gz").write_bytes(b"1")
        raise RuntimeError("no network")

    datasets = SimpleNamespace(FashionMNIST=constructor)
    monkeypatch.setitem(sys.modules, "torchvision", SimpleNamespace(datasets=datasets))
    with pytest.raises(InputError, match="cannot be downloaded: no network"):
        load_train(DataSource("fashion-mnist", root=str(tmp_path / "new")))
    assert (tmp_path / "new").exists() == partly
    (tmp_path / "old").mkdir()
    with pytest.raises(InputError, match="cannot be downloaded: no network"):
        load_train(DataSource("fashion-mnist", root=str(tmp_path / "old")))
    assert (tmp_path / "old").is_dir()


def test_a_known_data_set_without_root_or_torchvision(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match="cifar10 needs the folder .*--root DIR"):
        load_search(DataSource("cifar10"))
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(InputError, match=r"pip install 'frugalnas\[vision\]'"):
        load_search(DataSource("cifar10", root=str(tmp_path)))


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("cifar-10", "did you mean 'cifar10'?"),
        ("/some/where/with/a/long/name/cifar-10", "did you mean 'cifar10'?"),
        ("zzz", "known: fashion-mini, cifar10"),
        ("flower", "flowers'?"),
    ],
)
def test_an_unknown_source_names_the_nearest(tmp_path: Path, given: str, hint: str, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "flowers").mkdir()
    monkeypatch.chdir(tmp_path)
    for call in (load_search, load_test, check):
        with pytest.raises(InputError) as error:
            call(DataSource(given))
        assert hint in one_line(error)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x")
    with pytest.raises(InputError, match="neither a folder nor an"):
        load_search(DataSource(str(tmp_path / "a.csv")))


# The report


def test_the_report_of_a_sound_folder(tmp_path: Path) -> None:
    report = check(DataSource(str(colour_folder(tmp_path, count=10))))
    assert report.usable
    assert report.to_json() == {
        "source": str(tmp_path),
        "kind": "folder",
        "usable": True,
        "parts": {"train": 20},
        "classes": {"cat": 10, "dog": 10},
        "channels": 3,
        "resolution": 32,
        "sizes": [[32, 32]],
        "megabytes": 20 * 3 * 32 * 32 / 1e6,
        "problems": [],
    }


def test_the_report_names_what_is_wrong(tmp_path: Path) -> None:
    colour_folder(tmp_path / "train", count=40)
    for number in range(37):
        (tmp_path / "train" / "dog" / f"{number}.png").unlink()
    save(tmp_path / "train" / "cat" / "white.png", np.full((40, 40, 3), 255, dtype=np.uint8))
    save(tmp_path / "train" / "cat" / "a_copy.png", noise(0, 32, 32, 3))
    save(tmp_path / "test" / "dog" / "seen.png", noise(1, 32, 32, 3))
    (tmp_path / "train" / "cat" / "bad.png").write_text("x")
    report = check(DataSource(str(tmp_path)))
    assert report.usable
    assert report.parts == {"train": 45, "test": 1}
    expected = [
        "train/cat/bad.png: not an image that Pillow can read",
        "train: 2 sizes from 32x32 to 40x40",
        "train: classes differ more than 10 times: 'cat' has 42, 'dog' has 3",
        "train: 1 classes with fewer than 10 images: 'dog' has 3",
        "train: 1 images of a single colour: train/cat/white.png",
        "1 train images are copies of others, copies may fall on both sides of the split: "
        "train/cat/a_copy.png = train/cat/0.png",
        "1 test images are also in train: test/dog/seen.png = train/cat/1.png",
        "1 copies have another class than the original: test/dog/seen.png = train/cat/1.png",
    ]
    for line in expected:
        assert any(problem.startswith(line) for problem in report.problems), (line, report.problems)


def test_the_report_survives_a_garbled_test_part(tmp_path: Path) -> None:
    source = npz(tmp_path / "a.npz", x_test=noise(1, 8, 8, 8, 3), y_test=np.arange(8) % 4)
    garbled(tmp_path / "a.npz", "x_test")
    report = check(source)
    assert report.usable
    assert report.parts == {"train": 20}
    assert any("test part cannot be used" in problem for problem in report.problems)
    with pytest.raises(InputError, match="has no test part"):
        load_test(npz(tmp_path / "b.npz"))


def test_every_reader_is_reachable() -> None:
    assert set(data.READERS) == {"named", "folder", "npz"}
