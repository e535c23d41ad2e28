//! The only place that prints: standard output and error, colour where it can be seen; knows no command.

use crate::exit::{Exit, Failure};
use crate::text::{Line, Tone};
use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use std::fmt::Write as _;
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Stdout, Write};
use std::time::{Duration, Instant};

/// Work that lasts no longer than this says nothing of itself.
const SILENT: Duration = Duration::from_secs(1);

/// Standard output and standard error.
pub(crate) struct Terminal {
    out: BufWriter<Stdout>,
    /// Colour on standard output, on standard error.
    colour: (bool, bool),
    began: Instant,
    /// Whether there is a line of progress that is to be wiped out.
    progress: bool,
    /// Standard output is gone, and this is why.
    lost: Option<io::Error>,
    /// What is done counts, whether it could be told or not.
    deeds: bool,
}

impl Terminal {
    /// Looks where output goes. `NO_COLOR` and the like are honoured.
    pub(crate) fn new() -> Terminal {
        let colour = |choice: ColorChoice| !matches!(choice, ColorChoice::Never);
        Terminal {
            out: BufWriter::new(io::stdout()),
            colour: (colour(AutoStream::choice(&io::stdout())), colour(AutoStream::choice(&io::stderr()))),
            began: Instant::now(),
            progress: false,
            lost: None,
            deeds: false,
        }
    }

    /// From now on the exit code tells what was done to the firewall, and not what could be said of it.
    pub(crate) fn tells_of_deeds(&mut self) {
        self.deeds = true;
    }

    /// A line on standard output.
    pub(crate) fn line(&mut self, line: impl Into<Line>) {
        let text = painted(&line.into(), self.colour.0);
        self.write(&text);
    }

    /// Lines on standard output.
    pub(crate) fn lines(&mut self, lines: impl IntoIterator<Item = Line>) {
        for line in lines {
            self.line(line);
        }
    }

    /// Text on standard output as it is: for what other programs read.
    pub(crate) fn raw(&mut self, text: &str) {
        self.write(text);
    }

    /// A value on standard output, for other programs.
    pub(crate) fn json(&mut self, value: &serde_json::Value) {
        let mut text = format!("{value:#}");
        text.push('\n');
        self.write(&text);
    }

    /// The same in one line, for programs that read one after the other.
    pub(crate) fn json_line(&mut self, value: &serde_json::Value) {
        self.write(&format!("{value}\n"));
    }

    /// Whether nobody reads any more.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.is_some()
    }

    /// A line on standard error.
    pub(crate) fn note(&mut self, line: impl Into<Line>) {
        let text = painted(&line.into(), self.colour.1);
        self.write_error(&text);
    }

    /// A rendered report, on standard output where it is what was asked for, else on standard error.
    pub(crate) fn report(&mut self, rendered: &str, tone: Tone, asked: bool) {
        for (at, text) in rendered.lines().enumerate() {
            let line = match text.split_once('│') {
                _ if at == 0 => Line::of(Tone::Strong, text),
                Some((margin, marks)) if marks.trim_start().starts_with('^') => {
                    Line::of(Tone::Faint, format!("{margin}│")).and(tone, marks)
                }
                Some((margin, code)) => Line::of(Tone::Faint, format!("{margin}│")).and(Tone::Plain, code),
                None => Line::plain(text),
            };
            if asked {
                self.line(line);
            } else {
                self.note(line);
            }
        }
    }

    /// Why a command failed.
    pub(crate) fn failure(&mut self, failure: &Failure) {
        for message in &failure.messages {
            self.note(Line::of(Tone::Strong, message.as_str()));
        }
        for way in &failure.ways_out {
            self.note(format!("  {way}"));
        }
        if let Some(closing) = failure.closing {
            self.note(closing);
        }
    }

    /// What the reader of the command line has to say: help, the version, or a mistake.
    pub(crate) fn usage(&mut self, said: &clap::Error) -> Exit {
        let styled = said.render();
        let text = |colour| {
            let text = if colour { styled.ansi().to_string() } else { styled.to_string() };
            format!("{}\n", text.trim_end())
        };
        if said.use_stderr() {
            let text = text(self.colour.1);
            self.write_error(&text);
            Exit::Usage
        } else {
            let text = text(self.colour.0);
            self.write(&text);
            Exit::Done
        }
    }

    /// What is being done now: said on a terminal, and only when the command has lasted a while or will.
    pub(crate) fn progress(&mut self, what: &str, long: bool) {
        if (long || self.began.elapsed() >= SILENT) && io::stderr().is_terminal() {
            self.wipe();
            // A lost standard error is no reason to stop.
            let _ = write!(io::stderr(), "{what} …");
            self.progress = true;
        }
    }

    /// Sends out what was said so far.
    pub(crate) fn flush(&mut self) {
        self.wipe();
        if self.lost.is_none() {
            self.lost = self.out.flush().err();
        }
    }

    /// The end: what is left to say is said. Output that could not be written is a failure, unless the reader
    /// had enough.
    pub(crate) fn finish(&mut self, exit: Exit) -> Exit {
        self.flush();
        match &self.lost {
            Some(error) if error.kind() != ErrorKind::BrokenPipe => {
                let message = format!("standard output cannot be written: {error}");
                self.failure(&Failure::new(Exit::System, message));
                if exit == Exit::Done && !self.deeds { Exit::System } else { exit }
            }
            _ => exit,
        }
    }

    fn write(&mut self, text: &str) {
        self.wipe();
        if self.lost.is_none() {
            self.lost = self.out.write_all(text.as_bytes()).err();
        }
    }

    fn write_error(&mut self, text: &str) {
        // In the order in which things were said, where both go to one place.
        self.flush();
        // Nobody is left to be told.
        let _ = io::stderr().write_all(text.as_bytes());
    }

    fn wipe(&mut self) {
        if std::mem::take(&mut self.progress) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// A key that a view asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Key {
    Char(char),
    Up,
    Down,
    Enter,
    Escape,
    Back,
    /// Ctrl-C.
    Interrupt,
}

