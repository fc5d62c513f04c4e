"""Sessions: what a command asks for, done with registry, store and flow together."""

from __future__ import annotations

from micl_cli.session.outlook import Outlook as Outlook
from micl_cli.session.outlook import StageOutlook as StageOutlook
from micl_cli.session.recording import Recorder as Recorder
from micl_cli.session.recording import run_data as run_data
from micl_cli.session.request import Request as Request
from micl_cli.session.session import Session as Session
