# SPDX-License-Identifier: GPL-2.0-or-later
"""`make demo` and `make install`: they work, and leave nothing behind."""
import os
import signal
import subprocess

import pytest

from lab import BUILD

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


@pytest.fixture
def run_demo(tmp_path):
    # What a script runs in the background ignores it, and so would the demo.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def start():
        return subprocess.Popen(["tests/demo.sh", BUILD], cwd=ROOT, env={**os.environ, "TMPDIR": str(tmp_path)}, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    yield start
    assert os.listdir(tmp_path) == []


def mounts():
    with open("/proc/self/mounts", encoding="utf-8") as file:
        return file.read()


def test_the_demo_works(run_demo):
    before = mounts()
    demo = run_demo()
    said, _ = demo.communicate(timeout=60)
    assert demo.returncode == 0, said
    assert said.count("Hello from the LAN host.") == 2 and "It works." in said  # by NAT-PMP, by UPnP
    assert mounts() == before


@pytest.mark.parametrize("step", ["1.", "3.", "5."])
def test_an_interrupted_demo_cleans_up(run_demo, step):
    demo = run_demo()
    for line in demo.stdout:
        if line.startswith(step):
            break
    os.killpg(demo.pid, signal.SIGINT)
    assert demo.wait(10) == 130


def test_a_failed_demo_says_so_and_cleans_up(run_demo, monkeypatch, tmp_path_factory):
    # A NAT-PMP client that maps nothing.
    folder = tmp_path_factory.mktemp("bin")
    (folder / "natpmpc").write_text("#!/bin/sh\nexit 0\n")
    (folder / "natpmpc").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    demo = run_demo()
    said, _ = demo.communicate(timeout=60)
    assert demo.returncode != 0 and "The demo failed" in said and "It works." not in said


def install(folder, *arguments):
    subprocess.run(["make", "-s", *arguments, f"BUILD={BUILD}", f"DESTDIR={folder}", "PREFIX=/usr"], cwd=ROOT, check=True,
                   capture_output=True)
    return sorted(os.path.relpath(os.path.join(path, name), folder) for path, _, names in os.walk(folder) for name in names)


def test_install_and_uninstall(tmp_path):
    installed = install(tmp_path, "install")
    for name in ("usr/sbin/portleased", "usr/bin/portlease", "usr/share/man/man8/portleased.8",
                 "usr/share/man/man8/portlease.8", "usr/share/man/man5/portlease.conf.5",
                 "usr/share/bash-completion/completions/portlease", "etc/portlease/portlease.conf"):
        assert name in installed
    assert os.path.isdir(tmp_path / "usr/libexec/portlease")
    config = tmp_path / "etc/portlease/portlease.conf"
    config.write_text("# mine\n")
    install(tmp_path, "install")
    assert config.read_text() == "# mine\n"
    assert install(tmp_path, "uninstall") == ["etc/portlease/portlease.conf"]
    ours = [path for path, _, _ in os.walk(tmp_path) if os.path.basename(path) == "portlease"]
    assert ours == [str(tmp_path / "etc/portlease")]
