//! Waits for a trial to end, in whichever way: the kernel holds the time, this only looks.

use super::World;
use crate::exit::{Exit, Failure, Stop};
use crate::kernel::unread;
use crate::terminal::Terminal;
use doorward::apply::Event;
use doorward::compile::{ARMED, Phase, TABLE};
use doorward::ruleset::TableFamily;
use doorward_kernel::SetName;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// So often the kernel is asked.
const PAUSE: Duration = Duration::from_millis(100);
/// The kernel counts time in steps, and this process may be late.
const COARSE: Duration = Duration::from_millis(100);

/// What is left of the trial in the kernel, in milliseconds: none where none goes on.
pub(crate) fn left(reader: &doorward_kernel::Reader) -> Result<Option<u64>, Failure> {
    let name = SetName { family: TableFamily::Inet, table: TABLE.to_owned(), set: ARMED.to_owned() };
    let lifetimes = reader.lifetimes(&name).map_err(|error| unread(&error))?;
    Ok(lifetimes.into_iter().flatten().next().and_then(|one| one.expiration.or(one.timeout)))
}

/// Whoever waits may end it: Ctrl-C, or being asked to terminate. A lost session ends this process, and the kernel
/// ends the trial.
pub(crate) fn interrupts() -> Result<Arc<AtomicBool>, Failure> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&flag))
            .map_err(|error| Failure::new(Exit::System, format!("signals cannot be heard: {error}")))?;
    }
    Ok(flag)
}

impl World<'_> {
    pub(super) fn wait(&mut self, terminal: &mut Terminal) -> Result<Event, Stop> {
        let interrupted = self.interrupted.clone().unwrap_or_default();
        // Whoever confirms needs the lock.
        if let Some(lock) = self.lock {
            lock.pause();
        }
        let ended = self.watch(&interrupted, terminal);
        if let Some(lock) = self.lock {
            lock.resume(terminal)?;
        }
        ended
    }

    fn watch(&mut self, interrupted: &AtomicBool, terminal: &mut Terminal) -> Result<Event, Stop> {
        let mut told = None;
        loop {
            if interrupted.load(Ordering::Relaxed) {
                return Ok(Event::Interrupted);
            }
            let Some(left) = left(&self.socket)? else {
                self.ended_early = self.until.is_some_and(|until| Instant::now() + COARSE < until);
                return self.ended();
            };
            let seconds = left.div_ceil(1000);
            if told != Some(seconds) {
                terminal.progress(
                    &format!("{seconds} s left: `doorward confirm` in a new session keeps it"),
                    true,
                );
                told = Some(seconds);
            }
            std::thread::sleep(PAUSE.min(Duration::from_millis(left.max(1))));
        }
    }

    /// The element is gone: confirmed, over, or all of our table.
    fn ended(&self) -> Result<Event, Stop> {
        let own = self.ready.as_ref().map(|ready| ready.number);
        Ok(match self.held()?.phase() {
            Phase::Quiet { generation, .. } if own == Some(generation) => Event::Confirmed,
            // Settled by somebody else.
            Phase::Quiet { .. } | Phase::Trial { .. } => Event::Over,
            Phase::Idle if self.before.is_none() => Event::Over,
            Phase::Idle => Event::Gone,
        })
    }
}
