"""Captions in the format of COCO: ``{"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from micl_cli.api import Fault, Format, Item, Items, ManifestError, Match, Source, field_of, json_head, text_field


class Coco(Format):
    """COCO captions: images, and captions that name them by id. An image has all its captions as references."""

    name = "coco"
    type = "captioning"
    metric = "cider"
    suffixes = (".json",)
    columns: ClassVar[Mapping[str, tuple[str, ...]]] = {"image": ("file_name",), "answer": ("captions",), "id": ("id",)}

    @classmethod
    def match(cls, path: Path) -> Match:
        """Match files that begin with images or annotations."""
        if not path.is_file() or path.suffix.lower() not in cls.suffixes:
            return Match.NONE
        shape, keys = json_head(path)
        found = {"images", "file_name"} <= keys or {"annotations", "image_id", "caption"} <= keys
        return Match.CONTENT if shape == "object" and found else Match.NONE

    def items(self, path: Path, source: Source) -> Items:
        """Yield an item for each image, and a fault for one without captions and for a caption without an image."""
        captions: dict[str, list[str]] = {}
        places: dict[str, str] = {}
        for where, item in source.json_items(path, "annotations"):
            image = text_field(item, "image_id", where)
            captions.setdefault(image, []).append(_caption(item, where))
            places.setdefault(image, where)
        for where, item in source.json_items(path, "images"):
            image, name = text_field(item, "id", where), text_field(item, "file_name", where)
            if found := captions.pop(image, None):
                values = {"id": image, "file_name": self._place(name, path, source), "captions": found}
                yield Item(where, values)
            else:
                again = image in places
                reason = f"image id {image} occurs twice" if again else f"image {image} ({name}) has no caption"
                yield Fault(where, image, reason)
        for image, found in captions.items():
            yield Fault(places[image], image, f"{len(found)} captions of image {image}, which is not among the images")

    def _place(self, name: str, path: Path, source: Source) -> str:
        """Return the path of an image: its name, or below the folder named in captions_train2017.json."""
        return source.first_medium((name, f"{path.stem.rpartition('_')[2]}/{name}"))


def _caption(item: Any, where: str) -> str:
    if isinstance(item, Mapping) and "caption" not in item and ("bbox" in item or "segmentation" in item):
        hint = "Name the file of captions, such as captions_train2017.json."
        raise ManifestError(f"{where}: the annotations are boxes or masks, not captions", hint)
    return str(field_of(item, "caption", where))
