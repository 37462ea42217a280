/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A SOAP request to a control URL, as a call (Device Architecture 3.2).  Pure, but for the XML
 * parser's memory.
 */
#ifndef PORTLEASE_IGD_ACTION_H
#define PORTLEASE_IGD_ACTION_H

#include "igd_mapping.h"

/* A POST to a control URL; the caller bounds the body, for parsing may cost its square. */
struct igd_message {
	enum igd_service service;
	enum igd_view view;
	const char *soapaction; /* value of that header; NULL: there was none */
	const char *body;
	size_t size;
};

/*
 * IGD_OK: *call is filled.  Else what to answer; call->action is what was asked for, IGD_ACTIONS
 * if nothing of ours.  Version 1 is read as leniently as its clients need it, version 2 as the
 * standard says.
 */
enum igd_error igd_decode(const struct igd_message *, struct igd_call *call);

#endif
