"""The model card says what the run was, in words that nobody can take for markup, and nothing that is not known."""

import dataclasses
import json
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from exporting import GREEDY, without_chat_template
from following import trained
from huggingface_hub import ModelCard

from studio import gpu
from studio.compare import comparison_history
from studio.compare.columns import ADAPTED, BASE, Column, CompareRequest, EvaluationRequest
from studio.export import adapter, code_snippets, merge, model_card
from studio.export.export_context import load_context
from studio.export.sample_answers import SampleAnswers
from studio.runs import metadata
from studio.train import samples


def written(run, folder, language="en", comparisons=None):
    adapter.export(load_context(run, language, comparisons), folder)
    return (folder / "README.md").read_text(encoding="utf-8")


def chosen(run, *prompts):
    """Return the ids of the saved comparisons, or of those of some prompts."""
    saved = comparison_history.load_all(run)
    return tuple(one.id for one in saved if not prompts or one.comparison.request.prompts[0] in prompts)


def test_it_tells_the_run_from_its_directory(finished_run, tiny_model, tmp_path):
    gpu.thread().compare(CompareRequest(finished_run.id, ("What is 3?",), GREEDY, (BASE, ADAPTED))).result()
    said = gpu.thread().evaluate(EvaluationRequest(finished_run.id, limit=3, forgetting=False)).result()
    metadata.rename(finished_run, "A <b>captain</b> | *old*")
    text = written(finished_run, tmp_path / "mine", comparisons=chosen(finished_run))
    assert "# A \\<b\\>captain\\</b\\> \\| \\*old\\*" in text
    assert finished_run.resolved()["data"] in text
    assert finished_run.resolved()["base"]["weights"] in text
    assert "| `train.learning_rate` | `0.01` |" in text
    assert "24 rows" in text
    assert "style.jsonl" in text
    assert f"{said.board.rows} held-out rows" in text
    assert "python ask.py" in text
    assert "What is 3?" in text
    assert str(tiny_model.parent) not in text
    assert str(finished_run.path.parent.parent.parent) not in text
    shown = SampleAnswers(load_context(finished_run, comparisons=chosen(finished_run)))
    assert [pair.prompt for pair in shown.pairs] == ["What is 3?"]
    assert shown.pairs[0].after in text


def test_the_curve_and_the_page_lie_beside_it(finished_run, tmp_path):
    from PIL import Image

    text = written(finished_run, tmp_path / "mine", "ko")
    assert "학습 손실" in text
    assert f"]({model_card.CURVE})" in text
    with Image.open(tmp_path / "mine" / model_card.CURVE) as picture:
        assert picture.size == (1000, 480)
        assert len(set(picture.convert("RGB").getdata())) > 20
    page = (tmp_path / "mine" / model_card.PAGE).read_text(encoding="utf-8")
    strip = SampleAnswers(load_context(finished_run)).from_timeline
    assert strip
    assert all(pair.prompt in page for pair in strip)
    assert f"[{model_card.PAGE}]({model_card.PAGE})" in text


def test_answers_of_another_adapter_are_not_shown(finished_run, tmp_path):
    gpu.thread().compare(CompareRequest(finished_run.id, ("What is 3?",), GREEDY, (BASE, ADAPTED))).result()
    ids = chosen(finished_run)
    assert SampleAnswers(load_context(finished_run, comparisons=ids)).from_comparisons
    weights = finished_run.adapter / "adapter_model.safetensors"
    held = weights.read_bytes()
    weights.write_bytes(held[:-1] + bytes([held[-1] ^ 1]))
    assert SampleAnswers(load_context(finished_run, comparisons=ids)).from_comparisons == ()


