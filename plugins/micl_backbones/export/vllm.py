"""Export for a vLLM server: which adapters it can serve, and its command line.

vLLM reads plain LoRA in peft's layout. Ranks per layer are ignored by many of its versions, so that all layers of an
exported adapter have one rank; the highest rank of a server is one of a fixed list.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from micl_backbones.export.matrices import LoraMatrices
from micl_cli.api import ExportRequest, PlanError, Usage

_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""The values of --max-lora-rank."""


def check_servable(matrices: Mapping[str, LoraMatrices]) -> None:
    """Raise PlanError if vLLM cannot serve adapters of this rank."""
    for name, own in matrices.items():
        if own.rank > _RANKS[-1]:
            raise PlanError(
                f"vLLM cannot serve the adapter {name!r}: its rank is {own.rank}, and vLLM takes up to {_RANKS[-1]}",
                "Merge it instead: --format merged. vLLM serves the result like any checkpoint.",
            )


def server_usage(
    request: ExportRequest, matrices: Mapping[str, LoraMatrices], base: str, revision: str, bits: int
) -> list[Usage]:
    """Return how a server is started in the folder of the export, and asked; ``bits`` are those of quantised weights.

    A server quantises to 4 bits itself, in the format of the run.
    """
    served = {name: request.adapters[name] for name in request.answering}
    rank = next(each for each in _RANKS if each >= max(matrices[name].rank for name in served))
    words = ["vllm", "serve", base, *(["--revision", revision] if revision else [])]
    words += ["--enable-lora", "--max-lora-rank", str(rank), "--max-loras", str(len(served))]
    words += ["--quantization", "bitsandbytes"] if bits == 4 else []
    words += ["--generation-config", "vllm", "--lora-modules"]
    words += [f"{name}=./{within}".removesuffix("/") for name, within in served.items()]
    limit = request.decoding.get("max_new_tokens", 32)
    name = next(iter(served))
    asked = [
        "curl http://localhost:8000/v1/chat/completions -H 'Content-Type: application/json' -d '{",
        f'  "model": "{name}", "temperature": 0, "max_tokens": {limit},',
        '  "messages": [{"role": "user", "content": [',
        '    {"type": "image_url", "image_url": {"url": "https://example.org/picture.png"}},',
        '    {"type": "text", "text": "What is it?"}]}]}\'',
    ]
    where = (
        "in the folder of this file" if request.place == "." else f"in a folder made by `hf download {request.place}`"
    )
    start = f"With a version of vLLM that serves LoRA for this architecture, {where}:"
    return [
        Usage(text=start, code=" ".join(map(shlex.quote, words)), language="sh"),
        Usage(text="A request names the adapter as its model:", code="\n".join(asked), language="sh"),
    ]
