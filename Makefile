# SPDX-License-Identifier: GPL-2.0-or-later
# `make help` says what there is.  Everything runs as root without sudo; only deps, demo, test and check-system need root.

VERSION := 0.1.0
PREFIX  ?= /usr/local
DESTDIR ?=
SAN     ?=
V       ?=
ifeq ($(origin CC),default)
CC := gcc
endif
FUZZ_SECONDS ?= 60
KILLS ?= 1000
comma := ,

# Each compiler and sanitizer set builds in a directory of its own.
BUILD ?= build/$(notdir $(CC))$(if $(SAN),-$(subst $(comma),-,$(SAN)))
JOBS  := $(shell nproc)
# Debian's own, whose pytest, scapy and libtorrent are the packages below.
PYTHON := /usr/bin/python3

DEBS_BUILD := gcc libc6-dev pkg-config libevent-dev libmnl-dev libnftnl-dev libjansson-dev libconfuse-dev libcap-ng-dev libbsd-dev libupnp-dev \
	libmicrohttpd-dev libsqlite3-dev
DEBS_DEMO  := $(DEBS_BUILD) mount iproute2 nftables natpmpc miniupnpc curl busybox
DEBS       := $(DEBS_DEMO) netbase clang libclang-rt-14-dev clang-format libcmocka-dev mandoc conntrack \
	python3 python3-pytest python3-pytest-xdist python3-pytest-rerunfailures python3-libtorrent python3-seccomp systemd \
	python3-gi gir1.2-gupnp-1.6 gir1.2-gupnpigd-1.0 \
	iptables firewalld ufw dbus
DEBS_EXTRA := clang-tidy gcovr
# What we are measured beside.
DEBS_BENCH := miniupnpd-nftables

PACKAGES := libevent_core libmnl libnftnl jansson libconfuse libcap-ng sqlite3
# Expanded once, and only when something is compiled: `make deps` must run without them.
pkg_cflags = $(eval pkg_cflags := $$(shell pkg-config --cflags $(PACKAGES)))$(pkg_cflags)
LIBS_DAEMON := -levent_core -lmnl -lnftnl -ljansson -lconfuse -lcap-ng -lsqlite3
LIBS_CTL    := -ljansson
LIBS_WORKER := -levent_core -lmicrohttpd -lixml -lcap-ng

WARNINGS := -Wall -Wextra -Wno-format-zero-length -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla
HARDEN   := -fPIE -fstack-protector-strong $(if $(SAN),,-D_FORTIFY_SOURCE=2)
CFLAGS   ?= -O2 -g
# Address sanitizers reserve memory without end, and look for leaks by a second process.
WORKER_LIMITS := -DPORTLEASE_WORKER_MEMORY='$(if $(SAN),RLIM_INFINITY,128 << 20)' \
	-DPORTLEASE_WORKER_ENVIRONMENT='$(if $(SAN),"ASAN_OPTIONS=detect_leaks=0"$(comma))'
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -DPORTLEASE_VERSION='"$(VERSION)"' -DPORTLEASE_SYSCONFDIR='"/etc"' $(WARNINGS) $(HARDEN) $(WORKER_LIMITS) \
	$(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all) $(pkg_cflags) $(CFLAGS)
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now $(if $(SAN),-fsanitize=$(SAN)) $(LDFLAGS)

Q := $(if $(V),,@)
MAKEFLAGS += --no-print-directory
say = $(if $(V),,@printf '  %-5s %s\n' $(1) $(2))
each = $(Q)status=0; for t in $(1); do echo "== $$t"; $(2) $$t || status=1; done; exit $$status

