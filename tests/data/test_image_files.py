"""Images as people have them: which pixels are read, what is said of them, and what is refused."""

import io
import os
import struct
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gibbsian.core import progress
from gibbsian.data import image_files, load_dataset
from gibbsian.data.image_files import read_images
from gibbsian.data.patches import photographs, read_patches
from gibbsian.data.photo import read_picture
from gibbsian.data.queries import read_points_in_parts
from gibbsian.data.transforms import pixels

G = np.random.default_rng(0)
GREY = G.integers(0, 256, (5, 4)).astype(np.uint8)
COLOUR = G.integers(0, 256, (5, 4, 3)).astype(np.uint8)
ORIENTATION = 274


def only(path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Pixels ``[H, W]`` or ``[H, W, 3]`` of the one image at ``path``, and what is said of it."""
    rows = read_images(path)
    assert len(rows.x) == 1 and rows.x.dtype == np.uint8 and rows.x.flags.c_contiguous
    x = rows.x[0]
    return (x[0] if len(x) == 1 else np.moveaxis(x, 0, 2)), rows.notes[1:]


def png(size: tuple[int, int], depth: int, kind: int, rows: bytes) -> bytes:
    """A PNG of that bit depth and colour type, with ``rows`` as its filtered bytes."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checked = name + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", *size, depth, kind, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def arrays(n: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (n, 5, 4)).astype(np.uint8)


def folder_of(folder: Path, n: int = 6) -> Path:
    """``n`` different grey images of 4x5 pixels."""
    folder.mkdir(parents=True)
    for i, array in enumerate(arrays(n)):
        Image.fromarray(array).save(folder / f"{i:03}.png")
    return folder


@pytest.mark.parametrize("array", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize("ending", ["png", "PNG", "tif", "tiff", "bmp", "gif", "webp"])
def test_lossless_files_hold_the_pixels_to_the_bit(tmp_path, ending, array):
    options = {"lossless": True} if ending == "webp" else {}
    picture = Image.fromarray(array)
    if ending == "gif" and array is COLOUR:  # at most 256 colours: here 20
        picture = picture.convert("P", palette=Image.Palette.ADAPTIVE, colors=256)
    picture.save(tmp_path / f"a.{ending}", **options)
    found, notes = only(tmp_path / f"a.{ending}")
    if ending in ("webp", "gif") and array is GREY:  # which know colours alone
        assert (found == found[..., :1]).all()
        found = found[..., 0]
    np.testing.assert_array_equal(found, array)
    assert notes == ()


def stored(upright: np.ndarray, orientation: int) -> np.ndarray:
    """What a camera writes with that orientation, by the table of Exif 2.32, 4.6.4."""
    return {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation]


@pytest.mark.parametrize("ending", ["png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_upright(tmp_path, orientation, ending):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = tmp_path / f"a.{ending}"
    options = {"lossless": True} if ending == "webp" else {}
    turned = Image.fromarray(np.ascontiguousarray(stored(COLOUR, orientation)))
    turned.save(path, exif=exif, **options)
    np.testing.assert_array_equal(only(path)[0], COLOUR)
    values = read_picture(path).values.permute(1, 2, 0).numpy()
    np.testing.assert_array_equal((255 * values).round().astype(np.uint8), COLOUR)


def test_a_photograph_is_turned_upright(tmp_path):
    """Left half dark, right half light; with orientation 6 it is shown with the dark half above."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    array = np.repeat(np.array([[20, 220]], np.uint8), 8, 1).repeat(8, 0)
    Image.fromarray(array).save(tmp_path / "a.jpg", exif=exif)
    found = only(tmp_path / "a.jpg")[0].astype(int)
    assert found.shape == (16, 8) and (found[:8] < 40).all() and (found[8:] > 200).all()


def on_white(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., None] / 255 if colours.ndim == 3 else alpha / 255
    return np.rint(colours * share + 255 * (1 - share)).astype(np.uint8)


def test_alpha_is_put_on_white_and_said(tmp_path):
    alpha = G.integers(0, 256, (5, 4)).astype(np.uint8)
    alpha[0, :2] = 0, 255
    Image.fromarray(np.dstack([COLOUR, alpha])).save(tmp_path / "c.png")
    Image.merge("LA", list(map(Image.fromarray, (GREY, alpha)))).save(tmp_path / "g.png")
    said = "1 image with transparency, put on white"
    for name, array in (("c", COLOUR), ("g", GREY)):
        found, notes = only(tmp_path / f"{name}.png")
        np.testing.assert_array_equal(found, on_white(array, alpha))
        assert notes == (said,)
    rows = read_images(tmp_path)
    assert "2 images with transparency, put on white" in rows.notes
    np.testing.assert_array_equal(rows.x[1], np.stack([on_white(GREY, alpha)] * 3))


def test_an_opaque_channel_of_alpha_changes_nothing(tmp_path):
    Image.fromarray(np.dstack([COLOUR, np.full_like(GREY, 255)])).save(tmp_path / "a.png")
    found, notes = only(tmp_path / "a.png")
    np.testing.assert_array_equal(found, COLOUR)
    assert notes == ()


@pytest.mark.parametrize("ending", ["png", "gif"])
def test_a_transparent_colour_of_a_palette_is_white(tmp_path, ending):
    palette = G.permutation(256)[:18].reshape(6, 3).astype(np.uint8)
    index = np.arange(20).reshape(5, 4) % 6
    picture = Image.fromarray(index.astype(np.uint8)).convert("P")
    picture.putpalette(palette.tobytes())
    picture.save(tmp_path / f"plain.{ending}")
    np.testing.assert_array_equal(only(tmp_path / f"plain.{ending}")[0], palette[index])
    picture.save(tmp_path / f"a.{ending}", transparency=2)
    found, notes = only(tmp_path / f"a.{ending}")
    np.testing.assert_array_equal(
        found, np.where((index == 2)[..., None], np.uint8(255), palette[index])
    )
    assert notes == ("1 image with transparency, put on white",)


def test_palettes_with_an_alpha_for_each_colour_and_one_grey_that_is_transparent(tmp_path):
    index = np.arange(20).reshape(5, 4) % 3
    picture = Image.fromarray(index.astype(np.uint8)).convert("P")
    picture.putpalette([10, 20, 30, 200, 100, 0, 5, 5, 5])
    picture.save(tmp_path / "p.png", transparency=bytes([255, 100, 0]))
    colours = np.array([[10, 20, 30], [200, 100, 0], [5, 5, 5]], np.uint8)
    alpha = np.array([255, 100, 0], np.uint8)
    np.testing.assert_array_equal(
        only(tmp_path / "p.png")[0], on_white(colours[index], alpha[index])
    )
    Image.fromarray(GREY).save(tmp_path / "g.png", transparency=int(GREY[2, 2]))
    np.testing.assert_array_equal(
        only(tmp_path / "g.png")[0], np.where(GREY[2, 2] == GREY, 255, GREY)
    )


def test_bits_and_printers_colours(tmp_path):
    Image.fromarray(GREY > 127).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(only(tmp_path / "bits.png")[0], 255 * (GREY > 127))
    inks = G.integers(0, 256, (5, 4, 4)).astype(np.uint8)
    Image.fromarray(inks, "CMYK").save(tmp_path / "inks.tif")
    light = (255.0 - inks[..., :3]) * (255.0 - inks[..., 3:]) / 255
    found = only(tmp_path / "inks.tif")[0]
    assert np.abs(found - light).max() <= 1  # a grey level: integers are rounded on the way


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_16_bits_are_reduced_to_8_and_said(tmp_path, ending):
    values = np.array([[0, 128, 129, 385], [386, 32767, 65406, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / f"a.{ending}")
    found, notes = only(tmp_path / f"a.{ending}")
    np.testing.assert_array_equal(found, np.rint(values / 257).astype(np.uint8))
    assert notes == ("1 image of 16 bits per channel, reduced to 8",)


def test_colours_of_16_bits_keep_their_upper_halves(tmp_path):
    deep = G.integers(0, 65536, (3, 2, 3)).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in deep)
    (tmp_path / "a.png").write_bytes(png((2, 3), 16, 2, rows))
    found, notes = only(tmp_path / "a.png")
    np.testing.assert_array_equal(found, deep >> 8)
    assert notes == ("1 image of 16 bits per channel, reduced to 8",)


@pytest.mark.parametrize("width", [4, 5, 16])
def test_rows_of_16_bytes_are_not_16_bits(tmp_path, width):
    with warnings.catch_warnings(action="error"):
        Image.fromarray(np.zeros((3, width, 3), np.uint8)).save(tmp_path / "a.bmp")
        assert only(tmp_path / "a.bmp")[1] == ()
        read_picture(tmp_path / "a.bmp")


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_32_bits_are_refused(tmp_path, kind):
    Image.fromarray(GREY.astype(kind)).save(tmp_path / "a.tif")
    for read in (read_images, read_picture):
        with pytest.raises(ValueError, match=r"a\.tif .*pixels of 32 bits.*save it with 8 or 16"):
            read(tmp_path / "a.tif")


@pytest.mark.parametrize("ending", ["gif", "tif", "webp", "png"])
def test_of_several_frames_or_pages_the_first_is_taken_and_said(tmp_path, ending):
    first, second = (Image.fromarray(a) for a in (COLOUR, COLOUR[::-1].copy()))
    if ending == "gif":
        first, second = first.quantize(256), second.quantize(256)
    options = {"lossless": True} if ending == "webp" else {}
    first.save(tmp_path / f"a.{ending}", save_all=True, append_images=[second, first], **options)
    found, notes = only(tmp_path / f"a.{ending}")
    np.testing.assert_array_equal(found, np.asarray(first.convert("RGB")))
    assert notes == ("1 file of several frames or pages, of which the first is taken",)


HUGE = png((20_000, 20_000), 8, 2, b"")


def test_a_huge_image_is_refused_before_its_pixels_are_decoded(tmp_path):
    """Its pixels are not in the file: decoding would fail in another way."""
    (tmp_path / "a.png").write_bytes(HUGE)
    sentence = r"a\.png .*holds 4e\+08 pixels, above the limit of 1e\+08; set GIBBSIAN_MAX_PIXELS"
    for read in (read_images, read_picture):
        with pytest.raises(ValueError, match=sentence):
            read(tmp_path / "a.png")


def test_the_only_limit_is_the_one_that_is_told(tmp_path, monkeypatch):
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    for most in (15, 5):  # Pillow warns of more than it allows, and refuses twice as many
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
        with warnings.catch_warnings(action="error"):
            np.testing.assert_array_equal(only(tmp_path / "a.png")[0], COLOUR)
        assert most == Image.MAX_IMAGE_PIXELS


def test_more_images_than_memory_holds(tmp_path, monkeypatch):
    monkeypatch.setenv("GIBBSIAN_MAX_MEMORY", "119")
    with pytest.raises(
        ValueError, match=r"6 images; at 4x5 pixels \(--image-size .*take 120 bytes"
    ):
        read_images(folder_of(tmp_path / "in"))


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(GREY.repeat(8, 0).repeat(8, 1)).save(buffer, "jpeg")
    return buffer.getvalue()


BAD = {
    "empty.png": b"",
    "text.png": b"a text",
    "cut.jpg": jpeg()[: len(jpeg()) // 2],
    "head.png": HUGE[:20],
    "huge.png": HUGE,
    "frames.gif": b"GIF89a" + b"\x04\0\x05\0\0\0\0,",
}


@pytest.mark.parametrize("name", BAD)
def test_one_bad_file_of_many_is_named_with_the_option(tmp_path, name):
    (folder_of(tmp_path / "in") / name).write_bytes(BAD[name])
    for options in ({}, {"patch_size": 4}):
        with pytest.raises(ValueError, match=f"{name} in .*train with --skip-unreadable") as caught:
            load_dataset(tmp_path / "in", **options)
        assert "\n" not in str(caught.value)


def damaged(folder: Path) -> tuple[Path, Path]:
    """A folder and a zip of six images and of all that cannot be read."""
    folder_of(folder)
    for name, content in BAD.items():
        (folder / name).write_bytes(content)
    with zipfile.ZipFile(folder.with_suffix(".zip"), "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)
    return folder, folder.with_suffix(".zip")


def test_what_cannot_be_read_is_left_out_on_request(tmp_path):
    said = f"{len(BAD)} files left out, unreadable: {', '.join(sorted(BAD))}"
    for path in damaged(tmp_path / "in"):
        rows = read_images(path, skip_unreadable=True)
        np.testing.assert_array_equal(rows.x[:, 0], arrays(6))
        assert rows.unreadable.keys() == BAD.keys() and said in rows.notes
        assert "it is none of PNG" in rows.unreadable["text.png"]
        assert "4e+08 pixels" in rows.unreadable["huge.png"]
    for options in ({}, {"patch_size": 4, "max_rows": 8}):
        data = load_dataset(tmp_path / "in", skip_unreadable=True, **options)
        assert data.unreadable.keys() == BAD.keys() and said in data.notes
    for i in range(6):
        (tmp_path / f"in/{i:03}.png").unlink()
    for options in ({}, {"patch_size": 4, "max_rows": 8}):
        with pytest.raises(
            ValueError, match=r"in holds no image that can be read: text\.png cannot"
        ):
            load_dataset(tmp_path / "in", skip_unreadable=True, **options)


def test_a_damaged_member_of_a_zip(tmp_path):
    path = tmp_path / "in.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder_of(tmp_path / "in").iterdir()):
            archive.write(file, file.name)
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 8] ^= 255  # in 000.png
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"000\.png in .*in\.zip is not an intact member.*CRC"):
        read_images(path)
    rows = read_images(path, skip_unreadable=True)
    np.testing.assert_array_equal(rows.x[:, 0], arrays(6)[1:])
    assert set(rows.unreadable) == {"000.png"}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads any file")
def test_a_file_without_permission_is_named(tmp_path):
    (folder_of(tmp_path / "in") / "003.png").chmod(0)
    with pytest.raises(ValueError, match=r"003\.png in .*Permission denied"):
        read_images(tmp_path / "in")
    assert set(read_images(tmp_path / "in", skip_unreadable=True).unreadable) == {"003.png"}


def test_what_is_no_folder_of_images_takes_no_such_option(tmp_path):
    np.save(tmp_path / "x.npy", GREY)
    for source in ("moons", "digits", str(tmp_path / "x.npy")):
        with pytest.raises(ValueError, match="takes no --skip-unreadable"):
            load_dataset(source, skip_unreadable=True)


def test_images_to_score(tmp_path):
    """They are left out if those of the training were, and it is said which."""
    folder, said = damaged(tmp_path / "in")[0], []
    parts = read_points_in_parts(
        folder, pixels((1, 5, 4), 256), say=said.append, skip_unreadable=True
    )
    np.testing.assert_array_equal(next(parts)[:, 0].numpy(), arrays(6))
    assert len(said) == 1 and ", ".join(sorted(BAD)) in said[0]
    with pytest.raises(ValueError, match=r"cut\.jpg in .*cannot be read"):
        next(read_points_in_parts(folder, pixels((1, 5, 4), 256)))


def classed(folder: Path, counts: dict[str, int]) -> dict[bytes, str]:
    """That many images in each sub-folder; the name of the folder of each."""
    images, where = iter(arrays(sum(counts.values()))), {}
    for name, count in counts.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            array = next(images)
            Image.fromarray(array).save(folder / name / f"{i}.png")
            where[array.tobytes()] = name
    return where


def test_folders_are_classes(tmp_path):
    where = classed(tmp_path / "in", {"dog": 5, "cat": 12, "eel": 1})
    data = load_dataset(tmp_path / "in")
    assert "classes from folder names, numbered from 0: cat 12, dog 5, eel 1" in data.notes
    assert any("fewer than 3 images" in note and note.endswith("lack: eel") for note in data.notes)
    for part in ("train", "valid", "test"):
        for x, y in zip(getattr(data, part), data.targets[part], strict=True):
            assert where[x.numpy().astype(np.uint8).tobytes()] == ("cat", "dog", "eel")[y]


def test_names_of_classes_begin_where_folders_differ(tmp_path):
    classed(tmp_path / "in", {"set/b/x": 3, "set/a": 4})
    assert read_images(tmp_path / "in").notes[1].endswith("from 0: a 4, b/x 3")
    classed(tmp_path / "in", {".": 3})
    assert read_images(tmp_path / "in").notes[1].endswith("(no folder) 3, set/a 4, set/b/x 3")
    rows = read_images(folder_of(tmp_path / "one" / "set"))
    assert rows.targets is None and len(rows.notes) == 1


def test_exact_copies_are_told(tmp_path):
    folder = folder_of(tmp_path / "in")
    assert not any("cop" in note for note in read_images(folder).notes)
    Image.fromarray(arrays(6)[2]).save(folder / "copy.bmp")
    said = "1 exact copy of other images, so training and test may overlap: copy.bmp of 002.png"
    assert said in read_images(folder).notes
    assert said.replace(".bmp", "").replace(".png", "") in read_patches(folder, 4, 8, 0).notes
    turned = Image.fromarray(arrays(6)[2].T.copy())
    turned.save(folder / "turned.png")
    assert said.replace(".bmp", "").replace(".png", "") in read_patches(folder, 4, 8, 0).notes
    turned.transpose(Image.Transpose.TRANSPOSE).save(folder / "again.png")
    assert any(note.startswith("2 exact copies") for note in read_patches(folder, 4, 8, 0).notes)


def test_photographs_of_one_name_are_both_there(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.bmp")
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    found = photographs(tmp_path)
    assert set(found) == {"a", "a.png"}
    np.testing.assert_array_equal(found["a"], np.stack([GREY] * 3))
    np.testing.assert_array_equal(found["a.png"], np.moveaxis(COLOUR, 2, 0))


def test_a_bar_is_shown_for_many_files_alone(tmp_path, monkeypatch):
    shown = []

    def steps(over, what):
        shown.append((len(over), what))
        return over

    monkeypatch.setattr(progress, "steps", steps)
    folder_of(tmp_path / "in")
    read_images(tmp_path / "in")
    assert shown == []
    monkeypatch.setattr(image_files, "MANY", 6)
    read_images(tmp_path / "in")
    assert shown == [(6, "images")]


def test_what_makes_grey_images_rgb_is_named(tmp_path):
    folder = folder_of(tmp_path / "grey", 6)
    assert not any("RGB because" in note for note in read_images(folder).notes)
    Image.fromarray(COLOUR).save(folder / "003.png")
    note = "RGB because of 1 file of 6 in colour: 003.png; --greyscale takes all images as grey"
    assert note in read_images(folder).notes
    for i in (0, 1):  # half of them: those are images in colour
        Image.fromarray(COLOUR).save(folder / f"00{i}.png")
    assert not any("RGB because" in note for note in read_images(folder).notes)


def test_all_that_is_wrong_with_a_folder_is_told_at_once(tmp_path):
    for k, size in enumerate([(4, 5), (4, 5), (6, 5), (4, 5)]):
        Image.fromarray(np.zeros(size, np.uint8)).save(tmp_path / f"{k}.png")
    for name in ("b.png", "a.png"):
        (tmp_path / name).write_bytes(b"no image")
    with pytest.raises(ValueError) as caught:
        read_images(tmp_path)
    said = str(caught.value)
    for part in ("a.png in", "1 other file cannot be read: b.png", "5x4 (3 files, 0.png first)"):
        assert part in said
    assert "5x6 (2.png)" in said and "\n" not in said


def test_a_folder_taken_as_grey(tmp_path):
    for k in range(12):
        Image.fromarray((COLOUR if k % 2 else COLOUR[::-1]).copy()).save(tmp_path / f"{k}.png")
    found = load_dataset(tmp_path, greyscale=True)
    assert found.train.shape[1] == 1
    assert load_dataset(tmp_path).train.shape[1] == 3
    np.testing.assert_array_equal(
        read_images(tmp_path / "1.png", greyscale=True).x[0, 0],
        np.asarray(Image.fromarray(COLOUR).convert("L")),
    )


def test_grey_pixels_with_alpha_are_grey(tmp_path):
    pixels = np.full((4, 5, 4), 100, np.uint8)
    pixels[:2, :, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert read_images(tmp_path / "a.png").x.shape[1] == 1
