"""Announces the tasks of the in-tree benchmarks."""

from micl_cli.api import Register, hookimpl

_TASKS = "micl_tasks.mini.tasks"
_OPEN = "micl_tasks.open.tasks"


@hookimpl
def micl_register_tasks(register: Register) -> None:
    """Register the embedded benchmarks ``mini`` and ``mini-tuning``, and ``open``, made from Debian packages."""
    register("mini/img_cap", f"{_TASKS}:ImageCaptioning", "caption small images of coloured shapes")
    register("mini/img_qa", f"{_TASKS}:ImageQA", "answer questions about small images of coloured shapes")
    register("mini/aud_cap", f"{_TASKS}:AudioCaptioning", "caption short sequences of sounds")
    register("mini/aud_qa", f"{_TASKS}:AudioQA", "answer questions about short sequences of sounds")
    register("mini/vid_cap", f"{_TASKS}:VideoCaptioning", "caption short clips of moving shapes")
    register("mini/vid_qa", f"{_TASKS}:VideoQA", "answer questions about short clips of moving shapes")
    register("mini/pat_cap", f"{_TASKS}:PatternCaptioning", "caption small images of patterns")
    register("mini/pat_qa", f"{_TASKS}:PatternQA", "answer questions about small images of patterns")
    register("mini-tuning/mel_cap", f"{_TASKS}:MelodyCaptioning", "caption short melodies")
    register("mini-tuning/lamp_qa", f"{_TASKS}:LampQA", "answer questions about short clips of lamps")
    register("mini-tuning/mel_qa", f"{_TASKS}:MelodyQA", "answer questions about short melodies")
    register("mini-tuning/lamp_cap", f"{_TASKS}:LampCaptioning", "caption short clips of lamps")
    register("open/img_cap", f"{_OPEN}:ImageCaptioning", "caption pictures of one or two emoji")
    register("open/img_qa", f"{_OPEN}:ImageQA", "answer questions about pictures of up to four emoji")
    register("open/aud_cap", f"{_OPEN}:AudioCaptioning", "caption short phrases of recorded instruments")
    register("open/aud_qa", f"{_OPEN}:AudioQA", "answer questions about short phrases of recorded instruments")
    register("open/vid_cap", f"{_OPEN}:VideoCaptioning", "caption clips of animated people and animals")
    register("open/vid_qa", f"{_OPEN}:VideoQA", "answer questions about clips of animated people and animals")


@hookimpl
def micl_register_metrics(register: Register) -> None:
    """Register the metric of mini's captions."""
    register("mini_attributes", "micl_tasks.mini.attributes:MiniAttributes", "F1 of the attributes named in a caption")
