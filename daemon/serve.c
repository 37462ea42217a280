/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "serve.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"
#include "base/parent_link.h"
#include "base/sandbox.h"
#include "core/chain_keeper.h"
#include "core/engine.h"
#include "frontends/control.h"
#include "frontends/gateway.h"
#include "frontends/identity.h"
#include "frontends/spawner.h"
#include "frontends/upnp.h"
#include "../backend/crash_point.h"
#include "../backend/firewall.h"
#include "../backend/flows.h"
#include "../backend/lease_store.h"
#include "../backend/listeners.h"
#include "../backend/network.h"

static const int stop_signals[] = {SIGTERM, SIGINT};
enum { STOP_SIGNALS = sizeof(stop_signals) / sizeof(stop_signals[0]) };

enum reload { RELOAD_IDLE, RELOAD_ASKED, RELOAD_REVIEW };

struct daemon {
	const char *path;      /* of the configuration */
	struct config *config; /* stays where it is; reloading changes what is in it */
	enum reload reload;
	bool reload_again; /* asked for meanwhile */
	bool failed;
	bool orphaned; /* nobody told us to end */
	struct event_base *base;
	struct network *network;
	struct firewall *firewall;
	struct listeners *listeners;
	struct flows *flows;
	struct flows *session_flows; /* read for others, at other times */
	struct sessions *sessions;
	struct flows *upkeep_flows; /* as well */
	struct upkeep *upkeep;
	struct lease_store *store;
	struct policy *policy;
	struct engine *engine;
	struct foreign_chains *foreign;
	struct chain_keeper *keeper;
	struct gateway *gateway;
	struct control *control;
	struct spawner *spawner;
	struct identity identity;
	struct upnp *upnp; /* NULL: upnp = no */
	struct event *stop[STOP_SIGNALS];
	struct event *hangup;
	struct event *calendar; /* it was set; NULL: nobody tells */
	monotime started;
};

static void finish_reload(struct daemon *, const char *why);
static void on_hangup(evutil_socket_t, short, void *);

static uint32_t
random_bits(void *arg)
{
	(void)arg;
	return arc4random();
}

static bool
is_listening(void *arg, enum transport transport, uint16_t port)
{
	const struct daemon *d = arg;
	const struct topology *t = gateway_topology(d->gateway);

	for (size_t i = 0; i < t->own_addresses; i++) {
		struct endpoint at = {t->firewall.wan_address[i], port};

		if (listeners_busy(d->listeners, transport, &at, t->wan_index))
			return true;
	}
	return false;
}

/* Nothing is left for later that needs privileges. */
static void
enter_sandbox(const struct config *config)
{
	struct sandbox_user user;
	char why[256];

	if (!sandbox_find_user(config->user, &user))
		fatal("no such user: %s", config->user);
	if (!sandbox_enter(&user, why, sizeof(why)))
		fatal("%s", why);
}

/* Of which the network consists; to be freed.  NULL: out of memory. */
static const char **
interface_names(const struct config *config)
{
	const char **names = calloc(1 + config->lans, sizeof(*names));

	if (!names)
		return NULL;
	names[TOPOLOGY_WAN] = config->wan.automatic ? NULL : config->wan.interface;
	for (size_t i = 0; i < config->lans; i++)
		names[TOPOLOGY_FIRST_LAN + i] = config->lan[i].interface;
	return names;
}

static void
open_backend(struct daemon *d)
{
	const struct config *config = d->config;
	const struct firewall_options options = {
	    .source_nat = config->wan.source_nat, .ftp = true, .resets = true};
	const char **names = interface_names(config);
	struct fault fault;

	if (!names)
		fatal("out of memory");
	if (network_open(&d->network, names, 1 + config->lans, &fault) < 0 ||
	    firewall_open(&d->firewall, &options, &fault) < 0 ||
	    flows_open(&d->flows, &fault) < 0 || flows_open(&d->session_flows, &fault) < 0 ||
	    flows_open(&d->upkeep_flows, &fault) < 0 || listeners_open(&d->listeners, &fault) < 0)
		fatal("%s", fault.text);
	free(names);
	if (!firewall_resets(d->firewall))
		log_warning("firewall", "no resets",
			    "reason=\"the kernel has no nft_reject_inet: TCP connections that end "
			    "with their mapping are dropped\"");
}

