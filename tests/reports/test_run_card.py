"""The card of a comparison calls things by the names that people know."""

from dataclasses import replace

from following import wait_until_over

from studio import gpu
from studio.compare.columns import ADAPTED, BASE, Column, CompareRequest, EvaluationRequest
from studio.config import ModelConfig
from studio.model import builtin
from studio.reports import run_card


def test_a_base_is_called_by_its_name():
    assert run_card.base_name(ModelConfig()) == builtin.NAME
    assert run_card.base_name(ModelConfig(id="Qwen/Qwen2.5-0.5B")) == "Qwen2.5-0.5B"


def test_a_card_holds_the_answers_the_recipe_and_the_curve(tiny_config):
    run = gpu.thread().start_run(tiny_config.with_settings({"name": "captain", "samples.every": 1}))
    wait_until_over(run)
    request = CompareRequest(run.id, ("What is 3?",), tiny_config.generation, (BASE, replace(ADAPTED, strength=0.5)))
    made = gpu.thread().compare(request).result()
    shown = run_card.comparison_card_of(run, made, "en")
    assert shown.title == "captain"
    assert shown.base == "tiny-model0"
    assert shown.adapter.startswith("captain · ")
    assert "50" in shown.adapter
    assert [(pair.prompt, pair.before) for pair in shown.pairs] == [("What is 3?", made.answers[0][0].text)]
    assert len(shown.losses) == 6
    assert [finding.kind for finding in shown.reading.findings] == ["too_short"]
    assert [[step for step, _ in still.answers] for still in shown.stills] == [[0, 3, 6]] * 2
    assert shown.data_hash == run.resolved()["data"]


def test_a_card_holds_the_scoreboard_of_its_own_adapter_and_of_no_other(tiny_config):
    run = gpu.thread().start_run(tiny_config.with_settings({"evaluation.prompts": "captain-heldout"}))
    wait_until_over(run)

    def card_of(*columns):
        request = CompareRequest(run.id, ("What is 3?",), tiny_config.generation, columns)
        return run_card.comparison_card_of(run, gpu.thread().compare(request).result(), "en")

    assert card_of(BASE, ADAPTED).scoreboard is None
    assert not run_card.is_scoreboard_missing(run, card_of(BASE, ADAPTED))
    measured = gpu.thread().evaluate(EvaluationRequest(run.id, limit=3, forgetting=False)).result()

    assert card_of(BASE, ADAPTED).scoreboard == measured.board
    for columns in ((BASE, replace(ADAPTED, strength=0.5)), (Column("base", system="Be brief."), ADAPTED)):
        other = card_of(*columns)
        assert other.scoreboard is None
        assert run_card.is_scoreboard_missing(run, other)
