//! What `watch` shows, and how it changes by what is heard, counted and typed; draws nothing and asks nobody.

use crate::commands::hearing::{By, Told};
use crate::terminal::Key;
use doorward::logged::{Group, Groups};
use doorward::resolve::model::Verdict;
use std::collections::BTreeMap;
use std::time::Duration;

/// What the kernel counted for a sentence, or for what is built in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Counted {
    /// None for what is built in.
    pub place: Option<String>,
    pub words: String,
    pub packets: u64,
}

/// A sentence with its hits.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Door {
    pub counted: Counted,
    /// Hits a second, between the last two looks.
    pub rate: f64,
}

/// What the kernel says now and then.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Look {
    /// When, since the beginning.
    pub at: Duration,
    /// None where no generation judges.
    pub generation: Option<u64>,
    /// What is left of a trial.
    pub trial: Option<Duration>,
    pub counted: Vec<Counted>,
}

/// Everything that changes by itself.
#[derive(Clone, Default)]
pub(super) struct Data {
    pub generation: Option<u64>,
    pub trial: Option<Duration>,
    pub doors: Vec<Door>,
    pub groups: Groups<By>,
    pub lost: u64,
    at: Option<Duration>,
}

/// What happened.
pub(super) enum Event {
    Look(Look),
    Packet(Box<Told>),
    Lost(u32),
    Key(Key),
    /// What was asked for is here.
    Answer(Vec<String>),
}

/// What somebody else is to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Ask {
    Quit,
    /// Ask `explain` with these words.
    Explain(Vec<String>),
}

/// A text over everything else, until a key is pressed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Page {
    pub title: String,
    pub lines: Vec<String>,
    /// The first line that is shown.
    pub from: usize,
}

/// All that can be seen.
#[derive(Default)]
pub(super) struct Model {
    data: Data,
    /// What is shown instead, while nothing is to move.
    frozen: Option<Box<Data>>,
    pub filter: String,
    /// Whether keys are letters of the filter.
    pub typing: bool,
    /// The chosen group stays chosen when others pass it by.
    chosen: Option<(By, std::net::IpAddr)>,
    pub page: Option<Page>,
}

impl Model {
    /// Takes in what happened; yields what is to be done.
    pub(super) fn update(&mut self, event: Event) -> Option<Ask> {
        match event {
            Event::Look(look) => self.data.look(look),
            Event::Packet(told) => self.data.groups.add(told.by, told.packet),
            Event::Lost(lost) => self.data.lost += u64::from(lost),
            Event::Answer(lines) => {
                if let Some(page) = &mut self.page {
                    page.lines = lines;
                }
            }
            Event::Key(key) => return self.key(key),
        }
        None
    }

    /// What is shown.
    pub(super) fn shown(&self) -> &Data {
        self.frozen.as_deref().unwrap_or(&self.data)
    }

    pub(super) fn is_frozen(&self) -> bool {
        self.frozen.is_some()
    }

    /// The doors that pass the filter.
    pub(super) fn doors(&self) -> Vec<&Door> {
        let wanted = |door: &&Door| {
            self.passes(&[&door.counted.words, door.counted.place.as_deref().unwrap_or("built in")])
        };
        self.shown().doors.iter().filter(wanted).collect()
    }

    /// The groups that pass the filter.
    pub(super) fn groups(&self) -> Vec<&Group<By>> {
        let wanted = |group: &&Group<By>| {
            let (peer, kinds) = (group.peer.to_string(), crate::commands::log::kinds(group).join(" "));
            self.passes(&[&peer, &kinds, &group.by.words, group.by.place.as_deref().unwrap_or("built in")])
        };
        self.shown().groups.by_packets().into_iter().filter(wanted).collect()
    }

    /// Index of the chosen group among those that are shown.
    pub(super) fn selected(&self, groups: &[&Group<By>]) -> usize {
        let chosen = self.chosen.as_ref();
        groups
            .iter()
            .position(|group| chosen.is_some_and(|(by, peer)| group.by == *by && group.peer == *peer))
            .unwrap_or(0)
    }

    fn passes(&self, texts: &[&str]) -> bool {
        let filter = self.filter.to_lowercase();
        texts.iter().any(|text| text.to_lowercase().contains(&filter))
    }

