"""The draft that a browser keeps is what somebody sent: it reads no file of this machine, and no folder."""

import json

import gradio as gr
import pytest

from studio.config import RunConfig

CANARY = "canary of this machine"


@pytest.fixture
def secret(tmp_path):
    """A file that is not an upload, in a folder that could be a model's."""
    path = tmp_path / "secret" / "secret.csv"
    path.parent.mkdir()
    path.write_text(f"question,answer\n{CANARY},{CANARY}\n", encoding="utf-8")
    return path


def opened(visitor, draft):
    event = visitor.blocks.fns[visitor.index("ui.app", "open_page")]
    kept = next(part for part in event.inputs if part.__class__.__name__ == "BrowserState")
    return json.dumps(visitor.call("ui.app", "open_page", {kept: draft}), ensure_ascii=False)


def settings(**changes):
    return RunConfig().with_settings(changes).to_yaml()


def test_a_draft_is_taken_up(owner):
    assert "0.000123" in opened(owner, {"settings": settings(**{"train.learning_rate": 0.000123})})


@pytest.mark.parametrize("where", ["data.source", "data.validation"])
@pytest.mark.parametrize("way", ["", "../secret/"])
def test_no_draft_reads_a_file_of_this_machine(owner, secret, where, way):
    document = settings(
        **{
            f"{where}.kind": "file",
            f"{where}.name": f"{secret.parent}/{way}secret.csv",
            "train.learning_rate": 0.000123,
        }
    )

    assert "0.000123" not in opened(owner, {"settings": document})
    number = owner.index("tabs.data_events", "read_source")
    values = [None if isinstance(part, gr.State) else part.value for part in owner.blocks.fns[number].inputs]
    assert owner.join(number, [values[0], "file", *values[2:]]).status_code == 200

    assert owner.outcome()
    assert CANARY.encode() not in b"".join(owner.heard)


def test_no_draft_names_a_folder_as_a_model(owner, secret):
    assert str(secret.parent) not in opened(owner, {"settings": settings(**{"model.id": str(secret.parent)})})


@pytest.mark.parametrize(
    "draft", [None, [], {"settings": 1}, {"settings": "a: &a [*a]"}, {"settings": "[", "preset": []}]
)
def test_a_draft_that_is_none_leaves_the_page_open(owner, draft):
    assert opened(owner, draft)
