"""The engine never imports the page, and no layer imports one above it."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "studio"
BOTTOM = [
    "i18n",
    "errors",
    "safe_yaml",
    "files",
    "locks",
    "journal",
    "owner",
    "events",
    "setting_text",
    "config",
    "presets",
    "command",
    "process_limits",
    "runs",
]
"""The bottom layer is itself in order: a module imports only those before it."""
LAYERS = [
    set(BOTTOM),
    {"model"},
    {"data"},
    {"generation"},
    {"train", "compare", "evaluate", "material"},
    {"style"},
    {"reports"},
    {"export"},
    {"remote"},
    {"job", "gpu", "gpu_slices", "job_slices"},
    {"sweep", "serve"},
    {"ui", "cli", "__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
APART = {
    "train": {"compare", "evaluate"},
    "compare": {"train"},
    "evaluate": {"train"},
    "style": {"train"},
    "material": {"train", "compare", "evaluate"},
    "sweep": {"serve"},
    "serve": {"train", "export", "sweep"},
}
"""Packages that know nothing of each other."""

SPACE = ("export/demo_app.py", "export/space.py")
"""The app of a demo Space, which is copied and never imported, and what says which Gradio it runs on."""


def imported(path: Path) -> set[str]:
    """Return the modules of the studio that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            assert not node.level, f"{path}: relative imports hide the layer"
            if node.module == "studio":
                found |= {alias.name for alias in node.names if not alias.name.startswith("_")}
            elif node.module.startswith("studio."):
                found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("studio.")}
    return found


def files() -> list[Path]:
    return sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_its_own_layer_and_those_below(path):
    own = path.relative_to(ROOT).parts[0].removesuffix(".py")
    too_high = {name for name in imported(path) if LEVEL[name] > LEVEL[own]}
    assert not too_high
    assert not imported(path) & APART.get(own, set())
    if own in BOTTOM:
        assert all(BOTTOM.index(name) < BOTTOM.index(own) for name in imported(path) - {own})


def arrows(root: Path, paths: list[Path]) -> dict[str, set[str]]:
    """Return the packages and single modules of the studio, each with those that it imports."""
    found: dict[str, set[str]] = {}
    for path in paths:
        own = path.relative_to(root).parts[0].removesuffix(".py")
        found.setdefault(own, set()).update(imported(path) - {own})
    return found


def test_no_packages_import_each_other_in_a_circle():
    TopologicalSorter(arrows(ROOT, files())).prepare()


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_page_and_the_demo_that_is_given_away_know_gradio(path):
    if "ui" not in path.relative_to(ROOT).parts and path.relative_to(ROOT).as_posix() not in SPACE:
        assert "gradio" not in path.read_text(encoding="utf-8").replace("Gradio", "")


def test_nothing_imports_the_demo():
    assert [path.name for path in files() if "import demo_app" in path.read_text(encoding="utf-8")] == []


def test_the_check_sees_an_import_inside_a_function(tmp_path):
    path = tmp_path / "hidden.py"
    path.write_text("def f():\n    from studio.ui import app\n", encoding="utf-8")
    assert imported(path) == {"ui"}


def test_the_check_sees_a_circle_of_two_packages(tmp_path):
    for name, other in (("compare", "evaluate"), ("evaluate", "compare")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "module.py").write_text(f"from studio.{other} import module\n", encoding="utf-8")
    with pytest.raises(CycleError):
        TopologicalSorter(arrows(tmp_path, sorted(tmp_path.rglob("*.py")))).prepare()
