"""The append-only file of rows: what was written stays, and a torn end is cut off."""

from pathlib import Path

import pytest

from gradebox_command.errors import CommandError, InputError
from gradebox_command.row_log import RowLog


def test_rows_are_there_again_and_can_be_read_at_their_places(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with RowLog(path) as log:
        assert list(log.rows()) == []
        places = [log.append({"n": number, "text": "é\n\ud800"}) for number in range(3)]
        assert log.read(places[1])["n"] == 1
        places.append(log.append({"n": 3}))
    with RowLog(path) as log:
        assert [(place, row["n"]) for place, row in log.rows()] == list(zip(places, range(4), strict=True))
        assert log.read(places[2]) == {"n": 2, "text": "é\n\ud800"}
        log.append({"n": 4})
        assert [row["n"] for _, row in log.rows()] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("torn", [b'{"n": 2', b"{", b'{"n": 2}'])
def test_a_row_without_its_line_feed_was_not_written(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"n":1}\n' + torn)

    with RowLog(path) as log:
        assert [row["n"] for _, row in log.rows()] == [1]
        log.append({"n": 3})

    assert path.read_bytes() == b'{"n":1}\n{"n":3}\n'


def test_a_line_that_is_no_row_is_an_error_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"n": 1}\nnonsense\n')

    with RowLog(path) as log, pytest.raises(InputError, match=r"log\.jsonl:2: not JSON"):
        list(log.rows())


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with RowLog(path), pytest.raises(CommandError, match="is being written by another process"):
        RowLog(path)
    with RowLog(path):
        pass


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file"):
        RowLog(tmp_path / "nowhere" / "log.jsonl")
