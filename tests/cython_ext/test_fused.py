"""The stubs of the compiled modules say what is in them, and a fused kernel is chosen by type."""

from __future__ import annotations

import ast
import importlib
import inspect
from types import ModuleType

import numpy as np
import pytest

from cython_ext.fused import by_type
from tests.cython_ext.conftest import PACKAGE

MODULES = sorted(path.stem for path in PACKAGE.glob("_*.pyx"))


def members(module: ModuleType) -> set[str]:
    """Public names that a compiled module defines itself."""
    return {n for n, value in vars(module).items() if not n.startswith("_") and not inspect.ismodule(value)}


def stub(name: str) -> dict[str, ast.stmt]:
    """The statements of a stub by the name that they declare, imports left out."""
    found: dict[str, ast.stmt] = {}
    for node in ast.parse((PACKAGE / f"{name}.pyi").read_text()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.AnnAssign):
            found[ast.unparse(node.target)] = node
    return found


@pytest.mark.parametrize("name", MODULES)
def test_stub_has_the_modules_names(name: str) -> None:
    assert set(stub(name)) == members(importlib.import_module(f"cython_ext.{name}"))


@pytest.mark.parametrize("name", MODULES)
def test_stub_has_the_functions_parameters(name: str) -> None:
    module, checked = importlib.import_module(f"cython_ext.{name}"), 0
    for declared, node in stub(name).items():
        value = getattr(module, declared)
        if isinstance(node, ast.FunctionDef):
            assert list(inspect.signature(value).parameters) == [a.arg for a in node.args.args], declared
            checked += 1
        elif isinstance(node, ast.AnnAssign) and isinstance(node.annotation, ast.Subscript):
            if ast.unparse(node.annotation.value) != "Fused":
                continue
            parameters = node.annotation.slice.elts[0].elts  # type: ignore[attr-defined]
            for stored in ("float", "signed char"):
                assert len(inspect.signature(value[stored]).parameters) == len(parameters), declared
            checked += 1
    assert checked > 0


@pytest.mark.parametrize("name", MODULES)
def test_stub_has_the_classes_members(name: str) -> None:
    module = importlib.import_module(f"cython_ext.{name}")
    for declared, node in stub(name).items():
        if isinstance(node, ast.ClassDef):
            names = {s.name if isinstance(s, ast.FunctionDef) else ast.unparse(s.target) for s in node.body}  # type: ignore[attr-defined]
            public = {n for n in vars(getattr(module, declared)) if not n.startswith("_")}
            assert names - {"__init__"} == public, declared


def test_a_kernel_is_chosen_by_type() -> None:
    kernel = {"float": lambda: "float32", "signed char": lambda: "int8"}
    chosen = by_type(kernel)  # type: ignore[arg-type]
    assert {dtype: function() for dtype, function in chosen.items()} == {  # type: ignore[call-arg]
        np.dtype(np.float32): "float32",
        np.dtype(np.int8): "int8",
    }
