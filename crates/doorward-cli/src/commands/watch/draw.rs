//! Draws the model of `watch`; changes nothing and asks nobody.

use super::model::{Door, Model, Page};
use crate::commands::hearing::By;
use crate::commands::log;
use crate::text::{Tone, count, grouped};
use doorward::logged::Group;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// A window that is lower shows what fits.
const HEADINGS: u16 = 2;
/// Columns for what packets were …
const WHAT: usize = 20;
/// … and for addresses, at least.
const SOURCE: usize = 12;

/// Draws everything.
pub(super) fn draw(model: &Model, frame: &mut Frame) {
    let area = frame.area();
    let [top, middle, bottom] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)]).areas(area);
    frame.render_widget(Paragraph::new(head(model)), top);
    if let Some(page) = &model.page {
        draw_page(page, frame, middle);
        return frame.render_widget(Paragraph::new(faint(" ↑↓ scroll   any other key: back")), bottom);
    }
    let [middle, line] = Layout::vertical([Constraint::Min(0), Constraint::Length(1)]).areas(middle);
    frame.render_widget(Paragraph::new(chosen(model)), line);
    frame.render_widget(Paragraph::new(foot(model)), bottom);
    let doors = model.doors();
    let wanted = u16::try_from(doors.len()).unwrap_or(u16::MAX).saturating_add(HEADINGS);
    let [upper, lower] =
        Layout::vertical([Constraint::Length(wanted.min(middle.height / 2)), Constraint::Min(0)])
            .areas(middle);
    draw_doors(&doors, frame, upper);
    draw_drops(model, frame, lower);
}

fn head(model: &Model) -> Line<'static> {
    let data = model.shown();
    let mut spans = vec![Span::styled(" doorward watch", style(Tone::Strong))];
    match data.generation {
        Some(generation) => spans.push(plain(format!("   generation {generation}"))),
        None => spans.push(Span::styled("   not active: nothing is filtered", style(Tone::Bad))),
    }
    if model.is_frozen() {
        spans.push(Span::styled("   FROZEN", style(Tone::Doubtful)));
    }
    if let Some(left) = data.trial {
        let words = format!("   trial: {} s left (`doorward confirm`)", left.as_secs());
        spans.push(Span::styled(words, style(Tone::Doubtful)));
    }
    Line::from(spans)
}

fn foot(model: &Model) -> Line<'static> {
    if model.typing {
        return plain(format!(" filter: {}▏  Enter keeps it, Esc clears it", safe(&model.filter))).into();
    }
    let filter =
        if model.filter.is_empty() { "filter".to_owned() } else { format!("“{}”", safe(&model.filter)) };
    faint(format!(" space freeze   / {filter}   ↑↓ choose   e explain   s sentence   q quit"))
}

