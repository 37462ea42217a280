/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * GENA: who subscribed to which service's events, and what is to be sent to whom when (UPnP Device
 * Architecture 1.1, 4).  Owns the subscriptions; no socket, clock or value of a variable.  A
 * service is a number of the caller's, as is a variable of it: bit n of a set is the variable at n
 * of the list given to gena_encode().
 */
#ifndef PORTLEASE_GENA_H
#define PORTLEASE_GENA_H

#include "mapping.h"
#include "text.h"

enum {
	GENA_URLS_MAX = 4,
	GENA_PATHS_SIZE = 512, /* of all URLs of a subscription, with their NULs */
	GENA_SID_SIZE = 42,    /* "uuid:" and 36 octets, with NUL */
	GENA_RANDOM_SIZE = 16,
	GENA_TIMEOUT_MIN = 1800, /* seconds, and what is granted to those who name none */
	GENA_TIMEOUT_MAX = 7200,
	GENA_MODERATION = 200,	 /* ms from a change until it is told, in which more may join it */
	GENA_VARIABLES_MAX = 32, /* of a service */
};

#define GENA_ALL_VARIABLES UINT32_MAX

/* HTTP status codes. */
enum gena_status {
	GENA_OK = 200,
	GENA_BAD_REQUEST = 400,
	GENA_PRECONDITION_FAILED = 412,
	GENA_UNAVAILABLE = 503,
};

struct gena_url {
	uint16_t port;
	uint16_t path; /* begins at paths + path */
};

/* One place of the table; its members are gena.c's matter. */
struct gena_subscription {
	uint32_t id; /* 0: the place is free */
	uint8_t service;
	uint8_t urls, url; /* how many there are, and which is being tried */
	bool held;	   /* the reply to its SUBSCRIBE is not sent yet */
	bool greeted;	   /* its first event has been tried */
	bool leaving;	   /* gone for its subscriber, but for its first event or one under way */
	unsigned failures; /* events lost in a row */
	struct address client;
	char sid[GENA_SID_SIZE];
	struct gena_url to[GENA_URLS_MAX];
	char paths[GENA_PATHS_SIZE];
	uint32_t changed;   /* variables to be told */
	uint32_t in_flight; /* variables being told; 0: no delivery is under way */
	uint32_t seq, seq_in_flight;
	monotime due; /* of what changed; MONOTIME_NEVER: it may wait for another change */
	monotime ends;
};

struct gena_options {
	unsigned per_client; /* subscriptions of one address; 0: no bound but the table's */
	unsigned failures;   /* events lost in a row after which a subscription ends; 0: never */
};

struct gena_table {
	struct gena_subscription *place;
	unsigned places;
	struct gena_options options;
	uint32_t last_id;
};

/* The places stay the caller's, and are the bound in total. */
void gena_init(struct gena_table *, struct gena_subscription *place, unsigned places,
	       const struct gena_options *);

/* Of a SUBSCRIBE or UNSUBSCRIBE at the event URL of a service; NULL: no such header. */
struct gena_request {
	struct address client;
	uint8_t service;
	const char *callback, *nt, *sid, *timeout;
};

/* What a SUBSCRIBE that was accepted is answered with. */
struct gena_grant {
	uint32_t id; /* of a new subscription: owed to gena_confirm(); 0: it was renewed */
	char sid[GENA_SID_SIZE];
	uint32_t timeout; /* seconds */
};

/* New or renewed; *out is filled if GENA_OK.  random: unpredictable octets, to become the SID. */
enum gena_status gena_subscribe(struct gena_table *, const struct gena_request *,
				const uint8_t random[GENA_RANDOM_SIZE], monotime now,
				struct gena_grant *out);
enum gena_status gena_unsubscribe(struct gena_table *, const struct gena_request *, monotime now);

/* The reply to its SUBSCRIBE has been sent, whatever became of it: its first event may follow. */
void gena_confirm(struct gena_table *, uint32_t id, monotime now);

/* Variables of a service have new values. */
void gena_changed(struct gena_table *, uint8_t service, uint32_t variables, monotime now);

/* One NOTIFY to one URL.  Its texts end with the next call for the table but gena_encode(). */
struct gena_delivery {
	uint32_t id;
	struct endpoint to;
	const char *path;
	const char *sid;
	uint8_t service;
	uint32_t seq;
	uint32_t variables;
};

/* A delivery to begin now, the one due longest first, one of a subscription at a time. */
bool gena_next(struct gena_table *, monotime now, struct gena_delivery *out);
/* When gena_next() will find one, if nothing happens before; or MONOTIME_NEVER. */
monotime gena_wake(const struct gena_table *);

enum gena_outcome {
	GENA_DELIVERED,
	GENA_FAILED, /* not reached, too slow, or an answer that is neither of the others */
	GENA_GONE,   /* 412: the subscriber does not know the SID */
};

/*
 * How the delivery of a subscription ended, which itself may have ended before.
 * True: *again is the same event to the next URL.
 */
bool gena_finish(struct gena_table *, uint32_t id, enum gena_outcome, struct gena_delivery *again);

struct gena_variable {
	const char *name;
	const char *value; /* UTF-8 */
};

/*
 * The whole NOTIFY, with the variables of the delivery at the values given (at most
 * GENA_VARIABLES_MAX).  Returns the length, without a NUL; 0: does not fit.
 */
size_t gena_encode(const struct gena_delivery *, const struct gena_variable *, unsigned count,
		   void *out, size_t size);

/* The beginning of a subscriber's answer.  False: it takes more octets to tell. */
bool gena_decode_answer(const void *bytes, size_t size, enum gena_outcome *out);

#endif
