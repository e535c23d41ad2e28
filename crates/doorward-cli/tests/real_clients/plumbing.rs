//! What IPv6 (and path MTU discovery in both families) needs beneath the doors, with a policy
//! loaded, beside rules that forget it.

use std::time::Duration;

use crate::bench::{Bench, Host, until};
use crate::clients::{Asking, Met, ask};
use crate::doors::{SERVER, pair};
use crate::{firewall, servers};

const POLICY: &str = "allow ssh\nallow http\n";
/// Rules that let the doors of `POLICY` in and no ICMP of any kind.
const DEAF: &str = "table inet deaf {
    chain input {
        type filter hook input priority 0; policy drop
        meta l4proto { icmp, ipv6-icmp } drop
        ct state established accept
        tcp dport { 22, 80 } accept
    }
}
";

/// Neighbours that were forgotten on both sides are found again, from either side.
pub(crate) fn neighbours_are_found() {
    let deaf = web_pair();
    firewall::rules(deaf.host("server"), DEAF);
    forget_neighbours(&deaf);
    assert_ne!(web(&deaf, SERVER[1], 3), Met::Open, "without discovery nobody gets through");

    let bench = web_pair();
    firewall::policy(bench.host("server"), POLICY);
    for _ in 0..3 {
        forget_neighbours(&bench);
        for address in SERVER {
            assert_eq!(web(&bench, address, 15), Met::Open, "{address}: the client asks who it is");
        }
        forget_neighbours(&bench);
        let out = bench.host("server").run("ping", &["-n", "-c1", "-W5", "2001:db8::1"], LONG);
        assert!(out.success, "the server asks who the client is: {out:?}");
    }
}

/// A host that takes router advertisements gets its address and its way out from one.
pub(crate) fn routers_are_heard() {
    let deaf = router_pair();
    firewall::rules(deaf.host("server"), DEAF);
    let bench = router_pair();
    firewall::policy(bench.host("server"), POLICY);
    for bench in [&deaf, &bench] {
        // The interface comes up with the rules in place: it asks for a router, as at boot.
        bench.host("server").ip("link set eth0 up");
    }
    let server = bench.host("server");
    let heard = until(LONG, || configured(server));
    assert!(heard, "the advertisement came in: {}", server.ip("-6 addr show dev eth0"));
    let ping = server.run("ping", &["-n", "-c1", "-W5", "2001:db8:f::1"], LONG);
    assert!(ping.success, "the route leads through the router: {ping:?}");
    assert!(!configured(deaf.host("server")), "without ICMPv6 the host stays without a router");
}

/// A large transfer gets through a path whose middle is smaller than both ends.
pub(crate) fn packet_too_big_is_believed() {
    let deaf = narrow_path();
    firewall::rules(deaf.host("server"), DEAF);
    let bench = narrow_path();
    firewall::policy(bench.host("server"), POLICY);
    for (address, client) in FAR_SERVER.into_iter().zip(FAR_CLIENT) {
        let lost = download(&deaf, address, 6);
        assert!(lost < servers::BIG, "{address}: the path is no obstacle");
        let got = download(&bench, address, 25);
        assert_eq!(got, servers::BIG, "{address}: the transfer completes");
        let route = bench.host("server").ip(&format!("route get {client}"));
        assert!(route.contains("mtu 1280"), "{address}: the server has learned the path: {route}");
    }
}

const LONG: Duration = Duration::from_secs(15);
const FAR_SERVER: [&str; 2] = ["203.0.113.130", "2001:db8:2::2"];
const FAR_CLIENT: [&str; 2] = ["203.0.113.2", "2001:db8:1::2"];

fn web_pair() -> Bench {
    let mut bench = pair();
    let server = bench.host_mut("server");
    servers::web(server, &[80], &[]);
    bench
}

fn web(bench: &Bench, address: &str, seconds: u32) -> Met {
    let (from, files) = (bench.host("client"), bench.host("server").folder());
    ask("curl http", &Asking { from, files, address, port: 80, seconds })
}