    fn key(&mut self, key: Key) -> Option<Ask> {
        if key == Key::Interrupt {
            return Some(Ask::Quit);
        }
        if let Some(page) = &mut self.page {
            match key {
                Key::Up => page.from = page.from.saturating_sub(1),
                Key::Down => page.from = (page.from + 1).min(page.lines.len().saturating_sub(1)),
                _ => self.page = None,
            }
            return None;
        }
        if self.typing {
            match key {
                Key::Char(letter) => self.filter.push(letter),
                Key::Back => drop(self.filter.pop()),
                Key::Enter | Key::Up | Key::Down | Key::Interrupt => self.typing = false,
                Key::Escape => {
                    self.filter.clear();
                    self.typing = false;
                }
            }
            return None;
        }
        match key {
            Key::Char('q') => return Some(Ask::Quit),
            Key::Char(' ') => {
                self.frozen = if self.is_frozen() { None } else { Some(Box::new(self.data.clone())) };
            }
            Key::Char('/') => self.typing = true,
            Key::Escape => self.filter.clear(),
            Key::Up => self.choose(-1),
            Key::Down => self.choose(1),
            Key::Char('e') | Key::Enter => return self.explain(),
            Key::Char('s') => self.page = self.chosen_group().map(sentence),
            Key::Char(_) | Key::Back | Key::Interrupt => {}
        }
        None
    }

    fn choose(&mut self, by: isize) {
        let groups = self.groups();
        let last = groups.len().saturating_sub(1);
        let at = self.selected(&groups).saturating_add_signed(by).min(last);
        self.chosen = groups.get(at).map(|group| (group.by.clone(), group.peer));
    }

    fn chosen_group(&self) -> Option<&Group<By>> {
        let groups = self.groups();
        groups.get(self.selected(&groups)).copied()
    }

    fn explain(&mut self) -> Option<Ask> {
        let words = self.chosen_group()?.last.question()?;
        let title = format!("doorward explain {}", words.join(" "));
        self.page = Some(Page { title, lines: vec!["asking …".to_owned()], from: 0 });
        Some(Ask::Explain(words))
    }
}

/// Which sentence would change what happened.
fn sentence(group: &Group<By>) -> Page {
    let packet = &group.last;
    let (from, by) = (packet.peer(), &group.by.words);
    let decided = crate::commands::log::by_words(&group.by);
    let mut lines = vec![format!("decided by  {decided}"), String::new()];
    match (packet.by_default(), packet.remedy()) {
        (true, Some(remedy)) => {
            lines.push("This would let it in:".to_owned());
            lines.push(String::new());
            lines.push(format!("    doorward {remedy}"));
        }
        (true, None) => {
            lines.push("What was addressed is not known here, or no sentence can speak of it.".to_owned());
        }
        _ if !group.by.is_known() => lines.push("Which sentence it was is not known here.".to_owned()),
        (false, _) if group.by.place.is_none() => {
            lines.push(format!("No sentence of the policy decides it, but what is built in: {by}."));
        }
        (false, _) if packet.what.verdict() == Verdict::Allow => {
            lines.push("It was let in. This would keep it out:".to_owned());
            lines.push(String::new());
            lines.push(format!("    doorward block from {from}"));
        }
        (false, remedy) => {
            lines.push(
                "A `block` or `reject` stands above every `allow`. One of these would change it:".to_owned(),
            );
            lines.push(String::new());
            lines.push(format!("    doorward remove {by}"));
            lines.push(format!("    doorward trust {from}"));
            if let Some(remedy) = remedy {
                lines.push(String::new());
                lines.push("and, where nothing else lets it in:".to_owned());
                lines.push(String::new());
                lines.push(format!("    doorward {remedy}"));
            }
        }
    }
    lines.push(String::new());
    lines.push("Each tells what it changes first, and is on trial until it is confirmed.".to_owned());
    Page { title: "the sentence that would change it".to_owned(), lines, from: 0 }
}

impl Data {
    fn look(&mut self, look: Look) {
        let passed =
            self.at.map(|at| look.at.saturating_sub(at).as_secs_f64()).filter(|passed| *passed > 0.0);
        let before: BTreeMap<(Option<String>, String), u64> = std::mem::take(&mut self.doors)
            .into_iter()
            .map(|door| ((door.counted.place, door.counted.words), door.counted.packets))
            .collect();
        let rate = |now: &Counted| {
            let before = before.get(&(now.place.clone(), now.words.clone()))?;
            // Such a difference is far below what a float holds exactly.
            let more = u32::try_from(now.packets.saturating_sub(*before)).unwrap_or(u32::MAX);
            Some(f64::from(more) / passed?)
        };
        self.doors = look
            .counted
            .into_iter()
            .map(|counted| Door { rate: rate(&counted).unwrap_or(0.0), counted })
            .collect();
        (self.at, self.generation, self.trial) = (Some(look.at), look.generation, look.trial);
    }
}
