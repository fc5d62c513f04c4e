"""What encoders refuse or leave out of media, by their recorded lengths and sizes."""

from __future__ import annotations

from pathlib import Path

from helpers import Make

from micl_cli.api import InspectedMedium, Media


def test_sounds_longer_than_the_encoder_reads_are_found(make: Make) -> None:
    """The small preset hears half a second."""
    media = [InspectedMedium(Media("audio", Path(str(s))), {"seconds": s}) for s in (0.0, 0.5, 0.501, 0.6, 4.0)]
    media += [InspectedMedium(Media("audio", Path("unknown")), {}), InspectedMedium(Media("smell"), {"seconds": 9})]
    found = {str(fault.medium.path): fault for fault in make("composed").check_media(media)}
    assert set(found) == {"0.6", "4.0"}
    assert all(fault.partial and "first 0.5 s" in fault.reason for fault in found.values())
