"""transformers behind the interface of models, with a small model made here: no weights are downloaded."""

import asyncio
import json
from pathlib import Path

import pytest
import torch
import transformers

from gradebox_engine.cli import main
from gradebox_trainer.models import Answer, Refusal, Request, Settings
from gradebox_trainer.models.local import Transformers

SETTINGS = Settings(temperature=1.0, top_p=0.95, max_tokens=12, seed=3)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of 16 dimensions that reads bytes, with weights drawn at random."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("model")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {word: number for number, word in enumerate(["<end>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>")
    fast.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }}<end>{% endfor %}assistant: "
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=256, eos_token_id=0, bos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def ask(model: Transformers, *requests: Request) -> list[list[Answer] | Refusal]:
    async def run() -> list[list[Answer] | Refusal]:
        return [answers async for _, answers in model.ask(requests)]

    return asyncio.run(run())


def request(text: str, count: int = 1, first: int = 0) -> Request:
    return Request(text, ({"role": "user", "content": text},), first, count)


def test_answers_are_the_models_own_tokens_and_repeatable(model: Path) -> None:
    opened = Transformers(str(model), SETTINGS)

    found, again, later = ask(opened, request("Say it.", 3), request("Say it.", 3), request("Say it.", 3, first=3))

    assert isinstance(found, list) and len(found) == 3
    assert found == again
    assert found != later
    assert len({answer.text for answer in found}) > 1
    prompt = "user: Say it.<end>assistant: "
    assert [answer.prompt_tokens for answer in found] == [len(prompt) - len("<end>") + 1, 0, 0]
    for answer in found:
        assert "Say it." not in answer.text
        assert 0 < answer.completion_tokens <= 12
        assert answer.finish_reason == ("length" if answer.completion_tokens == 12 else "stop")


def test_greedy_answers_are_those_of_the_likeliest_tokens(model: Path) -> None:
    opened = Transformers(str(model), Settings(temperature=0.0, top_p=1.0, max_tokens=5))

    (found,) = ask(opened, request("Say it.", 2))

    assert isinstance(found, list) and found[0].text == found[1].text
    loaded = transformers.AutoModelForCausalLM.from_pretrained(model).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    tokens = tokenizer("user: Say it.<end>assistant: ", return_tensors="pt")["input_ids"]
    for _ in range(5):
        with torch.inference_mode():
            best = loaded(tokens).logits[0, -1].argmax()
        tokens = torch.cat([tokens, best.view(1, 1)], dim=1)
    assert tokenizer.decode(tokens[0, -5:], skip_special_tokens=True) == found[0].text


def test_a_conversation_that_is_too_long_is_refused_and_a_long_one_gets_what_room_is_left(model: Path) -> None:
    opened = Transformers(str(model), Settings(temperature=1.0, top_p=1.0, max_tokens=100))

    refused, short = ask(opened, request("x" * 300), request("x" * 230))

    assert isinstance(refused, Refusal) and "the model takes 256" in refused.reason
    assert isinstance(short, list) and short[0].completion_tokens <= 8


def test_sample_with_a_model_in_this_process(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    problems, output = tmp_path / "problems.jsonl", tmp_path / "programs.jsonl"
    problems.write_text(
        json.dumps({"id": "a", "question": "f", "entry_point": "f", "tests": ["assert f() == 1"]}) + "\n"
    )
    command = ["sample", str(problems), "-o", str(output), "--model", str(model), "--backend", "transformers",
               "-n", "4", "--max-tokens", "8", "--generator", "tiny", "--json"]  # fmt: skip

    assert main(command) == 0
    first = output.read_bytes()
    assert json.loads(capsys.readouterr().out)["model"]["answers"] == 4
    assert main(command) == 0

    assert output.read_bytes() == first
    assert json.loads(capsys.readouterr().out)["model"]["kept_before"] == 4