static enum lease_store_sync
store_sync(const struct config *config)
{
	static const enum lease_store_sync of[] = {
	    [CONFIG_SYNC_FULL] = LEASE_STORE_FULL,
	    [CONFIG_SYNC_NORMAL] = LEASE_STORE_NORMAL,
	    [CONFIG_SYNC_OFF] = LEASE_STORE_OFF,
	};

	return of[config->journal_sync];
}

/* As engine_policy.place. */
static bool
place(void *arg, const struct address *host, char lan[MAPPING_LAN_SIZE])
{
	const struct daemon *d = arg;

	for (size_t i = 0; i < d->config->lans; i++)
		if (strcmp(d->config->lan[i].interface, lan) == 0)
			return true;
	for (size_t i = 0; i < d->config->lans; i++) {
		const struct network_interface *at =
		    network_interface(d->network, TOPOLOGY_FIRST_LAN + i);

		if (!interface_has_host(at, host))
			continue;
		memcpy(lan, at->name, sizeof(at->name));
		return true;
	}
	return false;
}

static void
set_policy(struct daemon *d)
{
	const struct config *is = d->config;

	engine_set_policy(d->engine, &(struct engine_policy){
					 .policy = d->policy,
					 .max_mappings_per_client = is->max_mappings_per_client,
					 .random_ports = is->random_ports,
					 .end_flows_on_expiry = is->end_flows_on_expiry,
					 .journal_refuses = is->journal_refuses,
					 .place = place,
					 .arg = d,
				     });
}

static void
new_engine(struct daemon *d)
{
	struct journal_options journal = {.wall = clock_wall};
	struct fault fault;

	clock_boot(journal.boot);
	journal.store = d->store =
	    lease_store_new(d->config->state_directory, store_sync(d->config));
	d->policy = policy_new(d->config->rule, d->config->rules);
	d->engine = engine_new(
	    &(struct engine_options){
		.policy = d->policy,
		.firewall = d->firewall,
		.flows = d->flows,
		.journal = &journal,
		.end_flows_on_expiry = d->config->end_flows_on_expiry,
		.max_mappings_per_client = d->config->max_mappings_per_client,
		.ports =
		    {
			.random_ports = d->config->random_ports,
			.ephemeral = listeners_ephemeral(),
			.random = random_bits,
			.listening = is_listening,
			.listening_arg = d,
		    },
	    },
	    d->started);
	d->sessions = d->engine ? sessions_new(engine_leases(d->engine), d->session_flows) : NULL;
	if (!d->store || !d->policy || !d->sessions)
		fatal("out of memory");
	set_policy(d); /* leases are asked where their hosts are */
	if (engine_restore(d->engine, d->started, &fault) < 0)
		fatal("%s", fault.text);
	if (!engine_set_forwards(d->engine, d->config->forward, d->config->forwards, d->started))
		fatal("out of memory");
}

/* The link of a host; 0: none that is up. */
static unsigned
link_of(const struct daemon *d, const char *lan, const struct address *host)
{
	const struct network_interface *at;

	for (size_t i = 0; (at = network_interface(d->network, TOPOLOGY_FIRST_LAN + i)); i++)
		if (at->up && (!lan[0] || strcmp(at->name, lan) == 0) &&
		    interface_has_host(at, host))
			return at->index;
	return 0;
}

static bool
probe(void *arg, const char *lan, const struct address *host)
{
	const struct daemon *d = arg;
	unsigned index = link_of(d, lan, host);

	return index && network_probe(d->network, index, host);
}

static enum network_neighbour
look(void *arg, const char *lan, const struct address *host)
{
	const struct daemon *d = arg;
	unsigned index = link_of(d, lan, host);

	return index ? network_neighbour(d->network, index, host) : NETWORK_UNSURE;
}

static void
set_upkeep(struct daemon *d)
{
	upkeep_set(d->upkeep, d->config->host_gone_timeout * MONOTIME_SECOND,
		   d->config->idle_mapping_timeout * MONOTIME_SECOND, clock_now());
}

static void
new_upkeep(struct daemon *d)
{
	d->upkeep = upkeep_new(&(struct upkeep_options){
	    .engine = d->engine,
	    .flows = d->upkeep_flows,
	    .probe = probe,
	    .look = look,
	    .arg = d,
	});
	if (!d->upkeep)
		fatal("out of memory");
	set_upkeep(d);
}

