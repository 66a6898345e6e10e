"""The engine never imports the page, and no layer imports one above it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "studio"
LAYERS = [
    {
        "errors",
        "i18n",
        "safe_yaml",
        "files",
        "locks",
        "owner",
        "setting_text",
        "config",
        "events",
        "presets",
        "command",
        "runs",
    },
    {"model", "data"},
    {"train", "compare", "export"},
    {"job", "gpu"},
    {"ui", "cli", "__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
BOTTOM = [
    "i18n",
    "errors",
    "safe_yaml",
    "files",
    "locks",
    "owner",
    "events",
    "setting_text",
    "config",
    "presets",
    "command",
    "runs",
]
"""The bottom layer is itself in order: a module imports only those before it."""

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
    if own in BOTTOM:
        assert all(BOTTOM.index(name) < BOTTOM.index(own) for name in imported(path) - {own})


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
