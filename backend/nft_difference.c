/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two sorted lists, read side by side. */
#include "nft_difference.h"

#include <linux/netfilter/nf_tables.h>
#include <stdlib.h>
#include <string.h>

enum {
	ELEMENT_SIZE = 256,    /* no element is longer in a message */
	MESSAGE_ELEMENTS = 15, /* so many fit into one */
};

/* The first three are what it is found by. */
struct row {
	uint8_t set; /* number of nft_mapping_set() */
	uint8_t key[NFT_KEY_SIZE];
	uint8_t key_end[NFT_KEY_SIZE];
	uint8_t data[NFT_DATA_SIZE];
	uint8_t key_size, data_size;
	bool interval;
	bool wrong;	  /* held: is to go; wanted: is to come */
	uint32_t comment; /* where in the texts; 0: none */
	uint64_t timeout;
};

enum { NAME_SIZE = offsetof(struct row, data) };

struct rows {
	struct row *row;
	size_t count, room;
};

struct nft_difference {
	struct rows held, wanted;
	char *texts; /* of both, back to back */
	size_t used, room;
	bool failed; /* out of memory */
};

struct nft_difference *
nft_difference_new(void)
{
	struct nft_difference *d = calloc(1, sizeof(*d));

	if (d)
		d->used = 1;
	return d;
}

void
nft_difference_free(struct nft_difference *d)
{
	if (!d)
		return;
	free(d->held.row);
	free(d->wanted.row);
	free(d->texts);
	free(d);
}

/* So many more octets of room in an array; false: no memory. */
static bool
grow(void **array, size_t *room, size_t used, size_t more, size_t size)
{
	size_t wanted = *room ? *room : 1024;
	void *larger;

	if (used + more <= *room)
		return true;
	while (wanted < used + more)
		wanted *= 2;
	larger = realloc(*array, wanted * size);
	if (!larger)
		return false;
	*array = larger;
	*room = wanted;
	return true;
}

static uint32_t
add_text(struct nft_difference *d, const char *comment)
{
	char clean[NFT_COMMENT_SIZE];
	size_t size;
	uint32_t at = (uint32_t)d->used;

	if (!comment || !*comment)
		return 0;
	nft_clean_comment(comment, clean);
	size = strlen(clean) + 1;
	if (!grow((void **)&d->texts, &d->room, d->used, size, 1)) {
		d->failed = true;
		return 0;
	}
	memcpy(d->texts + d->used, clean, size);
	d->used += size;
	return at;
}

static const char *
text(const struct nft_difference *d, const struct row *row)
{
	return row->comment ? d->texts + row->comment : "";
}

static void
add_row(struct nft_difference *d, struct rows *to, const struct nft_part *part)
{
	struct row row = {.key_size = (uint8_t)part->key_size,
			  .data_size = (uint8_t)part->data_size,
			  .interval = part->interval,
			  .timeout = part->timeout};

	while (nft_mapping_set(row.set) && strcmp(nft_mapping_set(row.set), part->set) != 0)
		row.set++;
	if (!nft_mapping_set(row.set) || d->failed)
		return;
	if (!grow((void **)&to->row, &to->room, to->count, 1, sizeof(row))) {
		d->failed = true;
		return;
	}
	memcpy(row.key, part->key, sizeof(row.key));
	memcpy(row.key_end, part->key_end, sizeof(row.key_end));
	memcpy(row.data, part->data, sizeof(row.data));
	row.comment = add_text(d, part->comment);
	to->row[to->count++] = row;
}

void
nft_difference_holds(struct nft_difference *d, const struct nft_part *part)
{
	add_row(d, &d->held, part);
}

void
nft_difference_wants(struct nft_difference *d, const struct mapping *mapping)
{
	struct nft_part parts[NFT_PARTS_MAX];
	size_t count = nft_parts_of(mapping, parts);

	for (size_t i = 0; i < count; i++)
		add_row(d, &d->wanted, &parts[i]);
}

void
nft_difference_forget_held(struct nft_difference *d)
{
	d->held.count = 0;
}

