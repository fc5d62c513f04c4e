"""Code for model cards that loads an export with transformers and peft, and asks it something."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from micl_cli.api import Example, ExportRequest, Media

if TYPE_CHECKING:
    from micl_backbones.hf.backbone import HF
    from micl_backbones.hf.chat import Chat


def adapters_code(backbone: HF, request: ExportRequest, base: str, revision: str) -> str:
    """Return code that loads the base model and the adapters of an export."""
    at = f", revision={revision!r}" if revision else ""
    trusted = "" if _is_native(backbone.model) else ", trust_remote_code=True"
    lines = [
        f"base, folder = {base!r}, {request.place!r}",
        f"processor = AutoProcessor.from_pretrained(base{at}{trusted})",
        *_model_lines(backbone, request, f"base{at}{trusted}"),
        *_adapter_lines(request),
    ]
    return "\n".join([*_imports(backbone, request, peft=True), "", *lines, "", *_question_lines(backbone, request)])


def whole_code(backbone: HF, request: ExportRequest) -> str:
    """Return code that loads an export whose weights are whole."""
    lines = [
        f"folder = {request.place!r}",
        "processor = AutoProcessor.from_pretrained(folder)",
        *_model_lines(backbone, request, "folder"),
        "model.eval()",
    ]
    return "\n".join([*_imports(backbone, request, peft=False), "", *lines, "", *_question_lines(backbone, request)])


def prompts_are_plain(backbone: HF) -> bool:
    """Return whether the processor alone writes the prompts of the backbone, tried with a text."""
    example = Example("", ("What is it?",))
    messages = [{"role": "user", "content": [{"type": "text", "text": example.prompt}]}, *_lead(backbone.chat)]
    try:
        plain = backbone.chat.processor.apply_chat_template([messages], **_template_arguments(backbone.chat))
        own = backbone.chat.encoded(backbone.chat.prompts([example]), [[]])
        return bool(plain["input_ids"].tolist() == own["input_ids"].tolist())
    except Exception:  # processors may raise anything where there are no media
        return False


def bits_of(model: Any) -> int:
    """Return the bits of quantised weights, 4 or 8; 0 if they are not quantised."""
    settings = model.config.to_dict().get("quantization_config") or {}
    return 4 if settings.get("load_in_4bit") else 8 if settings.get("load_in_8bit") else 0


def _is_native(model: Any) -> bool:
    return type(model).__module__.startswith("transformers.")


def _class_name(backbone: HF) -> str:
    return type(backbone.model).__name__ if _is_native(backbone.model) else "AutoModelForMultimodalLM"


def _quantization(backbone: HF) -> Mapping[str, Any]:
    settings: Mapping[str, Any] = backbone.model.config.to_dict().get("quantization_config") or {}
    return {
        name: value
        for name, value in settings.items()
        if name.startswith(("load_in_", "bnb_4bit_", "llm_int8_skip")) and "storage" not in name and value is not None
    }


def _imports(backbone: HF, request: ExportRequest, *, peft: bool) -> list[str]:
    names = ["AutoProcessor", "GenerationConfig", _class_name(backbone)]
    names += ["BitsAndBytesConfig"] if _quantization(backbone) else []
    names += ["LogitsProcessorList", "RepetitionPenaltyLogitsProcessor"] if _penalty(request) else []
    shown = request.example.modalities
    return [
        *(["import soundfile"] if "audio" in shown else []),
        "import torch",
        *(["from peft import PeftModel"] if peft else []),
        *(["from PIL import Image"] if "image" in shown else []),
        f"from transformers import {', '.join(sorted(names))}",
    ]


def _model_lines(backbone: HF, request: ExportRequest, source: str) -> list[str]:
    """Return the lines that load a model, with the decoding of the run instead of the checkpoint's own."""
    dtype = str(backbone.model.dtype)
    settings = {name: value for name, value in request.decoding.items() if name != "repetition_penalty"}
    settings |= {"do_sample": False, "eos_token_id": list(backbone.chat.ends)}
    settings["pad_token_id"] = backbone.chat.tokenizer.pad_token_id
    given = ", ".join(f"{name}={value!r}" for name, value in settings.items())
    quantization = _quantization(backbone)
    load = [f"model = {_class_name(backbone)}.from_pretrained({source}, dtype={dtype})"]
    if quantization:
        load = [
            f"quantization = BitsAndBytesConfig(**{dict(quantization)!r})",
            f"model = {_class_name(backbone)}.from_pretrained(",
            f"    {source}, dtype={dtype}, quantization_config=quantization",
            ")",
        ]
    return [*load, f"model.generation_config = GenerationConfig({given})"]


