"""The house rules: imports go down, floors do not import sideways, and heavy packages stay where they belong."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = {
    "subimages": 1,
    "export": 2,
    "sim": 2,
    "train": 3,
    "embedded": 3,
    "ground": 3,
    "cli": 4,
    "benchmarks": 5,  # measures the commands as well
}
TORCH_ONLY_IN = {"train"}


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
    return names


def modules() -> list[Path]:
    return [path for folder in FLOORS for path in sorted((ROOT / folder).rglob("*.py"))]


def test_every_package_has_a_floor():
    found = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert found - {"tests"} == set(FLOORS)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down(path):
    folder = path.relative_to(ROOT).parts[0]
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "slewguard":
            other = parts[1]
            assert other == folder or FLOORS[other] < FLOORS[folder], f"{folder} imports {name}"
            allowed = folder in ("cli", "benchmarks") or other in ("subimages", "export", folder)
            assert allowed, f"{folder} imports {name}"
        if parts[0] in ("torch", "brevitas"):
            assert folder in TORCH_ONLY_IN, f"{folder} imports {name}"


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import slewguard.cli.main", "numpy scipy astropy h5py pydantic torch onnx matplotlib"),
        ("import slewguard.subimages", "scipy astropy h5py torch matplotlib"),
        ("import slewguard.export.package", "torch astropy onnxruntime matplotlib"),
        ("import slewguard.train.metrics", "torch brevitas"),
        ("import slewguard.sim.campaign", "torch onnxruntime astropy"),
    ],
)
def test_heavy_packages_are_imported_late(statement, absent):
    check = f"{statement}; import sys; print(*sorted(set({absent.split()!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
