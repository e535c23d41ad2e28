//! `watch` through a real terminal: it is started, sees a drop, answers keys, and leaves the terminal as it was.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;
mod tool;

use common::{HOST4, Pair};
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use tool::Folder;

/// A terminal of 80 by 24 on the host.
struct Tmux<'a> {
    pair: &'a Pair,
    folder: &'a Folder,
}

impl Tmux<'_> {
    fn tmux(&self, args: &[&str]) -> Output {
        self.pair.on_host(|| {
            let mut command = Command::new("tmux");
            // Its socket is in the folder of the test: no other server is ever asked.
            command.arg("-S").arg(self.folder.path().join("tmux")).args(["-f", "/dev/null"]).args(args);
            command.env("DOORWARD_FORBID_HOST", "1").env("DOORWARD_STATE", self.folder.path().join("state"));
            command.env("TERM", "xterm").env("LC_ALL", "C.UTF-8").env_remove("TMUX");
            command.output().expect("this test needs a terminal: install the package tmux")
        })
    }

    fn press(&self, keys: &[&str]) {
        assert!(self.tmux(&[&["send-keys", "-t", "it"], keys].concat()).status.success());
    }

    fn picture(&self) -> String {
        String::from_utf8(self.tmux(&["capture-pane", "-p", "-t", "it"]).stdout).unwrap()
    }

    /// Waits until this can be read.
    #[track_caller]
    fn see(&self, words: &str) -> String {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let picture = self.picture();
            if picture.contains(words) {
                return picture;
            }
            assert!(Instant::now() < end, "`{words}` is nowhere to be seen:\n{picture}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Tmux<'_> {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

#[test]
fn a_drop_is_seen_explained_and_mended() {
    let Some(pair) = Pair::new() else { return };
    let folder = Folder::new().with("p.dw", "allow ssh\nblock 23/tcp\n");
    pair.on_host(|| folder.run(["apply", "--no-trial", "p.dw"]).well());
    let terminal = Tmux { pair: &pair, folder: &folder };
    let program = env!("CARGO_BIN_EXE_doorward");
    let shell = format!("echo before; {program} watch; echo \"it ended with $?\"; stty -a; sleep 600");
    let started = terminal.tmux(&["new-session", "-d", "-s", "it", "-x", "80", "-y", "24", &shell]);
    assert!(started.status.success(), "{started:?}");
    terminal.see("generation 1");
    terminal.see("nothing was dropped or logged yet");

    drop(common::start("203.0.113.77", (HOST4, 8080)));
    let picture = terminal.see("blocked 8080/tcp");
    assert!(picture.contains("203.0.113.77") && picture.contains("default block in  built in"), "{picture}");
    terminal.press(&["Space"]);
    terminal.see("FROZEN");
    drop(common::start("203.0.113.78", (HOST4, 23)));
    terminal.press(&["Space"]);
    let picture = terminal.see("blocked 23/tcp");
    assert!(!picture.contains("FROZEN"), "{picture}");

    terminal.press(&["/", "8080"]);
    terminal.see("filter: 8080");
    terminal.press(&["Enter", "e"]);
    terminal.see("doorward explain in tcp 203.0.113.77:");
    let picture = terminal.see("decided at");
    assert!(picture.contains("default block in"), "{picture}");
    terminal.press(&["x"]);
    terminal.see("q quit");
    terminal.press(&["s"]);
    terminal.see("doorward allow 8080/tcp from 203.0.113.77");
    terminal.press(&["x", "q"]);
    let picture = terminal.see("it ended with 0");
    assert!(picture.starts_with("before\n") && !picture.contains("q quit"), "{picture}");
    // Letters are seen again and lines are lines.
    terminal.see(" icanon");
    terminal.see(" echo ");
}
