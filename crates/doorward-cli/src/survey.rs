//! What this host has behind its doors: sockets with their programs, published ports, addresses; judges nothing.

use crate::exit::Failure;
use crate::host::Around;
use crate::kernel::unread;
use crate::session;
use doorward::audit::{self, Listener, Survey};
use doorward::net::Proto;
use doorward_kernel::diag::{Diag, Transport};
use doorward_kernel::{Reader, Scope};
use std::collections::BTreeMap;

/// What holds published ports besides rules: Docker's proxy, and podman's monitor, which accepts nobody.
const HOLDERS: [&str; 2] = ["docker-proxy", "conmon"];

/// Looks at the host. Only root sees the programs of others, and rules.
pub(crate) fn survey() -> Result<Survey, Failure> {
    let around = Around::ask();
    let holders: BTreeMap<u32, String> = session::holders();
    let sockets = Diag::open().and_then(|diag| diag.listeners()).map_err(|error| unread(&error))?;
    // Without the right to read rules, what containers publish is not known.
    let tables = Reader::open().and_then(|reader| reader.read(&Scope::All));
    let published = tables.map(|all| audit::published(&all.ruleset.tables)).unwrap_or_default();
    let listeners = sockets
        .into_iter()
        .map(|one| Listener {
            proto: match one.transport {
                Transport::Tcp => Proto::TCP,
                Transport::Udp => Proto::UDP,
            },
            port: one.local.port(),
            addr: one.local.ip(),
            both_families: one.both_families,
            program: holders.get(&one.inode).cloned(),
        })
        // It stands for the container that is told already.
        .filter(|one| {
            let holds = one.program.as_deref().is_some_and(|program| HOLDERS.contains(&program));
            !(holds && published.iter().any(|port| (port.proto, port.port) == (one.proto, one.port)))
        })
        .collect();
    let own = around.addresses.iter().map(|(addr, _)| *addr).filter(|addr| !addr.is_loopback()).collect();
    Ok(Survey { listeners, published, own, ephemeral: ephemeral() })
}

/// The first port that the system gives to sockets that name none.
fn ephemeral() -> u16 {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    range.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(32_768)
}
