# SPDX-License-Identifier: GPL-2.0-or-later
# make help says what there is.

VERSION := 0.1.0
PREFIX  ?= /usr/local
CC      ?= gcc
SAN     ?=
V       ?=
comma   := ,

# Each compiler and sanitizer set builds in a directory of its own.
BUILD ?= build/$(notdir $(CC))$(if $(SAN),-$(subst $(comma),-,$(SAN)))

PACKAGES := libevent_core libmnl libnftnl jansson libconfuse libcap-ng libbsd-overlay
# Expanded once, and only when something is compiled: `make deps` must run without them.
pkg_cflags = $(eval pkg_cflags := $$(shell pkg-config --cflags $(filter-out libbsd-overlay,$(PACKAGES))))$(pkg_cflags)
LIBS_DAEMON := -levent_core -lmnl -lnftnl -ljansson -lconfuse -lcap-ng
LIBS_CTL    := -ljansson

WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla
HARDEN   := -fPIE -fstack-protector-strong $(if $(SAN),,-D_FORTIFY_SOURCE=2)
CFLAGS   ?= -O2 -g
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -DPORTLEASE_VERSION='"$(VERSION)"' -DPORTLEASE_SYSCONFDIR='"/etc"' $(WARNINGS) $(HARDEN) \
	$(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all) $(pkg_cflags) -MMD -MP $(CFLAGS)
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now $(if $(SAN),-fsanitize=$(SAN)) $(LDFLAGS)

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-5s %s\n' $(1) $(2))

# One archive a folder; what links which archive is the architecture.
libs = $(foreach l,$(1),$(BUILD)/lib$(l).a)
objects = $(patsubst %.c,$(BUILD)/%.o,$(wildcard $(1)/*.c))
FOLDER_protocols := protocols
FOLDER_backend   := backend
FOLDER_base      := daemon/base
FOLDER_core      := daemon/core
FOLDER_frontends := daemon/frontends
FOLDER_fakes     := tests/fakes
ARCHIVES := protocols backend base core frontends fakes

PROGRAMS := $(BUILD)/portleased $(BUILD)/portlease
UNIT     := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/test_*.c))
KERNEL   := $(patsubst tests/kernel/%.c,$(BUILD)/tests/kernel/%,$(wildcard tests/kernel/test_*.c))

.PHONY: all
all: $(PROGRAMS)

define archive
$(BUILD)/lib$(1).a: $(call objects,$(FOLDER_$(1)))
	$(call say,AR,$$@)
	$(Q)rm -f $$@ && ar rcs $$@ $$^
endef
$(foreach a,$(ARCHIVES),$(eval $(call archive,$(a))))

$(BUILD)/%.o: %.c
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -c -o $@ $<

$(BUILD)/portleased: $(BUILD)/daemon/main.o $(call libs,frontends core base backend protocols)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_DAEMON)

$(BUILD)/portlease: $(call objects,daemon/ctl) $(call libs,base protocols)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_CTL)

# Unit tests meet fakes where the daemon meets the kernel; kernel tests meet the real backend.
$(BUILD)/tests/unit/test_%: $(BUILD)/tests/unit/test_%.o $(call libs,frontends core base fakes protocols)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ -levent_core -ljansson -lconfuse -lcap-ng -lcmocka

$(BUILD)/tests/kernel/test_%: $(BUILD)/tests/kernel/test_%.o $(call libs,core base backend protocols)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_DAEMON) -lcmocka

.PHONY: unit kernel
unit: $(UNIT)
	$(Q)for t in $(UNIT); do $$t || exit 1; done
kernel: $(KERNEL)
	$(Q)for t in $(KERNEL); do unshare -Urn $$t || exit 1; done

.PHONY: clean
clean:
	rm -rf build

.SECONDARY:
-include $(shell find build -name '*.d' 2>/dev/null)
