//! The table of doors: read, asked with the real clients, printed, and judged.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::bench::{Bench, Host};
use crate::clients::{Asking, Met, ask};
use crate::servers;

/// The addresses at both ends, by family.
pub(crate) const CLIENT: [&str; 2] = ["203.0.113.1", "2001:db8::1"];
pub(crate) const SERVER: [&str; 2] = ["203.0.113.2", "2001:db8::2"];
const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];
/// Enough for a loaded machine; asking ends earlier where the door is open.
const PATIENT: u32 = 15;
/// A SYN is repeated after one second: a door that answers within two lets the client in.
const BRIEF: u32 = 3;
/// Most of the clients wait for silence to end: more of them than cores at once.
const TOGETHER: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Open,
    Shut,
}

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) door: String,
    pub(crate) client: String,
    /// What the policy promises for each family; none where the family has no such thing.
    pub(crate) policy: [Option<Door>; 2],
    /// What the classic script does over IPv4, where that differs.
    pub(crate) script: Option<Door>,
}

/// What is expected of a row over one family, by index into `FAMILIES`.
pub(crate) type Expect = fn(&Row, usize) -> Option<Door>;

/// Client and server on one cable, with every server of the table running at its end.
pub(crate) fn world() -> Bench {
    let mut bench = pair();
    let client = bench.host_mut("client");
    servers::prepare(client);
    servers::dns(client, 53);
    servers::time(client);
    servers::mail_in(client);
    servers::web(client, &[80], &[]);
    let server = bench.host_mut("server");
    servers::prepare(server);
    servers::ssh(server);
    servers::dns(server, 53);
    servers::dns(server, 5353);
    servers::time(server);
    servers::web(server, servers::WEB_PORTS, &[443, 8443]);
    servers::mail_in(server);
    servers::mail_out(server);
    servers::ftp(server, (50_000, 50_100));
    bench
}

/// Client and server on one cable, with nothing running.
pub(crate) fn pair() -> Bench {
    let bench = Bench::new(&["client", "server"]);
    let [client, server] = [CLIENT, SERVER].map(|[four, six]| [format!("{four}/24"), format!("{six}/64")]);
    bench.cable(
        ("client", "eth0", &client.each_ref().map(String::as_str)),
        ("server", "eth0", &server.each_ref().map(String::as_str)),
    );
    bench
}

/// The rows of `table.txt`.
pub(crate) fn table() -> Vec<Row> {
    let lines = include_str!("table.txt").lines();
    lines.filter(|line| !line.starts_with('#')).map(row).collect()
}

fn row(line: &str) -> Row {
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    let [door, client, four, six, script] = cells[..] else {
        panic!("not five columns: {line}");
    };
    let expected = |cell: &str| match cell.split(':').next() {
        Some("open") => Some(Door::Open),
        Some("shut") => Some(Door::Shut),
        Some("-" | "") => None,
        _ => panic!("not `open`, `shut` or `-`: {line}"),
    };
    Row {
        door: door.to_owned(),
        client: client.to_owned(),
        policy: [expected(four), expected(six)],
        script: expected(script),
    }
}

/// Asks at every door of the table and fails unless each is as expected.
pub(crate) fn hold(bench: &Bench, title: &str, rows: &[Row], expect: Expect) {
    let cells: Vec<(usize, usize)> = (0..rows.len())
        .flat_map(|row| [(row, 0), (row, 1)])
        .filter(|(row, family)| expect(&rows[*row], *family).is_some())
        .collect();
    let met = Mutex::new(vec![[const { None }; 2]; rows.len()]);
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..TOGETHER {
            scope.spawn(|| {
                while let Some((row, family)) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let answer = knock(bench, &rows[*row], *family);
                    met.lock().expect("no other client has failed")[*row][*family] = Some(answer);
                }
            });
        }
    });
    let met = met.into_inner().expect("no client has failed");
    let (text, wrong) = report(title, rows, expect, &met);
    println!("{text}");
    assert!(wrong.is_empty(), "{title}: the table does not hold\n{}", wrong.join("\n"));
}

/// One client asks at one door over one family.
fn knock(bench: &Bench, row: &Row, family: usize) -> Met {
    let (out, door) = match row.door.strip_prefix("out ") {
        Some(door) => (true, door),
        None => (false, row.door.as_str()),
    };
    let port = door.split('/').next().and_then(|number| number.parse().ok());
    let (client, server) = (bench.host("client"), bench.host("server"));
    let (from, address): (&Host, _) = if out { (server, CLIENT[family]) } else { (client, SERVER[family]) };
    // The same patience with and without a firewall: so the control shows that it is enough.
    let seconds = if row.policy[family] == Some(Door::Shut) { BRIEF } else { PATIENT };
    ask(&row.client, &Asking { from, files: server.folder(), address, port: port.unwrap_or(0), seconds })
}

/// The table as text, and one line for each cell that is not as expected.
fn report(title: &str, rows: &[Row], expect: Expect, met: &[[Option<Met>; 2]]) -> (String, Vec<String>) {
    let mut text = format!("{title}\n{:16}{:15}{:10}{:10}expected\n", "door", "client", "IPv4", "IPv6");
    let mut wrong = Vec::new();
    for (row, met) in rows.iter().zip(met) {
        let cell = |family: usize| match &met[family] {
            None => "-",
            Some(Met::Open) => "open",
            Some(Met::Silence) => "silence",
            Some(Met::Refusal) => "refused",
            Some(Met::Trouble(_)) => "trouble",
        };
        let promise = |family| match expect(row, family) {
            None => "-",
            Some(Door::Open) => "open",
            Some(Door::Shut) => "shut",
        };
        let mut agrees = true;
        for family in [0, 1] {
            let fine = match expect(row, family) {
                None => true,
                Some(Door::Open) => met[family] == Some(Met::Open),
                // Refused is not shut: the packet has reached the host behind the firewall.
                Some(Door::Shut) => met[family] == Some(Met::Silence),
            };
            if !fine {
                agrees = false;
                let (door, client) = (&row.door, &row.client);
                wrong.push(format!(
                    "{door} with {client} over {}: expected {}, met {:?}",
                    FAMILIES[family],
                    promise(family),
                    met[family]
                ));
            }
        }
        let (door, client) = (&row.door, &row.client);
        let verdict = if agrees { "" } else { "   DISAGREES" };
        let _ = writeln!(
            text,
            "{door:16}{client:15}{:10}{:10}{} {}{verdict}",
            cell(0),
            cell(1),
            promise(0),
            promise(1)
        );
    }
    (text, wrong)
}
