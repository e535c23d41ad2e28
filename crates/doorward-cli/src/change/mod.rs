//! Carries out the steps of the apply machine, on the kernel, the disk and connections; decides no order.

mod boot;
mod connections;
mod cut;
mod held;
mod kernel;
mod ready;
mod strict;
mod wait;
mod words;

pub(crate) use boot::Booted;
pub(crate) use cut::Cut;
use held::Held;
pub(crate) use ready::{Ready, Strict, Wish};
pub(crate) use wait::interrupts;
pub(crate) use words::who;

use crate::exit::{Exit, Failure, Stop};
use crate::kernel::unread;
use crate::lock::Lock;
use crate::session::{Asker, Session, Sessions};
use crate::store::{Kept, Pointer, Prepared, Store, Who, Writer};
use crate::terminal::Terminal;
use doorward::apply::{Ending, Event, Machine, Order, Step};
use doorward::compile;
use doorward::ruleset::Table;
use doorward_kernel::guard::{self, HostForbidden};
use doorward_kernel::{Anywhere, Guard, Socket};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// What steps are taken on, and what they found.
pub(crate) struct World<'a> {
    socket: Socket<Anywhere>,
    /// None where nothing was ever saved, or it cannot be read.
    store: Option<&'a Store>,
    /// None for a boot, which writes nothing.
    writer: Option<&'a Writer<'a>>,
    /// None for a boot where it cannot be had: the host is not left open for it.
    lock: Option<&'a Lock>,
    /// Who asks.
    pub who: Who,
    /// The sessions of this host, once they were asked for.
    sessions: Option<Sessions>,
    /// What is to be put in force; none for orders that bring no policy.
    pub wish: Option<Wish<'a>>,
    /// The same, compiled, proven and saved.
    pub ready: Option<Ready>,
    /// What the kernel held when it was looked at last, as long as nothing was sent since.
    held: Option<Rc<Held>>,
    /// The pointer that waits for the kernel.
    prepared: Option<Prepared<'a>>,
    /// What the kernel should hold after the last change.
    expected: Option<Table>,
    /// What was there before it was replaced.
    replaced: Option<Rc<Held>>,
    /// The generation that judged before a trial.
    before: Option<Table>,
    /// What a boot has seen.
    pub booted: Booted,
    /// Whether the end of a trial is waited for.
    waits: bool,
    /// That whoever waits was asked to end it.
    interrupted: Option<Arc<AtomicBool>>,
    /// When the trial that was begun ends, at the earliest.
    until: Option<Instant>,
    /// The trial that was waited for ended while there was time left.
    pub ended_early: bool,
    /// Connections that were ended.
    pub cut: Cut,
    /// Why the last step failed.
    pub failure: Option<Stop>,
    /// Why steps failed, all of them.
    pub failures: Vec<Failure>,
}

/// That loading is not forbidden here.
pub(crate) fn guard() -> Result<Guard<Anywhere>, Failure> {
    let forbid = std::env::var_os("DOORWARD_FORBID_HOST").is_some_and(|value| value == "1");
    guard::refuse_host(forbid).map_err(|error: HostForbidden| {
        Failure::new(Exit::Refused, error)
            .way_out("DOORWARD_FORBID_HOST=1 forbids it: run this in a network namespace, for example by `ip netns exec`")
    })
}

