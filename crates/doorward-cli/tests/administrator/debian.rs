//! A server as Debian leaves it, in a root folder of its own with doorward's program in it; an SSH daemon is its door.

use crate::bench::until;
use crate::processes::Socket;
use crate::stage::{LONG, Login, SERVER, Stage, TERMINALS};
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The policy that comes along.
const POLICY: &str = "allow ping\nallow ssh\nexpect ssh is allowed\nexpect http is blocked\n";
/// Nobody listens there: an open door answers by a refusal of the host itself.
const HTTP: u16 = 80;
/// So long a door is waited for that does not answer.
const PATIENCE: Duration = Duration::from_millis(500);
/// What a fresh installation has in `/etc` that the daemon and the tools read.
const ETC: [&str; 3] = ["ld.so.cache", "ld.so.conf", "nsswitch.conf"];
/// There is no manager to be told; the real tool works on the files.
const SYSTEMCTL: &str = "#!/bin/sh\n[ \"$*\" = daemon-reload ] || exec /opt/systemctl --root=/ \"$@\"\n";
/// `timed MICROSECONDS COMMAND…` kills it after that time, `timed whole COMMAND…` says how long it takes. A shell has to
/// wait so exactly by itself: to start another program takes longer than some commands do.
const TIMED: &str = "#!/bin/bash
after=$1; shift
begin=${EPOCHREALTIME/./}
if [ $after = whole ]; then
    \"$@\" 2>&1; exit=$?
    echo took $((${EPOCHREALTIME/./} - begin)); echo exit $exit; exit
fi
\"$@\" 2>&1 &
if ((after > 40000)); then sleep $(printf '%d.%06d' $(((after - 20000) / 1000000)) $(((after - 20000) % 1000000))); fi
while ((${EPOCHREALTIME/./} < begin + after)); do :; done
kill -9 $! 2>/dev/null
wait $! 2>/dev/null
echo exit $?
";

/// How a command ended, what it said, and how long it took.
#[derive(Debug)]
pub(crate) struct Answer {
    /// 137 if it was killed.
    pub(crate) exit: i32,
    pub(crate) text: String,
    pub(crate) took: Duration,
}

/// The server, and a client.
pub(crate) struct Debian {
    stage: Stage,
    root: PathBuf,
}

impl Debian {
    pub(crate) fn new() -> Debian {
        let mut stage = Stage::new();
        let folder = stage.bench.host("server").folder().to_owned();
        let root = folder.join("root");
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let place = stage.settings(&["Port 22", &format!("SetEnv DOORWARD_FORBID_HOST=1 PATH={path}")]);
        furnish(&root, &folder);
        let prepare = format!(
            "{TERMINALS}
            mount --bind /usr {root}/usr
            mount -o remount,bind,ro {root}/usr
            mount --bind {folder}/local {root}/usr/local
            mount --bind /usr/bin/systemctl {root}/opt/systemctl
            mount --bind {folder}/systemctl {root}/usr/bin/systemctl
            mount --rbind /dev {root}/dev
            mount --bind /proc {root}/proc
            mount -t tmpfs -o mode=755 tmpfs {root}/run
            mkdir -p {root}/run/sshd {root}/run/systemd/system
            mount --bind {folder} {root}{folder}",
            root = root.display(),
            folder = folder.display()
        );
        let words = ["chroot", &root.display().to_string(), "/usr/sbin/sshd", "-D", "-e", "-f", &place];
        let server = stage.bench.host_mut("server");
        server.start_guarded("sshd", &prepare, &words);
        server.wait_for(Socket::Tcp, &[22]);
        let debian = Debian { stage, root };
        // The first packets on a new cable may get lost.
        let carries = until(LONG, || SERVER.into_iter().all(|address| debian.answers(address)));
        assert!(carries, "a cable that carries nothing");
        debian
    }

    /// As it was at first: nothing of doorward in the kernel, and nothing on the disk but the program.
    pub(crate) fn reset(&self) {
        self.forget();
        for place in ["var/lib/doorward", "etc/doorward", "etc/systemd/system"] {
            let place = self.root.join(place);
            assert!(fs::remove_dir_all(&place).is_ok() || !place.exists(), "{}", place.display());
        }
        fs::create_dir(self.root.join("etc/systemd/system")).expect("a folder of ours");
        assert!(self.is_open(), "a host without a firewall");
    }

