"""What guests can do, and what they learn: only what the owner has published."""

import json

import pytest

from studio import labels, runs
from studio.compare import saved, standing
from studio.i18n import text

QUESTION = "What is 3?"


def heard(visitor) -> str:
    return b"".join(visitor.heard).decode("utf-8", "replace")


def opened(guest, run):
    """Open the page and a run, as the browser does."""
    views = parts(guest)
    guest.call("ui.guest", "open_page", {views["language"]: "en"})
    return guest.call("tabs.comparing", "open_run", {views["run"]: run.id, views["language"]: "en"})


def parts(guest):
    """The guests' page's components, by the names that these tests need."""
    event = guest.blocks.fns[guest.index("compare_events", "compare")]
    language, _, prompt, run, checkpoint, strength, *numbers = event.inputs
    return {
        "language": language,
        "prompt": prompt,
        "run": run,
        "checkpoint": checkpoint,
        "strength": strength,
        "numbers": numbers[:6],
    }


def ask(guest, run_id, question=QUESTION, checkpoint="now", tokens=8):
    views = parts(guest)
    numbers = dict(zip(views["numbers"], (0.0, tokens, 0, 1.0, 0, 1.0), strict=True))
    known = {views["language"]: "en", views["prompt"]: question, views["run"]: run_id}
    return guest.call(
        "compare_events", "compare", {**known, **numbers, views["checkpoint"]: checkpoint, views["strength"]: 100}
    )


def test_a_guest_is_offered_published_runs_alone(guest, two_runs):
    opened(guest, two_runs.published)

    assert two_runs.published.id in heard(guest)
    assert two_runs.hidden.id not in heard(guest)
    assert "only mine" not in heard(guest)


def test_a_guest_compares_a_published_run_and_leaves_nothing_in_it(guest, two_runs):
    before = {path: path.stat().st_mtime_ns for path in two_runs.published.path.rglob("*") if path.is_file()}
    opened(guest, two_runs.published)

    sent = json.dumps(ask(guest, two_runs.published.id), ensure_ascii=False)

    assert text("ui.proof.verified") in sent, sent[-2000:]
    assert not saved.all_of(two_runs.published)
    assert {path: path.stat().st_mtime_ns for path in two_runs.published.path.rglob("*") if path.is_file()} == before


def test_the_owner_keeps_what_they_compare(owner, two_runs):
    opened_by_owner = owner.index("compare_events", "compare")
    assert opened_by_owner
    from studio import gpu
    from studio.compare.columns import CompareRequest

    request = CompareRequest(two_runs.published.id, (QUESTION,), two_runs.published.config().generation)
    gpu.thread().compare(request).result()

    assert len(saved.all_of(two_runs.published)) == 1


@pytest.mark.parametrize("way", ["compare", "open_run", "vote"])
def test_a_run_that_is_not_published_is_refused_to_whoever_knows_its_id(guest, two_runs, way):
    opened(guest, two_runs.published)
    guest.heard.clear()
    views = parts(guest)
    known = {views["language"]: "en", views["run"]: two_runs.hidden.id}
    if way == "compare":
        sent = ask(guest, two_runs.hidden.id)
    else:
        module = {"open_run": "tabs.comparing", "vote": "tabs.ballot"}[way]
        sent = guest.call(module, way if way != "vote" else "begin", known)

    assert text("ui.proof.verified") not in json.dumps(sent)
    assert "only mine" not in heard(guest)


def test_a_run_that_is_published_no_more_is_asked_no_more(guest, two_runs):
    opened(guest, two_runs.published)
    ask(guest, two_runs.published.id)
    labels.publish(two_runs.published, False)
    guest.heard.clear()

    ask(guest, two_runs.published.id)
    on = guest.blocks.fns[guest.index("compare_events", "ask_on")]
    guest.call("compare_events", "ask_on", {on.inputs[0]: "en", on.inputs[3]: "And 4?"})

    assert text("ui.proof.verified") not in heard(guest)
    assert runs.find(two_runs.published.id)


@pytest.mark.parametrize("checkpoint", ["/etc", "../../runs", "someone/adapter@main", "upload:x"])
def test_a_guest_names_no_adapter_of_their_own(guest, two_runs, checkpoint):
    opened(guest, two_runs.published)

    assert text("ui.proof.verified") not in json.dumps(ask(guest, two_runs.published.id, checkpoint=checkpoint))


def test_limits_hold_for_what_a_guest_asks(guest, two_runs):
    opened(guest, two_runs.published)
    guest.heard.clear()

    ask(guest, two_runs.published.id, question="x" * 5000)
    ask(guest, two_runs.published.id, tokens=8000)

    assert text("ui.proof.verified") not in heard(guest)


def test_nothing_of_the_owners_data_reaches_a_guest(guest, two_runs):
    from studio.data import prepare

    settings = two_runs.published.path / "run.yaml"
    config = two_runs.published.config().with_settings({"evaluation.prompts": "captain-heldout"})
    settings.write_text(config.to_yaml(), encoding="utf-8")
    opened(guest, two_runs.published)
    ask(guest, two_runs.published.id, question="hi")
    guest.get("/guest/config")
    guest.get("/guest/")

    learnt = heard(guest)
    assert two_runs.published.id in learnt
    held_out = prepare.held_out("captain-heldout")
    assert held_out
    assert not [prompt for prompt in held_out if prompt in learnt]
    for secret in ("says the sea", config.data.source.name, config.model.id, str(two_runs.published.path.parent)):
        assert secret not in learnt, secret


def test_a_guest_votes_on_a_published_run_and_not_in_the_name_of_nobody(guest, two_runs):
    from studio import gpu
    from studio.compare.columns import EvaluationRequest

    gpu.thread().evaluate(EvaluationRequest(two_runs.published.id, limit=2, forgetting=False)).result()
    assert standing.newest(two_runs.published)
    opened(guest, two_runs.published)
    begin = guest.blocks.fns[guest.index("tabs.ballot", "begin")]
    language, run, _, voter, *_ = begin.inputs
    known = {language: "en", run: two_runs.published.id, voter: "Kim"}
    told = json.dumps(guest.call("tabs.ballot", "begin", known), ensure_ascii=False)
    assert "What is" in told

    guest.call("tabs.ballot", "vote", known)

    written = [path for path in (two_runs.published.path / "compare").iterdir() if path.is_file()]
    assert any("Kim" in path.read_text("utf-8") for path in written)
    assert "only mine" not in heard(guest)
