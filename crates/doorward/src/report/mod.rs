//! What is said about a policy: a place, a reason, a way out; renders to text and never prints.

mod render;
mod suggest;

use std::fmt;
use std::sync::Arc;

pub use suggest::suggest;

/// A file of a policy, by its number in [`Sources`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FileId(pub u32);

/// A stretch of text: bytes `start..end` of a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// Byte behind the last.
    pub end: u32,
}

impl Span {
    /// The stretch from the start of this to the end of `other`, in one file.
    #[must_use]
    pub fn to(self, other: Span) -> Span {
        Span { end: other.end.max(self.end), ..self }
    }
}

/// A value and where it stands.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Spanned<T> {
    /// The value.
    pub node: T,
    /// Its place.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// A value at a place.
    pub const fn new(node: T, span: Span) -> Spanned<T> {
        Spanned { node, span }
    }
}

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Severity {
    /// The policy works, but probably not as meant.
    Warning,
    /// There is no policy.
    Error,
}

/// One thing to say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// Stable name of the message, e.g. `unknown-service`; unique per kind of mistake.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// One line, lower case, backticks for what the user wrote.
    pub message: String,
    /// Where; the carets stand under it.
    pub span: Span,
    /// What stands behind the carets, e.g. `did you mean `ssh`?`.
    pub label: String,
    /// A second place, when two clash, and what is said there.
    pub other: Option<(Span, String)>,
    /// The ways out, a line each; an error has at least one here or in `label`.
    pub ways_out: Vec<String>,
}

impl Report {
    /// An error at a place.
    pub fn error(id: &'static str, span: Span, message: impl Into<String>) -> Report {
        Report {
            id,
            severity: Severity::Error,
            message: message.into(),
            span,
            label: String::new(),
            other: None,
            ways_out: Vec::new(),
        }
    }

    /// A warning at a place.
    pub fn warning(id: &'static str, span: Span, message: impl Into<String>) -> Report {
        Report { severity: Severity::Warning, ..Report::error(id, span, message) }
    }

    /// The same, with words behind the carets.
    #[must_use]
    pub fn label(mut self, text: impl Into<String>) -> Report {
        self.label = text.into();
        self
    }

    /// The same, with a way out.
    #[must_use]
    pub fn way_out(mut self, text: impl Into<String>) -> Report {
        self.ways_out.push(text.into());
        self
    }

    /// The same, with a second place.
    #[must_use]
    pub fn other(mut self, span: Span, text: impl Into<String>) -> Report {
        self.other = Some((span, text.into()));
        self
    }
}

/// The texts that spans point into.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<Source>,
}

#[derive(Clone, Debug)]
struct Source {
    name: Arc<str>,
    text: Arc<str>,
    /// Offsets of the first byte of each line.
    lines: Vec<u32>,
}

/// A place as people write it: `policy.dw:14:10`. Lines and columns count from 1, columns in characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Place {
    /// Name of the file as it was given.
    pub file: Arc<str>,
    /// Line.
    pub line: u32,
    /// Column.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl Sources {
    /// Takes a text in; `name` is what messages call it. Texts above 4 GiB are cut.
    pub fn add(&mut self, name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> FileId {
        let id = FileId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        let text: Arc<str> = text.into();
        let lines = std::iter::once(0)
            .chain((1u32..).zip(text.bytes()).filter(|(_, byte)| *byte == b'\n').map(|(next, _)| next))
            .collect();
        self.files.push(Source { name: name.into(), text, lines });
        id
    }

    /// What messages call a file.
    #[must_use]
    pub fn name(&self, file: FileId) -> &str {
        self.get(file).map_or("?", |source| &source.name)
    }

    /// The text of a file.
    #[must_use]
    pub fn text(&self, file: FileId) -> &str {
        self.get(file).map_or("", |source| &source.text)
    }

    /// The text of a stretch.
    #[must_use]
    pub fn slice(&self, span: Span) -> &str {
        self.text(span.file).get(span.start as usize..span.end as usize).unwrap_or("")
    }

    /// The place of the start of a stretch.
    #[must_use]
    pub fn place(&self, span: Span) -> Place {
        let Some(source) = self.get(span.file) else {
            return Place { file: "?".into(), line: 0, column: 0 };
        };
        let line = source.lines.partition_point(|start| *start <= span.start);
        let start = source.lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let before = source.text.get(start as usize..span.start as usize).unwrap_or("");
        Place {
            file: Arc::clone(&source.name),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(before.chars().count() + 1).unwrap_or(u32::MAX),
        }
    }

    fn get(&self, file: FileId) -> Option<&Source> {
        self.files.get(file.0 as usize)
    }
}

/// The line a rule came from, carried into the kernel and back.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Origin {
    /// Name of the file.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
    /// The sentence, as `fmt` writes it.
    pub sentence: Arc<str>,
}

impl Origin {
    /// The words that kernel objects carry: `policy.dw:14 allow ssh from office`.
    #[must_use]
    pub fn comment(&self) -> String {
        format!("{} {}", self.place(), self.sentence)
    }

    /// The place as those words have it: `policy.dw:14`.
    #[must_use]
    pub fn place(&self) -> String {
        // The kernel keeps 127 bytes: of a long path the end is enough, the sentence is what people look for.
        const PATH: usize = 48;
        let mut start = self.file.len().saturating_sub(PATH);
        while !self.file.is_char_boundary(start) {
            start += 1;
        }
        let (cut, file) = (if start > 0 { "…" } else { "" }, &self.file[start..]);
        format!("{cut}{file}:{}", self.line)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}