    /// What a boot is to the kernel.
    pub(crate) fn forget(&self) {
        let ruleset = self.nft(&["list", "tables"]);
        if ruleset.contains("inet doorward") {
            self.nft(&["delete", "table", "inet", "doorward"]);
        }
    }

    fn nft(&self, words: &[&str]) -> String {
        let mut nft = Command::new("nft");
        nft.args(words);
        let output = self.stage.bench.host("server").inside(|| nft.output().expect("nft is installed"));
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A command in a new session, to its end.
    pub(crate) fn run(&self, command: &str) -> Answer {
        self.timed("whole", command)
    }

    /// The same, killed so long after it began.
    pub(crate) fn killed(&self, command: &str, after: Duration) -> Answer {
        self.timed(&after.as_micros().to_string(), command)
    }

    fn timed(&self, when: &str, command: &str) -> Answer {
        let words = format!("timed {when} {command}");
        let outcome = self.stage.run(&Login::default(), &words);
        let last = |word: &str| {
            let lines = outcome.output.lines().rev();
            lines.filter_map(|line| line.strip_prefix(word)).find_map(|rest| rest.trim().parse::<u64>().ok())
        };
        let exit = last("exit ").and_then(|exit| i32::try_from(exit).ok());
        Answer {
            exit: exit.unwrap_or_else(|| panic!("{command}: {outcome:?}")),
            took: Duration::from_micros(last("took ").unwrap_or_default()),
            text: outcome.output,
        }
    }

    /// Whether somebody who was not here before can log in, in each family.
    pub(crate) fn lets_in(&self) -> bool {
        SERVER.into_iter().all(|address| {
            let outcome = self.stage.run(&Login { address, ..Login::default() }, "echo in");
            outcome.success && outcome.output == "in\n"
        })
    }

    /// Whether a door answers, in each family alike, that only the policy shuts.
    pub(crate) fn is_open(&self) -> bool {
        let look = || SERVER.map(|address| self.answers(address));
        let [four, six] = look();
        // A look that meets the switch itself counts for nothing.
        let [four, six] = if four == six { [four, six] } else { look() };
        assert_eq!(four, six, "one family is open");
        four
    }

    fn answers(&self, address: &str) -> bool {
        let address = SocketAddr::new(address.parse().expect("an address"), HTTP);
        self.stage.bench.host("client").inside(|| match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(_) => true,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        })
    }

    /// Waits for the door to answer again.
    pub(crate) fn opens_within(&self, patience: Duration) -> bool {
        until(patience, || self.is_open())
    }

    /// The text of a file there.
    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

/// The files of the root. The programs are those of this machine, which nobody can change there.
fn furnish(root: &Path, folder: &Path) {
    let make = |path: PathBuf| fs::create_dir_all(path).expect("a folder of ours");
    for name in ["etc/systemd/system", "var/lib", "opt", "usr", "dev", "proc", "run", "root", "tmp", "sbin"] {
        make(root.join(name));
    }
    make(root.join(folder.strip_prefix("/").expect("a whole path")));
    for name in ["bin", "lib", "lib64"] {
        if Path::new("/").join(name).exists() {
            symlink(format!("usr/{name}"), root.join(name)).expect("a link of ours");
        }
    }
    symlink("/lib/systemd/systemd", root.join("sbin/init")).expect("a link of ours");
    for file in fs::read_dir(folder.join("etc")).expect("a folder of ours") {
        let file = file.expect("a file of ours");
        fs::copy(file.path(), root.join("etc").join(file.file_name())).expect("accounts");
    }
    for name in ETC.into_iter().filter(|name| Path::new("/etc").join(name).exists()) {
        fs::copy(Path::new("/etc").join(name), root.join("etc").join(name)).expect("a file to read");
    }
    fs::write(root.join("opt/systemctl"), "").expect("a file of ours");
    let local = folder.join("local");
    for name in ["sbin", "bin", "share/doorward"] {
        make(local.join(name));
    }
    fs::copy(env!("CARGO_BIN_EXE_doorward"), local.join("sbin/doorward")).expect("the program");
    fs::write(local.join("share/doorward/server.dw"), POLICY).expect("a file of ours");
    for (place, text) in [(local.join("bin/timed"), TIMED), (folder.join("systemctl"), SYSTEMCTL)] {
        fs::write(&place, text).expect("a file of ours");
        fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).expect("a file of ours");
    }
    // Whoever may write above the state or the program has the firewall.
    for place in [root, &local] {
        fs::set_permissions(place, fs::Permissions::from_mode(0o755)).expect("a folder of ours");
    }
}
