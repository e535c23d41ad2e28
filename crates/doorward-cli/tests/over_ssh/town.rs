//! A server that is changed over its own SSH daemon: files, sessions that stay, doors seen from outside.

use crate::bench::until;
use crate::stage::{LONG, Login, Stage};
use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// In force from the beginning, in most tests.
pub(crate) const FIRST: &str = "allow ping\nallow ssh\n";
/// Opens the web's door, too.
pub(crate) const WEB: &str = "allow ping\nallow ssh\nallow http\n";
/// Forgets the administrator.
pub(crate) const NO_SSH: &str = "allow http\n";
/// Of a door that answers, by a refusal of the host itself as nobody listens there.
pub(crate) const HTTP: u16 = 80;
pub(crate) const SSH: u16 = 22;
/// So long a door is waited for that does not answer.
const PATIENCE: Duration = Duration::from_millis(500);

/// The server, and a client that comes to one of its addresses.
pub(crate) struct Town {
    pub(crate) stage: Stage,
    pub(crate) address: &'static str,
    /// Of files that nobody but root can change, at the same place on both hosts.
    folder: PathBuf,
}

/// How a command ended in a session, and what it said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) exit: i32,
    pub(crate) text: String,
}

/// A shell in a session that stays.
pub(crate) struct Shell {
    child: Child,
    stdin: Option<ChildStdin>,
    output: PathBuf,
    read: usize,
}

impl Town {
    pub(crate) fn new(address: &'static str) -> Town {
        let stage = Stage::guarded(&["Port 22"]);
        let folder = stage.bench.host("client").folder().to_owned();
        let town = Town { stage, address, folder };
        let program = town.stage.doorward();
        let script = format!(
            "#!/bin/sh\nexport DOORWARD_FORBID_HOST=1 DOORWARD_STATE={}\nexec {program} \"$@\"\n",
            town.folder.join("state").display()
        );
        town.write("dw", &script);
        for (name, text) in [("first.dw", FIRST), ("web.dw", WEB), ("no-ssh.dw", NO_SSH)] {
            town.write(name, text);
        }
        town
    }

    /// The same with the first policy in force for good.
    pub(crate) fn guarded(address: &'static str) -> Town {
        let town = Town::new(address);
        let answer = town.run("apply --no-trial F/first.dw");
        assert_eq!(answer.exit, 0, "{answer:?}");
        town
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.join(name), text).expect("a file of ours");
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).expect("a file of ours")
    }

    pub(crate) fn login(&self) -> Login<'_> {
        Login { address: self.address, ..Login::default() }
    }

    /// `confirm` as it is said in a session; `F` is the folder of the files.
    pub(crate) fn words(&self, command: &str) -> String {
        let folder = self.folder.display().to_string();
        format!("sh {folder}/dw {}", command.replace("F/", &format!("{folder}/")))
    }

    /// The command in a session of its own.
    pub(crate) fn run(&self, command: &str) -> Answer {
        self.run_as(&self.login(), command)
    }

    pub(crate) fn run_as(&self, login: &Login<'_>, command: &str) -> Answer {
        let words = format!("{} 2>&1; echo exit $?", self.words(command));
        Answer::of(&self.stage.run(login, &words).output)
    }

    /// Whether somebody who was not here before can log in.
    pub(crate) fn lets_in(&self) -> bool {
        self.open(SSH) && self.stage.run(&self.login(), "true").success
    }

    /// Whether a door answers at all, be it that nobody is there.
    pub(crate) fn open(&self, port: u16) -> bool {
        let address = SocketAddr::new(self.address.parse().expect("an address"), port);
        self.stage.bench.host("client").inside(|| match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(_) => true,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        })
    }

    /// A shell that stays.
    pub(crate) fn shell(&self, terminal: bool) -> Shell {
        self.shell_as(&Login { terminal, ..self.login() })
    }

    pub(crate) fn shell_as(&self, login: &Login<'_>) -> Shell {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let output = self.folder.join(format!("shell-{number}"));
        let words = self.stage.ssh_words(login);
        let mut ssh = self.stage.bench.host("client").command(&words[0]);
        ssh.env("TERM", "xterm").args(&words[1..]).arg("sh");
        let file = fs::File::create(&output).expect("a file of ours");
        ssh.stdin(Stdio::piped()).stdout(file.try_clone().expect("the same file")).stderr(file);
        let mut child = ssh.spawn().expect("ip runs");
        let stdin = child.stdin.take();
        let mut shell = Shell { child, stdin, output, read: 0 };
        // What is typed comes back on a terminal: the mark must not be in it.
        shell.say("echo he''re");
        assert!(shell.said("here\n", LONG).is_some(), "nobody is logged in");
        shell
    }
}

impl Answer {
    fn of(output: &str) -> Answer {
        let output = output.replace('\r', "");
        let (text, exit) = output.rsplit_once("exit ").unwrap_or((&output, ""));
        // A prompt may follow.
        let exit = exit.split_whitespace().next().unwrap_or_default();
        Answer { exit: exit.parse().unwrap_or(-1), text: text.to_owned() }
    }

    /// It ended so, and said all of this.
    #[track_caller]
    pub(crate) fn says(&self, exit: i32, words: &[&str]) {
        assert_eq!(self.exit, exit, "{}", self.text);
        for words in words {
            assert!(self.text.contains(words), "{words}: {}", self.text);
        }
    }
}

impl Shell {
    /// Types a line.
    pub(crate) fn say(&mut self, line: &str) {
        self.send(&format!("{line}\n"));
    }

    pub(crate) fn send(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("it is not closed");
        stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush()).expect("the session is there");
    }

    /// What came since the last answer, once these words are in it.
    pub(crate) fn said(&mut self, words: &str, patience: Duration) -> Option<String> {
        let mut text = String::new();
        let there = until(patience, || {
            let bytes = fs::read(&self.output).expect("a file of ours");
            text = String::from_utf8_lossy(bytes.get(self.read..).unwrap_or_default()).replace('\r', "");
            text.contains(words)
        });
        if there {
            self.read =
                usize::try_from(fs::metadata(&self.output).expect("a file of ours").len()).expect("small");
        }
        there.then_some(text)
    }

    /// Starts a command of ours whose end is waited for later.
    pub(crate) fn begin(&mut self, town: &Town, command: &str) {
        self.say(&format!("{} 2>&1; echo ex''it $?", town.words(command)));
    }

    /// How the command ended.
    pub(crate) fn ended(&mut self, patience: Duration) -> Answer {
        let began = Instant::now();
        let text = self.said("\nexit ", patience).or_else(|| self.said("exit ", Duration::ZERO));
        let text = text.unwrap_or_else(|| {
            panic!(
                "no end after {:?}: {}",
                began.elapsed(),
                fs::read_to_string(&self.output).unwrap_or_default()
            )
        });
        Answer::of(&text)
    }

    /// Whether nobody answers any more. Where no reset comes back, the client does not know itself.
    pub(crate) fn is_cut(&mut self) -> bool {
        // Its end may be closed by now.
        let asked = self.stdin.as_mut().map(|stdin| stdin.write_all(b"echo al''ive\n"));
        !matches!(asked, Some(Ok(()))) || self.said("alive\n", Duration::from_secs(2)).is_none()
    }

    /// The client ends at once, as with a lost line.
    pub(crate) fn lose(mut self) {
        self.child.kill().expect("a child of ours");
        self.child.wait().expect("a child of ours");
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // An error here says that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
