"""The shape of the packages: ``python -m tests.benchmarks.rooms [--root CHECKOUT]``.

For each package: modules at its top level and in all, folders, and arrows. An arrow leads from one folder to another if
a module of the first imports a module of the second, also inside a function; imports within a package and into others
are both counted, those for type checkers only are not. The longest chain is the largest number of modules that import
each other in a row; no module of a circle counts twice.
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]
PACKAGES = ("export", "quant", "rpi_runtime", "cython_ext")

Graph = dict[str, set[str]]  # module to the modules that it imports


def module_name(path: Path) -> str:
    """Return the name of a file, relative to its checkout, as a module: ``a.b`` for ``a/b/__init__.py``."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield a file's nodes, without what only type checkers read."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            yield node
            yield from statements(node)


def imported(text: str, modules: set[str]) -> set[str]:
    """Return the modules of the packages that a file's text imports."""
    found: set[str] = set()
    for node in statements(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names & modules or {node.module}
    return found & modules


def read_graph(root: Path) -> Graph:
    """Return what every module of a checkout's packages imports."""
    paths = [path for package in PACKAGES for path in (root / package).rglob("*.py")]
    texts = {module_name(path.relative_to(root)): path.read_text() for path in paths}
    return {name: imported(text, set(texts)) - {name} for name, text in texts.items()}


def longest_chain(graph: Graph) -> list[str]:
    """Return the longest row of modules each of which imports the next, by depth-first search."""
    longest: dict[str, list[str]] = {}

    def below(name: str, above: frozenset[str]) -> list[str]:
        if name not in longest:
            others = (below(other, above | {name}) for other in sorted(graph[name] - above))
            longest[name] = [name, *max(others, key=len, default=[])]
        return longest[name]

    return max((below(name, frozenset({name})) for name in sorted(graph)), key=len)


def folders_of(graph: Graph) -> dict[str, str]:
    """Return the folder in which each module lies: that of a package's own module is the package."""
    packages = {name.rpartition(".")[0] for name in graph} | set(PACKAGES)
    return {name: name if name in packages else name.rpartition(".")[0] for name in graph}


def arrows(graph: Graph) -> set[tuple[str, str]]:
    """Return the pairs of folders of which the first imports the second."""
    folder = folders_of(graph)
    pairs = {(folder[name], folder[other]) for name, others in graph.items() for other in others}
    return {(one, other) for one, other in pairs if one != other}


def row(package: str, graph: Graph, pairs: set[tuple[str, str]]) -> str:
    """Return a package's row of the table, in Markdown."""
    inside = [name for name in graph if name.split(".")[0] == package]
    own = {name: {other for other in graph[name] if other in inside} for name in inside}
    folder = folders_of(graph)
    top = [name for name in inside if name != package and folder[name] == package]
    folders = {folder[name] for name in inside}
    starting = [pair for pair in pairs if pair[0].split(".")[0] == package]
    within = [pair for pair in starting if pair[1].split(".")[0] == package]
    counts = (
        len(top),
        len(inside),
        len(folders),
        len(longest_chain(own)),
        len(within),
        len(starting) - len(within),
    )
    return f"| {package} | " + " | ".join(map(str, counts)) + " |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, default=HERE, help="a checkout (default: this one)")
    parser.add_argument("--chain", action="store_true", help="name the modules of the longest chain")
    parser.add_argument("--arrows", action="store_true", help="name the folders of each arrow")
    args = parser.parse_args()
    graph = read_graph(args.root)
    pairs, chain = arrows(graph), longest_chain(graph)
    print(
        "| package | modules at the top | in all | folders | longest chain within | arrows within | to others |"
    )
    print("|---|---|---|---|---|---|---|")
    for package in PACKAGES:
        print(row(package, graph, pairs))
    print(f"\n{len(pairs)} arrows between folders; the longest chain of imports has {len(chain)} modules")
    if args.chain:
        print("\n".join(chain))
    if args.arrows:
        print("\n".join(f"{one} -> {other}" for one, other in sorted(pairs)))


if __name__ == "__main__":
    main()
