"""Recognition of data sets by their files, for messages about a wrong root folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

LAYOUTS = {
    "COCO 2017": ("annotations/instances_train2017.json", "annotations/captions_train2017.json", "train2017/0*.jpg"),
    "COCO 2014": ("annotations/instances_train2014.json", "annotations/captions_train2014.json"),
    "VQA v2": ("v2_OpenEnded_mscoco_*_questions.json",),
    "Visual Genome": ("VG_100K", "VG_100K_2"),
    "ImageNet (ILSVRC)": ("ILSVRC", "train/n01440764"),
    "GQA": ("testdev_balanced_questions.json", "train_balanced_questions.json"),
    "TextVQA": ("TextVQA_0.5.1_*.json",),
    "a folder with a micl task": ("task.toml",),
    "a datasets library cache": ("dataset_info.json", "state.json"),
}
"""Well-known data sets without a reader: paths, with wildcards, of which one identifies the data set."""


def recognise(root: Path, marks: Mapping[str, tuple[str, ...]], others: Mapping[str, tuple[str, ...]] = LAYOUTS) -> str:
    """Return "It looks like NAME." for the data set at ``root``, or an empty string.

    ``marks`` holds the identifying paths of further data sets than the ``others``, by title.
    """
    for title, paths in {**marks, **others}.items():
        if any(next(root.glob(path), None) for path in paths):
            return f"It looks like {title}."
    return ""
