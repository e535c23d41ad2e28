//! Reads what the kernel holds, whole and of one generation; changes nothing and needs no guard.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use doorward::ruleset::{Elements, Ruleset, Set, Table, TableFamily, set_flags};
use rustix::io::Errno;

use crate::decode::{Collector, Item, Rules, element_list, item};
use crate::message::{Message, nft_kind};
use crate::nft::{self, msg};
use crate::socket::{Channel, Dumped, KernelError};
use crate::wire::Writer;

/// `NETLINK_NETFILTER`.
const NETFILTER: isize = 12;
/// What is read, in messages.
pub(crate) const RULES: &str = "firewall rules";
/// Sets of intervals above this are read on demand only: the kernel's dump of them is quadratic.
pub const INTERVALS_READ: usize = 50_000;
/// Others change the ruleset: for so long it is read again …
const PATIENCE: Duration = Duration::from_secs(2);
/// … with a pause, so as not to keep step with whoever changes it in a loop.
const PAUSE: Duration = Duration::from_millis(1);

/// Number of a state of the whole ruleset; each transaction of anyone moves it on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Generation(pub u32);

/// What to read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Scope {
    /// Everything in this network namespace.
    All,
    /// One table.
    Table(TableFamily, String),
}

/// How much of the sets to read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Depth {
    /// No elements.
    Headers,
    /// All elements, but those of sets with more than [`INTERVALS_READ`] intervals.
    Bounded,
    /// All elements, however long it takes.
    Everything,
}

/// What was there at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// The tables.
    pub ruleset: Ruleset,
    /// The state of the whole ruleset then.
    pub generation: Generation,
    /// Sets whose elements were left out.
    pub unread: Vec<SetName>,
}

/// Names a set.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SetName {
    /// Family of its table.
    pub family: TableFamily,
    /// Its table.
    pub table: String,
    /// Its own name.
    pub set: String,
}

/// A socket for reading.
pub struct Reader {
    pub(crate) channel: Channel,
}

/// How many elements of a set to read; none for all.
type Bound<'a> = dyn Fn(&Set) -> Option<usize> + 'a;

/// Why a try to read did not give a snapshot.
enum Miss {
    Torn,
    Kernel(KernelError),
}

impl From<KernelError> for Miss {
    fn from(error: KernelError) -> Miss {
        Miss::Kernel(error)
    }
}

impl Reader {
    /// Opens a socket in the namespace of this thread.
    pub fn open() -> Result<Reader, KernelError> {
        Ok(Reader { channel: Channel::open(NETFILTER, RULES)? })
    }

    /// The state of the whole ruleset.
    pub fn generation(&self) -> Result<Generation, KernelError> {
        let mut generation = Generation(0);
        self.channel.request(
            nft_kind(msg::GETGEN),
            0,
            |w| w.raw(&[0; 4]),
            |message| {
                if let Some(Item::Generation(number)) = item(message, Rules::Whole) {
                    generation = Generation(number);
                }
            },
        )?;
        Ok(generation)
    }

    /// Reads all of it, but for the elements of very large sets of intervals.
    pub fn read(&self, scope: &Scope) -> Result<Snapshot, KernelError> {
        self.read_to(scope, Depth::Bounded)
    }

    /// Reads all but the elements.
    pub fn read_headers(&self, scope: &Scope) -> Result<Snapshot, KernelError> {
        self.read_to(scope, Depth::Headers)
    }

    /// Reads; again, as long as somebody changes the ruleset meanwhile.
    pub fn read_to(&self, scope: &Scope, depth: Depth) -> Result<Snapshot, KernelError> {
        let bound = |set: &Set| match depth {
            Depth::Headers => Some(0),
            Depth::Bounded if set.flags & set_flags::INTERVAL != 0 => Some(INTERVALS_READ),
            Depth::Bounded | Depth::Everything => None,
        };
        self.settled(scope, &bound, Rules::Whole)
    }

    /// Reads all but the elements, and those only of the sets that are wanted.
    pub fn read_sets(&self, scope: &Scope, wanted: &dyn Fn(&Set) -> bool) -> Result<Snapshot, KernelError> {
        self.settled(scope, &|set| if wanted(set) { None } else { Some(0) }, Rules::Whole)
    }

    /// The same, and of the rules nothing but counters and comments: what a replacement has to know.
    pub fn read_counters(
        &self,
        scope: &Scope,
        wanted: &dyn Fn(&Set) -> bool,
    ) -> Result<Snapshot, KernelError> {
        self.settled(scope, &|set| if wanted(set) { None } else { Some(0) }, Rules::Counters)
    }

