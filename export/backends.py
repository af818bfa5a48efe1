"""Engines that run the integer model, behind one protocol: what they say is compared byte for byte.

Each engine gets the model printed for it, twice: the shipped file, which gives the score, and a tapped one, in
which the output of every layer is an output of the graph. An engine is *available* when an interpreter could be
built, not when its package can be imported: tflite-runtime 2.14 imports under numpy 2 and fails only then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from importlib import import_module
from importlib.metadata import version
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from slewguard.export import onnx_file, tflite_file
from slewguard.export.execute import run, run_layers
from slewguard.export.layers import TIE_FREE
from slewguard.export.model import IntegerModel
from slewguard.subimages.errors import BadInput


class Backend(Protocol):
    """An engine with a model loaded.

    ``name`` is the engine's name of the design (``ort``, ``tflite-ref``, ...), ``version`` that of its package.
    """

    name: str
    version: str

    def layers(self, planes: NDArray[np.int8]) -> list[NDArray[np.integer]]:
        """Output of every layer as the numpy executor has it, for planes int8 [N, 3, 56, 56].

        Returns
        -------
        list of int8 or uint8 arrays [N, out, rows, columns]
        """
        ...

    def score(self, planes: NDArray[np.int8]) -> NDArray[np.int8]:
        """Scores int8 [N] through the file that is shipped, for planes int8 [N, 3, 56, 56]."""
        ...


@runtime_checkable
class VerdictBackend(Protocol):
    """An engine that also computes the verdict, as generated C does."""

    def verdicts(self, planes: NDArray[np.int8]) -> NDArray[np.uint8]:
        """Verdicts uint8 [N] (:class:`slewguard.subimages.Verdict`) for planes int8 [N, 3, 56, 56]."""
        ...


@runtime_checkable
class SequenceBackend(Protocol):
    """An engine that also runs the sequence rule, as generated C does."""

    def sequence_verdicts(
        self, planes: NDArray[np.int8], sequence: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Verdicts and reasons uint8 [N] for planes int8 [N, 3, 56, 56], each sequence's looks in their order."""
        ...


class EngineUnavailable(Exception):
    """Raised by a factory whose engine cannot run here; the text says why, in one line."""


class ModelRefused(Exception):
    """Raised by a factory whose engine runs here but does not take what was printed for it."""


class Refusal(str):
    """Why an engine that runs here does not take the model: a broken promise, not a missing package."""


Factory: TypeAlias = Callable[[IntegerModel], Backend]
"""Loads a model into an engine, or raises EngineUnavailable, ImportError, ModelRefused or BadInput with the reason."""


class NumpyBackend:
    """The specification."""

    name = "numpy"
    version = np.__version__

    def __init__(self, model: IntegerModel) -> None:
        self._model = model

    def layers(self, planes: NDArray[np.int8]) -> list[NDArray[np.integer]]:
        """See :meth:`Backend.layers`."""
        return run_layers(self._model, planes)

    def score(self, planes: NDArray[np.int8]) -> NDArray[np.int8]:
        """See :meth:`Backend.score`."""
        return run(self._model, planes)


class OnnxRuntimeBackend:
    """onnxruntime on one thread of the processor, with its default graph optimisation."""

    name = "ort"

    def __init__(self, model: IntegerModel) -> None:
        self._model = model
        import onnxruntime

        try:
            self.version = onnxruntime.__version__
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            self._shipped, self._tapped = (
                onnxruntime.InferenceSession(
                    onnx_file.write_onnx(model, tap=tap), options, providers=["CPUExecutionProvider"]
                )
                for tap in (False, True)
            )
        except BadInput:
            raise
        except Exception as error:  # onnxruntime's own errors derive from Exception alone
            raise ModelRefused(_reason(error)) from error

    def layers(self, planes: NDArray[np.int8]) -> list[NDArray[np.integer]]:
        """See :meth:`Backend.layers`."""
        outputs = self._tapped.run(None, {onnx_file.INPUT: planes})
        return [onnx_file.canonical(layer, output) for layer, output in zip(self._model.layers, outputs, strict=True)]

    def score(self, planes: NDArray[np.int8]) -> NDArray[np.int8]:
        """See :meth:`Backend.score`."""
        return np.asarray(self._shipped.run(None, {onnx_file.INPUT: planes})[0][:, 0, 0, 0], dtype=np.int8)


class TfliteBackend:
    """A TensorFlow Lite interpreter on one thread, one sub-image at a time.

    Parameters
    ----------
    model : IntegerModel
    name : str
        Name of the engine.
    package : str
        ``tflite_runtime`` or ``ai_edge_litert``.
    resolver : str
        Member of the package's ``OpResolverType``: which kernels.
    """

    def __init__(self, model: IntegerModel, name: str, package: str, resolver: str) -> None:
        self.name = name
        self._model = model
        shipped, tapped = (tflite_file.write_tflite(model, tap=tap) for tap in (False, True))
        try:
            interpreter = import_module(f"{package}.interpreter")
            kernels = interpreter.OpResolverType[resolver]
            self.version = version(package.replace("_", "-"))
            self._shipped, self._tapped = (
                interpreter.Interpreter(model_content=content, num_threads=1, experimental_op_resolver_type=kernels)
                for content in (shipped, tapped)
            )
            self._shipped.allocate_tensors()
            self._tapped.allocate_tensors()
        except (ImportError, SystemError, AttributeError, KeyError) as error:
            raise EngineUnavailable(_reason(error)) from error
        except (RuntimeError, ValueError) as error:
            raise ModelRefused(_reason(error)) from error

    def layers(self, planes: NDArray[np.int8]) -> list[NDArray[np.integer]]:
        """See :meth:`Backend.layers`."""
        outputs = _invoke_each(self._tapped, planes)
        return [tflite_file.canonical(layer, output) for layer, output in zip(self._model.layers, outputs, strict=True)]

    def score(self, planes: NDArray[np.int8]) -> NDArray[np.int8]:
        """See :meth:`Backend.score`."""
        return _invoke_each(self._shipped, planes)[0][:, 0, 0, 0]