# One archive a folder; what links which archive is the architecture.
libs = $(foreach l,$(1),$(BUILD)/lib$(l).a)
objects = $(patsubst %.c,$(BUILD)/%.o,$(wildcard $(1)/*.c))
tests = $(patsubst %.c,$(BUILD)/%,$(wildcard tests/$(1).c))
FOLDER_protocols := protocols
FOLDER_backend   := backend
FOLDER_base      := daemon/base
FOLDER_core      := daemon/core
FOLDER_frontends := daemon/frontends
FOLDER_fakes     := tests/fakes
FOLDER_parent    := daemon/parent
FOLDER_worker    := daemon/worker
ARCHIVES := protocols backend base core frontends parent worker fakes

PROGRAMS := $(BUILD)/portleased $(BUILD)/portlease $(BUILD)/portleased-upnp
UNIT     := $(call tests,unit/test_*)
KERNEL   := $(call tests,kernel/test_*)
SCENARIO := $(call tests,scenario/run_scenario)
FUZZERS  := $(call tests,fuzz/fuzz_*)
BENCH    := $(call tests,bench/*)
SOURCES  := $(shell find protocols backend daemon tests -name '*.c')
HEADERS  := $(shell find protocols backend daemon tests -name '*.h')

.PHONY: all
all: $(PROGRAMS) ## build portleased and portlease (CC=clang, SAN=address,undefined, V=1)

define archive
$(BUILD)/lib$(1).a: $(call objects,$(FOLDER_$(1)))
	$(call say,AR,$$@)
	$(Q)rm -f $$@ && ar rcs $$@ $$^
endef
$(foreach a,$(ARCHIVES),$(eval $(call archive,$(a))))
# The journal needs no fake: a file of its own is one.
$(BUILD)/libfakes.a: $(BUILD)/backend/fault.o $(BUILD)/backend/crash_point.o $(BUILD)/backend/lease_store_sqlite.o

$(BUILD)/%.o: %.c
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

define link
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(1)
endef

$(BUILD)/portleased: $(call objects,daemon) $(call libs,parent frontends core base backend protocols)
	$(call link,$(LIBS_DAEMON))
$(BUILD)/portlease: $(call objects,daemon/ctl) $(call libs,base protocols)
	$(call link,$(LIBS_CTL))
$(BUILD)/portleased-upnp: $(call objects,daemon/worker) $(call libs,base protocols)
	$(call link,$(LIBS_WORKER))

# Unit tests and scenarios meet fakes where the daemon meets the kernel; kernel tests meet the real backend.
$(BUILD)/tests/unit/test_%: $(BUILD)/tests/unit/test_%.o $(call libs,frontends core base fakes protocols)
	$(call link,$(filter-out -lmnl -lnftnl,$(LIBS_DAEMON)) -lcmocka -lixml)
$(BUILD)/tests/unit/test_worker_%: $(BUILD)/tests/unit/test_worker_%.o $(call libs,worker base protocols)
	$(call link,$(LIBS_WORKER) -lcmocka)
$(BUILD)/tests/scenario/run_%: $(BUILD)/tests/scenario/run_%.o $(call libs,frontends core base fakes protocols)
	$(call link,$(filter-out -lmnl -lnftnl,$(LIBS_DAEMON)) -lcmocka -lixml)
$(BUILD)/tests/kernel/test_%: $(BUILD)/tests/kernel/test_%.o $(call libs,frontends core base backend protocols)
	$(call link,$(LIBS_DAEMON) -lcmocka)
$(BUILD)/tests/system/%: $(BUILD)/tests/system/%.o $(call libs,base)
	$(call link,-lcap-ng)
$(BUILD)/tests/system/upnp_%: $(BUILD)/tests/system/upnp_%.o
	$(call link,-lupnp -lixml)
$(BUILD)/tests/system/%.so: tests/system/%.c
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -fPIC -shared -o $@ $<
# Before the archives, so that what is shipped is not taken.
$(BUILD)/tests/system/portleased_crash: $(call objects,daemon) $(BUILD)/tests/system/crash_point.o $(call libs,parent frontends core base backend protocols)
	$(call link,$(LIBS_DAEMON))
$(BUILD)/tests/bench/%: $(BUILD)/tests/bench/%.o
	$(call link,-lmnl -lnftnl)
$(BUILD)/tests/fuzz/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(call libs,protocols)
	$(call link,-fsanitize=fuzzer -ljansson -lixml)

# Tests run firewalld in namespaces; who only wants to build is not to find it started, now or at the next boot.
NO_FIREWALLD = [ -e /usr/sbin/firewalld ] || { mkdir -p /etc/systemd/system && ln -sf /dev/null /etc/systemd/system/firewalld.service; }

.PHONY: deps
deps: ## install the Debian packages that building and testing need
	@set -- $(DEBS); [ $$(dpkg-query -W -f '$${Package} $${db:Status-Status}\n' $$@ 2>/dev/null | grep ' installed$$' | sort -u | wc -l) = $$# ] || \
	{ $(if $(filter firewalld,$(DEBS)),$(NO_FIREWALLD) &&) apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends $$@; }

.PHONY: demo
demo: ## show it: an Internet, a gateway and a LAN host in namespaces, a port mapped for real
	@$(MAKE) deps DEBS='$(DEBS_DEMO)'
	@$(MAKE) -j$(JOBS) all
	@tests/demo.sh $(BUILD)

.PHONY: test
test: ## everything: both compilers, sanitizers, check, check-system
	@$(MAKE) deps
	@$(MAKE) -j$(JOBS) built CC=clang
	@$(MAKE) -j$(JOBS) built SAN=address,undefined
	@$(MAKE) -j$(JOBS) built
	@$(MAKE) unit scenario SAN=address,undefined
	@$(MAKE) check
	@$(MAKE) fuzz FUZZ_SECONDS=5
	@$(MAKE) check-system

.PHONY: built
built: $(PROGRAMS) $(UNIT) $(SCENARIO) $(KERNEL)

.PHONY: check unit scenario kernel lint
check: unit scenario kernel lint ## quick tests, no root needed
unit: $(UNIT) | $(PROGRAMS) ## unit tests
	$(call each,$^)
scenario: $(SCENARIO) ## stories of days with a fake kernel and clock
	$(call each,$^)
kernel: $(KERNEL) ## the backend against the kernel, in namespaces of its own
	$(call each,$^,unshare -Urn)
lint: $(PROGRAMS) ## layers, manual pages, shipped configurations, scripts
	$(Q)tests/lint.sh $(BUILD)

.PHONY: soak
soak: ## kill the core at random KILLS times (1000) under a stream of requests (root; 1000 take some 6 minutes)
	@$(MAKE) deps
	@$(MAKE) -j$(JOBS) all
	@$(MAKE) -j$(JOBS) all SAN=address,undefined BUILD=$(BUILD)-address-undefined
	$(Q)KILLS=$(KILLS) tests/system/run $(BUILD) $(PYTHON) -q -n 4 tests/system/test_kill.py

.PHONY: check-system
check-system: all $(BUILD)/tests/system/probe_worker $(BUILD)/tests/system/wall_clock.so $(BUILD)/tests/system/portleased_crash $(BUILD)/tests/system/upnp_control_point ## the daemon and real clients in network namespaces (root)
	@$(MAKE) -j$(JOBS) all SAN=address,undefined BUILD=$(BUILD)-address-undefined
	$(Q)tests/system/run $(BUILD) $(PYTHON)

.PHONY: bench
bench: all $(BENCH) ## measure (bounded; prints a table; BENCH_QUICK=1 for a look; root)
	@$(MAKE) deps DEBS='$(DEBS_BENCH)'
	$(Q)tests/bench/run $(BUILD) $(PYTHON)

.PHONY: fuzz
fuzz: ## fuzz each decoder for FUZZ_SECONDS
	@$(MAKE) -j$(JOBS) run-fuzzers CC=clang SAN=address,undefined BUILD=build/fuzz CFLAGS='-O1 -g -fsanitize=fuzzer-no-link'
.PHONY: run-fuzzers
run-fuzzers: $(FUZZERS)
	$(Q)for f in $^; do name=$${f##*/fuzz_}; mkdir -p $(BUILD)/corpus/$$name; echo "== $$f"; \
		$$f -max_total_time=$(FUZZ_SECONDS) -max_len=1200 -print_final_stats=1 -verbosity=0 $(BUILD)/corpus/$$name tests/fuzz/corpus/$$name || exit 1; done

MAN8 = $(wildcard daemon/*.8 daemon/ctl/*.8)
MAN5 = $(wildcard conf/*.5)
MODULES = $(wildcard conf/modules-load.d/*.conf)
EXAMPLES = $(wildcard conf/examples/*.conf)
# Says where the daemon is: $(call install_located,FILE,MODE,AT)
install_located = sed 's|@sbindir@|$(PREFIX)/sbin|g; s|@bindir@|$(PREFIX)/bin|g' $1 | install -D -m $2 /dev/stdin $(DESTDIR)$3
.PHONY: install uninstall
install: all ## install below DESTDIR and PREFIX (an existing portlease.conf is kept)
	install -D $(BUILD)/portleased $(DESTDIR)$(PREFIX)/sbin/portleased
	install -D $(BUILD)/portlease $(DESTDIR)$(PREFIX)/bin/portlease
	install -D $(BUILD)/portleased-upnp $(DESTDIR)$(PREFIX)/libexec/portlease/portleased-upnp
	install -d $(DESTDIR)/etc/portlease
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man8 $(MAN8)
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man5 $(MAN5)
	install -D -m 644 conf/portlease.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/portlease
	$(call install_located,conf/portleased.service,644,$(PREFIX)/lib/systemd/system/portleased.service)
	$(call install_located,conf/portleased.openrc,755,/etc/init.d/portleased)
	install -D -m 644 conf/portlease.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/portlease.conf
	install -D -m 644 conf/portlease.tmpfiles $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/portlease.conf
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/modules-load.d $(MODULES)
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/doc/portlease/examples $(EXAMPLES)
	test -e $(DESTDIR)/etc/portlease/portlease.conf || install -m 644 -t $(DESTDIR)/etc/portlease conf/portlease.conf
uninstall: ## remove what install put there, but for the configuration
	cd $(DESTDIR)$(PREFIX) && rm -f sbin/portleased bin/portlease share/bash-completion/completions/portlease \
		$(patsubst %,share/man/man8/%,$(notdir $(MAN8))) $(patsubst %,share/man/man5/%,$(notdir $(MAN5))) \
		lib/systemd/system/portleased.service lib/sysusers.d/portlease.conf lib/tmpfiles.d/portlease.conf \
		$(patsubst %,lib/modules-load.d/%,$(notdir $(MODULES))) \
		$(patsubst %,share/doc/portlease/examples/%,$(notdir $(EXAMPLES)))
	rm -f $(DESTDIR)$(PREFIX)/libexec/portlease/portleased-upnp $(DESTDIR)/etc/init.d/portleased
	-cd $(DESTDIR)$(PREFIX) && rmdir libexec/portlease share/doc/portlease/examples share/doc/portlease

.PHONY: tidy format coverage deps-extra compile_commands.json
deps-extra:
	@$(MAKE) deps DEBS='$(DEBS_EXTRA)'
tidy: compile_commands.json deps-extra ## clang-tidy
	clang-tidy --quiet -checks='-clang-analyzer-security.insecureAPI.*,-clang-analyzer-valist.*' -p . $(filter-out tests/%,$(SOURCES))
format: ## clang-format all C files in place
	clang-format -i $(SOURCES) $(HEADERS)
# (One test fails in it: a program that runs as another user cannot write its counts, and says so where nothing is expected.)
coverage: deps-extra ## line coverage of unit, scenario and kernel tests
	@$(MAKE) -j$(JOBS) built BUILD=build/coverage CFLAGS='-O1 -g --coverage' LDFLAGS=--coverage
	-@$(MAKE) -k unit scenario kernel BUILD=build/coverage CFLAGS='-O1 -g --coverage' LDFLAGS=--coverage
	gcovr -r . -e tests build/coverage

compile_commands.json: ## for editors and clang-tidy
	@echo $@
	$(file >$@,[$(subst } {,}$(comma) {,$(foreach f,$(SOURCES),{"directory": "$(CURDIR)"$(comma) "file": "$f"$(comma) \
		"command": "$(subst ",\",clang $(ALL_CFLAGS) -c $f)"}))])

.PHONY: clean help
clean: ## remove build/
	rm -rf build
help: ## this list
	@awk -F ':.*## ' '/^[a-z_.-]+:.*## / { printf "make %-22s %s\n", $$1, $$2 }' Makefile

.SECONDARY:
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
