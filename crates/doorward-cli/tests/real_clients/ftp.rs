//! Passive FTP through the connection tracking helper, and what must not come through with it; and under TLS, which no
//! helper reads.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use crate::bench::Bench;
use crate::clients::{Asking, Met, ask};
use crate::doors::{SERVER, pair};
use crate::{firewall, servers};

/// A listener inside the passive range that no FTP conversation has announced.
const INSIDE: u16 = 50_050;
/// A listener that nobody outside may ever reach.
const SECRET: u16 = 3306;

/// The helper as careless rules use it: whatever it calls related comes in, at any port.
const CARELESS: &str = "table inet careless {
    ct helper any { type \"ftp\" protocol tcp; }
    chain assign {
        type filter hook prerouting priority -150
        tcp dport 21 ct helper set \"any\"
    }
    chain input {
        type filter hook input priority 0; policy drop
        ct state established,related accept
        icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
        tcp dport 21 accept
    }
}
";

/// Transfers work through the helper, while the range stays shut to who only connects.
pub(crate) fn helper_opens_what_it_announced() {
    let mut bench = pair();
    let server = bench.host_mut("server");
    servers::prepare(server);
    servers::web(server, &[INSIDE, SECRET], &[]);
    servers::ftp(server, (50_000, 50_100));
    let transfers =
        ["curl ftp get", "curl ftp epsv", "curl ftp put", "lftp", "curl ftp port"].map(|client| (client, 21));
    let plain = [("curl http", INSIDE), ("curl http", SECRET)];
    for (client, port) in transfers.into_iter().chain(plain) {
        expect(&bench, client, port, 15, &Met::Open);
    }
    firewall::policy(bench.host("server"), include_str!("ftp-helper.dw"));
    for (client, port) in transfers {
        expect(&bench, client, port, 15, &Met::Open);
    }
    for (client, port) in plain {
        expect(&bench, client, port, 3, &Met::Silence);
    }
}

/// Under TLS the data ports are open as the policy says them, in a range of their own: each transfer works, and what lies
/// beside the range is shut. A helper would see nothing of what is announced.
pub(crate) fn tls_works_without_a_helper(rounds: usize) {
    const TRANSFERS: [(&str, u16); 5] = [
        ("curl ftps get", 21),
        ("curl ftps epsv", 21),
        ("curl ftps put", 21),
        ("lftp ftps", 21),
        ("curl implicit ftps", 990),
    ];
    const BESIDE: [u16; 3] = [49_999, 50_101, SECRET];
    let mut bench = pair();
    let server = bench.host_mut("server");
    servers::prepare(server);
    servers::web(server, &BESIDE, &[]);
    servers::ftps(server, (50_000, 50_100));
    let beside = BESIDE.map(|port| ("curl http", port));
    for (client, port) in TRANSFERS.into_iter().chain(beside) {
        expect(&bench, client, port, 15, &Met::Open);
    }
    for address in SERVER {
        let met = asked(&bench, "curl ftp get", address, 21, 15);
        assert!(matches!(met, Met::Trouble(_)), "who speaks no TLS is not served: {met:?}");
    }

    firewall::policy(bench.host("server"), "allow ftp, ftps passive 50000-50100\n");
    let mut tally = [0; 2];
    for _ in 0..rounds {
        for (family, address) in SERVER.into_iter().enumerate() {
            for (client, port) in TRANSFERS {
                let met = asked(&bench, client, address, port, 15);
                assert_eq!(met, Met::Open, "{client} at {address}");
                tally[family] += 1;
            }
        }
    }
    thread::scope(|scope| {
        for (client, port) in beside {
            let bench = &bench;
            scope.spawn(move || expect(bench, client, port, 3, &Met::Silence));
        }
    });
    let all = rounds * TRANSFERS.len();
    println!("FTPS without a helper: {} of {all} over IPv4, {} of {all} over IPv6", tally[0], tally[1]);

    // With one in its place the conversation goes on, and the data connection does not come in.
    let helped = "allow ftp helper passive 50000-50100\nallow ftps passive 60000-60100\n";
    firewall::policy(bench.host("server"), helped);
    thread::scope(|scope| {
        let tries = TRANSFERS.into_iter().flat_map(|transfer| SERVER.map(|to| (transfer, to)));
        for ((client, port), address) in tries {
            let bench = &bench;
            scope.spawn(move || {
                let met = asked(bench, client, address, port, 5);
                assert_ne!(met, Met::Open, "{client} at {address} through a helper");
            });
        }
    });
}

