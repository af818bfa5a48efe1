"""Where a campaign is computed: in this process, in processes of this machine, or on a Dask cluster.

A *runner* takes a task and its numbered inputs and yields the number and result of each as it is finished, in any
order. Results do not depend on the runner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

from slewguard.sim.workers import WorkersLost, work_in_processes
from slewguard.subimages.errors import BadInput

I = TypeVar("I")  # noqa: E741
R = TypeVar("R")

_CONNECT_S = 20


class Runner(Protocol):
    """Computes a task for many inputs."""

    def __call__(self, task: Callable[[I], R], inputs: Mapping[int, I]) -> Iterator[tuple[int, R]]:
        """Yield (number, task(input)) for each input, as they are finished."""


def processes(workers: int) -> Runner:
    """Return a runner on this machine.

    A worker that dies (killed, out of memory) is replaced and its work done again. Workers end when this process
    does, however it ends.

    Parameters
    ----------
    workers : int
        Processes; 1 computes in this one.

    Raises
    ------
    BadInput
        If ``workers`` is less than 1.
    WorkersLost
        By the runner, if workers die twice over the same work.
    """
    if workers < 1:
        raise BadInput(f"workers must be at least 1, not {workers}")

    def run(task: Callable[[I], R], inputs: Mapping[int, I]) -> Iterator[tuple[int, R]]:
        if workers == 1 or len(inputs) < 2:
            yield from ((number, task(given)) for number, given in inputs.items())
            return
        yield from work_in_processes(task, inputs, workers)

    return run


def dask(address: str) -> Runner:
    """Return a runner on a Dask cluster, whose workers have the same versions as we do.

    Parameters
    ----------
    address : str
        Of the scheduler, such as ``tcp://host:8786``. It is trusted: Dask's protocol runs what it is sent.

    Raises
    ------
    BadInput
        If ``dask.distributed`` is not installed; by the runner, if no scheduler answers or a worker has other versions.
    WorkersLost
        By the runner, if the cluster gives up a task because workers keep dying, or is lost itself.
    """
    try:
        import distributed
    except ModuleNotFoundError as error:
        raise BadInput(f"{error.name} is not installed: pip install 'slewguard[campaign]'") from error

    def run(task: Callable[[I], R], inputs: Mapping[int, I]) -> Iterator[tuple[int, R]]:
        from concurrent.futures import CancelledError

        try:
            client = distributed.Client(address, timeout=_CONNECT_S, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise BadInput(f"no Dask scheduler answers at {address}") from error
        try:
            # Not pure: two campaigns on one cluster never share a result by its name.
            waiting = {
                client.submit(_checked, versions(), task, given, pure=False): number for number, given in inputs.items()
            }
            for future in distributed.as_completed(list(waiting), loop=client.loop):
                yield waiting.pop(future), future.result()
        except distributed.KilledWorker:
            raise WorkersLost("workers of the Dask cluster kept dying (killed, or out of memory?)") from None
        except (CancelledError, distributed.comm.CommClosedError):
            raise WorkersLost("the Dask cluster was lost") from None
        finally:
            client.close()

    return run


def versions() -> dict[str, str]:
    """Versions of the packages on which the bytes of a campaign depend."""
    from importlib.metadata import version

    return {name: version(name) for name in ("slewguard", "numpy", "scipy")}


def _checked(expected: Mapping[str, str], task: Callable[[Any], R], given: Any) -> R:
    for name, ours in versions().items():
        if ours != expected[name]:
            raise BadInput(f"a worker of the cluster has {name} {ours}, not {expected[name]}")
    return task(given)