/// The whole terminal, for a view that moves. It is as it was before when this is gone, also in a panic.
pub(crate) struct Screen(ratatui::DefaultTerminal);

impl Screen {
    /// Whether there is one.
    pub(crate) fn there() -> bool {
        io::stdin().is_terminal() && io::stdout().is_terminal()
    }

    pub(crate) fn open() -> Result<Screen, Failure> {
        let opened = ratatui::try_init().map(Screen).map_err(|error| {
            // Half of it may be done.
            let _ = ratatui::try_restore();
            gone(&error)
        })?;
        Ok(opened)
    }

    pub(crate) fn draw(&mut self, draw: impl FnOnce(&mut ratatui::Frame)) -> Result<(), Failure> {
        self.0.draw(draw).map(drop).map_err(|error| gone(&error))
    }

    /// Waits so long for a key; none also for a window of another size, which is drawn anew anyway.
    #[expect(clippy::unused_self, reason = "keys come one by one only while this stands")]
    pub(crate) fn pressed(&self, patience: Duration) -> Result<Option<Key>, Failure> {
        let read = || if event::poll(patience)? { event::read().map(Some) } else { Ok(None) };
        let Some(Event::Key(key)) = read().map_err(|error| gone(&error))? else { return Ok(None) };
        if key.kind == KeyEventKind::Release {
            return Ok(None);
        }
        Ok(Some(match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Key::Interrupt,
            KeyCode::Char(letter) => Key::Char(letter),
            KeyCode::Up => Key::Up,
            KeyCode::Down => Key::Down,
            KeyCode::Enter => Key::Enter,
            KeyCode::Esc => Key::Escape,
            KeyCode::Backspace => Key::Back,
            _ => return Ok(None),
        }))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = ratatui::try_restore();
    }
}

fn gone(error: &io::Error) -> Failure {
    Failure::new(Exit::System, format!("the terminal cannot be used: {error}"))
}

/// A line with its end. Control characters of files and kernels never reach a terminal.
fn painted(line: &Line, colour: bool) -> String {
    let mut out = String::new();
    for (tone, text) in &line.0 {
        let style = if colour { style(*tone) } else { Style::new() };
        let text: String =
            text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect();
        // Writing to a String cannot fail.
        let _ = write!(out, "{style}{text}{style:#}");
    }
    out.truncate(out.trim_end_matches(' ').len());
    out.push('\n');
    out
}

fn style(tone: Tone) -> Style {
    match tone {
        Tone::Plain => Style::new(),
        Tone::Strong => Style::new().bold(),
        Tone::Good => AnsiColor::Green.on_default(),
        Tone::Bad => AnsiColor::Red.on_default().bold(),
        Tone::Doubtful => AnsiColor::Yellow.on_default(),
        Tone::Faint => Style::new().dimmed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_stay_away_and_colour_is_optional() {
        let line = Line::plain("a\x1b[31mb").and(Tone::Good, "ok").and(Tone::Plain, "  ");
        assert_eq!(painted(&line, false), "a\u{fffd}[31mbok\n");
        assert_eq!(painted(&line, true), "a\u{fffd}[31mb\x1b[32mok\x1b[0m\n");
    }
}