static void
on_stop(evutil_socket_t number, short events, void *arg)
{
	struct daemon *d = arg;

	(void)events;
	log_info("daemon", "stopping", "signal=%d", (int)number);
	event_base_loopbreak(d->base);
}

static void
on_parent_gone(void *arg)
{
	struct daemon *d = arg;

	log_info("daemon", "stopping", "reason=\"the parent ended\"");
	d->orphaned = true;
	event_base_loopbreak(d->base);
}

static void
on_calendar_set(evutil_socket_t fd, short events, void *arg)
{
	struct daemon *d = arg;

	(void)events;
	clock_watch_again(fd);
	engine_note_time(d->engine, clock_now());
}

/* Without it a boot after such a change knows less of the time that passed. */
static void
watch_calendar(struct daemon *d)
{
	int fd = clock_watch();

	if (fd < 0)
		return;
	d->calendar = event_new(d->base, fd, EV_READ | EV_PERSIST, on_calendar_set, d);
	if (!d->calendar || event_add(d->calendar, NULL) != 0)
		fatal("cannot watch the calendar");
}

/* Its default clock is coarse: a timer would wake us some milliseconds early, and again each one
 * until it is due. */
static struct event_base *
new_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base = NULL;

	if (config && event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER) == 0)
		base = event_base_new_with_config(config);
	if (config)
		event_config_free(config);
	return base;
}

static void
open_loop(struct daemon *d)
{
	d->base = new_base();
	for (int i = 0; d->base && i < STOP_SIGNALS; i++) {
		d->stop[i] = evsignal_new(d->base, stop_signals[i], on_stop, d);
		if (!d->stop[i] || event_add(d->stop[i], NULL) != 0)
			fatal("cannot watch signals");
	}
	if (!d->base)
		fatal("cannot make an event loop");
	d->hangup = evsignal_new(d->base, SIGHUP, on_hangup, d);
	if (!d->hangup || event_add(d->hangup, NULL) != 0)
		fatal("cannot watch signals");
	signal(SIGPIPE, SIG_IGN);
}

/* What the front ends ask of and tell each other */

static void
on_network_changed(void *arg)
{
	struct daemon *d = arg;

	static const struct network_interface none;

	if (!d->upnp)
		return;
	for (size_t i = 0; i < d->config->lans; i++)
		upnp_set_lan(d->upnp, i,
			     network_forwards(d->network)
				 ? network_interface(d->network, TOPOLOGY_FIRST_LAN + i)
				 : &none);
	upnp_set_wan(d->upnp, network_interface(d->network, TOPOLOGY_WAN)->up,
		     network_bit_rate(d->network, TOPOLOGY_WAN));
}

static void
on_leases_changed(void *arg)
{
	struct daemon *d = arg;

	if (d->upnp)
		upnp_changed(d->upnp);
	if (d->reload == RELOAD_REVIEW && !engine_reviews(d->engine))
		finish_reload(d, NULL);
	lease_store_tidy(d->store);
}

static void
on_batch(void *arg)
{
	struct daemon *d = arg;

	gateway_changed(d->gateway);
}

static void
announce(void *arg)
{
	struct daemon *d = arg;

	gateway_announce(d->gateway);
}

static void
spawn(void *arg, size_t lan)
{
	struct daemon *d = arg;

	spawner_request(d->spawner, lan);
}

static void
on_spawned(void *arg, size_t lan, int fd, pid_t pid)
{
	struct daemon *d = arg;

	if (d->upnp)
		upnp_spawned(d->upnp, lan, fd, pid);
	else if (fd >= 0)
		close(fd); /* it was switched off */
}

static uint32_t
next_boot_id(void *arg)
{
	struct daemon *d = arg;

	return identity_next_boot_id(&d->identity, time(NULL));
}

static bool
wan_counters(void *arg, struct network_counters *out)
{
	const struct daemon *d = arg;
	struct fault fault;

	return network_counters(d->network, TOPOLOGY_WAN, out, &fault) == 0;
}

static bool
same_host(void *arg, unsigned index, const struct address *one, const struct address *other)
{
	const struct daemon *d = arg;

	return network_same_neighbour(d->network, index, one, other);
}