def _invoke_each(interpreter: Any, planes: NDArray[np.int8]) -> list[NDArray[np.int8]]:
    """Outputs [N, rows, columns, channels] in the order of the graph."""
    source = interpreter.get_input_details()[0]["index"]
    details = interpreter.get_output_details()
    outputs = [np.empty((len(planes), *detail["shape"][1:]), dtype=np.int8) for detail in details]
    pixels = np.ascontiguousarray(np.moveaxis(planes, 1, 3))
    for i in range(len(planes)):
        interpreter.set_tensor(source, pixels[i : i + 1])
        interpreter.invoke()
        for output, detail in zip(outputs, details, strict=True):
            output[i] = interpreter.get_tensor(detail["index"])[0]
    return outputs


def _reason(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name} is not installed"
    return " ".join(str(error).split())[:200] or type(error).__name__


def _tflite(name: str, package: str, resolver: str) -> Factory:
    return lambda model: TfliteBackend(model, name, package, resolver)


KERNELS = {"": "AUTO", "-builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "-ref": "BUILTIN_REF"}
"""Member of ``OpResolverType`` by the end of an engine's name."""

ENGINES: Mapping[str, Factory] = {
    "numpy": NumpyBackend,
    "ort": OnnxRuntimeBackend,
    **{f"tflite{kind}": _tflite(f"tflite{kind}", "tflite_runtime", value) for kind, value in KERNELS.items()},
    **{f"litert{kind}": _tflite(f"litert{kind}", "ai_edge_litert", value) for kind, value in KERNELS.items()},
}
"""Engines of this folder: the specification, onnxruntime, and the three kinds of kernels (default delegates,
optimised, reference) of tflite-runtime and of its successor ai-edge-litert."""


ARITHMETIC_OF: Mapping[str, str] = {
    "ort": "rne",
    "litert": "rne",
    **dict.fromkeys(("tflite-ref", "litert-ref"), "double"),
    **dict.fromkeys(("tflite", "tflite-builtin"), "double_mixed"),
    "litert-builtin": "double_up",
}
"""Which arithmetic an engine requantises in, found on tflite-runtime 2.14, ai-edge-litert 2.3 and onnxruntime 1.32; for
a tie-free model it makes no difference. tflite-runtime's default delegate leaves int8 to the optimised kernels."""


@lru_cache(maxsize=1)
def saturates_pairs() -> bool:
    """Whether onnxruntime saturates the sum of two products at 16 bits on this processor.

    Its kernels for AVX2 without VNNI do (``vpmaddubsw``). A tie-free model cannot reach that; one from outside with
    weights of 8 bits can, and its bytes are then those of no arithmetic that has a name.
    """
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    largest = numpy_helper.from_array(np.full((2, 1), 127, np.int8), "b")
    ends = [
        helper.make_tensor_value_info("a", TensorProto.UINT8, [1, 2]),
        helper.make_tensor_value_info("y", TensorProto.INT32, [1, 1]),
    ]
    node = helper.make_node("MatMulInteger", ["a", "b"], ["y"])
    graph = helper.make_graph([node], "pair", ends[:1], ends[1:], [largest])
    model = helper.make_model(graph, opset_imports=[onnx.OperatorSetIdProto(domain="", version=onnx_file.OPSET)])
    model.ir_version = onnx_file.IR_VERSION
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (product,) = session.run(None, {"a": np.full((1, 2), 255, np.uint8)})
    return bool(product[0, 0] != 2 * 255 * 127)


def open_backends(
    model: IntegerModel, names: Iterable[str] | None = None, extra: Mapping[str, Factory] | None = None
) -> list[tuple[str, Backend | str]]:
    """Load a model into engines; one that is not tie-free into those that compute in its arithmetic alone.

    Parameters
    ----------
    model : IntegerModel
    names : iterable of str, optional
        Which engines; all without it.
    extra : mapping of str to factory, optional
        Engines of other folders (``torch``, ``c``).

    Returns
    -------
    list of (name, Backend or str)
        The text is the reason why an engine does not run here; a :class:`Refusal` where it would, but does not
        take the model.

    Raises
    ------
    BadInput
        For an unknown name.
    """
    factories = {**ENGINES, **(extra or {})}
    opened: list[tuple[str, Backend | str]] = []
    for name in factories if names is None else names:
        if name not in factories:
            raise BadInput(f"unknown engine {name!r}, expected one of {', '.join(factories)}")
        own = ARITHMETIC_OF.get(name, model.arithmetic if name == "numpy" else TIE_FREE)
        if model.arithmetic not in (TIE_FREE, own):
            opened.append((name, f"does not compute in the arithmetic {model.arithmetic!r} of the model"))
            continue
        if name == "ort" and model.arithmetic != TIE_FREE and saturates_pairs():
            opened.append((name, f"does not compute in {own!r} on this processor: it saturates sums of two products"))
            continue
        try:
            opened.append((name, factories[name](model)))
        except (EngineUnavailable, ImportError) as error:
            opened.append((name, _reason(error)))
        except (ModelRefused, BadInput) as error:
            opened.append((name, Refusal(_reason(error))))
    return opened