fn draw_doors(doors: &[&Door], frame: &mut Frame, area: Rect) {
    let mut lines = vec![faint(format!("{:>12} {:>8}  sentence", "hits", "a second"))];
    let room = usize::from(area.height).saturating_sub(usize::from(HEADINGS));
    // Those that are hit now come first, where not all have room.
    let mut shown: Vec<(usize, &&Door)> = doors.iter().enumerate().collect();
    shown.sort_by(|(_, one), (_, other)| {
        let by = |door: &Door| (door.rate, door.counted.packets);
        by(other).partial_cmp(&by(one)).unwrap_or(std::cmp::Ordering::Equal)
    });
    shown.truncate(room);
    shown.sort_by_key(|(at, _)| *at);
    for (_, door) in shown {
        let place = door.counted.place.as_deref().unwrap_or("built in");
        let hit = if door.counted.packets > 0 { Tone::Plain } else { Tone::Faint };
        let rate = if door.rate > 0.0 { format!("{:.1}", door.rate) } else { String::new() };
        let text = format!("{:>12} {rate:>8}  {}", grouped(door.counted.packets), safe(&door.counted.words));
        lines.push(Line::from(vec![
            Span::styled(text, style(hit)),
            Span::styled(format!("  {}", safe(place)), style(Tone::Faint)),
        ]));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn draw_drops(model: &Model, frame: &mut Frame, area: Rect) {
    let groups = model.groups();
    let (lost, beyond) = (model.shown().lost, model.shown().groups.beyond);
    let as_count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let mut below = Vec::new();
    if beyond > 0 {
        below.push(format!("{:>14}and {} of too many other sources", "", count(as_count(beyond), "packet")));
    }
    if lost > 0 {
        below.push(format!("{:>14}{} came faster than they were read", "", count(as_count(lost), "packet")));
    }
    let room = usize::from(area.height).saturating_sub(1 + below.len());
    let selected = model.selected(&groups);
    let first = (selected + 1).saturating_sub(room);
    let shown = || groups.iter().enumerate().skip(first).take(room);
    // As wide as the widest address that is seen, so that short ones leave room for the sentence.
    let width = shown().map(|(_, group)| group.peer.to_string().len()).max().unwrap_or(0).max(SOURCE);
    let mut lines =
        vec![faint(format!("{:>12}  {:<width$}  {:<WHAT$}  decided by", "logged", "source", "what"))];
    if groups.is_empty() {
        lines.push(faint("              nothing was dropped or logged yet"));
    }
    lines.extend(shown().map(|(at, group)| drop_line(group, at == selected, width)));
    lines.extend(below.into_iter().map(|words| Line::styled(words, style(Tone::Doubtful))));
    frame.render_widget(Paragraph::new(lines), area);
}

fn drop_line(group: &Group<By>, selected: bool, width: usize) -> Line<'static> {
    let verdict = group.last.what.verdict();
    let what = format!("{} {}", log::word(verdict), log::kinds(group).join(", "));
    let mark = if selected { "▸" } else { " " };
    let by = &group.by;
    let place = by.place.as_deref().unwrap_or("built in");
    let line = Line::from(vec![
        plain(format!("{mark}{:>11}  {:<width$}  ", grouped(group.packets), group.peer.to_string())),
        Span::styled(format!("{:<WHAT$}  ", cut(&what, WHAT)), style(log::tone(verdict))),
        Span::styled(format!("{}  {}", safe(&by.words), safe(place)), style(Tone::Faint)),
    ]);
    if selected { line.patch_style(Modifier::REVERSED) } else { line }
}

/// All of the chosen group, where columns have no room for it.
fn chosen(model: &Model) -> Line<'static> {
    let groups = model.groups();
    let Some(group) = groups.get(model.selected(&groups)) else { return Line::default() };
    let words = format!(" {} {}: {}", group.peer, log::kinds(group).join(", "), log::by_words(&group.by));
    Line::from(plain(safe(&words)))
}

fn draw_page(page: &Page, frame: &mut Frame, area: Rect) {
    let mut lines = vec![Line::styled(safe(&page.title), style(Tone::Strong)), Line::default()];
    lines.extend(page.lines.iter().skip(page.from).map(|line| Line::from(safe(line))));
    frame.render_widget(Paragraph::new(lines), area);
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// Control characters of files and kernels never reach a terminal.
fn safe(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn plain(text: impl Into<String>) -> Span<'static> {
    Span::raw(text.into())
}

fn faint(text: impl Into<String>) -> Line<'static> {
    Line::styled(text.into(), style(Tone::Faint))
}

fn style(tone: Tone) -> Style {
    match tone {
        Tone::Plain => Style::new(),
        Tone::Strong => Style::new().add_modifier(Modifier::BOLD),
        Tone::Good => Style::new().fg(Color::Green),
        Tone::Bad => Style::new().fg(Color::Red),
        Tone::Doubtful => Style::new().fg(Color::Yellow),
        Tone::Faint => Style::new().add_modifier(Modifier::DIM),
    }
}