impl<'a> World<'a> {
    /// The kernel here, and what the disk keeps.
    pub(crate) fn new(
        guard: Guard<Anywhere>,
        store: Option<&'a Store>,
        writer: Option<&'a Writer<'a>>,
        lock: impl Into<Option<&'a Lock>>,
        wish: Option<Wish<'a>>,
    ) -> Result<World<'a>, Failure> {
        Ok(World {
            socket: Socket::open(guard).map_err(|error| unread(&error))?,
            store,
            writer,
            lock: lock.into(),
            who: Who { uid: rustix::process::getuid().as_raw(), name: None, peer: None },
            sessions: None,
            wish,
            ready: None,
            held: None,
            prepared: None,
            expected: None,
            replaced: None,
            before: None,
            booted: Booted::default(),
            waits: false,
            interrupted: None,
            until: None,
            ended_early: false,
            cut: Cut::default(),
            failure: None,
            failures: Vec::new(),
        })
    }

    /// Takes steps until there is none left.
    pub(crate) fn carry_out(&mut self, order: Order, terminal: &mut Terminal) -> Ending {
        self.waits = order == Order::Try { waits: true };
        let (mut machine, mut step) = Machine::new(order);
        loop {
            if let Step::End(ending) = step {
                return ending;
            }
            let event = self.take(step, terminal);
            step = machine.next(event);
        }
    }

    fn take(&mut self, step: Step, terminal: &mut Terminal) -> Event {
        let told = |world: &mut World<'_>, result: Result<Event, Stop>| match result {
            Ok(event) => event,
            Err(why) => {
                if let Stop::Failed(failure) = &why {
                    world.failures.push(failure.clone());
                }
                world.failure = Some(why);
                Event::Failed
            }
        };
        let result = match step {
            Step::Look => self.look(),
            Step::Save => self.save(terminal),
            Step::Discard => Ok(self.discard()),
            Step::Settle => self.settle(),
            Step::Forget => self.forget(),
            Step::Arm => self.arm(),
            Step::Replace => self.replace(),
            Step::ReadBack => self.read_back().and_then(|event| {
                if event == Event::Done && self.wish.as_ref().is_some_and(|wish| wish.lasts.is_some()) {
                    self.on_trial(terminal)?;
                }
                Ok(event)
            }),
            Step::Restore => self.restore(),
            Step::Wait => self.wait(terminal),
            Step::Disarm => self.disarm(),
            Step::Confirm => self.confirm(),
            Step::Point => self.point(),
            Step::Cut => self.end_blocked(),
            Step::Load(which) => self.boot(which),
            Step::End(_) => Ok(Event::Done),
        };
        told(self, result)
    }

    /// Says that the trial is on. Whoever reads how to end it can do so from then on.
    fn on_trial(&mut self, terminal: &mut Terminal) -> Result<(), Failure> {
        if self.waits {
            self.interrupted = Some(interrupts()?);
        }
        if let Some(wish) = &self.wish {
            (wish.armed)(self, terminal);
            terminal.flush();
        }
        Ok(())
    }

    /// The sessions of this host.
    pub(crate) fn sessions(&mut self) -> Result<&Sessions, Failure> {
        if self.sessions.is_none() {
            // Whoever would be locked out must not be missed, nor who alone may go on.
            let counts = |wish: &Wish<'_>| wish.lasts.is_some() || wish.careful || wish.alone;
            let sessions =
                if self.wish.as_ref().is_some_and(counts) { Sessions::ask_all() } else { Sessions::ask() };
            self.sessions = Some(sessions.map_err(|error| unread(&error))?);
        }
        self.sessions
            .as_ref()
            .ok_or_else(|| Failure::new(Exit::System, "the sessions of this host cannot be read"))
    }

    /// Who started this command.
    pub(crate) fn asker(&mut self) -> Asker {
        match self.sessions() {
            Ok(sessions) => sessions.asker(),
            Err(_) => Asker::Unknown { why: "the sessions of this host cannot be read".to_owned() },
        }
    }

    /// The connections of whoever started this command.
    pub(super) fn own_sessions(&mut self) -> Vec<Session> {
        match self.asker() {
            Asker::Remote { connections } => connections,
            _ => Vec::new(),
        }
    }

    /// The generation on disk that has this number in the kernel; of several the latest.
    pub(crate) fn on_disk(&self, number: u8) -> Option<u64> {
        self.store?.in_kernel(number)
    }

    /// All that is kept; what cannot be read is not there.
    fn kept(&self) -> Vec<Kept> {
        self.store.and_then(|store| store.list().ok()).unwrap_or_default()
    }

    /// The numbers in the kernel of all that was confirmed.
    fn confirmed_numbers(&self) -> Vec<u8> {
        let confirmed = self.kept().into_iter().filter(|one| one.confirmed.is_some());
        confirmed.filter_map(|one| one.index.ok()).map(|index| index.kernel).collect()
    }

    /// The numbers in the kernel of all that is kept.
    fn kept_numbers(&self) -> Vec<u8> {
        self.kept().into_iter().filter_map(|one| one.index.ok()).map(|index| index.kernel).collect()
    }

    /// What the disk says of confirmations; nothing where it is damaged.
    fn confirmed(&self) -> Option<Pointer> {
        self.store.and_then(|store| store.confirmed().ok().flatten())
    }

    fn discard(&mut self) -> Event {
        // It stays among those that were kept and never confirmed; the oldest go by themselves. But whatever has its
        // number in the kernel is not taken for it: that is never confirmed.
        let saved = self.ready.take().and_then(|ready| ready.id);
        if let Some((writer, id)) = self.writer.zip(saved)
            && let Err(failure) = writer.disown(id)
        {
            self.failures.push(failure);
        }
        self.prepared = None;
        Event::Done
    }

    /// The end: the kernel takes its time when the socket is closed, and the end of the process gives the memory back.
    pub(crate) fn close(self) {
        let World { socket, ready, expected, before, replaced, .. } = self;
        drop(socket);
        std::mem::forget((ready, expected, before, replaced));
    }

    /// What the kernel holds now.
    fn held(&self) -> Result<Held, Failure> {
        Held::read(&self.socket)
    }

    /// What it held when it was looked at: whoever sends something on it names the state that it was of.
    fn looked_at(&mut self) -> Result<Rc<Held>, Failure> {
        match &self.held {
            Some(held) => Ok(Rc::clone(held)),
            None => {
                let held = Rc::new(self.held()?);
                self.held = Some(Rc::clone(&held));
                Ok(held)
            }
        }
    }

    /// Our table, as it is now.
    pub(crate) fn table(&self) -> Option<Table> {
        self.held().ok()?.table
    }

    /// Whether what judges now is what a boot loads at worst.
    pub(crate) fn is_emergency(&self) -> bool {
        self.held().is_ok_and(|held| held.is_emergency())
    }

    /// The number of the generation that judges now, on disk.
    pub(crate) fn in_force(&self) -> Option<u64> {
        let held = self.held().ok().filter(|held| !held.is_emergency())?;
        self.on_disk(compile::in_force(held.table.as_ref()?)?)
    }
}
