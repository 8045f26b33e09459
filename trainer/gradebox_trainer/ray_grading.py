"""`gradebox grade --ray`: the same labels, made by all nodes of a Ray cluster.

Theory of operation. The driver (the command, on a node of the cluster) writes what is to be graded into a local file,
in blocks of programs with their problems. Ray Data maps the blocks' numbers to labels, as stateless tasks, a few for
each CPU: it decides how many are under way and holds them back while results wait to be fetched. Two kinds of actors
help, neither of which takes a CPU:

    driver ── owns ──► Coordinator, on the driver's node: hands out blocks, knows the engine of each node
                           └── owns ──► NodeEngine, one on every node that has work: an embedded engine with a worker
                                        for each of the node's CPUs
    task (any node): a block's number ─► the NodeEngine of its own node, which fetches the block ─► labels ─► driver

A node that is lost takes its engine, its tasks and the results that were not fetched yet; Ray runs those tasks again
on other nodes. (Not a pool of actors: Ray Data waits for a lost actor to come back, which it cannot while the cluster
is smaller.) A node that joins gets an engine with its first task. When the driver ends in whatever way, Ray ends the
Coordinator, and with it the engines. What came back is in the driver's ledger, and each label is kept once, however
often it was made.

Every node needs the same version of gradebox with its extras `engine` and `ray`, and the rights of an engine.
"""

import contextlib
import json
import logging
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
import ray.data
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import gradebox
from gradebox_command.errors import BadArgument, CommandError, one_line
from gradebox_command.grading import Answers, Grader, Suites, Unit
from gradebox_trainer.ray_blocks import MOST_PROGRAMS, Blocks, read_block, write_blocks

TASKS_PER_CPU = 2  # one is graded while the next is on its way
_ENGINE_ATTEMPTS = 3
_MOST_RAY_BLOCKS = 4000
_CLOSE_TIMEOUT_S = 30.0


class NodeEngine:
    """An embedded engine on one node, for the tasks of that node. An actor, called from several threads."""

    def __init__(self, workers: int, coordinator: Any) -> None:
        self._engine = gradebox.Engine(workers=workers)
        self._coordinator = coordinator

    def info(self) -> gradebox.EngineInfo:
        return self._engine.info()

    def grade(self, number: int) -> tuple[list[bytes], list[bytes]]:
        """Grades a block. Returns (keys, labels as JSON); an empty key stands for a problem that was refused."""
        stop_early, items = read_block(ray.get(self._coordinator.block.remote(number)))
        keys: list[bytes] = []
        labels: list[bytes] = []
        for graded in self._engine.grade_many(items, stop_early=stop_early):
            unit = graded.key
            assert isinstance(unit, Unit)
            if isinstance(graded.error, gradebox.InvalidRequest):
                refusal = {"id": unit.id, "field": graded.error.field, "problem": graded.error.problem}
                keys.append(b"")
                labels.append(json.dumps(refusal).encode())
                continue
            keys += unit.keys
            labels += [json.dumps(result.to_label()).encode() for result in graded.results]
        return keys, labels

    def close(self) -> None:
        self._engine.close()


class Coordinator:
    """Hands out blocks, and the engine of a node. An actor on the driver's node, which has the file of blocks."""

    def __init__(self, workers: int | None) -> None:
        self._workers = workers
        self._blocks: Blocks | None = None
        self._engines: dict[str, Any] = {}

    def open(self, blocks: Blocks) -> None:
        self._blocks = blocks

    def block(self, number: int) -> bytes:
        assert self._blocks is not None
        return self._blocks.read(number)

    def engine(self, node_id: str, lost: int) -> Any:
        """The engine of a node, started if need be: the one after `lost` others that are gone."""
        generation, engine = self._engines.get(node_id, (-1, None))
        if generation < lost:
            cpus = next((node["Resources"].get("CPU", 1) for node in ray.nodes() if node["NodeID"] == node_id), 1)
            engine = (
                ray.remote(NodeEngine)
                .options(
                    num_cpus=0,
                    max_concurrency=TASKS_PER_CPU * max(1, int(cpus)) + 2,
                    scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False),
                )
                .remote(self._workers or max(1, int(cpus)), ray.get_runtime_context().current_actor)
            )
            self._engines[node_id] = lost, engine
        return engine

    def close(self) -> None:
        """Ends the engines of all nodes that are still there."""
        closing = [engine.close.remote() for _, engine in self._engines.values()]
        ray.wait(closing, num_returns=len(closing), timeout=_CLOSE_TIMEOUT_S)


