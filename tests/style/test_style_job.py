"""The meter's job on the tiny model: stopped and resumed, kept, and never shown for another."""

import json

import pytest
from following import trained, wait_for, wait_until_over
from sea import GREEDY, SETTINGS, write_rows

from studio import gpu
from studio.compare.columns import ADAPTED, BASE, Column
from studio.errors import CompareError, DeviceError
from studio.files import sha256, user_cache
from studio.generation import generate
from studio.style import headline, style_store
from studio.style.request import StyleRequest
from studio.style.scoring import AnswerScorer


@pytest.fixture
def generated(monkeypatch):
    """The prompts that were answered, each with its number of columns."""
    counted = []
    original = generate.answer

    def answer(models, items, *rest):
        counted.extend(len(item.ids) for item in items)
        return original(models, items, *rest)

    monkeypatch.setattr(generate, "answer", answer)
    return counted


def measured(run, **settings):
    request = StyleRequest(run.id, **{"generation": GREEDY, "prompted": False} | settings)
    return gpu.thread().style(request).result()


def test_every_column_has_its_figures_and_base_and_author_are_the_anchors(run, generated):
    made = measured(run, columns=(ADAPTED, Column(strength=0.0)), prompted=True)
    report = made.report
    titles = [column.title() for column in report.columns]
    assert titles[0] == "Base model"
    assert titles[1] == "The author's own answers"
    assert "with a system prompt, with examples" in titles[2]
    assert titles[3] == "Adapter of this run"
    assert made.done == made.total
    assert len(report.prompts) == 22
    assert all(len(column.scores.style) == 22 for column in report.columns)
    assert report.base_column.strength.value == 0
    assert report.author.strength.value == pytest.approx(100)
    assert report.accuracy > 0.9
    assert report.columns[2].prompt_tokens > 2 * report.base_column.prompt_tokens
    assert report.main.drift.divergence.value > report.base_column.drift.divergence.value == 0
    assert report.verdict is not None
    again = report.columns[4]  # at strength 0 the base itself answers
    assert again.answers == report.base_column.answers
    assert again.strength.value == 0


def test_what_is_stored_is_read_again_and_belongs_to_its_adapter_and_strength(run, generated, monkeypatch):
    made = measured(run)
    assert style_store.read(made.path) == made.report
    adapter = sha256(run.adapter / "adapter_model.safetensors")
    assert style_store.find_column(run, ADAPTED, adapter) == (made.report, made.report.main)
    assert style_store.find_column(run, Column(strength=0.5), adapter) is None
    assert style_store.find_column(run, ADAPTED, "of another adapter") is None
    generated.clear()
    assert measured(run).report == made.report
    assert generated == []
    made.path.write_text("{", encoding="utf-8")
    with monkeypatch.context() as patched:
        patched.setattr(AnswerScorer, "_score", None)  # the scores were kept too
        assert measured(run).report.main.scores == made.report.main.scores
    assert generated == []  # the answers were kept apart
    other = measured(run, columns=(Column(adapter="step-000001"),))
    assert other.path != made.path
    assert generated == [1] * 22  # the new column alone


def test_the_report_of_a_column_is_of_its_strength_and_its_weights(run):
    assert style_store.measured_at(run, ADAPTED) is None
    half = Column(strength=0.5)
    both = measured(run, columns=(ADAPTED, half), prompted=True).report
    assert style_store.measured_at(run, ADAPTED) == both
    at_half = style_store.measured_at(run, half)
    assert at_half.main.column == half
    assert (at_half.verdict, at_half.curve) == (None, None)
    assert {each.title() for each in at_half.columns} == {each.title() for each in both.columns}
    assert style_store.measured_at(run, Column(strength=0.6)) is None
    assert style_store.measured_at(run, Column(adapter="step-000001")) is None
    weights = run.adapter / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes() + b" ")
    assert style_store.measured_at(run, ADAPTED) is None


def test_the_base_answers_a_training_prompt_once_for_all_runs(run, generated, tiny_config, tmp_path):
    measured(run)
    assert len(list(user_cache("style").glob("answers-*.jsonl"))) == 1
    rows = {"data.source": run.config().data.source.model_dump()}
    other = trained(tiny_config, **SETTINGS | {"train.max_steps": 3}, **rows)
    assert other.id != run.id
    generated.clear()
    measured(other)
    assert generated == [1] * 22  # its adapter's answers to the held-out prompts


