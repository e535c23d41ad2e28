//! `watch`: doors with their hits, drops by source and sentence, and the trial, as they are now; changes nothing.

mod draw;
mod model;
#[cfg(test)]
mod tests;

use super::generations::Generations;
use super::hearing::{self, Hearing};
use super::{Outcome, status};
use crate::change;
use crate::exit::{Exit, Failure};
use crate::kernel;
use crate::terminal::Screen;
use doorward::compile::{self, ARMED, Phase};
use doorward::ruleset::Set;
use doorward_kernel::Reader;
use model::{Ask, Counted, Event, Look, Model};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// So often the counters are read, at most …
const LOOK: Duration = Duration::from_secs(1);
/// … and never so that reading them takes more than a tenth of the time.
const SHARE: u32 = 10;
/// How long a packet is waited for, and then a key.
const PAUSE: Duration = Duration::from_millis(40);

pub(super) fn run(state: &Path) -> Outcome {
    if !Screen::there() {
        return Err(Failure::new(Exit::Usage, "`watch` draws on a terminal, and this is none")
            .way_out("`doorward log --follow` writes lines")
            .into());
    }
    // What is missing is said before the screen is taken.
    let mut hearing = Hearing::open()?;
    let reader = Reader::open().map_err(|error| kernel::unread(&error))?;
    let interrupted = change::interrupts()?;
    let mut screen = Screen::open()?;
    let began = Instant::now();
    let mut next = began;
    let mut model = Model::default();
    while !interrupted.load(Ordering::Relaxed) {
        if Instant::now() >= next {
            let reading = Instant::now();
            model.update(Event::Look(look(&reader, state, began.elapsed())?));
            next = Instant::now() + LOOK.max(reading.elapsed() * SHARE);
        }
        for event in hearing.hear(PAUSE)? {
            match event {
                hearing::Event::Packet(told) => model.update(Event::Packet(told)),
                hearing::Event::Lost(Some(lost)) => model.update(Event::Lost(lost)),
                // The next packet tells how many.
                hearing::Event::Lost(None) => None,
            };
        }
        screen.draw(|frame| draw::draw(&model, frame))?;
        while let Some(key) = screen.pressed(PAUSE)? {
            match model.update(Event::Key(key)) {
                Some(Ask::Quit) => return Ok(Exit::Done),
                Some(Ask::Explain(words)) => {
                    screen.draw(|frame| draw::draw(&model, frame))?;
                    model.update(Event::Answer(explained(&words)));
                }
                None => {}
            }
            screen.draw(|frame| draw::draw(&model, frame))?;
        }
    }
    Ok(Exit::Done)
}

fn look(reader: &Reader, state: &Path, at: Duration) -> Result<Look, Failure> {
    let wanted = |set: &Set| status::counts(set) || set.name == ARMED;
    let read = reader.read_sets(&kernel::ours(), &wanted).map_err(|error| kernel::unread(&error))?;
    let held = read.ruleset.tables.first();
    let Some(held) = held else { return Ok(Look { at, ..Look::default() }) };
    let trial = match compile::phase(held) {
        Phase::Trial { left, .. } => left.map(Duration::from_millis),
        _ => None,
    };
    let counted = compile::judging(held).as_ref().map(status::hits).unwrap_or_default();
    let counted = counted.into_iter().filter(|one| one.place.is_some() || one.sum.packets > 0);
    Ok(Look {
        at,
        generation: Generations::of(Some(held), state).in_force,
        trial,
        counted: counted
            .map(|one| Counted { place: one.place, words: one.words, packets: one.sum.packets })
            .collect(),
    })
}

/// What `explain` says, word for word.
fn explained(words: &[String]) -> Vec<String> {
    // This very program, whatever became of its file.
    let said = Command::new("/proc/self/exe").arg("explain").args(words).output();
    match said {
        Ok(said) => [said.stdout, said.stderr]
            .iter()
            .flat_map(|bytes| {
                let text = String::from_utf8_lossy(bytes).into_owned();
                text.lines().map(str::to_owned).collect::<Vec<_>>()
            })
            .collect(),
        Err(error) => vec![format!("`explain` cannot be started: {error}")],
    }
}
