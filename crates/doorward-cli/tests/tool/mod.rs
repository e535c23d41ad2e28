//! The command as a user meets it: run in a folder of its own, with what it said and how it ended.

#![allow(dead_code, unreachable_pub, reason = "each test file uses what it needs")]

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Puts the program there, over what is there. Another process copies it: whatever another thread starts meanwhile would
/// hold a file that this one writes open, and the kernel runs no file that is open for writing.
pub fn place_program(to: &Path) {
    let new = to.with_extension("new");
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_doorward")).arg(&new).status().unwrap();
    assert!(copied.success());
    std::fs::rename(new, to).unwrap();
}

/// A folder that goes when the test ends.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("doorward-cli-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The same with a file in it.
    pub fn with(self, name: impl AsRef<OsStr>, text: impl AsRef<[u8]>) -> Folder {
        self.write(name, text);
        self
    }

    pub fn write(&self, name: impl AsRef<OsStr>, text: impl AsRef<[u8]>) {
        let path = self.0.join(name.as_ref());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap()
    }

    /// The command, to be run in this folder; nothing of the caller's surroundings changes what it does.
    pub fn doorward(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
        command.current_dir(&self.0).env_clear();
        command.env("DOORWARD_FORBID_HOST", "1").env("DOORWARD_STATE", self.0.join("state"));
        // Whether doorward is started at boot here is no matter of a test.
        command.env("DOORWARD_ROOT", self.0.join("root"));
        command.stdin(Stdio::null());
        command
    }

    /// Runs it with these arguments.
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Said {
        Said::of(&self.doorward().args(args).output().unwrap())
    }

    /// Runs it with these arguments and this on standard input.
    pub fn run_with(&self, args: &[&str], stdin: &str) -> Said {
        let mut command = self.doorward();
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
        Said::of(&child.wait_with_output().unwrap())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What it said and how it ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Said {
    /// None if it died.
    pub exit: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    pub fn of(output: &Output) -> Said {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Said { exit: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Standard output as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// The same after it ended well.
    #[track_caller]
    pub fn well(self) -> Said {
        assert_eq!(self.exit, Some(0), "{self:#?}");
        self
    }
}

/// A name that is not UTF-8.
pub fn odd_name() -> &'static OsStr {
    OsStr::from_bytes(b"p\xff.dw")
}

/// Holds a text against a file of `tests/golden`; `UPDATE_GOLDEN=1` writes it.
#[track_caller]
pub fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{} is another text; UPDATE_GOLDEN=1 writes it", path.display());
}

/// Replaces a figure that changes with the compiler by whether it is there.
pub fn without_figure(mut value: serde_json::Value, key: &str) -> serde_json::Value {
    if let Some(figure) = value.get_mut(key).filter(|figure| !figure.is_null()) {
        assert!(figure.as_f64().is_some_and(|figure| figure > 0.0), "{key}: {figure}");
        *figure = "some".into();
    }
    value
}
