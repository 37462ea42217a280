#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What portlease does, shown with real programs: an Internet host, a gateway and a LAN host, each in a network namespace
# of its own.  All of it lives in one pid and mount namespace and one temporary folder, so that nothing stays behind.
# Usage: demo.sh BUILD (as root)
set -eu -o pipefail
build=$1

case ${PORTLEASE_DEMO-} in
'')
	work=$(mktemp -d)
	trap 'umount -q "$work" || true; rm -rf --one-file-system "$work"' EXIT
	trap 'exit 130' INT TERM HUP
	chmod 755 "$work"
	PORTLEASE_DEMO=mount unshare --mount --propagation unchanged --pid --fork --kill-child --mount-proc \
		"$0" "$build" "$work"
	exit
	;;
mount)
	# A copy of / whose mounts nobody else sees; / itself need not be a mount point (in a chroot it is none).
	mount --bind "$2" "$2"
	mount --make-private "$2"
	mkdir "$2/root"
	mount --rbind / "$2/root"
	mount --make-rprivate "$2/root"
	PORTLEASE_DEMO=inside exec chroot "$2/root" "$(realpath "$0")" "$(realpath "$build")" "$2"
	;;
esac
work=$2
PATH=$work/usr/sbin:$work/usr/bin:$PATH
trap 'exit 130' INT TERM HUP
trap 'status=$?; [ $status = 0 ] || complain $status' EXIT

bold='' plain=''
if [ -t 1 ]; then bold=$'\033[1m' plain=$'\033[0m'; fi
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
complain() {
	printf '\nThe demo failed (%s).\n' "$1"
	[ ! -s "$work/portleased.log" ] || { echo "portleased said:"; cat "$work/portleased.log"; }
}
# quietly HOST COMMAND...: run it there; on HOST COMMAND...: show it too.
quietly() { local host=$1; shift; nsenter --target "${pid[$host]}" --net "$@"; }
on() { local host=$1; shift; printf '  %s# %s\n' "$host" "$*"; quietly "$host" "$@" 2>&1 | sed 's/^/  | /'; }
# until_ok SECONDS COMMAND...: as often as it takes, no longer than that.
until_ok() {
	local end=$((SECONDS + $1)); shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || { echo "Gave up waiting for: $*"; return 1; }
		sleep 0.05
	done
}

wan=11.0.0.1 lan=192.168.1.1

say "1. Three hosts in this machine: the Internet (11.0.0.9), a gateway ($wan, $lan), a LAN host (192.168.1.10)."
declare -A pid
for host in internet gateway lan; do
	unshare --net sleep infinity &
	pid[$host]=$!
	until_ok 5 [ ! /proc/$!/ns/net -ef /proc/$$/ns/net ]
done
ip -batch - <<END
link add wan0 netns ${pid[gateway]} type veth peer name eth0 netns ${pid[internet]}
link add port1 netns ${pid[gateway]} type veth peer name eth0 netns ${pid[lan]}
END
quietly internet ip -batch - <<END
link set lo up
address add 11.0.0.9/24 dev eth0
link set eth0 up
END
quietly gateway ip -batch - <<END
link set lo up
link add br-lan type bridge
link set port1 master br-lan up
link set br-lan up
address add $lan/24 dev br-lan
address add $wan/24 dev wan0
link set wan0 up
route add default via 11.0.0.9
END
quietly lan ip -batch - <<END
link set lo up
address add 192.168.1.10/24 dev eth0
link set eth0 up
route add default via $lan
END
quietly gateway sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'

say "2. The gateway has an ordinary firewall: masquerade, and from outside only what is marked as opened by portlease."
quietly gateway nft -f - <<END
table inet admin {
	chain forward {
		type filter hook forward priority filter; policy drop;
		ct state established,related accept
		iifname "br-lan" accept
		ct status dnat ct mark & 0x40000000 == 0x40000000 accept
	}
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		oifname "wan0" masquerade
	}
}
END
echo "  one line in its forward chain: ct status dnat ct mark & 0x40000000 == 0x40000000 accept"

say "3. portleased runs on the gateway, with the configuration that it ships; only the user is another."
make --no-print-directory -s -C "$(dirname "$0")/.." install BUILD="$build" DESTDIR="$work" PREFIX=/usr >/dev/null
mkdir -p "$work/run" "$work/var/lib"
cp -L /etc/passwd /etc/group "$work/etc"
sed -i '/^user *=/d; $a user = nobody\nworker-user = 65533' "$work/etc/portlease/portlease.conf"
for folder in etc run var/lib; do
	mount --bind "$work/$folder" "/$folder"
done
quietly gateway portleased 2>"$work/portleased.log" &
until_ok 5 quietly gateway portlease status
on gateway portlease status

say "4. The LAN host has a web server on port 8080. From the Internet it cannot be reached."
mkdir "$work/www"
echo "Hello from the LAN host." >"$work/www/index.html"
chmod 644 "$work/www/index.html"
quietly lan busybox httpd -f -p 8080 -h "$work/www" &
until_ok 5 quietly lan curl -s http://127.0.0.1:8080/
fetch() { on internet curl -sS --max-time 3 "http://$wan:$1/" 2>&1; }
fetch_page() {
	fetch "$1" | tee "$work/fetched"
	grep -q "Hello from the LAN host." "$work/fetched"
}
if fetch 8080; then false; fi

say "5. The LAN host asks the gateway for the port, with natpmpc, a NAT-PMP client."
on lan natpmpc -a 8080 8080 tcp 3600

say "6. Now the Internet host gets the page through the gateway's external address."
fetch_page 8080

say "7. UPnP does it, too: upnpc finds the gateway, and maps another port of it to the same server."
upnp() { on lan upnpc "$@" 2>&1; }
upnp -e "web server" -a 192.168.1.10 8080 8081 tcp 3600
fetch_page 8081

say "8. The gateway's admin sees both leases side by side."
on gateway portlease list

say "9. The LAN host gives the ports back, and the page cannot be fetched any more."
on lan natpmpc -a 8080 8080 tcp 0
upnp -d 8081 tcp
for port in 8080 8081; do
	if fetch $port; then false; fi
done

say "It works. Everything above is gone when this ends."
