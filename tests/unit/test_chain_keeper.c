/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When our line is put into others' chains, on a fake kernel and clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>

#include "../../daemon/base/respawn.h"
#include "../../daemon/core/chain_keeper.h"
#include "../fakes/fake_foreign_chains.h"

#define FW4    "fw4", "forward"
#define FILTER "filter", "FORWARD"

static const struct config_chain chains[] = {{true, FW4}, {false, FILTER}};
static struct foreign_chains *kernel;
static struct chain_keeper *k;

static int
start(void **state)
{
	struct fault fault;

	(void)state;
	if (foreign_chains_open(&kernel, &fault) < 0)
		return -1;
	k = chain_keeper_new(kernel);
	return k && chain_keeper_set(k, chains, 2) ? 0 : -1;
}

static int
stop(void **state)
{
	(void)state;
	chain_keeper_free(k);
	foreign_chains_close(kernel);
	return 0;
}

static void
assert_kept(size_t number, enum foreign_result result)
{
	assert_int_equal(chain_keeper_chain(k, number)->result, result);
}

static void
a_chain_is_awaited(void **state)
{
	(void)state;
	fake_foreign_make(kernel, FILTER);
	assert_true(chain_keeper_tend(k, 0) == MONOTIME_NEVER);
	assert_kept(0, FOREIGN_ABSENT);
	assert_kept(1, FOREIGN_THERE);
	assert_true(fake_foreign_has_line(kernel, FILTER));
	assert_null(chain_keeper_chain(k, 2));

	fake_foreign_make(kernel, FW4);
	assert_true(chain_keeper_tend(k, 1) == MONOTIME_NEVER);
	assert_kept(0, FOREIGN_THERE);
	assert_true(fake_foreign_has_line(kernel, FW4));

	fake_foreign_delete(kernel, FW4);
	chain_keeper_tend(k, 2);
	assert_kept(0, FOREIGN_ABSENT);
	assert_kept(1, FOREIGN_THERE);
}

static void
a_refusal_is_shown_until_it_ends(void **state)
{
	(void)state;
	fake_foreign_make(kernel, FW4);
	fake_foreign_refuse(kernel, FW4, EPERM);
	chain_keeper_tend(k, 0);
	assert_kept(0, FOREIGN_REFUSED);
	fake_foreign_refuse(kernel, FW4, 0);
	/* Somebody who changes much does not make us look as often; but afterwards. */
	unsigned looks = fake_foreign_looks(kernel);
	monotime next = chain_keeper_tend(k, 1);
	assert_kept(0, FOREIGN_REFUSED);
	assert_int_equal(fake_foreign_looks(kernel), looks + 1); /* at the other */
	assert_in_range(next, 2, MONOTIME_SECOND);
	assert_true(chain_keeper_tend(k, next) == MONOTIME_NEVER);
	assert_kept(0, FOREIGN_THERE);
}

static void
what_cannot_be_given_back_is_tried_again(void **state)
{
	(void)state;
	fake_foreign_make(kernel, FW4);
	chain_keeper_tend(k, 0);
	fake_foreign_refuse(kernel, FW4, EINTR);
	assert_true(chain_keeper_set(k, NULL, 0));
	assert_null(chain_keeper_chain(k, 0));
	monotime next = chain_keeper_tend(k, 1);
	assert_in_range(next, 2, 1 + MONOTIME_SECOND);
	assert_true(fake_foreign_has_line(kernel, FW4));
	fake_foreign_refuse(kernel, FW4, 0);
	assert_true(chain_keeper_tend(k, next) == MONOTIME_NEVER);
	assert_false(fake_foreign_has_line(kernel, FW4));

	/* Named again before that, it stays. */
	assert_true(chain_keeper_set(k, chains, 1));
	chain_keeper_tend(k, next);
	fake_foreign_refuse(kernel, FW4, EINTR);
	assert_true(chain_keeper_set(k, NULL, 0));
	fake_foreign_refuse(kernel, FW4, 0);
	assert_true(chain_keeper_set(k, chains, 1));
	assert_true(chain_keeper_tend(k, next + 1) == MONOTIME_NEVER);
	assert_kept(0, FOREIGN_THERE);
	assert_true(fake_foreign_has_line(kernel, FW4));
}

/* Each time at once, until it is too often. */
static void
who_takes_it_out_again_and_again_is_followed_slowly(void **state)
{
	unsigned put = 0;

	(void)state;
	for (monotime now = 0; now < 60 * MONOTIME_SECOND; now += 10) {
		fake_foreign_make(kernel, FW4); /* anew, without the line */
		monotime next = chain_keeper_tend(k, now);
		put += fake_foreign_has_line(kernel, FW4);
		if (put < RESPAWN_DEATHS)
			assert_true(fake_foreign_has_line(kernel, FW4) && next == MONOTIME_NEVER);
		else
			assert_true(next > now && next <= now + RESPAWN_REST_MAX);
	}
	assert_in_range(put, 8, 20);
}

static void
what_is_not_named_any_more_is_given_back(void **state)
{
	(void)state;
	fake_foreign_make(kernel, FW4);
	fake_foreign_make(kernel, FILTER);
	chain_keeper_tend(k, 0);
	unsigned looks = fake_foreign_looks(kernel);
	assert_true(chain_keeper_set(k, &chains[1], 1));
	assert_false(fake_foreign_has_line(kernel, FW4));
	assert_true(fake_foreign_has_line(kernel, FILTER));
	assert_kept(0, FOREIGN_THERE);
	assert_null(chain_keeper_chain(k, 1));
	assert_true(chain_keeper_set(k, NULL, 0));
	assert_false(fake_foreign_has_line(kernel, FILTER));
	assert_true(chain_keeper_tend(k, 1) == MONOTIME_NEVER);
	assert_int_equal(fake_foreign_looks(kernel), looks);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_chain_is_awaited),
	    TEST(a_refusal_is_shown_until_it_ends),
	    TEST(what_cannot_be_given_back_is_tried_again),
	    TEST(who_takes_it_out_again_and_again_is_followed_slowly),
	    TEST(what_is_not_named_any_more_is_given_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