def test_stopped_and_resumed_it_answers_nothing_twice(run, generated, monkeypatch):
    monkeypatch.setitem(generate.MAX_BATCH_ROWS, "cpu", 4)
    job = gpu.thread().style(StyleRequest(run.id, generation=GREEDY, prompted=False))
    for made in job.updates():
        if made.done >= 4:
            job.stop()
    assert made.stopped
    assert made.report is None
    assert 0 < made.done < made.total
    generated.clear()
    resumed = measured(run)
    assert resumed.report is not None
    assert resumed.done == resumed.total
    assert len(generated) == 22 + 22 - made.done  # the training prompts, then the held-out ones by both columns
    keys = [json.loads(line)["prompt"] for path in stores(run) for line in path.read_text("utf-8").splitlines()]
    assert len(keys) == made.total == 3 * 22


def stores(run):
    return [*user_cache("style").glob("answers-*.jsonl"), *(run.path / "style").glob("answers-*.jsonl")]


def test_too_little_text_is_said_before_anything_is_answered(tiny_config, tmp_path, generated):
    few = trained(tiny_config, **SETTINGS | {"train.max_steps": 1}, **write_rows(tmp_path / "few.jsonl", 24))
    generated.clear()
    report = measured(few).report
    assert report.too_little.text() == headline.headline(report).text()
    assert "1 word and 2 answers" not in report.too_little.text()
    assert "Too little text" in report.too_little.text()
    assert report.columns == ()
    assert generated == []


def test_without_answers_of_the_author_the_training_rows_are_the_anchor(run, tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("\n".join(f"What is {n}?" for n in range(100, 124)), encoding="utf-8")
    report = measured(run, rows=str(path)).report
    assert report.author is None
    assert report.main.strength.low <= report.main.strength.value <= report.main.strength.high
    assert any("no answers of the author" in note.text() for note in report.notes)


def test_a_prompt_that_is_given_again_and_again_is_one_prompt(run, tmp_path, generated):
    path = tmp_path / "prompts.txt"
    path.write_text("What is it?\n" * 30, encoding="utf-8")
    report = measured(run, rows=str(path)).report
    assert report.too_little.text() == headline.too_few_prompts(1).text()
    assert any("left out: 29" in note.text() for note in report.notes)
    path.write_text("\n".join(f"What is {n % 22}?" for n in range(30)), encoding="utf-8")
    assert measured(run, rows=str(path)).report.prompts == tuple(f"What is {n}?" for n in range(22))


def test_changed_data_and_a_run_that_trains_are_refused(run, tiny_config):
    training = gpu.thread().start_run(tiny_config.with_settings({"train.max_steps": 100_000}))
    wait_for(training, lambda status: status.step >= 1)
    with pytest.raises(DeviceError, match=training.id):
        measured(run)
    training.request("cancel")
    wait_until_over(training)
    source = run.config().data.source.name
    with open(source, "a", encoding="utf-8") as file:
        file.write('{"instruction": "What is new?", "output": "This row."}\n')
    with pytest.raises(CompareError, match="have changed"):
        measured(run)


def test_a_base_with_a_context_of_ones_own_is_a_column(run):
    report = measured(run, columns=(Column("base", system="Talk like a sailor."), ADAPTED)).report
    assert report.too_little is None, report.too_little
    assert [column.column for column in report.columns if column.column] == [
        BASE,
        Column("base", system="Talk like a sailor."),
        ADAPTED,
    ]
    assert report.verdict is not None


def test_the_words_of_a_style_are_known_by_the_rows_and_not_by_others(run, tiny_config, tmp_path):
    data = run.config().data
    mapping = run.resolved()["mapping"]
    assert style_store.of_rows(data, mapping) is None
    report = measured(run).report
    assert report.author_words
    known, words = style_store.of_rows(data, mapping)
    assert (known.id, words) == (run.id, report)
    assert style_store.of_rows(data, mapping | {"completion": "instruction"}) is None
    other = tiny_config.with_settings(write_rows(tmp_path / "other.jsonl", 43)).data
    assert style_store.of_rows(other, mapping) is None
