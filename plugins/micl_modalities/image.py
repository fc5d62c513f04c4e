"""Images, read by Pillow."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageOps
from numpy.typing import NDArray

from micl_cli.api import Modality
from micl_modalities import formats

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

    def read(self, path: Path) -> NDArray[np.uint8]:
        """Return uint8 [height, width, 3]. Raises MediaError."""
        formats.check(path, self.name)
        try:
            with warnings.catch_warnings():
                # Suppress Pillow's warnings about odd metadata, but not the one about too many pixels.
                warnings.filterwarnings("ignore", module="PIL")
                warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
                with PIL.Image.open(path, formats=_formats()) as image:
                    _check_size(image.size)
                    return np.array(_rgb(image))
        except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning) as error:
            raise formats.unreadable(path, self.name, f"it has more than {MAX_PIXELS:,} pixels") from error
        except PIL.UnidentifiedImageError as error:
            raise formats.unreadable(path, self.name, "its content is in no known image format") from error
        except Exception as error:  # Pillow's decoders may raise anything on damaged data.
            raise formats.unreadable(path, self.name, error or type(error).__name__) from error

    def inspect(self, path: Path) -> Mapping[str, Any]:
        """Return {"width", "height"} of the upright image in pixels. Raises MediaError."""
        height, width, _ = self.read(path).shape
        return {"width": width, "height": height}


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


def _rgb(image: PIL.Image.Image) -> PIL.Image.Image:
    """Convert an image to upright, opaque 8-bit RGB. Raises ValueError for pixels without a defined range."""
    image = PIL.ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers without a defined range")
    if image.mode.startswith("I"):
        image = PIL.Image.fromarray(_eight_bits(np.asarray(image)))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = PIL.Image.alpha_composite(PIL.Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _eight_bits(grey: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale 16-bit greys of any integer type to 8 bits."""
    scaled: NDArray[np.uint8] = (np.clip(grey, 0, 65535) / 257).round().astype(np.uint8)
    return scaled
