# SPDX-License-Identifier: GPL-2.0-or-later
import os

import pytest

from lab import Lab


def pytest_configure(config):
    config.addinivalue_line("markers", "long: waits for minutes; started first, so that it runs beside the others")
    if os.geteuid() != 0:
        pytest.exit("system tests make network namespaces: run them as root", 1)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture
def lab(request):
    """A Lab; indirect parameters are its options."""
    lab = Lab(**getattr(request, "param", {}))
    yield lab
    lab.close()


@pytest.fixture
def daemon(lab):
    return lab.daemon()


def pytest_terminal_summary(terminalreporter):
    """The tables that tests made, from whichever process they ran in."""
    for report in terminalreporter.stats.get("passed", []) + terminalreporter.stats.get("failed", []):
        for name, text in report.user_properties:
            if name == "table":
                terminalreporter.write_line("\n" + text)
