# SPDX-License-Identifier: GPL-2.0-or-later
"""The core is killed at random times under a stream of requests: what was answered is kept, what was ended stays ended.

KILLS says how many in all (100), SEED which (a new one, printed, if it is not given).
"""
import os
import random
import signal
import time

import pytest

from lab import ADMIN, BUILD, SANITIZED, wait_for
from storm import Storm
from test_parent import another_core

KILLS = int(os.environ.get("KILLS", "100"))
CASES = 4
LONGEST = 0.15  # seconds between a beginning and a kill
# More deaths of a parent's core, and it would rest before the next one (base/respawn.h).
DEATHS = 4
DELETE, FLUSH = "delete table inet portlease\n", "flush ruleset\n" + ADMIN


class Killer:
    def __init__(self, lab, daemon, dice):
        self.lab, self.daemon, self.random = lab, daemon, dice
        self.kills = self.deaths = 0
        self.tables = 0  # that were taken away

    def a_moment(self, longest=LONGEST):
        time.sleep(self.random.uniform(0, longest))

    def kill_core(self):
        core = self.daemon.pid
        os.kill(core, signal.SIGKILL)
        self.kills += 1
        self.deaths += 1
        another_core(self.daemon, core)

    def kill_core_twice(self):
        self.kill_core()
        self.a_moment(0.05)
        self.kill_core()

    def kill_worker_and_core(self):
        for worker in self.daemon.children("portleased-upnp"):
            os.kill(worker, signal.SIGKILL)
        self.a_moment(0.02)
        self.kill_core()

    def take_table_and_kill_core(self):
        self.take_table()
        self.a_moment(0.02)
        self.kill_core()

    def take_table(self):
        self.lab.gw.nft(self.random.choice((DELETE, FLUSH)), check=False)  # it may be gone already
        self.tables += 1

    def kill_all(self):
        self.daemon.kill()
        self.kills += 1
        self.a_moment(0.05)
        if self.random.random() < 0.3:
            self.take_table()
        self.start()

    def stop(self):
        assert self.daemon.stop() == 0
        self.start()

    def start(self):
        self.deaths = 0
        self.daemon.start()

    def strike(self):
        """Any of it, after a moment; the daemon serves again."""
        self.a_moment()
        if self.deaths + 2 > DEATHS:
            self.random.choice((self.kill_all, self.kill_all, self.stop))()
        else:
            self.random.choice((self.kill_core, self.kill_core, self.kill_core_twice, self.kill_worker_and_core,
                                self.take_table_and_kill_core, self.kill_all))()
        wait_for(self.daemon.answers, 10)


@pytest.mark.long
@pytest.mark.parametrize("case", range(CASES))
def test_killed_at_random(lab, record_property, case):
    seed = int(os.environ.get("SEED", random.SystemRandom().randrange(1 << 32))) + case
    print("SEED", seed - case)
    daemon = lab.daemon("requests-per-second = 0", build=SANITIZED if case == 0 else BUILD)
    dice = random.Random(seed)
    killer, storm = Killer(lab, daemon, dice), lab.closing(Storm(lab, daemon, dice.random()))
    lost, revived = [], []
    while killer.kills < KILLS / CASES and not lost and not revived:
        storm.go_on()
        killer.strike()
        if dice.random() < 0.5:
            killer.a_moment()
        storm.hold()
        lost, revived = storm.check()
        if dice.random() < 0.3:
            storm.talk()
    figures = (f"kills={killer.kills} tables taken away={killer.tables} answered={storm.answered} given up={storm.given_up} "
               f"refused={len(storm.refused)} judged={storm.judged} connections={storm.talked} lost={len(lost)} "
               f"revived={len(revived)}")
    record_property("table", f"case {case}, seed {seed - case}: {figures}")
    assert not lost and not revived, "\n".join([figures, *lost, *revived, daemon.log()[-20000:]])
    assert storm.answered > 5 * killer.kills, figures
    assert len(storm.refused) < 0.05 * storm.answered, (figures, storm.refused)
