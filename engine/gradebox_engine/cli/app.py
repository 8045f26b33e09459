"""Commands, their arguments and their help. What they do is in a module of their own each."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from gradebox_command.errors import BAD_INPUT, DONE, BadArgument, one_line
from gradebox_command.options import CaFile, CertFile, Engines, Json, KeyFile, Token, Workers
from gradebox_engine.cli import images_app
from gradebox_trainer import cli as trainer

app = typer.Typer(
    name="gradebox",
    help="Grades untrusted programs against tests, inside two jails.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(images_app.app)


def run(argv: list[str]) -> int:
    """Parses `argv` (without the program's name), runs the command, returns its exit status."""
    try:
        status = app(argv, prog_name="gradebox", standalone_mode=False)
    except TyperException as error:
        if not argv:  # the message is the help text
            print(error.format_message())
            return DONE
        print(f"gradebox: {one_line(error.format_message())}", file=sys.stderr)
        return BAD_INPUT
    except typer.Abort:
        raise KeyboardInterrupt from None
    return status if isinstance(status, int) else DONE


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        print(f"gradebox {version('gradebox')}")
        raise typer.Exit(DONE)


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command()
def demo(
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Published data: DIR/problems/*.jsonl.gz with DIR/samples/*.jsonl.gz.",
        ),
    ] = None,
    limit: Annotated[
        int,
        typer.Option(min=0, help="With --data: programs per file, on their first tests; 0 grades all on all."),
    ] = 100,
    workers: Workers = None,
    json: Json = False,
) -> int:
    """Grade the shipped sample (or a folder of data) on an embedded engine and show a table."""
    if data is not None:
        from gradebox_engine.cli.demo_data import demo_data

        return demo_data(data, limit=limit, workers=workers, as_json=json)
    from gradebox_engine.cli.demo import demo_sample

    return demo_sample(workers=workers, as_json=json)


@app.command()
def grade(
    problems: Annotated[Path, typer.Argument(metavar="PROBLEMS", help="JSON Lines (also .gz), Parquet, or a folder.")],
    programs: Annotated[Path, typer.Argument(metavar="PROGRAMS", help="JSON Lines (also .gz), Parquet, or a folder.")],
    output: Annotated[
        str,
        typer.Option(
            "-o",
            "--output",
            metavar="LABELS",
            help="Labels: .jsonl, .jsonl.gz or .parquet; or a folder for shards, with a slash at its end.",
        ),
    ],
    engine: Engines = None,
    token: Token = None,
    ca_file: CaFile = None,
    cert_file: CertFile = None,
    key_file: KeyFile = None,
    skip_unknown: Annotated[
        bool, typer.Option("--skip-unknown", help="Leave out programs of problems that are not in PROBLEMS.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an earlier run was ended.")] = False,
    min_seal: Annotated[
        str | None,
        typer.Option(
            metavar="SEAL",
            help="Weakest seal to accept: in_process, compared or sealed. Default: any.",
        ),
    ] = None,
    stop_early: Annotated[
        bool,
        typer.Option("--stop-early", help="Skip a program's tests after the first one failed."),
    ] = False,
    shard_format: Annotated[
        str, typer.Option(metavar="FORMAT", help="Of a folder's shards: parquet, jsonl or jsonl.gz.")
    ] = "parquet",
    shard_rows: Annotated[int, typer.Option(min=1, help="Labels in one shard of a folder.")] = 10_000,
    ray: Annotated[
        bool,
        typer.Option(
            "--ray", help="Grade on a Ray cluster, with an engine on every node: that of RAY_ADDRESS, or this machine."
        ),
    ] = False,
    workers: Workers = None,
    json: Json = False,
) -> int:
    """Grade PROGRAMS against PROBLEMS and write one label a submission, in the order of the input.

    The same program with the same tests is graded once. What an engine has given is kept, even after a kill -9, and
    not graded again with --resume. Exit status: 0 done, 1 failed, 2 bad arguments or input, 130 interrupted.
    """
    from gradebox_command import session
    from gradebox_engine.cli import grade as command

    if engine and workers is not None:
        raise BadArgument("--workers is for an embedded engine: it does not go with --engine")
    if engine and ray:
        raise BadArgument("--ray starts an engine on every node: it does not go with --engine")
    options = command.Options(
        problems=problems,
        programs=programs,
        output=output,
        engines=session.Engines(tuple(engine or ()), workers, token, ca_file, cert_file, key_file),
        skip_unknown=skip_unknown,
        resume=resume,
        min_seal=min_seal,
        stop_early=stop_early,
        shard_format=shard_format,
        shard_rows=shard_rows,
        ray=ray,
        as_json=json,
    )
    return command.grade(options)


@app.command(name="run")
def run_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The program.")],
    stdin: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What the program reads. Default: nothing.")
    ] = None,
    image: Annotated[str | None, typer.Option(metavar="NAME", help="The image that it runs in.")] = None,
    language: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Default: by the file's name, or the image's."),
    ] = None,
    file_: Annotated[
        list[str] | None,
        typer.Option("--file", metavar="[NAME=]PATH", help="Put this file into the program's folder. Repeatable."),
    ] = None,
    fetch: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[=PATH]", help="Fetch this file from the program's folder afterwards. Repeatable."),
    ] = None,
    engine: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Default: an embedded engine.")] = None,
    token: Token = None,
    ca_file: CaFile = None,
    cert_file: CertFile = None,
    key_file: KeyFile = None,
    json: Json = False,
) -> int:
    """Run one program in the jails and show its output and its resource use.

    Exit status: 0 when the program ended with status 0, else 1.
    """
    from gradebox_command import session
    from gradebox_engine.cli import run as command

    engines = session.Engines((engine,) if engine else (), 1, token, ca_file, cert_file, key_file)
    return command.run(
        file,
        stdin=stdin,
        image=image,
        language=language,
        files=file_ or [],
        fetch=fetch or [],
        engines=engines,
        as_json=json,
    )


@app.command()
def serve(
    listen: Annotated[
        str | None,
        typer.Option(metavar="ADDR", help="HOST:PORT or unix:PATH. Default: 127.0.0.1:50051."),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Worker processes. Default: one a core.")] = None,
    image: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="An image to serve beside `python`. Repeatable. Default: all that are built."
        ),
    ] = None,
    fronts: Annotated[
        int | None,
        typer.Option(min=1, help="Processes that share the port. Default: one for each 16 workers."),
    ] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="Settings, TOML.")] = None,
    require_tier: Annotated[
        str | None,
        typer.Option(
            metavar="TIER",
            help="Refuse to start below it: rootless (no control group) or full. Default: full as root, else rootless.",
        ),
    ] = None,
    cache_bytes: Annotated[
        int | None,
        typer.Option(min=0, help="Memory for the results of programs graded before; 0 keeps none. Default: 64 MiB."),
    ] = None,
    cache_path: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep results on disk, too. Default: in memory only.")
    ] = None,
    http: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Also serve HTTP: the live page at /, /metrics, /healthz, /readyz. No password: a private network.",
        ),
    ] = None,
    log_programs: Annotated[
        bool, typer.Option("--log-programs", help="Write the text of programs into the log, too.")
    ] = False,
    tls_certificate: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Serve TLS with this certificate (PEM). Default: in the clear.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Its key.")] = None,
    tls_client_ca: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Accept clients only with a certificate from these authorities."),
    ] = None,
    drain_s: Annotated[
        float | None,
        typer.Option(
            min=0, help="Seconds for calls under way when asked to end; the rest is handed back. Default: 10."
        ),
    ] = None,
    embedded: Annotated[bool, typer.Option("--embedded", hidden=True)] = False,
) -> int:
    """Run the engine as a gRPC service until SIGINT or SIGTERM.

    Settings: flags, then GRADEBOX_* of the environment, then the file, then defaults.
    """
    from gradebox_engine.cli import serve as command

    return command.serve(
        config_file=config,
        embedded=embedded,
        listen=listen,
        workers=workers,
        images=tuple(image) if image else None,
        fronts=fronts,
        require_tier=require_tier,
        cache_bytes=cache_bytes,
        cache_path=cache_path,
        http=http,
        log_programs=log_programs or None,
        tls_certificate=tls_certificate,
        tls_key=tls_key,
        tls_client_ca=tls_client_ca,
        drain_s=drain_s,
    )


@app.command()
def gateway(
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where to listen.")] = "127.0.0.1:8080",
    engine: Engines = None,
    workers: Workers = None,
    reward: Annotated[
        str, typer.Option(metavar="KIND", help="What /reward answers with: pass_rate or all_passed.")
    ] = "pass_rate",
    timeout: Annotated[float, typer.Option(min=1, help="Seconds for one request.")] = 300.0,
    token: Token = None,
    ca_file: CaFile = None,
    cert_file: CertFile = None,
    key_file: KeyFile = None,
) -> int:
    """Serve SandboxFusion's HTTP API, and OpenRLHF's reward protocol (/reward), until SIGINT or SIGTERM.

    A request's own token (Authorization: Bearer ...) goes on to the engines, else --token; they decide on it.
    """
    from gradebox_engine.cli import gateway as command

    if engine and workers is not None:
        raise BadArgument("--workers is for an embedded engine: it does not go with --engine")
    return command.gateway(
        listen=listen,
        engines=tuple(engine or ()),
        workers=workers,
        reward=reward,
        timeout_s=timeout,
        access={"token": token, "ca_file": ca_file, "cert_file": cert_file, "key_file": key_file},
    )


@app.command()
def token(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="Who is to use it.")],
    json: Json = False,
) -> int:
    """Make a token for a tenant of an engine: the token, shown once, and the lines for the engine's configuration."""
    from gradebox_engine.cli import token as command

    return command.token(tenant, as_json=json)


@app.command()
def doctor(
    tier: Annotated[
        str | None,
        typer.Option(
            metavar="TIER",
            help="What to ask for: rootless (no control group), full, or hardened (settings of the host, too). "
            "Default: full as root, else rootless.",
        ),
    ] = None,
    json: Json = False,
) -> int:
    """Attack every protection that this machine gives; show how it was tested, what was found, and what mends it.

    Exit status: 0 when every protection of the tier is there, else 1.
    """
    from gradebox_engine.cli import doctor as command

    return command.doctor(tier=tier, as_json=json)


@app.command()
def bench(
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROW",
            help="Only this row, or these: asserts, humaneval, numpy, stdio, overhead, scaling, latency, long.",
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long each way of grading is measured.")] = 5.0,
    gradings: Annotated[int | None, typer.Option(min=1, help="Measure so many programs of each instead.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Published data, for HumanEval's own solutions. Default: the shipped sample."),
    ] = None,
    evalplus_python: Annotated[
        Path | None,
        typer.Option(metavar="PYTHON", help="The interpreter of a virtual environment with evalplus."),
    ] = None,
    long: Annotated[
        int | None,
        typer.Option(min=100, help="Also a long run of so many submissions: what one costs at its start and end."),
    ] = None,
    chart: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the result, as .svg or .png.")] = None,
    json: Json = False,
) -> int:
    """Measure throughput and CPU time against baselines, row by row, in one run.

    Every row says which command repeats it.
    """
    from gradebox_engine.cli import bench as command

    return command.bench(
        only=tuple(only or ()),
        seconds=seconds,
        gradings=gradings,
        data=data,
        evalplus_python=evalplus_python,
        long=long,
        chart_file=chart,
        as_json=json,
    )


trainer.add_commands(app)
