/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bounds-checked cursors over a caller's bytes.  They latch: after the first overrun every read
 * gives 0, every write does nothing, and .failed says so; one check at the end is enough.  Integers
 * are in network order.
 */
#ifndef PORTLEASE_WIRE_H
#define PORTLEASE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct wire_reader {
	const uint8_t *bytes;
	size_t size;
	size_t at;
	bool failed;
};

struct wire_writer {
	uint8_t *bytes;
	size_t size;
	size_t at;
	bool failed;
};

static inline struct wire_reader
wire_reader(const void *bytes, size_t size)
{
	return (struct wire_reader){.bytes = bytes, .size = size};
}

static inline struct wire_writer
wire_writer(void *bytes, size_t size)
{
	return (struct wire_writer){.bytes = bytes, .size = size};
}

static inline size_t
wire_left(const struct wire_reader *r)
{
	return r->failed ? 0 : r->size - r->at;
}

/* n bytes of the input, or NULL. */
static inline const uint8_t *
wire_take(struct wire_reader *r, size_t n)
{
	if (r->failed || r->size - r->at < n) {
		r->failed = true;
		return NULL;
	}
	r->at += n;
	return r->bytes + r->at - n;
}

static inline uint8_t
wire_u8(struct wire_reader *r)
{
	const uint8_t *p = wire_take(r, 1);

	return p ? p[0] : 0;
}

static inline uint16_t
wire_u16(struct wire_reader *r)
{
	const uint8_t *p = wire_take(r, 2);

	return p ? (uint16_t)(p[0] << 8 | p[1]) : 0;
}

static inline uint32_t
wire_u32(struct wire_reader *r)
{
	const uint8_t *p = wire_take(r, 4);

	return p ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3] : 0;
}

/* Copies n bytes to out; on failure out is zeroed. */
static inline void
wire_copy(struct wire_reader *r, void *out, size_t n)
{
	const uint8_t *p = wire_take(r, n);

	if (p)
		memcpy(out, p, n);
	else
		memset(out, 0, n);
}

/* Room for n bytes of output, or NULL. */
static inline uint8_t *
wire_room(struct wire_writer *w, size_t n)
{
	if (w->failed || w->size - w->at < n) {
		w->failed = true;
		return NULL;
	}
	w->at += n;
	return w->bytes + w->at - n;
}

static inline void
wire_put_u8(struct wire_writer *w, uint8_t v)
{
	uint8_t *p = wire_room(w, 1);

	if (p)
		p[0] = v;
}

static inline void
wire_put_u16(struct wire_writer *w, uint16_t v)
{
	uint8_t *p = wire_room(w, 2);

	if (p) {
		p[0] = (uint8_t)(v >> 8);
		p[1] = (uint8_t)v;
	}
}

static inline void
wire_put_u32(struct wire_writer *w, uint32_t v)
{
	wire_put_u16(w, (uint16_t)(v >> 16));
	wire_put_u16(w, (uint16_t)v);
}

static inline void
wire_put(struct wire_writer *w, const void *from, size_t n)
{
	uint8_t *p = wire_room(w, n);

	if (p)
		memcpy(p, from, n);
}

static inline void
wire_put_zero(struct wire_writer *w, size_t n)
{
	uint8_t *p = wire_room(w, n);

	if (p)
		memset(p, 0, n);
}

#endif
