/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fake_foreign_chains.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CHAINS = 8 };

struct foreign_chains {
	struct fake {
		const char *table, *chain; /* NULL: free */
		bool line;
		int error;
	} chain[CHAINS];
	unsigned looks;
};

int
foreign_chains_open(struct foreign_chains **out, struct fault *fault)
{
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : fault_set(fault, ENOMEM, "cannot open nftables");
}

void
foreign_chains_close(struct foreign_chains *f)
{
	free(f);
}

static struct fake *
find(const struct foreign_chains *f, const char *table, const char *chain)
{
	for (size_t i = 0; i < CHAINS; i++) {
		const struct fake *c = &f->chain[i];

		if (c->table && strcmp(c->table, table) == 0 && strcmp(c->chain, chain) == 0)
			return (struct fake *)c;
	}
	return NULL;
}

enum foreign_result
foreign_chains_put(struct foreign_chains *f, const struct foreign_chain *chain, struct fault *fault)
{
	struct fake *c = find(f, chain->table, chain->chain);

	f->looks++;
	if (!c)
		return FOREIGN_ABSENT;
	if (c->error) {
		fault_set(fault, c->error, "chain");
		return FOREIGN_REFUSED;
	}
	if (c->line)
		return FOREIGN_THERE;
	c->line = true;
	return FOREIGN_PUT;
}

enum foreign_result
foreign_chains_take(struct foreign_chains *f, const struct foreign_chain *chain,
		    struct fault *fault)
{
	struct fake *c = find(f, chain->table, chain->chain);

	if (c && c->error) {
		fault_set(fault, c->error, "chain");
		return FOREIGN_REFUSED;
	}
	if (c)
		c->line = false;
	return FOREIGN_ABSENT;
}

void
fake_foreign_make(struct foreign_chains *f, const char *table, const char *chain)
{
	struct fake *c = find(f, table, chain);

	for (size_t i = 0; !c && i < CHAINS; i++)
		if (!f->chain[i].table)
			c = &f->chain[i];
	if (c)
		*c = (struct fake){.table = table, .chain = chain};
}

void
fake_foreign_delete(struct foreign_chains *f, const char *table, const char *chain)
{
	struct fake *c = find(f, table, chain);

	if (c)
		c->table = NULL;
}

void
fake_foreign_refuse(struct foreign_chains *f, const char *table, const char *chain, int error)
{
	find(f, table, chain)->error = error;
}

bool
fake_foreign_has_line(const struct foreign_chains *f, const char *table, const char *chain)
{
	const struct fake *c = find(f, table, chain);

	return c && c->line;
}

unsigned
fake_foreign_looks(const struct foreign_chains *f)
{
	return f->looks;
}
