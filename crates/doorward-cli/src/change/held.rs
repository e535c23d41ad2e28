//! What the kernel holds of ours, as changes need it: all but the elements of lists, which are named by content, and of
//! sets that packets fill, which stay as they are.

use crate::exit::Failure;
use crate::kernel;
use doorward::apply;
use doorward::compile::{self, Phase};
use doorward::ruleset::{Set, Table, set_flags};
use doorward_kernel::{Generation, Reader};

/// Our table at one moment.
pub(crate) struct Held {
    /// The table; none where there is none.
    pub table: Option<Table>,
    /// The state of the whole ruleset then.
    pub seen: Generation,
}

impl Held {
    /// Reads it.
    pub(crate) fn read(reader: &Reader) -> Result<Held, Failure> {
        // An empty hash for tens of thousands of sources takes the kernel as long to walk as a full one.
        let by_packets = |set: &Set| set.flags & set_flags::EVAL != 0;
        let wanted = |set: &Set| !compile::is_list(set) && !by_packets(set);
        let snapshot = reader.read_sets(&kernel::ours(), &wanted).map_err(|error| kernel::unread(&error))?;
        Ok(Held { table: snapshot.ruleset.tables.into_iter().next(), seen: snapshot.generation })
    }

    /// What it is about.
    pub(crate) fn phase(&self) -> Phase {
        self.table.as_ref().map_or(Phase::Idle, compile::phase)
    }

    /// Whether what judges is what a boot loads at worst.
    pub(super) fn is_emergency(&self) -> bool {
        self.table.as_ref().is_some_and(compile::is_emergency)
    }

    /// The same for the machine. `own` is the number of the generation that it loads, `known` tells whether the disk
    /// has one of a number.
    pub(crate) fn kernel(&self, own: Option<u8>, known: impl Fn(u8) -> bool) -> apply::Kernel {
        match self.phase() {
            Phase::Idle => apply::Kernel::Nothing,
            Phase::Quiet { generation, remains } => apply::Kernel::Quiet {
                remains: remains.is_some(),
                known: known(generation),
                own: own == Some(generation),
            },
            Phase::Trial { new, left: Some(_), .. } => apply::Kernel::Armed { own: own == Some(new) },
            Phase::Trial { left: None, .. } => apply::Kernel::Over,
        }
    }
}
