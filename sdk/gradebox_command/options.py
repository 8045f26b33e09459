"""Options that several commands have, spelled and explained once."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Machine-readable output on stdout.")]
Engines = Annotated[
    list[str] | None,
    typer.Option(
        "--engine",
        metavar="HOST:PORT",
        help="An engine to send the work to; may be given several times. Default: an embedded one.",
    ),
]
Token = Annotated[
    str | None,
    typer.Option("--token", envvar="GRADEBOX_TOKEN", help="With --engine: the token to send; best in the environment."),
]
CaFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="With --engine: use TLS, with these certificate authorities (PEM)."),
]
CertFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="With --engine: the certificate to show (PEM), for mutual TLS.")
]
KeyFile = Annotated[Path | None, typer.Option(metavar="FILE", help="The key of --cert-file (PEM).")]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Worker processes of an embedded engine. Default: one a core."),
]
