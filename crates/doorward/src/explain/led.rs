//! What a program translates on the way of one packet: where it is led as it arrives, as whom it leaves.

use super::assume::{Assumed, by_nat};
use super::packet::{Surroundings, at};
use super::path::{Step, steps};
use crate::emit::Style;
use crate::meaning::{Addressed, Connection, Packet, Path};
use crate::net::{How, Translated};
use crate::ruleset::{Hook, Table};
use crate::trace::{Assume, Machine, Outcome};

/// A translation, and the rules that it stands behind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Led {
    /// What becomes of the packet.
    pub to: Translated,
    /// The comment of the sentence that says so.
    pub by: Option<String>,
    /// The rules that it met there.
    pub steps: Vec<Step>,
}

/// What becomes of the destination of a packet that arrives.
pub fn arriving(
    tables: &[Table],
    connection: &Connection,
    around: &Surroundings,
    assume: &mut dyn Assume,
    style: &Style,
) -> Option<Led> {
    let from_elsewhere = match &connection.path {
        Path::In { iface, .. } => iface != "lo",
        Path::Forward { addressed, .. } => addressed.is_some(),
        Path::Out { .. } => false,
    };
    let led = if from_elsewhere {
        at_hook(tables, Hook::Prerouting, connection, around, assume, style)
    } else {
        None
    };
    led.filter(|led| led.to.how == How::Destination)
}

/// What becomes of the source of a packet that leaves.
pub fn leaving(
    tables: &[Table],
    connection: &Connection,
    around: &Surroundings,
    assume: &mut dyn Assume,
    style: &Style,
) -> Option<Led> {
    let leaves = !matches!(connection.path, Path::In { .. });
    if leaves { at_hook(tables, Hook::Postrouting, connection, around, assume, style) } else { None }
}

fn at_hook(
    tables: &[Table],
    hook: Hook,
    connection: &Connection,
    around: &Surroundings,
    assume: &mut dyn Assume,
    style: &Style,
) -> Option<Led> {
    let machine = Machine::new(tables);
    let trace = machine.hook(&at(hook, connection, around), assume);
    let to = trace.visits.iter().find_map(|visit| match visit.outcome {
        Outcome::Translated { to, .. } => to,
        _ => None,
    })?;
    let steps = steps(tables, &machine, &trace, style);
    let by = steps.iter().rev().find_map(|step| step.counted.clone());
    Some(Led { to, by, steps })
}

impl Assumed {
    /// The same connection, led elsewhere: by which interface it leaves then, where it goes to somebody else.
    #[must_use]
    pub fn led(mut self, to: Translated, oif: &str) -> Assumed {
        let connection = &mut self.connection;
        let addressed =
            Some(Addressed { to: connection.addressed(), port: connection.port().unwrap_or_default() });
        let iif = connection.iface().to_owned();
        let packet = match connection.packet {
            Packet::Ports { proto, from, to: port, opens } => {
                Packet::Ports { proto, from, to: to.port.unwrap_or(port), opens }
            }
            other => other,
        };
        *connection = Connection {
            path: match to.addr {
                Some(_) => Path::Forward { iif, oif: oif.to_owned(), addressed },
                None => Path::In { iface: iif, addressed },
            },
            from: connection.from,
            to: to.addr.unwrap_or(connection.addressed()),
            packet,
        };
        // Nobody has to be imagined who gets it.
        self.lines.retain(|line| !by_nat(line));
        self
    }
}
