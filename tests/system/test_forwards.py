# SPDX-License-Identifier: GPL-2.0-or-later
"""What the admin publishes himself: `forward` sections and `portlease add`, bytes end to end."""
import socket

import pytest

from clients import natpmp_map, pcp_map
from ftp import FILE, FtpServer, fetch
from lab import LAN1, LAN2, REMOTE, REMOTE2, REMOTE3, WAN, Host, wait_for

BOTH = pytest.mark.parametrize("transport", ["tcp", "udp"])
PASSIVE = pytest.mark.parametrize("passive", ["PASV", "EPSV"])
FAR, FAR_GATEWAY = "10.9.0.2", "10.9.0.1"
STATIC = 2**32 - 1


def forward(name, **keys):
    lines = "".join(f"\t{key.replace('_', '-')} = {value}\n" for key, value in keys.items())
    return f'forward "{name}" {{\n{lines}}}\n'


def far_host(lab):
    """A server in a network that is no LAN of ours, without a route back to anybody but the gateway."""
    host = Host("far")
    lab.hosts.append(host)
    lab.stack.callback(host.close)
    lab._cable("far0", host)
    lab.gw.ip(f"address add {FAR_GATEWAY}/24 dev far0", "link set far0 up")
    host.ip(f"address add {FAR}/24 dev eth0", "link set eth0 up")
    return host


@BOTH
def test_a_port_below_1024_is_published_and_listed(lab, transport):
    daemon = lab.daemon(extra=forward("web", transport=transport, external_ports=80, target=f"{LAN1}:8080"))
    lab.server(lab.lan1, transport, 8080)
    assert lab.wan.talk(transport, WAN, 80, sport=5555) == f"lan1 saw {REMOTE}:5555: ping"
    assert lab.wan.refused(transport, WAN, 8080)
    lease, = daemon.leases("--protocol", "static")
    assert (lease["name"], lease["transport"], lease["external_port"], lease["internal_port"], lease["ports"]) == \
        ("web", transport, 80, 8080, 1)
    assert lease["remaining"] is None and lease["connections"] == 1
    assert "web" in daemon.cli("list").stdout
    daemon.logged(r'forward: added name="web"')


def test_a_range_keeps_its_ports_both_ways(lab):
    daemon = lab.daemon(extra=forward("cameras", transport="both", external_ports="8000-8009", target=LAN1))
    for transport in ("tcp", "udp"):
        for port in (8000, 8004, 8009):
            lab.server(lab.lan1, transport, port)
            assert lab.wan.talk(transport, WAN, port, sport=5555) == f"lan1 saw {REMOTE}:5555: ping"
        assert lab.wan.refused(transport, WAN, 7999) and lab.wan.refused(transport, WAN, 8010)
        # What it sends itself comes from the same port, even if somebody else in the LAN uses that port, too.
        lab.server(lab.wan, transport, 7000)
        assert lab.lan2.talk(transport, REMOTE, 7000, sport=8003).startswith(f"wan saw {WAN}:6")
        assert lab.lan1.talk(transport, REMOTE, 7000, sport=8003) == f"wan saw {WAN}:8003: ping"
        assert lab.lan2.talk(transport, WAN, 8004).startswith(f"lan1 saw {WAN}:")  # hairpin
        assert lab.gw.talk(transport, WAN, 8004).startswith("lan1 saw ")
    leases = daemon.leases()
    assert [(l["name"], l["external_port"], l["internal_port"], l["ports"]) for l in leases] == \
        [("cameras", 8000, 8000, 10)] * 2
    assert [l["connections"] for l in leases] == [5, 5]
    assert f"{WAN}:8000-8009" in daemon.cli("list").stdout
    assert len(lab.elements("range4")) == 2


@BOTH
def test_a_remote_prefix_divides_one_port_among_servers(lab, transport):
    lab.wan.ip("address add 12.0.0.9/24 dev eth0")
    lab.gw.ip("route add 12.0.0.0/24 dev wan0")
    lab.daemon(extra=forward("near", transport=transport, external_ports=90, target=f"{LAN1}:8080", remote="11.0.0.8/30")
               + forward("else", transport=transport, external_ports=90, target=f"{LAN2}:9090", remote="12.0.0.0/8")
               + forward("range", transport=transport, external_ports="95-99", target=LAN1, remote="12.0.0.0/8")
               + forward("one", transport=transport, external_ports="95", target=LAN2, remote=REMOTE2))
    for host, port in ((lab.lan1, 8080), (lab.lan2, 9090), (lab.lan1, 95), (lab.lan2, 95)):
        lab.server(host, transport, port)
    assert lab.wan.talk(transport, WAN, 90, source=REMOTE) .startswith(f"lan1 saw {REMOTE}")
    assert lab.wan.talk(transport, WAN, 90, source="12.0.0.9").startswith("lan2 saw 12.0.0.9")
    assert lab.wan.talk(transport, WAN, 95, source="12.0.0.9").startswith("lan1 saw 12.0.0.9")
    assert lab.wan.talk(transport, WAN, 95, source=REMOTE2).startswith(f"lan2 saw {REMOTE2}")
    assert lab.wan.refused(transport, WAN, 95, source=REMOTE)
    lab.wan.ip("address add 11.0.0.13/24 dev eth0")
    assert lab.wan.refused(transport, WAN, 90, source="11.0.0.13")


