/* SPDX-License-Identifier: GPL-2.0-or-later */
/* backend/foreign_chains.h over an array, with levers for tests. */
#ifndef PORTLEASE_FAKE_FOREIGN_CHAINS_H
#define PORTLEASE_FAKE_FOREIGN_CHAINS_H

#include "../../backend/foreign_chains.h"

/* The chain exists from now on, without our line. */
void fake_foreign_make(struct foreign_chains *, const char *table, const char *chain);
void fake_foreign_delete(struct foreign_chains *, const char *table, const char *chain);
/* 0: no more. */
void fake_foreign_refuse(struct foreign_chains *, const char *table, const char *chain, int error);
bool fake_foreign_has_line(const struct foreign_chains *, const char *table, const char *chain);
unsigned fake_foreign_looks(const struct foreign_chains *); /* how often somebody looked */

#endif
