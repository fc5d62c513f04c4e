"""Reports as LaTeX."""

from __future__ import annotations

from dataclasses import replace

import pytest

from micl_cli.report.blocks import Table
from micl_cli.report.data import RunData
from micl_cli.report.render import render
from micl_cli.report.render.latex import escaped, write

ONE = r"""
\subsection*{Run 3f2a91c04d1e: demo}

Strategy moincl, backbone composed:tiny, seed 0; finished.

Tasks in order: 1 mini/img\_cap (cider, n=64), 2 mini/aud\_qa (accuracy, n=60).

mini/ tasks are micl's own small tasks, generated from a seed. They are not the published datasets: compare their scores only with each other.

\noindent\textbf{R: score x100 on each task (column) after learning each task (row)}

\noindent\begin{tabular}{lrr}
\hline
 & img\_cap & aud\_qa \\
\hline
before learning & 2.50 & - \\
after 1 img\_cap & 512.50 & - \\
after 2 aud\_qa & 480.00 & 88.25 \\
\hline
\end{tabular}

\noindent\textbf{Figures over T tasks (-: undefined or not measured): mixes scales (cider 0..1000, accuracy 0..100)}

\noindent\begin{tabular}{lrp{0.5\linewidth}}
\hline
figure & value & formula \\
\hline
mean fine-tune (MFT) & 300.38 & \texttt{mean over i of R[i][i]} \\
mean final (MFN) & 284.12 & \texttt{mean over i of R[T][i]} \\
mean average (MAA) & 398.31 & \texttt{mean over t of (mean over i \textless{}= t of R[t][i])} \\
backward transfer (BWT) & $-32.50$ & \texttt{mean over i \textless{} T of (R[T][i] - R[i][i])} \\
forgetting & 32.50 & \texttt{mean over i \textless{} T of (R[i][i] - R[T][i])} \\
peak forgetting & 32.50 & \texttt{mean over i \textless{} T of (max over t \textless{} T of R[t][i] - R[T][i])} \\
\hline
\end{tabular}

\noindent\textbf{Figures from plugins}

\noindent\begin{tabular}{lr}
\hline
figure & value \\
\hline
routing accuracy & 99.50 \\
\hline
\end{tabular}

\noindent\textbf{Cost (run: sums of steps and seconds, highest peak and trainable, last stored)}

\noindent\begin{tabular}{lrrrrrrr}
\hline
stage & status & steps & examples & seconds & peak memory & trainable & stored \\
\hline
1 img\_cap & learned & 300 & 480 & 12.2 & 612.0 MB & 41,472 & 402.0 kB \\
2 aud\_qa & learned & 300 & 480 & 15.5 & 1.2 GB & 41,472 & 803.0 kB \\
run &  & 600 &  & 27.8 & 1.2 GB & 41,472 & 803.0 kB \\
\hline
\end{tabular}

\noindent\textbf{Other metrics, x100, after each stage}

\noindent\begin{tabular}{lrr}
\hline
 & after 1 & after 2 \\
\hline
img\_cap bleu4 & 71.50 & 60.25 \\
aud\_qa accuracy (val) & - & 91.00 \\
\hline
\end{tabular}
""".strip("\n")  # noqa: E501


def test_one_run(learnt: RunData) -> None:
    assert render([learnt], "latex") == ONE


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (r"\textbf{x}", r"\textbackslash{}textbf\{x\}"),
        ("img_cap 50% #1 $x$ a&b", r"img\_cap 50\% \#1 \$x\$ a\&b"),
        ("~^<>|", r"\textasciitilde{}\textasciicircum{}\textless{}\textgreater{}\textbar{}"),
        ("a---b", "a-{}-{}-b"),
        ("a\nb", r"a\textbackslash{}nb"),
        ("  [2cm] x", "{[}2cm] x"),
        ("*", "{*}"),
    ],
)
def test_names_are_not_commands(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_a_row_cannot_give_arguments_to_the_row_before() -> None:
    shown = write([Table("t", ("", "a"), [("[9cm]", "1.00"), ("*x", "-1.00")])])
    assert "{[}9cm] & 1.00 \\\\\n{*}x & $-1.00$ \\\\" in shown


def test_no_name_reaches_tex_as_it_is(nasty: RunData) -> None:
    shown = render([replace(nasty, tasks=("mini/a_b", "mini/c%d"))], "latex")
    assert r"\textbf{y}" not in shown
    assert r" & a\_b & c\%d \\" in shown


def test_the_hyphens_of_an_interval_are_minus_signs() -> None:
    shown = write([Table("t", ("", "a", "b"), [("x-1", "-1.50 [-2.25, 3.00]", "2.00 [1.00, 3.00]")])])
    assert "x-1 & $-1.50$ [$-2.25$, 3.00] & 2.00 [1.00, 3.00] \\\\" in shown