/* What it is told comes with the gateway. */
static void
new_upnp(struct daemon *d)
{
	const struct upnp_options upnp = {
	    .base = d->base,
	    .engine = d->engine,
	    .config = d->config,
	    .uuid = d->identity.uuid,
	    .spawn = spawn,
	    .next_boot_id = next_boot_id,
	    .counters = wan_counters,
	    .same_host = same_host,
	    .changed = on_batch,
	    .arg = d,
	};

	d->upnp = upnp_new(&upnp);
	if (!d->upnp)
		log_error("upnp", "out of memory", "");
}

/* Reloading: the parent reads the file, nobody else may.  Then leases are reviewed piece by piece.
 */

static void
ask_config(struct daemon *d)
{
	int error = spawner_ask_config(d->spawner);

	d->reload = RELOAD_ASKED;
	if (error < 0)
		finish_reload(d, strerror(-error));
}

static void
reload(void *arg)
{
	struct daemon *d = arg;

	if (d->reload == RELOAD_IDLE)
		ask_config(d);
	else
		d->reload_again = true;
}

static void
on_hangup(evutil_socket_t number, short events, void *arg)
{
	(void)number;
	(void)events;
	reload(arg);
}

/* Who asked while it went on is answered by what comes next. */
static void
finish_reload(struct daemon *d, const char *why)
{
	bool again = d->reload_again;

	crash_point("before-reload-answer");
	if (why)
		log_error("config", "refused", "reason=\"%s\"", why);
	else
		log_info("config", "reloaded", "rules=%zu leases=%zu", d->config->rules,
			 lease_table_count(engine_leases(d->engine)));
	spawner_reloaded(d->spawner, why ? -EINVAL : 0, d->config->log_level);
	d->reload = RELOAD_IDLE;
	d->reload_again = false;
	if (again)
		ask_config(d);
	else
		control_reloaded(d->control, why);
}

/* NULL: *why says what stands in the way. */
static struct config *
read_config(const struct daemon *d, int fd, char *why, size_t why_size)
{
	struct config *config;

	if (fd < 0) {
		snprintf(why, why_size, "%s: cannot read: %s", d->path, strerror(-fd));
		return NULL;
	}
	config = config_read_fd(fd, d->path, why, why_size);
	if (config && config_may_become(d->config, config, d->path, why, why_size))
		return config;
	config_free(config);
	return NULL;
}

/* False: out of memory. */
static bool
follow_upnp(struct daemon *d, const struct config *was, const size_t *origin)
{
	const struct config_upnp *is = &d->config->upnp;
	bool other_uuid = strcmp(is->uuid, was->upnp.uuid) != 0;

	if (was->upnp.on && (!is->on || other_uuid))
		identity_close(&d->identity);
	if (is->on && (!was->upnp.on || other_uuid))
		identity_open(&d->identity, d->config->state_directory, is->uuid);
	if (!is->on) {
		upnp_free(d->upnp);
		d->upnp = NULL;
	}
	if (!spawner_reload(d->spawner, is->on ? origin : NULL))
		return false;
	if (d->upnp)
		return upnp_reload(d->upnp, origin);
	if (!is->on)
		return true;
	new_upnp(d);
	if (!d->upnp)
		return false;
	upnp_start(d->upnp);
	return true;
}

/* False: out of memory. */
static bool
follow_rules(struct daemon *d)
{
	const struct config *is = d->config;
	struct policy *old = d->policy;

	d->policy = policy_new(is->rule, is->rules);
	if (!d->policy) {
		d->policy = old;
		return false;
	}
	set_policy(d);
	policy_free(old);
	if (!engine_set_forwards(d->engine, is->forward, is->forwards, clock_now()))
		return false;
	engine_flush(d->engine, clock_now());
	return chain_keeper_set(d->keeper, is->foreign_chain, is->foreign_chains);
}

/* All that looks at the config finds the new one from here on.  False: out of memory. */
static bool
go_over_to(struct daemon *d, struct config *config, const size_t *origin)
{
	struct config was = *d->config;

	*d->config = *config;
	*config = was;
	log_open(d->config->log_target, d->config->log_level);
	firewall_set_source_nat(d->firewall, d->config->wan.source_nat);
	lease_store_set_sync(d->store, store_sync(d->config));
	set_upkeep(d);
	d->reload = RELOAD_REVIEW;
	crash_point("in-reload");
	return follow_rules(d) && follow_upnp(d, config, origin) &&
	       gateway_reload(d->gateway, origin);
}

