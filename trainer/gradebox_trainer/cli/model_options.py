"""Options of the commands that ask a language model."""

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[
    str,
    typer.Option("--model", metavar="NAME", help="The model: its name at the endpoint, or the folder that it is in."),
]
Backend = Annotated[
    str,
    typer.Option(
        metavar="KIND",
        help="What answers: endpoint (OpenAI-compatible, vLLM's server too), vllm (in this process, on a GPU: "
        "pip install 'gradebox[vllm]') or transformers (CPU: pip install 'gradebox[trainer]').",
    ),
]
EndpointUrl = Annotated[
    str | None,
    typer.Option(
        "--endpoint",
        metavar="URL",
        envvar="OPENAI_BASE_URL",
        help="Such as http://gpu1:8000/v1. Its key is taken from OPENAI_API_KEY.",
    ),
]
TopP = Annotated[float, typer.Option(min=0.0, max=1.0, help="Nucleus sampling.")]
MaxTokens = Annotated[int, typer.Option(min=1, help="Longest answer.")]
Seed = Annotated[int, typer.Option(help="Makes answers repeatable, where the model can be seeded.")]
Concurrency = Annotated[int, typer.Option(min=1, help="Requests to the endpoint at once.")]
RequestsPerMinute = Annotated[int | None, typer.Option(min=1, help="Rate limit of the endpoint. Default: none.")]
TokensPerMinute = Annotated[int | None, typer.Option(min=1, help="Rate limit of the endpoint. Default: none.")]
Prices = Annotated[
    str | None,
    typer.Option(metavar="IN,OUT", help="US dollars per million tokens of prompts and answers, for the cost."),
]
Output = Annotated[
    Path,
    typer.Option("-o", "--output", metavar="FILE", help="What is written: .jsonl, .jsonl.gz or .parquet."),
]