def on_node_engine(coordinator: Any, method: str, *args: Any) -> Any:
    """Calls the engine of this node; where it was lost (killed for memory), another one is started for it."""
    node_id = ray.get_runtime_context().get_node_id()
    for lost in range(_ENGINE_ATTEMPTS):
        engine = ray.get(coordinator.engine.remote(node_id, lost))
        try:
            return ray.get(getattr(engine, method).remote(*args))
        except ray.exceptions.RayActorError:
            if lost == _ENGINE_ATTEMPTS - 1:
                raise


def grade_block(batch: Any, coordinator: Any) -> Any:
    """The task: a table with one block's number to a table of its keys and labels."""
    import pyarrow as pa

    keys, labels = on_node_engine(coordinator, "grade", batch["block"][0].as_py())
    return pa.table({"key": pa.array(keys, pa.binary()), "label": pa.array(labels, pa.binary())})


@contextmanager
def open_cluster(*, workers: int | None, programs: int) -> Iterator[tuple[Grader, gradebox.EngineInfo]]:
    """Connects to the cluster of RAY_ADDRESS, or to the one on this machine, or starts one here.

    Args:
        workers: of every engine; None is one for each of its node's CPUs.
        programs: how many there are; few of them are cut into smaller blocks.

    Raises:
        CommandError: no cluster, or no engine could be started on it.
    """
    if os.environ.get("RAY_ADDRESS", "").startswith("ray://"):
        raise BadArgument("RAY_ADDRESS: ray:// is for clients; run this on a node of the cluster")
    _quiet()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, ignore_reinit_error=True)
        signal.signal(signal.SIGTERM, handler)  # Ray has put its own there
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        coordinator = ray.remote(Coordinator).options(num_cpus=0, scheduling_strategy=here).remote(workers)
        try:
            info = ray.get(ray.remote(on_node_engine).options(num_cpus=1 / TASKS_PER_CPU).remote(coordinator, "info"))
            slots = TASKS_PER_CPU * ray.cluster_resources().get("CPU", 1)
            block_programs = int(min(MOST_PROGRAMS, max(16, programs // (8 * slots))))
            yield _grader(coordinator, block_programs), info
        finally:
            with contextlib.suppress(ray.exceptions.RayError):
                ray.get(coordinator.close.remote(), timeout=_CLOSE_TIMEOUT_S)
    except (ray.exceptions.RayError, ConnectionError) as error:
        raise CommandError(one_line(f"Ray: {type(error).__name__}: {error}")) from None
    finally:
        ray.shutdown()


def _quiet() -> None:
    """Ray's words, bars and questions are not this command's."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False


def _grader(coordinator: Any, block_programs: int) -> Grader:
    def grade(units: Iterator[Unit], suites: Suites) -> Iterator[Answers]:
        with tempfile.TemporaryDirectory(prefix="gradebox-blocks-") as folder:
            blocks = write_blocks(Path(folder, "blocks"), units, suites, block_programs)
            if len(blocks):
                ray.get(coordinator.open.remote(blocks))
                for batch in _answers(coordinator, len(blocks)).iter_batches(batch_size=None, batch_format="pyarrow"):
                    yield _taken(batch, suites)

    return grade


def _answers(coordinator: Any, count: int) -> Any:
    """The data set of all labels, made as it is read. Ray Data runs a task again as often as its node is lost."""
    numbers = [{"block": number} for number in range(count)]
    return ray.data.from_items(numbers, override_num_blocks=min(count, _MOST_RAY_BLOCKS)).map_batches(
        grade_block,
        batch_size=1,
        batch_format="pyarrow",
        fn_kwargs={"coordinator": coordinator},
        num_cpus=1 / TASKS_PER_CPU,
    )


def _taken(batch: Any, suites: Suites) -> Answers:
    answers: Answers = []
    for key, label in zip(batch["key"].to_pylist(), batch["label"].to_pylist(), strict=True):
        if not key:
            refusal = json.loads(label)
            raise suites.refused(refusal["id"], refusal["field"], refusal["problem"])
        answers.append((key, json.loads(label)))
    return answers