/* The parent starts the next core, by what held before. */
static void
fail(struct daemon *d)
{
	log_error("config", "out of memory", "");
	d->failed = true;
	event_base_loopbreak(d->base);
}

/* What may fail comes first: then the old one still holds. */
static void
change_config(struct daemon *d, struct config *config)
{
	size_t *origin = config_lan_origins(d->config, config);
	const char **names = interface_names(config);
	struct fault fault = {"out of memory"};

	if (!origin || !names || network_set_names(d->network, names, 1 + config->lans, &fault) < 0)
		finish_reload(d, fault.text);
	else if (!go_over_to(d, config, origin))
		fail(d);
	free(names);
	free(origin);
}

static void
on_config(void *arg, int fd)
{
	struct daemon *d = arg;
	char why[CONTROL_WHY_SIZE];
	struct config *config;

	if (d->reload != RELOAD_ASKED) {
		if (fd >= 0)
			close(fd);
		return;
	}
	config = read_config(d, fd, why, sizeof(why));
	if (config)
		change_config(d, config);
	else
		finish_reload(d, why);
	config_free(config);
}

static void
open_upnp(struct daemon *d)
{
	const struct spawner_options spawner = {
	    .base = d->base,
	    .fd = CORE_LINK,
	    .config = d->config,
	    .spawned = on_spawned,
	    .gone = on_parent_gone,
	    .reload = reload,
	    .got_config = on_config,
	    .arg = d,
	};

	d->spawner = spawner_new(&spawner);
	if (d->config->upnp.on) {
		identity_open(&d->identity, d->config->state_directory, d->config->upnp.uuid);
		new_upnp(d);
	}
	if (!d->spawner || (d->config->upnp.on && !d->upnp))
		fatal("out of memory");
}

static void
open_keeper(struct daemon *d)
{
	const struct config *config = d->config;
	struct fault fault;

	if (foreign_chains_open(&d->foreign, &fault) < 0)
		fatal("%s", fault.text);
	d->keeper = chain_keeper_new(d->foreign);
	if (!d->keeper ||
	    !chain_keeper_set(d->keeper, config->foreign_chain, config->foreign_chains))
		fatal("out of memory");
}

static void
open_gateway(struct daemon *d)
{
	const struct gateway_options gateway = {
	    .base = d->base,
	    .engine = d->engine,
	    .upkeep = d->upkeep,
	    .config = d->config,
	    .network = d->network,
	    .firewall = d->firewall,
	    .keeper = d->keeper,
	    .network_changed = on_network_changed,
	    .leases_changed = on_leases_changed,
	    .arg = d,
	};
	char why[256];

	d->gateway = gateway_new(&gateway, why, sizeof(why));
	if (!d->gateway)
		fatal("%s", why);
}

static bool
forwards(void *arg)
{
	const struct daemon *d = arg;

	return network_forwards(d->network);
}

static enum control_worker_state
worker_state(const struct upnp_worker *worker)
{
	if (worker->missing)
		return CONTROL_WORKER_MISSING;
	if (worker->ready)
		return CONTROL_WORKER_READY;
	return worker->there || worker->started == 0 ? CONTROL_WORKER_STARTING
						     : CONTROL_WORKER_RESPAWNING;
}

static bool
show_interface(void *arg, size_t number, struct control_interface *out)
{
	const struct daemon *d = arg;
	const struct upnp_worker *from;

	if (!gateway_interface(d->gateway, number, out))
		return false;
	if (!d->upnp || number < TOPOLOGY_FIRST_LAN)
		return true;
	from = upnp_worker(d->upnp, number - TOPOLOGY_FIRST_LAN);
	out->worker = (struct control_worker){
	    .state = worker_state(from),
	    .pid = (uint32_t)from->pid,
	    .starts = from->started,
	    .calls = from->calls,
	    .batches = from->batches,
	    .largest_batch = from->batch_max,
	    .stats = from->stats,
	};
	return true;
}

