//! What `watch` draws on 80 by 24, key by key; `UPDATE_GOLDEN=1` writes the pictures.

use super::draw::draw;
use super::model::{Ask, Counted, Event, Look, Model};
use crate::commands::hearing::{By, Told};
use crate::store::Moment;
use crate::terminal::Key;
use doorward::logged::{Packet, What};
use doorward::resolve::model::Way;
use doorward::ruleset::Hook;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use std::path::Path;
use std::time::{Duration, SystemTime};

fn look(at: u64, hits: [u64; 3], trial: Option<u64>) -> Event {
    let words = [Some("policy.dw:1"), Some("policy.dw:2"), None];
    let sentences = ["allow ssh", "block 23/tcp from 203.0.113.0/24", "default block in"];
    let counted = words.into_iter().zip(sentences).zip(hits).map(|((place, words), packets)| Counted {
        place: place.map(str::to_owned),
        words: words.to_owned(),
        packets,
    });
    Event::Look(Look {
        at: Duration::from_secs(at),
        generation: Some(7),
        trial: trial.map(Duration::from_secs),
        counted: counted.collect(),
    })
}

/// A TCP packet of 203.0.113.`host` to this port.
fn packet(host: u8, port: u16, what: What, by: (Option<&str>, &str)) -> Event {
    let mut bytes = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6, 0, 0, 203, 0, 113, host, 192, 0, 2, 1, 0xc3, 0x50];
    bytes.extend(port.to_be_bytes());
    let mut packet = Packet::read(what, Hook::Input, &bytes).unwrap();
    packet.iif = Some("eth0".to_owned());
    let by = By { place: by.0.map(str::to_owned), words: by.1.to_owned() };
    Event::Packet(Box::new(Told { time: Moment::of(SystemTime::UNIX_EPOCH), by, packet }))
}

fn by_default(host: u8, port: u16) -> Event {
    packet(host, port, What::Default { way: Way::In, place: None }, (None, "default block in"))
}

fn blocked(host: u8) -> Event {
    packet(host, 23, What::Blocked, (Some("policy.dw:2"), "block 23/tcp from 203.0.113.0/24"))
}

fn watched() -> Model {
    let mut model = Model::default();
    model.update(look(0, [10, 0, 5], None));
    model.update(look(2, [13, 0, 12_345], Some(57)));
    for event in [by_default(9, 8080), by_default(9, 8081), by_default(10, 3306), blocked(77)] {
        model.update(event);
    }
    model
}

fn picture(model: &Model, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(model, frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    (0..height).fold(String::new(), |text, y| text + row(y).trim_end() + "\n")
}

#[track_caller]
fn golden(name: &str, model: &Model) {
    let text = picture(model, 80, 24);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/watch").join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        return;
    }
    assert_eq!(text, std::fs::read_to_string(&path).unwrap_or_default(), "{}", path.display());
}

fn press(model: &mut Model, keys: impl IntoIterator<Item = Key>) -> Option<Ask> {
    keys.into_iter().filter_map(|key| model.update(Event::Key(key))).last()
}

fn letters(text: &str) -> impl Iterator<Item = Key> {
    text.chars().map(Key::Char)
}

#[test]
fn doors_and_drops() {
    golden("empty", &Model::default());
    golden("doors-and-drops", &watched());
}

#[test]
fn frozen_it_stays_and_goes_on_later() {
    let mut model = watched();
    press(&mut model, [Key::Char(' ')]);
    let before = picture(&model, 80, 24);
    assert!(before.contains("FROZEN"));
    model.update(blocked(78));
    model.update(look(3, [99, 99, 99], None));
    assert_eq!(picture(&model, 80, 24), before);
    press(&mut model, [Key::Char(' ')]);
    golden("after-frozen", &model);
}

#[test]
fn a_filter_is_typed() {
    let mut model = watched();
    press(&mut model, letters("/TELNET"));
    press(&mut model, [Key::Back; 6]);
    press(&mut model, letters("q"));
    press(&mut model, [Key::Back; 2]);
    press(&mut model, letters("3306"));
    golden("filter", &model);
    press(&mut model, [Key::Enter]);
    assert_eq!(model.groups().len(), 1);
    press(&mut model, [Key::Escape]);
    assert_eq!(model.groups().len(), 3);
    assert_eq!(press(&mut model, letters("q")), Some(Ask::Quit));
    assert_eq!(press(&mut model, [Key::Interrupt]), Some(Ask::Quit));
}

#[test]
fn from_a_drop_to_explain_and_to_the_sentence() {
    let mut model = watched();
    let asked = press(&mut model, [Key::Char('e')]);
    let words = "in tcp 203.0.113.9:50000 192.0.2.1 8081 on eth0";
    assert_eq!(asked, Some(Ask::Explain(words.split(' ').map(str::to_owned).collect())));
    model.update(Event::Answer((0..40).map(|n| format!("line {n}\x1b[31m")).collect()));
    press(&mut model, [Key::Down, Key::Down, Key::Up]);
    golden("explain", &model);
    press(&mut model, [Key::Escape, Key::Char('s')]);
    golden("sentence-default", &model);
    press(&mut model, [Key::Char('q')]);
    // Among those with one packet the latest stands first.
    press(&mut model, [Key::Down, Key::Char('s')]);
    golden("sentence-block", &model);
    press(&mut model, [Key::Char('x')]);
    // Who is chosen stays chosen when others pass by.
    for _ in 0..5 {
        model.update(by_default(10, 3306));
    }
    let groups = model.groups();
    let at = model.selected(&groups);
    assert_eq!((at, groups[at].peer.to_string().as_str()), (2, "203.0.113.77"));
}

/// No size of a window makes it stumble, and what is chosen is seen in each that has room for it.
#[test]
fn every_size_is_drawn() {
    let mut model = watched();
    for host in 100..250 {
        model.update(by_default(host, 1));
    }
    model.update(Event::Lost(12));
    press(&mut model, [Key::Down; 40]);
    for (width, height) in [(1, 1), (80, 1), (80, 2), (3, 24), (80, 5), (80, 24), (200, 60)] {
        let picture = picture(&model, width, height);
        assert!(picture.contains('▸') || height < 8 || width < 4, "{width} x {height}\n{picture}");
    }
    assert!(picture(&model, 80, 24).contains("12 packets came faster than they were read"));
    let mut none = Model::default();
    assert_eq!(press(&mut none, [Key::Up, Key::Down, Key::Char('e'), Key::Char('s'), Key::Enter]), None);
    assert_eq!(none.page, None);
}
