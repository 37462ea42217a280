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
