"""Check of the media of tasks against the limits of a backbone, before anything is learnt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from micl_cli.api.backbone import Backbone, InspectedMedium, MediumFault
from micl_cli.api.task import SPLITS, Task
from micl_cli.errors import PlanError

_LISTED = 20


def check_media(backbone: Backbone, tasks: Sequence[Task]) -> list[str]:
    """Return notes about media of which the backbone reads only a part.

    Raises PlanError with the files that it cannot process.
    """
    refused: list[MediumFault] = []
    notes: list[str] = []
    for task in tasks:
        media = inspected_media(task)
        faults = list(backbone.check_media(media))
        refused += [fault for fault in faults if not fault.partial]
        notes += _notes(task, media, [fault for fault in faults if fault.partial])
    if refused:
        raise _error(refused)
    return notes


def inspected_media(task: Task) -> list[InspectedMedium]:
    """Return each medium of a task once, in the order of its examples."""
    media = dict.fromkeys(medium for split in SPLITS for example in task.examples(split) for medium in example.media)
    return [InspectedMedium(medium, task.facts.get(medium.digest, {})) for medium in media]


def _notes(task: Task, media: Sequence[InspectedMedium], faults: Sequence[MediumFault]) -> list[str]:
    """Return a line for each reason, with the number of media that it applies to."""
    totals = Counter(each.medium.modality for each in media)
    counts = Counter((fault.medium.modality, fault.reason) for fault in faults)
    return [
        f"{task.name}: {count} of {totals[modality]} {modality} files are cut: {reason}"
        for (modality, reason), count in counts.items()
    ]


def _error(faults: Sequence[MediumFault]) -> PlanError:
    listed = [f"  {fault.medium.path}: {fault.reason}" for fault in faults[:_LISTED]]
    more = [f"  and {len(faults) - _LISTED} more"] if len(faults) > _LISTED else []
    count = f"{len(faults)} media files" if len(faults) > 1 else "a media file"
    hint = "Remove their lines from the manifest and prepare the task again, or choose another --backbone."
    return PlanError("\n".join([f"this backbone cannot process {count}:", *listed, *more]), hint)
