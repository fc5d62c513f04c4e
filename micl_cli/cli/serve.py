"""``micl serve``: serve a run's model over HTTP."""

from __future__ import annotations

import click

from micl_cli.cli.command import Command
from micl_cli.cli.completers import complete_runs
from micl_cli.cli.console import note
from micl_cli.cli.context import current_settings
from micl_cli.cli.plan_options import trust_option
from micl_cli.cli.status import DownloadBars, quiet_libraries

EPILOG = """\b
Examples:
  micl serve @last
  MICL_SERVE_TOKEN=... micl serve 3f2a --host 0.0.0.0 --port 8080

\b
  from openai import OpenAI
  client = OpenAI(base_url="http://127.0.0.1:8000/v1", api_key="none")
  client.chat.completions.create(model="RUN", messages=[{"role": "user", "content": "What is it?"}])

\b
Model names: RUN (the last stage, routed by the run's own method), RUN@STAGE, RUN:ADAPTER; the adapter
`base` is the base model alone. Media are parts of a message: image_url, video_url and audio_url with
data:...;base64,..., and input_audio. The model reads the parts in their order: put media before the text,
as the tasks do. Answers are decoded as in the run's evaluation; a request for sampling is refused."""


@click.command(cls=Command, epilog=EPILOG)
@click.argument("run", shell_complete=complete_runs)
@click.option("--host", default="127.0.0.1", help="The address to listen on; a token is required unless it is local.")
@click.option("--port", default=8000, type=click.IntRange(0, 65535), help="The port to listen on; 0: any free one.")
@click.option("--token", metavar="TOKEN", default="", show_default=False,
              help="The API key that clients must send; the variable hides it from other users.")  # fmt: skip
@click.option("--max-bytes", default=20_000_000, type=click.IntRange(1), metavar="N",
              help="Maximum size of a request with its media, in bytes.")  # fmt: skip
@click.option("--timeout", default=300.0, type=click.FloatRange(0, min_open=True), metavar="SECONDS",
              help="Maximum time until an answer is complete, including the time in the queue.")  # fmt: skip
@click.option("--queue", default=8, type=click.IntRange(0, 1000), metavar="N",
              help="Maximum number of requests that wait while one is answered.")  # fmt: skip
@trust_option
@click.option("--device", default="auto", type=click.Choice(["auto", "cpu", "cuda"]), help="The device to compute on.")
def serve(
    run: str,
    host: str,
    port: int,
    token: str,
    max_bytes: int,
    timeout: float,
    queue: int,
    trust_remote_code: bool,
    device: str,
) -> None:
    """Serve the model of a run over HTTP, with the API of OpenAI's chat completions.

    The model is loaded once and answers one request at a time. Ctrl-C stops the server.
    """
    from micl_cli.serve.addresses import check_exposure
    from micl_cli.serve.http import Limits

    check_exposure(host, token)
    from micl_cli.serve.names import ModelNames
    from micl_cli.serve.server import serve as answer_requests
    from micl_cli.session import Session
    from micl_cli.session.model import load_model
    from micl_cli.session.signals import stop_on_signal

    session = Session(current_settings(), progress=DownloadBars().update, trusted=trust_remote_code)
    run_id = session.resolve(run)
    note(f"loading run {run_id} with backbone {session.record(run_id)[1].backbone}")
    with quiet_libraries():
        model, notices = load_model(session, run_id, device)
        for notice in notices:
            note(f"note: {notice}")
        if model.knows_task:
            note(f"note: {model.plan.strategy} may need the task, which a request cannot name: ask for RUN:ADAPTER")
        names = ModelNames([run_id, model.run.name, run], model.stages, [*model.adapters(), "base"])
        with stop_on_signal(lambda: note("stopping")) as stopped:
            answer_requests(
                model,
                names,
                session.registry,
                host=host,
                port=port,
                token=token,
                limits=Limits(max_bytes=max_bytes, timeout=timeout, queue=queue),
                log=note,
                stopped=stopped,
                ready=lambda url: note(f"run {run_id} answers at {url} as model {run_id} (Ctrl-C ends)"),
            )