fn forget_neighbours(bench: &Bench) {
    for name in ["client", "server"] {
        for family in ["-4", "-6"] {
            bench.host(name).ip(&format!("{family} neigh flush dev eth0"));
        }
    }
}

/// A router that announces a prefix, and a server that takes what it hears; its link is down.
fn router_pair() -> Bench {
    let mut bench = Bench::new(&["router", "server"]);
    bench.cable(("router", "eth0", &["2001:db8:a::1/64"]), ("server", "eth0", &[]));
    let server = bench.host("server");
    server.ip("link set eth0 down");
    server.sysctl("net/ipv6/conf/eth0/accept_ra", "1");
    server.sysctl("net/ipv6/conf/eth0/autoconf", "1");
    server.sysctl("net/ipv6/conf/eth0/router_solicitation_delay", "0");
    let router = bench.host_mut("router");
    router.sysctl("net/ipv6/conf/all/forwarding", "1");
    router.ip("addr add 2001:db8:f::1/64 dev lo nodad");
    servers::router_advertisements(router, "eth0", "2001:db8:a::/64");
    bench
}

fn configured(server: &Host) -> bool {
    server.ip("-6 addr show dev eth0").contains("2001:db8:a:")
        && server.ip("-6 route show default").contains("proto ra")
}

/// client - router - server; the router's side towards the client takes 1280 bytes only.
fn narrow_path() -> Bench {
    let mut bench = Bench::new(&["client", "router", "server"]);
    bench.cable(
        ("client", "eth0", &["203.0.113.2/25", "2001:db8:1::2/64"]),
        ("router", "left", &["203.0.113.1/25", "2001:db8:1::1/64"]),
    );
    bench.cable(
        ("router", "right", &["203.0.113.129/25", "2001:db8:2::1/64"]),
        ("server", "eth0", &["203.0.113.130/25", "2001:db8:2::2/64"]),
    );
    let router = bench.host("router");
    router.sysctl("net/ipv4/conf/all/forwarding", "1");
    router.sysctl("net/ipv6/conf/all/forwarding", "1");
    router.ip("link set left mtu 1280");
    for (name, four, six) in
        [("client", "203.0.113.1", "2001:db8:1::1"), ("server", "203.0.113.129", "2001:db8:2::1")]
    {
        let host = bench.host(name);
        host.ip(&format!("route add default via {four}"));
        host.ip(&format!("route add default via {six}"));
    }
    // Neighbours are written down: the deaf control must fail for the path's size alone.
    let address = |host: &Host, interface: &str| {
        let text = host.ip(&format!("-o link show dev {interface}"));
        let after = text.split("link/ether ").nth(1).and_then(|rest| rest.split(' ').next());
        after.expect("an Ethernet address").to_owned()
    };
    let (near, far) = (address(bench.host("router"), "right"), address(bench.host("server"), "eth0"));
    for (four, six, host, interface, ether) in [
        ("203.0.113.129", "2001:db8:2::1", "server", "eth0", near),
        ("203.0.113.130", "2001:db8:2::2", "router", "right", far),
    ] {
        for ip in [four, six] {
            let words = format!("neigh replace {ip} lladdr {ether} dev {interface} nud permanent");
            bench.host(host).ip(&words);
        }
    }
    servers::web(bench.host_mut("server"), &[80], &[]);
    bench
}

/// How many bytes of the large file arrive.
fn download(bench: &Bench, address: &str, seconds: u32) -> usize {
    let literal = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    let url = format!("http://{literal}/big");
    let patience = seconds.to_string();
    let words = ["-sS", "-m", &patience, "-o", "/dev/null", "-w", "%{size_download}", &url];
    let outcome = bench.host("client").run("curl", &words, Duration::from_secs(u64::from(seconds) + 2));
    let connected = outcome.errors.is_empty() || outcome.errors.contains("bytes received");
    assert!(connected, "{address}: the connection itself works: {outcome:?}");
    outcome.output.trim().parse().expect("a number from curl")
}
