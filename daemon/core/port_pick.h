/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which external port does a wish get?  Suggested, the one it had, the internal port, a random one.
 * Bounded work. */
#ifndef PORTLEASE_PORT_PICK_H
#define PORTLEASE_PORT_PICK_H

#include "lease_table.h"
#include "policy.h"

struct port_pick_options {
	struct port_range random_ports;
	struct port_range ephemeral; /* the gateway's net.ipv4.ip_local_port_range */
	uint32_t (*random)(void *);  /* 32 unpredictable bits */
	void *random_arg;
	bool (*listening)(void *, enum transport,
			  uint16_t port); /* does the gateway itself listen there? */
	void *listening_arg;
};

struct port_question {
	struct port_wish wish;
	uint16_t suggested; /* 0 = none */
	enum if_taken if_taken;
	struct verdict verdict;
};

/*
 * MAP_OK: *port.  MAP_NOT_AUTHORIZED: policy allows none.  MAP_NO_RESOURCES: none that it allows is
 * free.  If exactly the suggested one is wanted: MAP_PORT_FORBIDDEN, MAP_PORT_TAKEN,
 * MAP_GATEWAY_PORT.
 */
enum map_result port_pick(const struct port_pick_options *, struct lease_table *,
			  const struct port_question *, monotime now, uint16_t *port);

/* Ports never given out whatever the policy says (RFC 6887 11.3; SSDP). */
bool port_is_ours(enum transport, uint16_t port);

#endif