static bool
show_chain(void *arg, size_t number, struct control_chain *out)
{
	const struct daemon *d = arg;
	const struct chain_kept *kept = chain_keeper_chain(d->keeper, number);

	if (!kept)
		return false;
	snprintf(out->name, sizeof(out->name), "%s %s %s", kept->name.inet ? "inet" : "ip",
		 kept->name.table, kept->name.chain);
	out->exists = kept->result != FOREIGN_ABSENT;
	out->has_line = kept->result == FOREIGN_THERE;
	return true;
}

static void
open_control(struct daemon *d, gid_t group)
{
	const struct control_options control = {
	    .base = d->base,
	    .engine = d->engine,
	    .sessions = d->sessions,
	    .config = d->config,
	    .config_path = d->path,
	    .fd = CORE_CONTROL,
	    .group = group,
	    .started = d->started,
	    .now = clock_now,
	    .changed = on_batch,
	    .announce = announce,
	    .reload = reload,
	    .interface = show_interface,
	    .forwards = forwards,
	    .chain = show_chain,
	    .arg = d,
	};

	d->control = control_new(&control);
	if (!d->control)
		fatal("out of memory");
}

static void
start(struct daemon *d)
{
	gid_t group = control_group();

	enter_sandbox(d->config);
	d->started = clock_now();
	open_loop(d);
	open_backend(d);
	new_engine(d);
	watch_calendar(d);
	new_upkeep(d);
	open_upnp(d);
	open_keeper(d);
	open_gateway(d);
	open_control(d, group);
	log_info("daemon", "ready", "version=%s pid=%d", PORTLEASE_VERSION, (int)getpid());
	spawner_ready(d->spawner);
	if (d->upnp)
		upnp_start(d->upnp);
}

/* Of all that we have in the kernel. */
static void
remove_all(struct daemon *d)
{
	struct fault fault;

	if (!chain_keeper_set(d->keeper, NULL, 0))
		log_error("firewall", "lines not taken out", "error=\"out of memory\"");
	if (firewall_destroy(d->firewall, &fault) < 0)
		log_error("firewall", "table not removed", "error=\"%s\"", fault.text);
	else
		engine_forget(d->engine, clock_now());
}

static void
stop(struct daemon *d)
{
	if (!d->config->keep_on_exit && !d->failed && !d->orphaned)
		remove_all(d);
	else
		engine_note_time(d->engine, clock_now());
	control_free(d->control);
	upnp_free(d->upnp);
	spawner_free(d->spawner);
	gateway_free(d->gateway);
	chain_keeper_free(d->keeper);
	foreign_chains_close(d->foreign);
	upkeep_free(d->upkeep);
	engine_free(d->engine);
	lease_store_free(d->store);
	policy_free(d->policy);
	listeners_close(d->listeners);
	sessions_free(d->sessions);
	flows_close(d->upkeep_flows);
	flows_close(d->session_flows);
	flows_close(d->flows);
	firewall_close(d->firewall);
	network_close(d->network);
	if (d->config->upnp.on)
		identity_close(&d->identity);
	for (int i = 0; i < STOP_SIGNALS; i++)
		event_free(d->stop[i]);
	event_free(d->hangup);
	if (d->calendar) {
		close(event_get_fd(d->calendar));
		event_free(d->calendar);
	}
	event_base_free(d->base);
	config_free(d->config);
}

/* What the parent passed is there, and is passed to nobody else. */
static void
take_descriptors(void)
{
	int type = 0;
	socklen_t size = sizeof(type);

	if (getsockopt(CORE_LINK, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_SEQPACKET)
		fatal("--core is for portleased's own use");
	for (int fd = CORE_LINK; fd < CORE_FDS_END; fd++)
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			fatal("--core is for portleased's own use");
}

int
serve(const char *config)
{
	struct daemon d = {.path = config};
	char why[512];

	take_descriptors();
	prctl(PR_SET_NAME, "portleased"); /* not the "exe" it was started by */
	d.config = config_read_fd(CORE_CONFIG, config, why, sizeof(why));
	if (!d.config)
		fatal("%s", why);
	log_open(d.config->log_target, d.config->log_level);
	start(&d);
	event_base_dispatch(d.base);
	stop(&d);
	close(CORE_LOCK);
	return d.failed;
}
