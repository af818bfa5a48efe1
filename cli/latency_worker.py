"""One network in one engine in a process of its own: ``python -m slewguard.cli.latency_worker JOB``.

So cold start and memory are those of this engine alone: nothing is imported that it does not need, and the model
comes from the file that is shipped. A job is a JSON file: ``kind``, ``model`` and ``inputs`` (files), and what the kind
needs. The process makes one call, then as many as each line of its standard input asks for (most calls, most
nanoseconds), and writes of each the wall time, its own processor time and the score.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Score: TypeAlias = Callable[[NDArray[Any]], float]


def main() -> None:
    """Open the engine, make the first call, and serve."""
    begun = time.perf_counter_ns()
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    inputs = np.load(job["inputs"], allow_pickle=False)
    if job["kind"] == "tflite":
        inputs = np.ascontiguousarray(np.moveaxis(inputs, 1, 3))
    told, score = _OPENERS[job["kind"]](job)
    each = [inputs[i : i + 1] for i in range(len(inputs))]
    print(told, time.perf_counter_ns() - begun)
    calls, limit = 1, 0
    while True:
        start = time.perf_counter_ns()
        taken = _repeat(score, each, calls, limit)
        print(len(taken), time.perf_counter_ns() - start)
        for wall, cpu, answer in taken:
            print(wall, cpu, answer)
        sys.stdout.flush()
        line = sys.stdin.readline()
        if not line:
            return
        calls, limit = map(int, line.split())


def _repeat(score: Score, inputs: list[NDArray[Any]], calls: int, limit: int) -> list[tuple[int, int, float]]:
    taken: list[tuple[int, int, float]] = []
    begun = time.perf_counter_ns()
    while len(taken) < calls and (not taken or time.perf_counter_ns() - begun < limit):
        one = inputs[len(taken) % len(inputs)]
        cpu, wall = time.process_time_ns(), time.perf_counter_ns()
        answer = score(one)
        wall = time.perf_counter_ns() - wall
        taken.append((wall, time.process_time_ns() - cpu, answer))
    return taken


def _open_numpy(job: dict[str, Any]) -> tuple[str, Score]:
    from slewguard.export.execute import run
    from slewguard.export.model import load_model

    model = load_model(job["model"])
    return np.__version__, lambda planes: int(run(model, planes)[0])


def _open_torch(job: dict[str, Any]) -> tuple[str, Score]:
    from slewguard.export.model import load_model
    from slewguard.train.backend import TorchBackend

    backend = TorchBackend(load_model(job["model"]))
    return backend.version, lambda planes: int(backend.score(planes)[0])


def _open_float(job: dict[str, Any]) -> tuple[str, Score]:
    from slewguard.train.float_nets import float_scorer

    return float_scorer(job["network"])


def _open_ort(job: dict[str, Any]) -> tuple[str, Score]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(job["model"], options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return onnxruntime.__version__, lambda one: session.run(None, {name: one})[0].item()


def _open_tflite(job: dict[str, Any]) -> tuple[str, Score]:
    module = import_module(f"{job['package']}.interpreter")
    kernels = module.OpResolverType[job["resolver"]]
    interpreter = module.Interpreter(job["model"], num_threads=1, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    source, target = (get()[0]["index"] for get in (interpreter.get_input_details, interpreter.get_output_details))

    def score(one: NDArray[np.int8]) -> float:
        interpreter.set_tensor(source, one)
        interpreter.invoke()
        return int(interpreter.get_tensor(target).item())

    return version(job["package"].replace("_", "-")), score


_OPENERS: dict[str, Callable[[dict[str, Any]], tuple[str, Score]]] = {
    "numpy": _open_numpy,
    "torch": _open_torch,
    "float": _open_float,
    "ort": _open_ort,
    "tflite": _open_tflite,
}


if __name__ == "__main__":
    main()