def test_pinned_prompts_are_in_it_by_default_and_others_where_they_are_chosen(finished_run, tmp_path):
    pinned = samples.read(finished_run).prompts[0]
    thirds = (BASE, replace(ADAPTED, strength=0.5), Column("base", system="Be brief."))
    long = "Tell me all of it. " * 42
    for prompt, columns in ((pinned, (BASE, ADAPTED)), (long, thirds)):
        gpu.thread().compare(CompareRequest(finished_run.id, (prompt,), GREEDY, columns)).result()
    answers = SampleAnswers(load_context(finished_run))
    assert [pair.prompt for pair in answers.pairs] == [pinned]

    text = written(finished_run, tmp_path / "mine", comparisons=chosen(finished_run, long))
    assert pinned not in text.split("## Before and after")[1].split("\n## ")[0]
    assert long not in text
    assert "[…]" in text
    assert "at 50 %" in text
    assert "with a system prompt" in text
    assert long.strip() in (tmp_path / "mine" / model_card.PAGE).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("said", "head"),
    [
        ("license: mit", {"license": "mit"}),
        (
            "license: other\nlicense_name: sea-1\nlicense_link: https://example.org/sea",
            {"license": "other", "license_name": "sea-1", "license_link": "https://example.org/sea"},
        ),
        ("license: other\nlicense_name: sea-1\nlicense_link: LICENSE", {"license": "other", "license_name": "sea-1"}),
        ("tags: [a]", {}),
        ("license: [", {}),
    ],
)
def test_the_licence_is_the_bases_or_none(tiny_config, finished_run, tmp_path, said, head):
    base = tmp_path / "base"
    base.mkdir()
    (base / "README.md").write_text(f"---\n{said}\n---\n# Base\n", encoding="utf-8")
    from studio.model import catalogue

    found = load_context(finished_run)
    own = dataclasses.replace(found.base, licence=catalogue.licence_head(base))
    found = dataclasses.replace(found, base=own)
    assert model_card.licence_head(found) == head
    adapter.export(found, tmp_path / "mine")
    data = ModelCard.load(tmp_path / "mine" / "README.md").data.to_dict()
    assert {name: data[name] for name in data if name.startswith("license")} == head
    text = (tmp_path / "mine" / "README.md").read_text(encoding="utf-8")
    assert ("not known" in text.split("## Licence")[1]) is not bool(head)


def test_a_base_and_data_of_the_hub_are_in_the_head(tiny_config, hub_stand_in, tmp_path):
    run = trained(tiny_config, **{"model.id": "someone/tiny"})
    written(run, tmp_path / "mine")
    data = ModelCard.load(tmp_path / "mine" / "README.md").data
    assert data.base_model == "someone/tiny"
    assert data.base_model_relation == "adapter"
    assert data.library_name == "peft"
    assert data.language == ["en"]
    found = load_context(run)
    source = found.config.data.source.model_copy(update={"kind": "hub", "name": "someone/rows"})
    config = found.config.model_copy(update={"data": found.config.data.model_copy(update={"source": source})})
    adapter.export(dataclasses.replace(found, config=config), tmp_path / "other")
    assert ModelCard.load(tmp_path / "other" / "README.md").data.datasets == ["someone/rows"]


def test_the_metadata_pass_the_hubs_check(finished_run, hub_stand_in, tmp_path):
    written(finished_run, tmp_path / "mine")
    made = ModelCard.load(tmp_path / "mine" / "README.md")
    hub_stand_in.validate(made)
    made.data.license = "no-such-licence"
    with pytest.raises(ValueError, match="license"):
        hub_stand_in.validate(made)


@pytest.mark.parametrize("style", [pytest.param("chat", marks=pytest.mark.slow), "text"])
def test_the_code_for_a_merged_model_asks_as_the_run_did(tiny_config, tmp_path, style, request):
    from exporting import answer

    if style == "text":  # the slow suite begins without the libraries
        request.getfixturevalue("warm_python")
    settings = {"data.prompt.system": "Speak old."} if style == "chat" else without_chat_template(tmp_path / "base")
    run = trained(tiny_config, **settings)
    found = load_context(run)
    folder = merge.export(found, tmp_path / "mine", "float32", lambda phase, share: None)
    shown = re.search(r"```python\n(.*?)\n```", (folder / "README.md").read_text(encoding="utf-8"), re.S)[1]
    assert f"```python\n{shown}\n```" == code_snippets.usage(found, "merged")
    (folder / "use.py").write_text(shown, encoding="utf-8")
    done = subprocess.run([sys.executable, "use.py"], cwd=folder, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    asked = "How are you?" if style == "chat" else "instruction"
    assert done.stdout.strip() == answer(run, asked).text.strip()
    assert json.loads((folder / "restyle.json").read_text())["export"] == "merged"