static int
compare(const void *a, const void *b)
{
	return memcmp(a, b, NAME_SIZE);
}

static void
sort(struct rows *rows)
{
	if (rows->count)
		qsort(rows->row, rows->count, sizeof(*rows->row), compare);
}

static bool
is_right(const struct nft_difference *d, const struct row *held, const struct row *wanted,
	 uint64_t early)
{
	if (held->data_size != wanted->data_size || held->interval != wanted->interval ||
	    memcmp(held->data, wanted->data, sizeof(held->data)) != 0 ||
	    strcmp(text(d, held), text(d, wanted)) != 0)
		return false;
	if (!held->timeout || !wanted->timeout)
		return held->timeout == wanted->timeout;
	return held->timeout <= wanted->timeout + FIREWALL_TIMEOUT_LATE &&
	       held->timeout + early >= wanted->timeout;
}

bool
nft_difference_find(struct nft_difference *d, uint64_t early, struct firewall_agreement *found)
{
	struct row *held = d->held.row, *held_end = held + d->held.count;
	struct row *wanted = d->wanted.row, *wanted_end = wanted + d->wanted.count;

	*found = (struct firewall_agreement){0};
	sort(&d->held);
	sort(&d->wanted);
	while (held < held_end || wanted < wanted_end) {
		int order = held == held_end	   ? 1
			    : wanted == wanted_end ? -1
						   : compare(held, wanted);

		if (order < 0) {
			held++->wrong = true;
			found->removed++;
		} else if (order > 0) {
			wanted++->wrong = true;
			found->added++;
		} else {
			bool right = is_right(d, held, wanted, early);

			held++->wrong = wanted++->wrong = !right;
			found->kept += right;
			found->replaced += !right;
		}
	}
	return !d->failed;
}

static size_t
count_wrong(const struct rows *rows)
{
	size_t count = 0;

	for (size_t i = 0; i < rows->count; i++)
		count += rows->row[i].wrong;
	return count;
}

size_t
nft_difference_size(const struct nft_difference *d)
{
	return (count_wrong(&d->held) + count_wrong(&d->wanted)) * ELEMENT_SIZE +
	       2 * NFT_MESSAGE_MAX;
}

static void
put_rows(const struct nft_difference *d, const struct rows *rows, enum firewall_change change,
	 struct nft_batch *batch, uint32_t sequence)
{
	bool add = change == FIREWALL_ADD;

	for (size_t i = 0; i < rows->count;) {
		const uint8_t set = rows->row[i].set;
		struct nft_part part[MESSAGE_ELEMENTS];
		struct nft_element element[MESSAGE_ELEMENTS];
		size_t count = 0;

		for (; i < rows->count && count < MESSAGE_ELEMENTS; i++) {
			const struct row *row = &rows->row[i];

			if (row->set != set)
				break;
			if (!row->wrong)
				continue;
			part[count] = (struct nft_part){.key_size = row->key_size,
							.data_size = row->data_size,
							.interval = row->interval,
							.timeout = row->timeout,
							.comment = text(d, row)};
			memcpy(part[count].key, row->key, sizeof(row->key));
			memcpy(part[count].key_end, row->key_end, sizeof(row->key_end));
			memcpy(part[count].data, row->data, sizeof(row->data));
			element[count] = nft_element_of(&part[count], change);
			count++;
		}
		if (count)
			nft_put_elements(
			    batch,
			    &(struct nft_set_change){.message = add ? NFT_MSG_NEWSETELEM
								    : NFT_MSG_DELSETELEM,
						     .flags = add ? NLM_F_CREATE | NLM_F_EXCL : 0,
						     .set = nft_mapping_set(set),
						     .sequence = sequence},
			    element, count);
	}
}

void
nft_difference_put(const struct nft_difference *d, struct nft_batch *batch, uint32_t sequence)
{
	put_rows(d, &d->held, FIREWALL_REMOVE, batch, sequence);
	put_rows(d, &d->wanted, FIREWALL_ADD, batch, sequence);
}
