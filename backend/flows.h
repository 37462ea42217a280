/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's tracked flows (conntrack): reads all there are, piece by piece, and ends some.
 * Knows no mapping and decides nothing.
 */
#ifndef PORTLEASE_FLOWS_H
#define PORTLEASE_FLOWS_H

#include "fault.h"
#include "../protocols/mapping.h"

/* Bits of the conntrack mark; the rules that set and heed them are in nft_layout.c. */
#define FLOWS_MARK_OURS	 0x40000000u /* a mapping of ours bound the flow */
#define FLOWS_MARK_ENDED 0x20000000u /* TCP: each end gets a reset when it next sends */

/* conntrack's own words; TCP's have the kernel's numbers. */
enum flow_state {
	FLOW_NONE,
	FLOW_SYN_SENT,
	FLOW_SYN_RECV,
	FLOW_ESTABLISHED,
	FLOW_FIN_WAIT,
	FLOW_CLOSE_WAIT,
	FLOW_LAST_ACK,
	FLOW_TIME_WAIT,
	FLOW_CLOSE,
	FLOW_SYN_SENT2,
	/* UDP's */
	FLOW_UNREPLIED,
	FLOW_REPLIED,
	FLOW_ASSURED,
	FLOW_STATES
};

struct flow {
	enum transport transport;
	struct endpoint from, to;	      /* of its first packet, before any translation */
	struct endpoint reply_from, reply_to; /* of an answer, before it is translated back */
	uint32_t mark;
	enum flow_state state;
	uint32_t timeout; /* seconds until it is forgotten, if nothing more comes */
	uint32_t id;
	uint16_t zone;
	uint16_t master_port; /* it was announced in a flow to this port, as FTP's data connections
				 are; 0: it was not */
};

struct flows;

/* Opens the socket (once: closing one may cost milliseconds).  0 or -errno. */
int flows_open(struct flows **, struct fault *);
void flows_close(struct flows *); /* NULL is allowed */

/* Begins to read all IPv4 flows of TCP and UDP; gives up a reading that is under way.  0 or -errno.
 */
int flows_begin(struct flows *, struct fault *);

typedef void flow_fn(void *arg, const struct flow *);
/*
 * Gives the next piece (some hundred flows, under a millisecond) to take(), then ends those that
 * it named.  1: there is more; 0: that was all; -errno: the reading is over.  Flows that come or
 * end meanwhile may be missed or seen twice.
 */
int flows_next(struct flows *, flow_fn *take, void *arg, struct fault *);

enum flow_ending {
	FLOW_RESET,  /* TCP: marks it FLOWS_MARK_ENDED */
	FLOW_FORGET, /* deletes it: its next packet is a new flow's first */
};
/* To be called by take().  A flow that is gone by then is no error. */
void flows_end(struct flows *, const struct flow *, enum flow_ending);

#endif
