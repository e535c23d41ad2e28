//! Processes on a host, behind mounts of their own; it knows no service and no firewall.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::bench::{Host, SEARCH};

/// Shell text: the places that daemons write to are empty and private, `/dev` cannot be changed
/// (a daemon told to use `/dev/null` as its file would replace it for the whole machine).
const CELL: &str = "set -e
    mount --bind /dev /dev
    mount -o remount,bind,ro /dev
    for place in /run /var/lib /var/log /var/spool /var/mail; do mount -t tmpfs tmpfs $place; done";
static COUNT: AtomicU32 = AtomicU32::new(0);

/// A process that runs until the bench ends.
pub(crate) struct Daemon {
    name: String,
    child: Child,
    log: PathBuf,
}

/// How a process ended and what it wrote; `ended` is false when its time was up.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) ended: bool,
    pub(crate) success: bool,
    pub(crate) output: String,
    pub(crate) errors: String,
}

/// The protocol a daemon is waited for on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Socket {
    Tcp,
    Udp,
}

impl Host {
    /// A command that will run on this host: in its network namespace, behind mounts that keep
    /// the machine's files safe from a root process, with nothing of the caller's session.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = self.bare("unshare");
        command.args(["--mount", "--propagation", "private"]);
        command.args(["sh", "-c", &format!("{CELL}\nexec \"$@\""), "sh", program]);
        command
    }

    /// Like `command`, with a process 1 that is a shell left behind in the machine's own network
    /// namespace. Whoever refuses that namespace compares its own with the one of process 1;
    /// where a sandbox hides the real process 1, nothing could be told and all would be refused.
    pub(crate) fn guarded_command(&self, program: &str) -> Command {
        let script = format!(
            "exec 9< /run/netns/{name}
            {CELL}
            mkdir /run/netns && : > /run/netns/{name}
            mount --no-canonicalize --bind /proc/self/fd/9 /run/netns/{name}
            ip netns exec {name} \"$@\" 9<&-; exit $?",
            name = self.namespace
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        command.args(["--propagation", "private", "sh", "-c", &script, "sh", program]);
        self.surround(&mut command);
        command
    }

    fn bare(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace, program]);
        self.surround(&mut command);
        command
    }

    /// Nothing of the session that runs the tests reaches the process.
    fn surround(&self, command: &mut Command) {
        command.env_clear().env("PATH", SEARCH).env("LC_ALL", "C").env("HOME", &self.folder);
    }

    /// Runs a program to its end, or kills it when the time is up.
    pub(crate) fn run(&self, program: &str, words: &[&str], patience: Duration) -> Outcome {
        let mut command = self.command(program);
        command.args(words);
        self.finish(command, patience)
    }

    /// Like `run`, for a command that was prepared by the caller.
    pub(crate) fn finish(&self, mut command: Command, patience: Duration) -> Outcome {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        // Files, not pipes: a client that writes much can never wait for us to read.
        let output = self.folder.join(format!("output-{number}"));
        let errors = self.folder.join(format!("errors-{number}"));
        let mut child = command
            .stdin(Stdio::null())
            .stdout(fs::File::create(&output).expect("a file for the output"))
            .stderr(fs::File::create(&errors).expect("a file for the errors"))
            .spawn()
            .expect("ip runs");
        let until = Instant::now() + patience;
        let status = loop {
            if let Some(status) = child.try_wait().expect("a child of ours") {
                break Some(status);
            }
            if Instant::now() > until {
                child.kill().expect("a child of ours");
                child.wait().expect("a child of ours");
                break None;
            }
            thread::sleep(Duration::from_millis(5));
        };
        let read = |place: &Path| {
            let bytes = fs::read(place).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let outcome = Outcome {
            ended: status.is_some(),
            success: status.is_some_and(|status| status.success()),
            output: read(&output),
            errors: read(&errors),
        };
        for place in [output, errors] {
            let _ = fs::remove_file(place);
        }
        outcome
    }

    /// Starts a daemon that stays in the foreground, in mounts and process ids of its own.
    ///
    /// `prepare` is shell text that runs first, inside: it may mount and make what it likes
    /// below `/run`, `/var/lib`, `/var/log`, `/var/spool` and `/var/mail`, which are empty there.
    /// Files in the host's `etc` folder hide those of the same name in `/etc`.
    pub(crate) fn start(&mut self, name: &str, prepare: &str, words: &[&str]) {
        let script = format!("{}\n\"$@\"; exit $?", self.cell(prepare));
        let command = self.bare("unshare");
        self.begin(name, command, &script, words);
    }

    /// Like `start`, for a daemon whose guests run what refuses the machine's own network: as with
    /// `guarded_command`, process 1 is left behind there.
    #[allow(dead_code, reason = "not every test has such guests")]
    pub(crate) fn start_guarded(&mut self, name: &str, prepare: &str, words: &[&str]) {
        let script = format!(
            "exec 9< /run/netns/{namespace}
            {cell}
            mkdir /run/netns && : > /run/netns/{namespace}
            mount --no-canonicalize --bind /proc/self/fd/9 /run/netns/{namespace}
            ip netns exec {namespace} \"$@\" 9<&-; exit $?",
            namespace = self.namespace,
            cell = self.cell(prepare)
        );
        let mut command = Command::new("unshare");
        self.surround(&mut command);
        self.begin(name, command, &script, words);
    }

    /// Shell text: mounts of a daemon's own, and what is to be prepared in them.
    fn cell(&self, prepare: &str) -> String {
        format!(
            "real=$(readlink -m /etc/resolv.conf)
            {CELL}
            mkdir -p $(dirname $real); test -e $real || : > $real
            for file in {folder}/etc/*; do
                test ! -e $file || mount --bind $file $(readlink -m /etc/$(basename $file))
            done
            {prepare}",
            folder = self.folder.display()
        )
    }

    /// `command` is `unshare`, wherever it runs.
    fn begin(&mut self, name: &str, mut command: Command, script: &str, words: &[&str]) {
        let log = self.folder.join(format!("{name}.log"));
        // The shell is the first process of an id space: all others end with it when it is killed.
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        command.args(["--propagation", "private", "sh", "-c", script, "sh"]).args(words);
        let writer = fs::File::create(&log).expect("a file for the log");
        let child = command
            .stdin(Stdio::null())
            .stdout(writer.try_clone().expect("the same file"))
            .stderr(writer)
            .spawn()
            .expect("unshare runs");
        self.daemons.push(Daemon { name: name.to_owned(), child, log });
    }

    /// Waits until the host's kernel has a socket listening there.
    pub(crate) fn wait_for(&mut self, socket: Socket, ports: &[u16]) {
        for port in ports {
            let until = Instant::now() + Duration::from_secs(20);
            while !self.inside(|| listens(socket, *port)) {
                for daemon in &mut self.daemons {
                    let ended = daemon.child.try_wait().expect("a child of ours").is_some();
                    assert!(!ended, "{} ended: {}", daemon.name, daemon.last_words());
                }
                assert!(Instant::now() < until, "nothing listens on {socket:?} {port} after 20 s");
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

impl Daemon {
    /// Ends it and all that it has started.
    pub(crate) fn end(&mut self) {
        // An error here says that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn last_words(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(6)..].join("\n")
    }

    /// Shows the end of its log: what a failed test needs to know.
    pub(crate) fn tell(&self) {
        eprintln!("--- {} said last:\n{}", self.name, self.last_words());
    }
}

/// True when a socket of this thread's network namespace waits on the port, in any family.
fn listens(socket: Socket, port: u16) -> bool {
    let (files, state) = match socket {
        Socket::Tcp => (["tcp", "tcp6"], "0A"),
        Socket::Udp => (["udp", "udp6"], "07"),
    };
    files.iter().any(|file| {
        let text = fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap_or_default();
        text.lines().skip(1).any(|line| {
            let mut words = line.split_ascii_whitespace().skip(1);
            let local = words.next().and_then(|local| local.rsplit_once(':'));
            let its_state = words.nth(1);
            local.is_some_and(|(_, hex)| u16::from_str_radix(hex, 16) == Ok(port)) && its_state == Some(state)
        })
    })
}
