"""The worker's end of its socket to the front."""

import socket

import pytest

from gradebox_engine.worker.link import FrameType, FrontGone, Link


@pytest.mark.parametrize("front_closes_first", [False, True])
def test_a_worker_that_hangs_up_meets_what_it_would_if_the_front_were_gone(front_closes_first: bool) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        link = Link(ours)
        Link(theirs).send_json(FrameType.GRADE, {})
        assert not link.is_cancelled(1)
        if front_closes_first:
            theirs.close()
        link.hang_up()
        link.hang_up()
        assert link.next() == (FrameType.GRADE, b"{}")  # it had come before
        with pytest.raises(FrontGone):
            link.next()
        with pytest.raises(FrontGone):
            link.send(FrameType.GRADE, b"")
        link._looked_s = 0.0
        with pytest.raises(FrontGone):
            link.is_cancelled(1)
