//! Services that are seldom meant for everybody, by their usual ports and programs.

use crate::net::Proto;

/// What a service is, seen from a stranger.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sort {
    /// Holds data, and often lets anybody in who can connect.
    Database,
    /// Who can connect has the host.
    Control,
    /// Meant for a local network.
    Internal,
    /// Sends passwords that everybody on the way can read.
    Plain,
}

impl Sort {
    /// In words, after "is".
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Sort::Database => "a database",
            Sort::Control => "a way to control this host",
            Sort::Internal => "meant for a local network",
            Sort::Plain => "unencrypted",
        }
    }
}

/// Usual ports. Sources: the projects' own documentation of their default ports.
const PORTS: &[(u8, u16, Sort)] = &[
    (6, 1433, Sort::Database),
    (6, 1521, Sort::Database),
    (6, 3306, Sort::Database),
    (6, 33060, Sort::Database),
    (6, 4369, Sort::Control),
    (6, 5432, Sort::Database),
    (6, 5672, Sort::Database),
    (6, 5984, Sort::Database),
    (6, 6379, Sort::Database),
    (6, 7000, Sort::Database),
    (6, 7687, Sort::Database),
    (6, 8086, Sort::Database),
    (6, 8123, Sort::Database),
    (6, 9042, Sort::Database),
    (6, 9200, Sort::Database),
    (6, 9300, Sort::Database),
    (6, 11211, Sort::Database),
    (17, 11211, Sort::Database),
    (6, 15672, Sort::Control),
    (6, 27017, Sort::Database),
    (6, 2181, Sort::Database),
    (6, 2375, Sort::Control),
    (6, 2376, Sort::Control),
    (6, 2379, Sort::Control),
    (6, 2380, Sort::Control),
    (6, 6443, Sort::Control),
    (6, 8006, Sort::Control),
    (6, 9090, Sort::Control),
    (6, 10000, Sort::Control),
    (6, 10250, Sort::Control),
    (6, 3389, Sort::Control),
    (6, 5900, Sort::Control),
    (6, 6000, Sort::Control),
    (6, 111, Sort::Internal),
    (17, 111, Sort::Internal),
    (6, 139, Sort::Internal),
    (6, 445, Sort::Internal),
    (17, 137, Sort::Internal),
    (17, 138, Sort::Internal),
    (6, 389, Sort::Internal),
    (6, 631, Sort::Internal),
    (17, 631, Sort::Internal),
    (6, 2049, Sort::Internal),
    (17, 161, Sort::Internal),
    (6, 9100, Sort::Internal),
    (17, 1900, Sort::Internal),
    (17, 5353, Sort::Internal),
    (17, 5355, Sort::Internal),
    (6, 23, Sort::Plain),
    (6, 513, Sort::Plain),
    (6, 514, Sort::Plain),
    (17, 69, Sort::Plain),
];

/// Programs, wherever they listen.
const PROGRAMS: &[(&str, Sort)] = &[
    ("beam.smp", Sort::Database),
    ("clickhouse-serv", Sort::Database),
    ("clickhouse-server", Sort::Database),
    ("cupsd", Sort::Internal),
    ("dockerd", Sort::Control),
    ("etcd", Sort::Control),
    ("influxd", Sort::Database),
    ("kubelet", Sort::Control),
    ("mariadbd", Sort::Database),
    ("memcached", Sort::Database),
    ("mongod", Sort::Database),
    ("mysqld", Sort::Database),
    ("nmbd", Sort::Internal),
    ("postgres", Sort::Database),
    ("redis-server", Sort::Database),
    ("rpc.mountd", Sort::Internal),
    ("rpc.statd", Sort::Internal),
    ("rpcbind", Sort::Internal),
    ("slapd", Sort::Internal),
    ("smbd", Sort::Internal),
    ("snmpd", Sort::Internal),
    ("valkey-server", Sort::Database),
    ("Xorg", Sort::Control),
];

/// What is at a port, as far as port and program tell; none for what may well be meant for everybody.
#[must_use]
pub fn sort_of(proto: Proto, port: u16, program: Option<&str>) -> Option<Sort> {
    let by_program = program.and_then(|program| PROGRAMS.iter().find(|(name, _)| *name == program));
    let by_port = || PORTS.iter().find(|(number, at, _)| (Proto(*number), *at) == (proto, port));
    by_program.map(|(_, sort)| *sort).or_else(|| by_port().map(|(_, _, sort)| *sort))
}
