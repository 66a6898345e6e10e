"""The notebook for Colab, its cells run as scripts: what is not there (Drive, Colab's secrets) is stood in for."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from gradio import tunneling
from typer.testing import CliRunner

ROOT = Path(__file__).parent.parent
PYTHON = sys.executable
NOTEBOOK = ROOT / "presets" / "colab" / "restyle-studio.ipynb"
GOOGLE = {
    "drive.py": "from pathlib import Path\n\ndef mount(folder):\n    (Path(folder) / 'MyDrive').mkdir(parents=True)\n",
    "userdata.py": "def get(name):\n    return 'hf_canary' if name == 'HF_TOKEN' else None\n",
}


def cells() -> list[str]:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert {cell["cell_type"] for cell in notebook["cells"]} == {"code"}
    assert all(cell["outputs"] == [] for cell in notebook["cells"])
    return ["".join(cell["source"]) for cell in notebook["cells"]]


def filled(cell: str, **values: str) -> str:
    """Return a cell with its form filled in."""
    for name, value in values.items():
        cell, found = re.subn(rf'^{name} = ".*?"(?=  # @param)', f"{name} = {value!r}", cell, flags=re.M)
        assert found == 1
    return cell


@pytest.fixture
def colab(tmp_path):
    """Run a cell as a script in a folder of its own; the studio's folder is there, unless it is to be fetched."""
    here = tmp_path / "content"
    modules = tmp_path / "modules" / "google" / "colab"
    modules.mkdir(parents=True)
    for name, content in GOOGLE.items():
        (modules / name).write_text(content, encoding="utf-8")
    here.mkdir()

    def run(cell: str, *, studio: bool = True, after: str = "", **variables: str) -> subprocess.CompletedProcess:
        if studio and not (here / "restyle-studio").exists():
            (here / "restyle-studio").symlink_to(ROOT)
        environment = os.environ | {"PYTHONPATH": str(tmp_path / "modules"), **variables}
        command = [PYTHON, "-c", f"{cell}\n{after}"]
        return subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, timeout=180)

    run.here = here
    return run


def test_the_first_cell_fetches_the_studio_and_leaves_torch_as_it_is(colab, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    shutil.copy(ROOT / "requirements.txt", source)
    for command in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"]):
        subprocess.run(["git", *command], cwd=source, check=True)
    # all of it is installed here, so pip wants nothing of the index, and would fail if it did
    ran = colab(filled(cells()[0], SOURCE=str(source)), studio=False, PIP_NO_INDEX="1")
    assert ran.returncode == 0, ran.stderr
    assert "Installed, with torch" in ran.stdout
    wanted = (colab.here / "others.txt").read_text(encoding="utf-8").splitlines()
    everything = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    left_out = [line for line in everything if line not in wanted and not line.startswith("#")]
    assert len(left_out) == 1
    assert left_out[0].startswith("torch>=")
    assert (colab.here / "as-it-is.txt").read_text(encoding="utf-8").startswith("torch==")


def test_the_first_cell_asks_for_the_address(colab):
    ran = colab(cells()[0], studio=False)
    assert ran.returncode == 1
    assert "Fill in SOURCE" in ran.stderr


@pytest.mark.long
def test_the_second_cell_starts_the_page_with_the_password_and_shows_the_logins(colab, tmp_path):
    """The program that makes the tunnel of the share link is stood in for; all else is the page itself."""
    tunnel = tmp_path / "huggingface" / "gradio" / "frpc" / tunneling.BINARY_FILENAME
    tunnel.parent.mkdir(parents=True)
    tunnel.write_text(
        f"#!{sys.executable}\nprint('start proxy success: http://stand-in', flush=True)\nimport time\ntime.sleep(100)\n"
    )
    tunnel.chmod(0o755)
    reached = {"HF_HOME": str(tmp_path / "huggingface"), "GRADIO_SHARE_SERVER_ADDRESS": "127.0.0.1:1"}
    after = (
        "import re, urllib.error, urllib.request\n"
        "try:\n"
        "    urllib.request.urlopen('http://127.0.0.1:7869/config', timeout=20)\n"
        "except urllib.error.HTTPError as error:\n"
        "    print('without a login:', error.code)\n"
        "studio.send_signal(signal.SIGTERM)\n"
        "print('ended:', studio.wait(60))\n"
    )
    ran = colab(filled(cells()[1], OWNER_PASSWORD="my-own-word"), after=after, GRADIO_SERVER_PORT="7869", **reached)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "* Running on public URL: https://stand-in" in ran.stdout
    assert "* Login: owner, password: (as given)" in ran.stdout
    assert re.search(r"\* Login: guest, password: \S{8,}", ran.stdout)
    assert "my-own-word" not in ran.stdout + ran.stderr
    assert "without a login: 401" in ran.stdout


def test_the_second_cell_says_so_when_the_studio_does_not_start(colab, tmp_path):
    (tmp_path / "file").touch()
    ran = colab(cells()[1], RESTYLE_HOME=str(tmp_path / "file"))
    assert ran.returncode == 1
    assert "The studio has ended" in ran.stderr


def test_the_third_cell_saves_the_adapter_to_drive(colab, finished_run, warm_python):
    ran = colab(f"import sys\nsys.executable = {sys.executable!r}\n{cells()[2]}")
    assert ran.returncode == 0, ran.stderr
    saved = colab.here / "drive" / "MyDrive" / "restyle-studio" / f"{finished_run.id}-adapter.zip"
    assert f"Saved: {saved}" in ran.stdout
    names = [Path(name).name for name in zipfile.ZipFile(saved).namelist()]
    assert "adapter_model.safetensors" in names


def test_the_third_cell_tells_what_is_missing(colab):
    ran = colab(filled(cells()[2], TO="Hub"))
    assert "Fill in REPOSITORY" in ran.stderr
    ran = colab(cells()[2])
    assert ran.returncode == 1
    assert "no run yet" in ran.stderr
    assert "Nothing was saved" in ran.stderr
    assert not (colab.here / "drive").exists()


def test_the_options_that_the_cells_use_are_there():
    from studio.cli import app

    assert (
        "--share"
        in subprocess.run([sys.executable, "app.py", "--help"], cwd=ROOT, capture_output=True, text=True).stdout
    )
    shown = CliRunner().invoke(app, ["export", "--help"], env={"COLUMNS": "200", "TERM": "dumb"}).output
    assert all(option in shown for option in re.findall(r'"(--[a-z]+)"', cells()[2]))