def _adapter_lines(request: ExportRequest) -> list[str]:
    if list(request.adapters.values()) == [""]:
        return ["model = PeftModel.from_pretrained(model, folder).eval()"]
    first, *others = [(name, request.adapters[name]) for name in request.answering]
    lines = [f"model = PeftModel.from_pretrained(model, folder, subfolder={first[1]!r}, adapter_name={first[0]!r})"]
    lines += [f"model.load_adapter(folder, adapter_name={name!r}, subfolder={within!r})" for name, within in others]
    task, name = next(iter(request.by_task.items()), ("", first[0]))
    return [*lines, f"model.set_adapter({name!r})  # the adapter of {task}", "model.eval()"]


def _question_lines(backbone: HF, request: ExportRequest) -> list[str]:
    media = [medium for medium in request.example.media if medium.modality in ("image", "audio")]
    parts = [_part(item) for item in request.example.content if isinstance(item, str) or item in media]
    arguments = {name: value for name, value in _template_arguments(backbone.chat).items() if name != "padding"}
    messages = "".join(f", {message!r}" for message in _lead(backbone.chat))
    lines = [
        *(line for medium in media for line in _medium_lines(backbone, medium)),
        f"content = [{', '.join(parts)}]",
        f'messages = [{{"role": "user", "content": content}}{messages}]',
        "inputs = processor.apply_chat_template(",
        f"    messages, {', '.join(f'{name}={value!r}' for name, value in arguments.items())}",
        ").to(model.device, dtype=model.dtype)",
        'length = inputs["input_ids"].shape[1]',
    ]
    generate = "**inputs"
    if penalty := _penalty(request):
        lines.append(f"penalty = RepetitionPenaltyLogitsProcessor({penalty!r}, prompt_ignore_length=length)")
        generate += ", logits_processor=LogitsProcessorList([penalty])"
    return [
        *lines,
        "with torch.no_grad():",
        f"    ids = model.generate({generate})[0, length:]",
        "answer = processor.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)",
        "print(answer.strip())",
    ]


def _penalty(request: ExportRequest) -> float | None:
    penalty: float | None = request.decoding.get("repetition_penalty")
    return penalty


def _part(item: str | Media) -> str:
    if isinstance(item, str):
        return f'{{"type": "text", "text": {item!r}}}'
    return f'{{"type": "{item.modality}", "{item.modality}": {item.modality}}}'


def _medium_lines(backbone: HF, medium: Media) -> list[str]:
    """Return the lines that read a medium."""
    if medium.modality == "image":
        return [f'image = Image.open({str(medium.path)!r}).convert("RGB")']
    rate = backbone.chat.options["audio"]["rate"]
    return [f'audio, rate = soundfile.read({str(medium.path)!r}, dtype="float32")  # mono, at {rate} samples a second']


def _template_arguments(chat: Chat) -> dict[str, Any]:
    """Return the arguments of ``apply_chat_template`` for a prompt up to the beginning of the answer."""
    begin = {"continue_final_message": True} if chat.turn.asked else {"add_generation_prompt": True}
    return {**begin, "tokenize": True, "return_dict": True, "return_tensors": "pt"}


def _lead(chat: Chat) -> list[dict[str, Any]]:
    """Return the beginning of an answer as a message, if the template has a text before answers."""
    if not chat.turn.asked:
        return []
    return [{"role": "assistant", "content": [{"type": "text", "text": chat.turn.asked}]}]