/// A server that is talked into announcing a foreign port does not open that port.
pub(crate) fn helper_cannot_be_tricked() {
    let policy = forging_bench();
    firewall::policy(policy.host("server"), include_str!("ftp-helper.dw"));
    let careless = forging_bench();
    firewall::rules(careless.host("server"), CARELESS);
    for address in SERVER {
        // The control: with careless rules the announcement opens the foreign port.
        assert!(reached(&careless, address, SECRET), "{address}: the trick is one");
        // The helper does believe the announcement: inside the range it opens the port.
        assert!(reached(&policy, address, INSIDE), "{address}: the helper has listened");
        assert!(!reached(&policy, address, SECRET), "{address}: {SECRET} came with the helper");
    }
}

fn asked(bench: &Bench, client: &str, address: &str, port: u16, seconds: u32) -> Met {
    let (from, files) = (bench.host("client"), bench.host("server").folder());
    ask(client, &Asking { from, files, address, port, seconds })
}

fn expect(bench: &Bench, client: &str, port: u16, seconds: u32, expected: &Met) {
    for address in SERVER {
        let met = asked(bench, client, address, port, seconds);
        println!("{client} at {address} port {port}: {met:?}");
        assert_eq!(met, *expected, "{client} at {address} port {port}");
    }
}

/// Client and server, with a web server where FTP must not lead.
fn forging_bench() -> Bench {
    let mut bench = pair();
    let server = bench.host_mut("server");
    servers::web(server, &[INSIDE, SECRET], &[]);
    bench
}

/// Whether the port can be reached from outside once the server has announced it for passive
/// data. The server here is a few lines of our own: no real one says what it is told to.
fn reached(bench: &Bench, address: &str, port: u16) -> bool {
    let ip: IpAddr = address.parse().expect("an address");
    let listener = bench.host("server").inside(|| TcpListener::bind(SocketAddr::new(ip, 21)));
    let listener = listener.expect("port 21 is free");
    thread::scope(|scope| {
        scope.spawn(|| forge(&listener, ip, port));
        bench.host("client").inside(|| {
            let patience = Duration::from_secs(3);
            let mut control =
                TcpStream::connect_timeout(&SocketAddr::new(ip, 21), patience).expect("port 21 is open");
            control.set_read_timeout(Some(patience)).expect("a socket option");
            let mut lines = BufReader::new(control.try_clone().expect("a second handle"));
            let mut line = String::new();
            lines.read_line(&mut line).expect("a greeting");
            control.write_all(b"PASV\r\n").expect("the server listens");
            lines.read_line(&mut line).expect("an announcement");
            TcpStream::connect_timeout(&SocketAddr::new(ip, port), patience).is_ok()
        })
    })
}

/// Serves one conversation: a greeting, and the announcement of the port.
fn forge(listener: &TcpListener, ip: IpAddr, port: u16) {
    let (mut control, _) = listener.accept().expect("a client");
    control.write_all(b"220 welcome\r\n").expect("the client listens");
    let mut question = [0; 6];
    control.read_exact(&mut question).expect("a question");
    let announcement = match ip {
        IpAddr::V4(four) => {
            let [a, b, c, d] = four.octets();
            let [high, low] = port.to_be_bytes();
            format!("227 Entering Passive Mode ({a},{b},{c},{d},{high},{low}).\r\n")
        }
        IpAddr::V6(_) => format!("229 Entering Extended Passive Mode (|||{port}|)\r\n"),
    };
    control.write_all(announcement.as_bytes()).expect("the client listens");
    // The conversation must live until the client is done: it ends with the client's socket.
    let _ = control.read(&mut question);
}