@BOTH
def test_a_server_in_no_lan_answers_through_us(lab, transport):
    far = far_host(lab)
    lab.daemon(extra=forward("far", transport=transport, external_ports=443, target=f"{FAR}:8443")
               + forward("far range", transport=transport, external_ports="500-501", target=FAR)
               + forward("internet", transport=transport, external_ports=444, target=f"{REMOTE3}:4444"))
    lab.server(far, transport, 8443)
    lab.server(far, transport, 501)
    lab.server(lab.wan, transport, 4444)
    for port in (443, 501):
        assert lab.wan.talk(transport, WAN, port).startswith(f"far saw {FAR_GATEWAY}:")
        assert lab.lan1.talk(transport, WAN, port).startswith(f"far saw {FAR_GATEWAY}:")
        assert lab.gw.talk(transport, WAN, port).startswith("far saw ")
    assert lab.wan.talk(transport, WAN, 444, source=REMOTE).startswith(f"wan saw {WAN}:")
    assert lab.lan1.talk(transport, WAN, 444).startswith(f"wan saw {WAN}:")
    assert lab.wan.refused(transport, FAR, 8443)


@PASSIVE
@pytest.mark.parametrize("port", [21, 2121])
def test_ftp_passes_with_its_helper_alone(lab, passive, port):
    server = lab.closing(FtpServer(lab.lan1))
    daemon = lab.daemon(extra=forward("files", transport="tcp", external_ports=port, target=f"{LAN1}:21", helper="ftp")
                        + forward("plain", transport="tcp", external_ports=3000, target=f"{LAN1}:21"))
    assert fetch(lab.wan, WAN, port, passive) == FILE
    assert server.peers[0][0] == REMOTE
    assert fetch(lab.lan2, WAN, port, passive) == FILE  # hairpin
    with pytest.raises(OSError):
        fetch(lab.wan, WAN, 3000, passive, timeout=1.0)
    assert "no helper" not in daemon.log()


@PASSIVE
def test_ftp_of_a_server_in_no_lan(lab, passive):
    lab.closing(FtpServer(far_host(lab)))
    lab.daemon(extra=forward("files", transport="tcp", external_ports=21, target=FAR, helper="ftp"))
    assert fetch(lab.wan, WAN, 21, passive) == FILE


def test_ftps_data_connections_end_with_its_forward(lab, daemon):
    other_server = lab.closing(lab.lan1.bound(socket.SOCK_STREAM, 50000))
    other_server.listen(1)
    lab.closing(FtpServer(lab.lan1))
    daemon.cli("add", "files", "tcp:21", LAN1, "--helper", "ftp")
    daemon.cli("add", "other", "tcp:50000", LAN1)
    with lab.wan.socket(socket.SOCK_STREAM) as control, lab.wan.socket(socket.SOCK_STREAM) as data, \
            lab.wan.socket(socket.SOCK_STREAM) as other:
        other.connect((WAN, 50000))
        control.connect((WAN, 21))
        control.sendall(b"EPSV\r\n")
        lines = control.makefile("r", newline="\r\n")
        assert lines.readline().startswith("220")
        data.connect((WAN, int(lines.readline().split("|")[3])))
        daemon.cli("remove", "files")

        def is_reset(sock):
            try:
                sock.send(b"x", socket.MSG_NOSIGNAL)
            except ConnectionError:
                return True
            return False
        wait_for(lambda: is_reset(control), 5, "the control connection ends")
        wait_for(lambda: is_reset(data), 5, "the data connection ends")
        assert not is_reset(other)


def test_protocols_find_a_forward_there_before_them(lab, daemon):
    daemon.stop()
    daemon = lab.daemon(extra=forward("web", transport="tcp", external_ports=80, target=f"{LAN1}:8080")
                        + forward("cameras", transport="udp", external_ports="8000-8009", target=LAN1))
    assert natpmp_map(lab.lan1, "tcp", 8080, 0, 0).result == 2
    assert natpmp_map(lab.lan1, "udp", 8004, 0, 0).result == 2
    nonce = b"twelve bytes"
    assert pcp_map(lab.lan1, LAN1, "tcp", 8080, 0, lifetime=0, nonce=nonce).result == 2
    assert pcp_map(lab.lan1, LAN1, "udp", 8004, 0, lifetime=0, nonce=nonce).result == 2
    web = pcp_map(lab.lan1, LAN1, "tcp", 8080, 4000, lifetime=600, nonce=nonce)
    assert (web.result, web.external, web.lifetime) == (0, 80, STATIC)
    camera = pcp_map(lab.lan1, LAN1, "udp", 8004, 4000, lifetime=600, nonce=nonce)
    assert (camera.result, camera.external, camera.lifetime) == (0, 8004, STATIC)
    # Its port is another's: not to be had, whoever asks.
    other = natpmp_map(lab.lan2, "udp", 8005, 8005, 600)
    assert other.result == 0 and not 8000 <= other.external <= 8009
    assert len(daemon.leases("--protocol", "static")) == 2