    fn settled(&self, scope: &Scope, bound: &Bound, rules: Rules) -> Result<Snapshot, KernelError> {
        let begin = Instant::now();
        loop {
            let before = self.generation()?;
            match self.once(scope, bound, rules) {
                Ok((ruleset, unread)) => {
                    if self.generation()? == before {
                        return Ok(Snapshot { ruleset, generation: before, unread });
                    }
                }
                Err(Miss::Torn) => {}
                Err(Miss::Kernel(error)) => return Err(error),
            }
            if begin.elapsed() > PATIENCE {
                return Err(KernelError::Unsettled { what: RULES });
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn once(&self, scope: &Scope, bound: &Bound, rules: Rules) -> Result<(Ruleset, Vec<SetName>), Miss> {
        let mut ruleset = Ruleset::default();
        let mut unread = Vec::new();
        let mut sets = Vec::new();
        for message in
            [msg::GETTABLE, msg::GETCHAIN, msg::GETSET, msg::GETOBJ, msg::GETFLOWTABLE, msg::GETRULE]
        {
            self.dump_into(&mut ruleset, &mut sets, scope, message, rules)?;
            // Without the one table that is asked for there is nothing in it.
            if matches!(scope, Scope::Table(..)) && ruleset.tables.is_empty() {
                return Ok((ruleset, unread));
            }
        }
        for (family, table, set, count) in sets {
            let name = SetName { family, table, set: set.name.clone() };
            let elements = self.elements(&name, &set, count, bound(&set))?;
            let Some(table) = find(&mut ruleset, name.family, &name.table) else {
                return Err(Miss::Torn);
            };
            table.sets.push(Set {
                elements: elements.unwrap_or_else(|| {
                    unread.push(name);
                    Elements::Full(Vec::new())
                }),
                ..set
            });
        }
        Ok((ruleset, unread))
    }

    fn dump_into(
        &self,
        ruleset: &mut Ruleset,
        sets: &mut Vec<(TableFamily, String, Set, Option<u32>)>,
        scope: &Scope,
        message: u8,
        rules: Rules,
    ) -> Result<(), Miss> {
        let (family, only) = match scope {
            Scope::All => (0, None),
            Scope::Table(family, table) => (family.number(), Some(table)),
        };
        let wanted = |f: TableFamily, name: &str| match scope {
            Scope::All => true,
            Scope::Table(family, table) => *family == f && table == name,
        };
        let mut lost = false;
        let dumped = self.channel.dump(
            nft_kind(message),
            |w| {
                w.raw(&[family, 0, 0, 0]);
                // Every kind of object names its table by this attribute. Where a kernel takes no notice, or the
                // question is for the tables themselves, the rest is passed over here.
                if let Some(table) = only {
                    w.str(nft::rule::TABLE, table);
                }
            },
            |message| {
                if let Some(item) = item(message, rules) {
                    lost |= place(ruleset, sets, item, &wanted).is_none();
                }
                ControlFlow::Continue(())
            },
        );
        match dumped {
            Ok(Dumped::Whole) if !lost => Ok(()),
            Ok(_) => Err(Miss::Torn),
            Err(KernelError::Refused { errno, .. }) if only.is_some() && errno == Errno::NOENT => Ok(()),
            // A kernel without objects or flowtables.
            Err(KernelError::Refused { errno, .. })
                if matches!(message, msg::GETOBJ | msg::GETFLOWTABLE)
                    && matches!(errno, Errno::INVAL | Errno::OPNOTSUPP) =>
            {
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The elements, or none where there are more than the bound.
    fn elements(
        &self,
        name: &SetName,
        set: &Set,
        count: Option<u32>,
        bound: Option<usize>,
    ) -> Result<Option<Elements>, Miss> {
        let bound = bound.unwrap_or(usize::MAX);
        if bound == 0 || count.is_some_and(|count| count as usize > bound) {
            return Ok(None);
        }
        let mut collector = Collector::new(set.key_len);
        let each = |message: &Message| {
            if let Some(list) = element_list(message) {
                collector.take(list);
            }
            if collector.count() > bound { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let body = |w: &mut Writer| {
            w.raw(&[name.family.number(), 0, 0, 0]);
            w.str(nft::elems::TABLE, &name.table);
            w.str(nft::elems::SET, &name.set);
        };
        let kind = nft_kind(msg::GETSETELEM);
        let dumped = if bound == usize::MAX {
            self.channel.dump(kind, body, each)
        } else {
            // A dump that is left in the middle takes its socket with it.
            Channel::open(NETFILTER, RULES)?.dump(kind, body, each)
        };
        match dumped {
            Ok(Dumped::Whole) => Ok(Some(collector.finish())),
            Ok(Dumped::Left) => Ok(None),
            Ok(Dumped::Torn) => Err(Miss::Torn),
            // Gone since the set was listed; the generation will say so too.
            Err(KernelError::Refused { errno, .. }) if errno == Errno::NOENT => Err(Miss::Torn),
            Err(error) => Err(error.into()),
        }
    }
}

fn find<'a>(ruleset: &'a mut Ruleset, family: TableFamily, name: &str) -> Option<&'a mut Table> {
    ruleset.tables.iter_mut().find(|table| table.family == family && table.name == name)
}

/// Puts an object where it belongs; none if its table or chain is not there, because it came meanwhile.
fn place(
    ruleset: &mut Ruleset,
    sets: &mut Vec<(TableFamily, String, Set, Option<u32>)>,
    item: Item,
    wanted: &impl Fn(TableFamily, &str) -> bool,
) -> Option<()> {
    match item {
        Item::Table(table) if wanted(table.family, &table.name) => ruleset.tables.push(table),
        Item::Chain { family, table, chain } if wanted(family, &table) => {
            find(ruleset, family, &table)?.chains.push(chain);
        }
        Item::Rule { family, table, chain, rule } if wanted(family, &table) => {
            find(ruleset, family, &table)?.chains.iter_mut().find(|c| c.name == chain)?.rules.push(rule);
        }
        Item::Set { family, table, set, count } if wanted(family, &table) => {
            sets.push((family, table, set, count));
        }
        Item::Object { family, table, object } if wanted(family, &table) => {
            find(ruleset, family, &table)?.objects.push(object);
        }
        Item::Flowtable { family, table, name } if wanted(family, &table) => {
            find(ruleset, family, &table)?.flowtables.push(name);
        }
        _ => {}
    }
    Some(())
}
