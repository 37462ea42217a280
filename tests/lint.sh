#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What can be said of the tree without running a test: layers, manual pages, shipped configurations, scripts.
# Usage: lint.sh BUILD
set -eu
shopt -s nullglob
build=$1

tests/check_layers.py --self-test

pages=(daemon/*.8 daemon/ctl/*.8 conf/*.5)
mandoc -Tlint -W warning "${pages[@]}"
echo "manual pages: ${#pages[@]} checked"

canonical=$(mktemp)
trap 'rm -f "$canonical"' EXIT
configs=(conf/portlease.conf conf/examples/*.conf)
for config in "${configs[@]}"; do
	"$build/portleased" -n -f "$config"
	# Its canonical form reads as the same.
	"$build/portleased" -nv -f "$config" >"$canonical"
	"$build/portleased" -nv -f "$canonical" | diff "$canonical" -
done
echo "configurations: ${#configs[@]} checked"

scripts=(.ci/run tests/*.sh tests/system/run tests/bench/run conf/*.bash conf/*.openrc)
for script in "${scripts[@]}"; do
	bash -n "$script"
done
echo "scripts: ${#scripts[@]} checked"
