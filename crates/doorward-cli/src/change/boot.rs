//! What boot loads: the artifact of a confirmed generation as it was proven, or what is built in; parses no policy.

use super::World;
use crate::exit::{Exit, Failure, Stop};
use crate::load::explained;
use crate::side::BySide;
use doorward::apply::{Event, Which};
use doorward::compile::{self, Options, Running};
use doorward::meaning::Host;
use doorward::prove;
use doorward::ruleset::Sealed;
use std::collections::BTreeSet;

/// Where SSH is, if nobody noted it.
const SSH: u16 = 22;
/// The highest number of a generation in the kernel.
const LAST: u8 = 63;

impl World<'_> {
    pub(super) fn boot(&mut self, which: Which) -> Result<Event, Stop> {
        if self.held()?.table.is_some() {
            // Nothing in it judges: it would only be in the way.
            let clear = compile::clear();
            self.socket.load(&clear, None).map_err(|error| explained(&error, &clear, &self.socket))?;
        }
        let Some(store) = self.store else {
            return if which == Which::Emergency { self.emergency() } else { Ok(Event::Failed) };
        };
        let pointer = if which == Which::Emergency { None } else { store.confirmed()? };
        let id = match which {
            Which::Confirmed => pointer.as_ref().map(|pointer| pointer.confirmed.generation),
            Which::Previous => pointer.as_ref().and_then(crate::store::Pointer::previous),
            Which::Emergency => return self.emergency(),
        };
        let Some(id) = id else { return Ok(Event::Failed) };
        let missing =
            || Failure::new(Exit::System, format!("generation {id} has nothing that boot could load"));
        let bytes = store.artifact(id)?.ok_or_else(missing)?;
        let sealed = Sealed::from_bytes(&bytes).map_err(|error| {
            Failure::new(Exit::System, format!("what boot loads of generation {id} is damaged: {error}"))
        })?;
        match self.socket.load_sealed(&sealed, None) {
            Ok(()) => Ok(Event::Done),
            Err(error) => Err(Failure::new(Exit::System, format!("generation {id}: {error}")).into()),
        }
    }

    /// Replies, loopback, what a host needs, and SSH on the ports that were noted.
    fn emergency(&mut self) -> Result<Event, Stop> {
        let mut ports: BTreeSet<u16> = self
            .kept()
            .into_iter()
            .filter_map(|one| one.index.ok())
            .take(1)
            .flat_map(|index| index.ssh_ports)
            .collect();
        if ports.is_empty() {
            ports.insert(SSH);
        }
        let policy = compile::emergency(&ports);
        // Nothing on the disk may be taken for it.
        let unknown = (1..=LAST).rev().find(|number| self.on_disk(*number).is_none());
        let options = Options { generation: unknown.unwrap_or(LAST), ..Options::default() };
        let (table, _) = prove::compiled(&policy, &Host::default(), &options, &BySide::of(&policy));
        let Some(table) = table else {
            return Err(Failure::new(Exit::System, "what is built in was not proven").into());
        };
        let transaction = compile::replace(&Running::default(), table);
        match self.socket.load(&transaction, None) {
            Ok(()) => Ok(Event::Done),
            Err(error) => Err(explained(&error, &transaction, &self.socket).into()),
        }
    }
}
