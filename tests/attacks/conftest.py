"""A page with two logins, a published run and one that is not."""

import shutil
from types import SimpleNamespace

import pytest
from visitors import PASSWORDS, Visitor

from studio.ui import access, hosts, launch, logins


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A page with logins, launched once for a module; the home is each test's own."""
    from studio.ui import app, guest

    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("RESTYLE_HOME", str(tmp_path_factory.mktemp("launched")))
        patched.setattr(logins, "FIRST_PAUSE", 0.02)
        patched.setattr(logins, "LONGEST_PAUSE", 0.05)
        door = access.Door("logins", hosts.Names.here(), logins.Logins(dict(PASSWORDS)))
        launch.open_to(door)
        page, guests = app.build(), guest.build()
        server, url, _ = launch.launch(page, guests=guests, prevent_thread_lock=True, quiet=True)
        yield SimpleNamespace(url=url, app=server, page=page, guests=guests, door=door)
        page.close(verbose=False)
        launch.open_to(access.Door())


@pytest.fixture
def stranger(shared):
    return Visitor(shared.url, shared.page)


@pytest.fixture
def owner(shared):
    visitor = Visitor(shared.url, shared.page)
    assert visitor.log_in("owner").status_code == 200
    return visitor


@pytest.fixture
def guest(shared):
    """A guest on the guests' page."""
    visitor = Visitor(shared.url, shared.guests, access.GUEST_PATH)
    assert visitor.log_in("guest").status_code == 200
    return visitor


@pytest.fixture
def two_runs(finished_run):
    """A published run, and a copy of it that is not published."""
    from studio import runs
    from studio.runs import metadata

    hidden = finished_run.path.with_name("20250101-000000-hidden-0000")
    shutil.copytree(finished_run.path, hidden)
    metadata.rename(runs.find(hidden.name), "only mine")
    metadata.publish(finished_run, True)
    return SimpleNamespace(published=finished_run, hidden=runs.find(hidden.name))