def test_added_and_removed_while_the_daemon_runs(lab):
    daemon = lab.daemon(extra=forward("web", transport="tcp", external_ports=80, target=f"{LAN1}:8080"))
    lab.server(lab.lan1, "tcp", 22)
    lab.server(lab.lan1, "udp", 22)
    daemon.cli("add", "shell", "both:2222", f"{LAN1}:22", "--remote", "11.0.0.8/30", "--description", "for us")
    for transport in ("tcp", "udp"):
        assert lab.wan.talk(transport, WAN, 2222).startswith(f"lan1 saw {REMOTE}:")
    assert [(l["transport"], l["name"], l["remote_address"], l["description"])
            for l in daemon.leases("--protocol", "static") if l["name"] == "shell"] == \
        [(t, "shell", "11.0.0.8/30", "for us") for t in ("tcp", "udp")]

    def refused(*arguments):
        done = daemon.cli(*arguments, check=False)
        assert done.returncode == 1, done
        return done.stderr

    # What stands in the way, and where it is; the config's can be removed there alone.
    assert f'forward "web" ({daemon.config}:5)' in refused("add", "other", "tcp:79-81", LAN2)
    assert 'forward "shell" (added at run time)' in refused("add", "other", "udp:2222", LAN2, "--remote", REMOTE)
    assert 'forward "shell" (added at run time)' in refused("add", "shell", "udp:3333", LAN2)
    assert f'it is forward "web" of {daemon.config}:5: remove it there' in refused("remove", "web")
    assert f"{daemon.config}:5" in refused("remove", "tcp:80")
    daemon.cli("add", "other", "udp:2222", LAN2, "--remote", "11.0.0.13")
    daemon.cli("remove", "shell", "other")
    assert [l["name"] for l in daemon.leases()] == ["web"]
    for transport in ("tcp", "udp"):
        assert lab.wan.refused(transport, WAN, 2222)


def test_a_forward_takes_the_port_of_a_lease(lab, daemon):
    assert natpmp_map(lab.lan1, "tcp", 8000, 4000).external == 4000
    kept = natpmp_map(lab.lan1, "tcp", 8001, 4100).external
    lab.server(lab.lan2, "tcp", 4000)
    daemon.cli("add", "taker", "tcp:3990-4010", LAN2)
    assert lab.wan.tcp(WAN, 4000).startswith("lan2 saw")
    daemon.logged("lease: taken-by-forward .*external=4000")
    assert sorted(l["external_port"] for l in daemon.leases()) == [3990, kept]
    # It asks again, and gets another one.
    assert natpmp_map(lab.lan1, "tcp", 8000, 4000).external not in range(3990, 4011)
    daemon.cli("remove", "tcp:4005")
    assert lab.wan.refused("tcp", WAN, 4000)
    assert natpmp_map(lab.lan2, "tcp", 4005, 4005).external == 4005


def test_a_lost_table_comes_back_with_its_forwards(lab):
    daemon = lab.daemon(extra=forward("range", transport="udp", external_ports="500-900", target=LAN1)
                        + forward("files", transport="tcp", external_ports=21, target=LAN1, helper="ftp"))
    lab.server(lab.lan1, "udp", 700)
    lab.closing(FtpServer(lab.lan1))
    lab.gw.run("nft", "delete", "table", "inet", "portlease")
    daemon.logged("table restored")
    assert lab.wan.udp(WAN, 700).startswith("lan1 saw")
    assert fetch(lab.wan, WAN, 21, "PASV") == FILE


def test_a_reload_adds_removes_and_retargets(lab):
    goes = forward("goes", transport="tcp", external_ports=81, target=f"{LAN1}:8080")
    daemon = lab.daemon(extra=forward("web", transport="tcp", external_ports=80, target=f"{LAN1}:8080") + goes)
    for host in (lab.lan1, lab.lan2):
        lab.server(host, "tcp", 8080)
    daemon.cli("add", "added", "tcp:83", f"{LAN1}:8080")
    with open(daemon.config, encoding="utf-8") as file:
        text = file.read()
    with open(daemon.config, "w", encoding="utf-8") as file:
        file.write(text.replace(goes, forward("new", transport="tcp", external_ports=82, target=f"{LAN1}:8080"))
                   .replace(f"{LAN1}:8080", f"{LAN2}:8080", 1))
    daemon.cli("reload")
    assert lab.wan.tcp(WAN, 80).startswith("lan2 saw")
    assert lab.wan.refused("tcp", WAN, 81)
    assert lab.wan.tcp(WAN, 82).startswith("lan1 saw")
    assert lab.wan.tcp(WAN, 83).startswith("lan1 saw")
    assert sorted(l["name"] for l in daemon.leases()) == ["added", "new", "web"]
