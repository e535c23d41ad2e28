//! What boot loads: the artifact of a confirmed generation as it was proven, or what is built in; parses no policy.
//!
//! The host is open until it is done, so nothing is read or summed twice, and nothing that only makes words.

use super::World;
use crate::exit::{Exit, Failure, Stop};
use crate::load::explained;
use crate::side::BySide;
use crate::store::{Pointer, Store};
use doorward::apply::{Event, Which};
use doorward::compile::{self, Options, Running};
use doorward::meaning::Host;
use doorward::prove;
use doorward::ruleset::Sealed;
use doorward_kernel::CommitError;
use std::collections::BTreeSet;

/// Where SSH is, if nobody noted it.
const SSH: u16 = 22;
/// The highest number of a generation in the kernel.
const LAST: u8 = 63;

/// What a boot has seen and done.
#[derive(Default)]
pub(crate) struct Booted {
    /// A table of ours in which nothing judges: it would only be in the way.
    idle: bool,
    /// What the disk says of confirmations.
    pointer: Option<Pointer>,
    /// The generation that was loaded, or tried last where nobody said how that went.
    pub generation: Option<u64>,
    /// The number in the kernel of what is built in, once that was tried.
    emergency: Option<u8>,
    /// The doors of what is built in, if that was loaded.
    pub ports: BTreeSet<u16>,
}

impl Booted {
    pub(super) fn seen(&mut self, table: bool, pointer: Option<Pointer>) {
        (self.idle, self.pointer) = (table, pointer);
    }

    /// The number in the kernel of what was tried last.
    pub(super) fn number(&self, store: Option<&Store>) -> Option<u8> {
        self.emergency.or_else(|| Some(store?.index(self.generation?).ok()?.kernel))
    }
}

impl World<'_> {
    pub(super) fn boot(&mut self, which: Which) -> Result<Event, Stop> {
        if self.booted.idle {
            let clear = compile::clear();
            self.socket.load(&clear, None).map_err(|error| explained(&error, &clear, &self.socket))?;
            self.booted.idle = false;
        }
        let pointer = self.booted.pointer.as_ref();
        let id = match which {
            Which::Confirmed => pointer.map(|pointer| pointer.confirmed.generation),
            Which::Previous => pointer.and_then(Pointer::previous),
            Which::Emergency => return self.emergency(),
        };
        let Some((id, store)) = id.zip(self.store) else { return Ok(Event::Failed) };
        let sealed = artifact(store, id)?;
        self.booted.generation = Some(id);
        match self.socket.load_sealed(&sealed, None) {
            Ok(()) => Ok(Event::Done),
            Err(CommitError::NoAnswer) => Ok(Event::Unknown),
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
        let number = unknown.unwrap_or(LAST);
        (self.booted.generation, self.booted.emergency) = (None, Some(number));
        let options = Options { generation: number, ..Options::default() };
        let (table, _) = prove::compiled(&policy, &Host::default(), &options, &BySide::of(&policy));
        let Some(table) = table else {
            return Err(Failure::new(Exit::System, "what is built in was not proven").into());
        };
        let transaction = compile::replace(&Running::default(), table);
        self.booted.ports = ports;
        match self.socket.load(&transaction, None) {
            Ok(()) => Ok(Event::Done),
            Err(CommitError::NoAnswer) => Ok(Event::Unknown),
            Err(error) => Err(explained(&error, &transaction, &self.socket).into()),
        }
    }
}

/// What boot loads of a generation, held against its sum.
fn artifact(store: &Store, id: u64) -> Result<Sealed, Failure> {
    let missing = || Failure::new(Exit::System, format!("generation {id} has nothing that boot could load"));
    let bytes = store.artifact(id)?.ok_or_else(missing)?;
    Sealed::from_summed(bytes).map_err(|error| {
        Failure::new(Exit::System, format!("what boot loads of generation {id} is damaged: {error}"))
    })
}
