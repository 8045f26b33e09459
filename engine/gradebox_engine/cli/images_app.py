"""`gradebox images`: its commands, their arguments and their help."""

from pathlib import Path
from typing import Annotated

import typer

from gradebox_command.errors import BadArgument

app = typer.Typer(
    name="images",
    help="The images that programs run in: build them, verify them, import them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_Json = Annotated[bool, typer.Option("--json", help="Machine-readable output on stdout.")]
_Store = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Where built images lie. Default: GRADEBOX_IMAGE_STORE, else ~/.local/share/gradebox/images.",
    ),
]
_Recipes = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Folders with a manifest and a recipe each. Default: those that come with gradebox."
    ),
]


@app.command(name="list")
def list_command(store: _Store = None, recipes: _Recipes = None, json: _Json = False) -> int:
    """Show every image: what can be built, what is built, and whether it is as it was built."""
    from gradebox_engine.cli import images as command

    return command.list_images(command.Places.given(store, recipes), as_json=json)


@app.command()
def build(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="The images to build.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Build all of them.")] = False,
    update_lock: Annotated[
        bool, typer.Option("--update-lock", help="Take the newest packages that the recipe allows, and lock them.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Build also what is built already.")] = False,
    python: Annotated[
        Path | None,
        typer.Option(metavar="PYTHON", help="The Python 3.12 that is copied into the image. Default: this one."),
    ] = None,
    apt_sources: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A sources.list of Debian. Default: this machine's own sources of the suite."
        ),
    ] = None,
    store: _Store = None,
    recipes: _Recipes = None,
    json: _Json = False,
) -> int:
    """Build images by their recipes and locks, without a Docker daemon. Needs mmdebstrap.

    What was fetched is kept in ~/.cache/gradebox, so an interrupted build goes on where it was.
    """
    from gradebox_engine.cli import images as command

    if bool(names) == every:
        raise BadArgument("give the NAMEs of the images to build, or --all")
    return command.build_images(
        command.Places.given(store, recipes),
        names or [],
        update_lock=update_lock,
        force=force,
        python=python,
        apt_sources=apt_sources,
        as_json=json,
    )


@app.command()
def verify(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="Default: all that are built.")] = None,
    store: _Store = None,
    json: _Json = False,
) -> int:
    """Read every file of built images and hold them against their digests.

    Exit status: 0 when all are as they were built, else 1.
    """
    from gradebox_engine.cli import images as command

    return command.verify_images(command.Places.given(store, None), names or [], as_json=json)


@app.command(name="import")
def import_command(
    source: Annotated[
        Path, typer.Argument(metavar="FILE|DIR", help="An OCI archive (podman save --format oci-archive), or a layout.")
    ],
    name: Annotated[str, typer.Option(help="The image that it becomes.")],
    manifest: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its manifest.toml. Default: that of the recipe called NAME.")
    ] = None,
    store: _Store = None,
    recipes: _Recipes = None,
    json: _Json = False,
) -> int:
    """Unpack an image that was built with OCI tools, from the Containerfile beside a recipe.

    Devices, and names or links that lead out, are refused; owners and setuid bits are dropped. The image's interpreter
    is run once, jailed.
    """
    from gradebox_engine.cli import images as command

    return command.import_archive(command.Places.given(store, recipes), source, name, manifest, as_json=json)
