/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fake_flows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct flows {
	struct flow flow[FAKE_FLOWS_MAX];
	bool ended[FAKE_FLOWS_MAX]; /* to be forgotten once the reading is over */
	size_t count;
	size_t next;
	bool reading;
	unsigned readings, fail;
};

int
flows_open(struct flows **out, struct fault *fault)
{
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : fault_set(fault, ENOMEM, "cannot open conntrack");
}

void
flows_close(struct flows *f)
{
	free(f);
}

static void
forget_ended(struct flows *f)
{
	size_t kept = 0;

	for (size_t i = 0; i < f->count; i++)
		if (!f->ended[i])
			f->flow[kept++] = f->flow[i];
	f->count = kept;
	memset(f->ended, 0, sizeof(f->ended));
}

int
flows_begin(struct flows *f, struct fault *fault)
{
	(void)fault;
	f->reading = true;
	f->next = 0;
	f->readings++;
	return 0;
}

int
flows_next(struct flows *f, flow_fn *take, void *arg, struct fault *fault)
{
	if (!f->reading)
		return fault_set(fault, EINVAL, "conntrack is not being read");
	if (f->fail > 0) {
		f->fail--;
		f->reading = false;
		return fault_set(fault, EIO, "cannot read conntrack");
	}
	for (size_t piece = 0; piece < FAKE_FLOWS_PIECE && f->next < f->count; piece++)
		take(arg, &f->flow[f->next++]);
	if (f->next < f->count)
		return 1;
	f->reading = false;
	forget_ended(f);
	return 0;
}

void
flows_end(struct flows *f, const struct flow *flow, enum flow_ending how)
{
	size_t number = (size_t)(flow - f->flow);

	if (how == FLOW_RESET)
		f->flow[number].mark |= FLOWS_MARK_ENDED;
	else
		f->ended[number] = true;
}

void
fake_flows_add(struct flows *f, const struct flow *flow)
{
	if (f->count < FAKE_FLOWS_MAX)
		f->flow[f->count++] = *flow;
}

void
fake_flows_clear(struct flows *f)
{
	f->count = 0;
}

void
fake_flows_fail(struct flows *f, unsigned readings)
{
	f->fail = readings;
}

size_t
fake_flows_count(const struct flows *f)
{
	return f->count;
}

const struct flow *
fake_flows_get(const struct flows *f, size_t number)
{
	return &f->flow[number];
}

unsigned
fake_flows_readings(const struct flows *f)
{
	return f->readings;
}
