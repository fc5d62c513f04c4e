"""Opening of audio and video containers with PyAV."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import av.error
from av.container import InputContainer

from micl_modalities import formats

# Containers that hold their own data. Without this list, FFmpeg would follow playlists (HLS, concat, DASH) to other
# files and to the network.
_CONTAINERS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dv,flac,flv,gif,m4v,matroska,mov,mp3,mp4,mpeg,mpegts,mpegvideo,nut,ogg,w64,wav"
)


@contextmanager
def open_container(path: Path, modality: str) -> Iterator[InputContainer]:
    """Open a container. Converts FFmpeg's errors, here and in the block, to MediaError."""
    options = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"}
    try:
        # The prefix prevents FFmpeg from reading a name with a colon as a protocol.
        with av.open(f"file:{path}", options=options) as container:
            yield container
    except (av.error.InvalidDataError, av.error.ArgumentError) as error:
        raise formats.unreadable(path, modality, "its content is damaged or in no known format") from error
    except (av.error.FFmpegError, ValueError) as error:
        raise formats.unreadable(path, modality, getattr(error, "strerror", None) or error) from error
