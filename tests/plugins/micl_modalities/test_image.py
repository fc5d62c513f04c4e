"""Pictures as they are found on disks."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_cli.api import MediaError
from micl_modalities.image import MAX_PIXELS, Image

Write = Callable[..., Path]
NOISE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def test_reads_rgb_as_height_width_3(write_image: Write) -> None:
    pixels = Image().read(write_image(NOISE))
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, NOISE)
    assert Image().inspect(write_image(NOISE)) == {"width": 30, "height": 20}


def test_turns_upright(write_image: Write) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # To be turned a quarter clockwise.
    path = write_image(NOISE, exif=exif)
    assert np.array_equal(Image().read(path), np.rot90(NOISE, -1))
    assert Image().inspect(path) == {"width": 20, "height": 30}


def test_lays_transparency_on_white(write_image: Write) -> None:
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 3] = 0, 255, 51
    assert Image().read(write_image(rgba))[0, :, 0].tolist() == [255, 0, 204]


def test_lays_transparent_palette_entry_on_white(write_image: Write) -> None:
    image = PIL.Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    pixels = Image().read(write_image(image, transparency=0))
    assert pixels.tolist() == [[[255, 255, 255], [40, 50, 60]]]


def test_a_transparent_16_bit_grey_is_laid_on_white(write_image: Write) -> None:
    grey = np.array([[5000, 40000]], np.uint16)
    assert Image().read(write_image(grey, transparency=5000))[0, :, 0].tolist() == [255, 156]


@pytest.mark.parametrize(
    ("depth", "colour", "pixels", "transparent", "expected"),
    [
        (1, 0, b"\x40", b"\0\1", [0, 255]),
        (2, 0, b"\x10", b"\0\1", [0, 255]),
        (2, 0, b"\x20", b"\0\1", [0, 170]),
        (4, 0, b"\x5a", b"\0\5", [255, 170]),
        (8, 0, b"\5\x5a", b"\0\5", [255, 90]),
        (16, 2, bytes([10, 1, 0, 0, 0, 0, 20, 0, 20, 0, 20, 0]), bytes([10, 1, 0, 0, 0, 0]), [255, 20]),
    ],
)
def test_transparent_colours_of_all_depths(
    tmp_path: Path, depth: int, colour: int, pixels: bytes, transparent: bytes, expected: list[int]
) -> None:
    chunks = [(b"tRNS", transparent), (b"IDAT", zlib.compress(b"\0" + pixels))]
    (tmp_path / "a.png").write_bytes(_png(2, 1, depth, colour, chunks))
    assert Image().read(tmp_path / "a.png")[0, :, 0].tolist() == expected


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_orientations(write_image: Write, suffix: str, orientation: int) -> None:
    stored = np.zeros((24, 40, 3), np.uint8)
    stored[:12, :20], stored[:12, 20:] = 250, 120
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    options = {"tiffinfo": exif} if suffix == "tif" else {"exif": exif}
    read = Image().read(write_image(stored, f"a.{suffix}", **options))
    turned = np.rot90(stored, {3: 2, 4: 2, 5: -1, 6: -1, 7: 1, 8: 1}.get(orientation, 0))
    expected = turned[:, ::-1] if orientation in (2, 4, 5, 7) else turned
    assert read.shape == expected.shape
    assert np.abs(read.astype(int) - expected).mean() < 6


def test_greys_of_12_bits_and_inverted_ones_of_a_tiff(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(_tiff(12, 1, bytes([0xFF, 0xF0, 0])))
    assert Image().read(tmp_path / "a.tif")[0, :, 0].tolist() == [255, 0]
    (tmp_path / "a.tif").write_bytes(_tiff(16, 0, struct.pack("<2H", 257, 65535)))
    assert Image().read(tmp_path / "a.tif")[0, :, 0].tolist() == [254, 0]


def _tiff(bits: int, photometric: int, pixels: bytes) -> bytes:
    """A grey TIFF of 2 x 1 pixels; photometric 0: zero is white."""
    entries = {256: 2, 257: 1, 258: bits, 259: 1, 262: photometric, 273: 122, 277: 1, 278: 1, 279: len(pixels)}
    tags = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries.items())
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + tags + bytes(4) + pixels


def test_greys_without_a_defined_range_are_an_error(write_image: Write) -> None:
    for pixels in (np.array([[0, 70000]], np.int32), np.array([[0.5]], np.float32)):
        with pytest.raises(MediaError, match="without a defined range"):
            Image().read(write_image(PIL.Image.fromarray(pixels), "a.tif"))


@pytest.mark.parametrize("brand", [b"avif", b"mif1", b"msf1"])
def test_avif_of_every_brand_is_a_picture(write_image: Write, brand: bytes) -> None:
    path = write_image(NOISE, "a.avif")
    content = bytearray(path.read_bytes())
    content[8:12] = brand
    path.write_bytes(content)
    assert Image().read(path).shape == NOISE.shape


def test_takes_the_first_frame_of_an_animated_avif(write_image: Write) -> None:
    frames = [PIL.Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    pixels = Image().read(write_image(frames[0], "a.avif", save_all=True, append_images=frames[1:]))
    assert pixels[0, 0, 0] > 200
    assert pixels[0, 0, 2] < 50


@pytest.mark.parametrize("brands", [b"heic\0\0\0\0mif1heic", b"mif1\0\0\0\0mif1heic", b"msf1\0\0\0\0hevcmsf1"])
def test_heic_is_refused_by_its_name(tmp_path: Path, brands: bytes) -> None:
    (tmp_path / "IMG_1.HEIC").write_bytes(struct.pack(">I", 24) + b"ftyp" + brands + struct.pack(">I", 8) + b"mdat")
    with pytest.raises(MediaError, match="its content is HEIC; save it as JPEG"):
        Image().read(tmp_path / "IMG_1.HEIC")


def test_scales_16_bit_greys(write_image: Write) -> None:
    grey = np.array([[0, 257, 32896, 65535]], np.uint16)
    assert Image().read(write_image(grey))[0, :, 1].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "CMYK", "YCbCr"])
def test_reads_other_colour_modes(write_image: Write, mode: str) -> None:
    name = "picture.png" if mode in {"1", "L", "LA"} else "picture.jpg"
    pixels = Image().read(write_image(PIL.Image.new(mode, (4, 3)), name))
    assert pixels.shape == (3, 4, 3)


def test_takes_the_first_frame_of_an_animation(write_image: Write) -> None:
    frames = [PIL.Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    path = write_image(frames[0], "moving.gif", save_all=True, append_images=frames[1:])
    assert Image().read(path)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("name", ["picture.png", "picture.jpg", "picture.gif", "picture.bmp", "picture.tif"])
def test_truncated_picture_is_an_error(write_image: Write, name: str) -> None:
    path = write_image(NOISE, name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MediaError, match=f"{name}: cannot be read as an image"):
        Image().inspect(path)


def test_empty_file_and_missing_file_and_folder(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    for name, reason in {"empty.png": "is empty", "none.png": "No such file", "": "not a file"}.items():
        with pytest.raises(MediaError, match=reason):
            Image().read(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.png", "Größe\n".encode() * 200, "it holds text"),
        ("a.png", b"RIFF\x24\0\0\0WAVEfmt ", "its content is WAV"),
        ("a.png", b"\0\0\0\x18ftypmp42" + bytes(12), "its content is MP4"),
        ("a.png", bytes(range(256)), "no known image format"),
        ("a.wav", b"\x89PNG\r\n\x1a\n", "its name says WAV"),
    ],
)
def test_file_that_is_no_picture(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MediaError, match=f"{name}: cannot be read as an image: .*{reason}"):
        Image().inspect(tmp_path / name)


def test_jpeg_under_the_name_of_a_png_names_the_way_out(write_image: Write) -> None:
    path = write_image(NOISE, "picture.jpg")
    with pytest.raises(MediaError, match=r"its name says PNG, its content is JPEG \(rename it to picture\.jpg\)"):
        Image().read(path.rename(path.with_suffix(".png")))


def test_name_without_a_known_suffix_tells_nothing(write_image: Write) -> None:
    path = write_image(NOISE)
    assert Image().read(path.rename(path.with_suffix(".bin"))).shape == (20, 30, 3)


def test_plain_text_netpbm_is_a_picture(tmp_path: Path) -> None:
    (tmp_path / "a.ppm").write_text("P3\n1 1\n255\n255 0 0\n")
    assert Image().read(tmp_path / "a.ppm").tolist() == [[[255, 0, 0]]]


def test_postscript_is_never_run(tmp_path: Path) -> None:
    (tmp_path / "a.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n\xff\0\0\0\0")
    with pytest.raises(MediaError, match="no known image format"):
        Image().read(tmp_path / "a.eps")


@pytest.mark.parametrize(("width", "height"), [(MAX_PIXELS // 100, 101), (100_000, 100_000), (2**31 - 1, 2**31 - 1)])
def test_decompression_bomb_is_refused_unopened(tmp_path: Path, width: int, height: int) -> None:
    (tmp_path / "bomb.png").write_bytes(_png(width, height, 8, 2, [(b"IDAT", zlib.compress(bytes(100)))]))
    with pytest.raises(MediaError, match="more than 64,000,000 pixels"):
        Image().inspect(tmp_path / "bomb.png")


def _png(width: int, height: int, depth: int, colour: int, chunks: Sequence[tuple[bytes, bytes]]) -> bytes:
    """A PNG of these chunks between header and end."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in [(b"IHDR", header), *chunks, (b"IEND", b"")]
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@given(data=st.data())
def test_damaged_bytes_give_a_picture_or_a_media_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(["a.png", "a.jpg", "a.gif", "a.tif", "a.webp"]))
    buffer = BytesIO()
    PIL.Image.fromarray(NOISE).save(buffer, PIL.Image.registered_extensions()[Path(name).suffix])
    content = bytearray(buffer.getvalue())
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=5)):
        content[at] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("damaged") / name
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        assert Image().read(path).shape[2] == 3
    except MediaError as error:
        assert str(path) in error.message
