"""Announces the tasks of the in-tree benchmarks."""

from micl_cli.api import Register, hookimpl

_TASKS = "micl_tasks.mini.tasks"


@hookimpl
def micl_register_tasks(register: Register) -> None:
    """Register the six tasks of the embedded benchmark ``mini``."""
    register("mini/img_cap", f"{_TASKS}:ImageCaptioning", "caption small images of coloured shapes")
    register("mini/img_qa", f"{_TASKS}:ImageQA", "answer questions about small images of coloured shapes")
    register("mini/aud_cap", f"{_TASKS}:AudioCaptioning", "caption short sequences of sounds")
    register("mini/aud_qa", f"{_TASKS}:AudioQA", "answer questions about short sequences of sounds")
    register("mini/vid_cap", f"{_TASKS}:VideoCaptioning", "caption short clips of moving shapes")
    register("mini/vid_qa", f"{_TASKS}:VideoQA", "answer questions about short clips of moving shapes")
