"""Images, read by Pillow."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageFile
import PIL.ImageOps
import PIL.TiffImagePlugin
from numpy.typing import NDArray

from micl_cli.api import Modality
from micl_modalities import formats
from micl_modalities.lengths import corrected_webp

MAX_PIXELS = 64_000_000
"""Larger images are refused before they are decoded (192 MB as RGB)."""

# Formats that Pillow decodes itself; EPS, for one, would start Ghostscript.
_FORMATS = ("PNG", "JPEG", "MPO", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF", "TGA", "PCX", "ICO")


class Image(Modality):
    """An image as uint8 RGB [height, width, 3], at most ``MAX_PIXELS`` pixels.

    It is rotated by its EXIF orientation; transparency is composited on white; 16-bit greys are scaled to 8 bits; of an
    animation, the first frame is used.
    """

    name = "image"
    version = 2

    def read(self, path: Path) -> NDArray[np.uint8]:
        """Return uint8 [height, width, 3]. Raises MediaError."""
        with self._opened(path) as image:
            return np.array(_rgb(image))

    def inspect(self, path: Path) -> Mapping[str, Any]:
        """Return {"width", "height"} of the upright image in pixels. Raises MediaError."""
        with self._opened(path) as image:
            width, height = _rgb(image).size
            _check_pages(image)
        return {"width": width, "height": height}

    @contextmanager
    def _opened(self, path: Path) -> Iterator[PIL.Image.Image]:
        """Open an image. Converts Pillow's errors, here and in the block, to MediaError."""
        formats.check(path, self.name)
        try:
            with warnings.catch_warnings():
                # Suppress Pillow's warnings about odd metadata, but not the one about too many pixels.
                warnings.simplefilter("ignore")
                warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
                with PIL.Image.open(_source(path), formats=_formats()) as image:
                    _check_size(image.size)
                    yield image
        except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning) as error:
            raise formats.unreadable(path, self.name, f"it has more than {MAX_PIXELS:,} pixels") from error
        except PIL.UnidentifiedImageError as error:
            raise formats.unreadable(path, self.name, "its content is in no known image format") from error
        except Exception as error:  # Pillow's decoders may raise anything on damaged data.
            raise formats.unreadable(path, self.name, error or type(error).__name__) from error


def _source(path: Path) -> Path | BytesIO:
    """Return what Pillow is to open: the file, or its content if a wrong length in it had to be corrected."""
    with path.open("rb") as file:
        corrected = corrected_webp(file, path.stat().st_size)
    return path if corrected is None else BytesIO(corrected)


@lru_cache
def _formats() -> tuple[str, ...]:
    """Return the formats that this build of Pillow can open."""
    PIL.Image.init()
    return tuple(name for name in _FORMATS if name in PIL.Image.OPEN)


def _check_size(size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise ValueError(f"it is {width} x {height}, which is more than {MAX_PIXELS:,} pixels")
    if not width * height:
        raise ValueError("it has no pixels")


def _check_pages(image: PIL.Image.Image) -> None:
    """Decode the last page of a TIFF, which a truncated file lacks."""
    if isinstance(image, PIL.TiffImagePlugin.TiffImageFile) and image.n_frames > 1:
        image.seek(image.n_frames - 1)
        image.load()


def _rgb(image: PIL.Image.Image) -> PIL.Image.Image:
    """Convert an image to upright, opaque 8-bit RGB. Raises ValueError for pixels without a defined range."""
    stored = _Samples.of(image)
    image = PIL.ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers without a defined range")
    if "transparency" in image.info:
        image.info["transparency"] = stored.transparent(image.info["transparency"])
    if image.mode.startswith("I"):
        image = stored.eight_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = PIL.Image.alpha_composite(PIL.Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


@dataclass(frozen=True)
class _Samples:
    """How a file stores its pixels: Pillow's ``raw_mode``, the ``bits`` of deep greys, and whether 0 is white."""

    raw_mode: str
    bits: int = 16
    inverted: bool = False

    @classmethod
    def of(cls, image: PIL.Image.Image) -> _Samples:
        """Return the storage of an image that is opened, but not loaded."""
        tile = image.tile[0] if isinstance(image, PIL.ImageFile.ImageFile) and image.tile else None
        raw_mode = tile.args if tile and isinstance(tile.args, str) else ""
        if not isinstance(image, PIL.TiffImagePlugin.TiffImageFile):
            return cls(raw_mode)
        bits, photometric = image.tag_v2.get(258, (16,))[0], image.tag_v2.get(262)
        return cls(raw_mode, bits, inverted=photometric == 0)

    def transparent(self, value: Any) -> Any:
        """Return the transparent colour (PNG's tRNS), stored at the depth of the samples, in Pillow's pixel values."""
        if self.raw_mode in _SMALL_GREYS:
            return value * _SMALL_GREYS[self.raw_mode]
        if self.raw_mode == "RGB;16B":
            return tuple(component >> 8 for component in value)
        return value

    def eight_bits(self, image: PIL.Image.Image) -> PIL.Image.Image:
        """Scale deep greys of any integer type to 8 bits. Raises ValueError if they have more than 16 bits."""
        grey, largest = np.asarray(image), 2**self.bits - 1 if self.bits < 16 else 65535
        if grey.max() > 65535:
            raise ValueError("its greys have more than 16 bits, without a defined range")
        scaled = (np.clip(grey, 0, largest) * (255 / largest)).round().astype(np.uint8)
        eight = PIL.Image.fromarray(255 - scaled if self.inverted else scaled)
        transparent = image.info.get("transparency")
        if transparent is None:
            return eight
        opaque = PIL.Image.fromarray(np.where(grey == transparent, 0, 255).astype(np.uint8))
        return PIL.Image.merge("LA", (eight, opaque))


_SMALL_GREYS = {"L;2": 85, "L;4": 17}
"""The steps between greys of 2 and 4 bits when they are read as 8 bits."""
