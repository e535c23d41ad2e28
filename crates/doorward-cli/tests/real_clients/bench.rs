//! Hosts as network namespaces, and the cables between them; it knows no daemon, door or firewall.

use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::Mode;
use rustix::process::{Pid, Signal, geteuid, kill_process, umask};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::processes::Daemon;

/// What every process here finds its programs in; a test runner's own path may lack `sbin`. The last is where
/// `scripts/install-packages` unpacks what cannot be installed beside other packages.
pub(crate) const SEARCH: &str = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/lib/doorward-tests/usr/sbin";
const NAME: &str = "doorward-rc";
static COUNT: AtomicU32 = AtomicU32::new(0);

/// A few hosts on cables of their own; all of it goes with this value, after a panic too.
pub(crate) struct Bench {
    hosts: Vec<Host>,
    folder: PathBuf,
}

/// One network namespace with the processes that were started in it.
pub(crate) struct Host {
    pub(crate) namespace: String,
    pub(crate) folder: PathBuf,
    pub(crate) daemons: Vec<Daemon>,
}

impl Bench {
    /// Makes one namespace for each name, without any cable yet.
    pub(crate) fn new(names: &[&str]) -> Self {
        require_root();
        need("ip", "iproute2");
        need("unshare", "util-linux");
        sweep();
        // Daemons read their files as users of their own.
        umask(Mode::from_raw_mode(0o022));
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let tag = format!("{NAME}-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(&tag);
        fs::create_dir(&folder).expect("a folder for the bench");
        let mut bench = Self { hosts: Vec::new(), folder };
        for name in names {
            let namespace = format!("{tag}-{name}");
            let folder = bench.folder.join(name);
            fs::create_dir(&folder).expect("a folder for the host");
            add_namespace(&namespace);
            bench.hosts.push(Host { namespace, folder, daemons: Vec::new() });
            let host = bench.hosts.last().expect("just pushed");
            // Duplicate address detection would keep every address unusable for a second.
            host.sysctl("net/ipv6/conf/all/accept_dad", "0");
            host.sysctl("net/ipv6/conf/default/accept_dad", "0");
            host.ip("link set lo up");
        }
        bench
    }

    /// Lays a cable between two hosts and gives both ends their addresses.
    pub(crate) fn cable(&self, one: (&str, &str, &[&str]), other: (&str, &str, &[&str])) {
        let (left, right) = (self.host(one.0), self.host(other.0));
        left.ip(&format!(
            "link add name {} type veth peer name {} netns {}",
            one.1, other.1, right.namespace
        ));
        for (host, (_, interface, addresses)) in [(left, one), (right, other)] {
            for address in addresses {
                let nodad = if address.contains(':') { " nodad" } else { "" };
                host.ip(&format!("addr add {address} dev {interface}{nodad}"));
            }
            host.ip(&format!("link set {interface} up"));
        }
    }

    pub(crate) fn host(&self, name: &str) -> &Host {
        let end = format!("-{name}");
        self.hosts.iter().find(|host| host.namespace.ends_with(&end)).expect("a host of this bench")
    }

    pub(crate) fn host_mut(&mut self, name: &str) -> &mut Host {
        let end = format!("-{name}");
        self.hosts.iter_mut().find(|host| host.namespace.ends_with(&end)).expect("a host of this bench")
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for host in &mut self.hosts {
            for daemon in &mut host.daemons {
                if thread::panicking() {
                    daemon.tell();
                }
                daemon.end();
            }
            delete_namespace(&host.namespace);
        }
        // What is left behind here is a few files in the temporary folder: no reason to fail.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Host {
    /// The folder of this host's files, readable by the users that daemons change to.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a file into the host's folder and returns its place.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let place = self.folder.join(name);
        fs::write(&place, text).expect("a file of the host");
        place
    }

    /// Runs one `ip` command on this host; the bench cannot go on without it.
    pub(crate) fn ip(&self, words: &str) -> String {
        let mut command = Command::new("ip");
        command.env("PATH", SEARCH).args(["-n", &self.namespace]).args(words.split(' '));
        let outcome = command.output().expect("ip runs");
        let errors = String::from_utf8_lossy(&outcome.stderr);
        assert!(outcome.status.success(), "ip {words} on {}: {errors}", self.namespace);
        String::from_utf8_lossy(&outcome.stdout).into_owned()
    }

    /// Sets one value below `/proc/sys` of this namespace.
    pub(crate) fn sysctl(&self, path: &str, value: &str) {
        let (path, value) = (format!("/proc/sys/{path}"), value.to_owned());
        self.inside(move || fs::write(&path, &value).map_err(|error| format!("{path}: {error}")))
            .expect("a value of the kernel");
    }

    /// Runs a closure on a thread of its own inside this namespace.
    pub(crate) fn inside<T: Send>(&self, task: impl FnOnce() -> T + Send) -> T {
        let door = fs::File::open(format!("/run/netns/{}", self.namespace)).expect("the namespace");
        thread::scope(|scope| {
            let inside = scope.spawn(move || {
                move_into_link_name_space(door.as_fd(), Some(LinkNameSpaceType::Network))
                    .expect("root may enter its namespace");
                task()
            });
            inside.join().expect("the task inside the namespace ends well")
        })
    }
}

/// Fails with the Debian package to install when a program is missing.
pub(crate) fn need(program: &str, package: &str) {
    let found = SEARCH.split(':').any(|folder| Path::new(folder).join(program).is_file());
    assert!(
        found,
        "`{program}` is not installed, and this test skips nothing\n  \
         run `./test`, or `apt-get install --no-install-recommends {package}`"
    );
}

/// Asks again and again until the answer is yes; false when the time is up.
pub(crate) fn until(patience: Duration, mut answer: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + patience;
    loop {
        if answer() {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn require_root() {
    assert!(
        geteuid().is_root(),
        "real clients need network namespaces with real daemons in them\n  \
         run this test as root (`sudo ./test`): it skips nothing"
    );
}

fn add_namespace(name: &str) {
    // The very first namespace of a machine makes /run/netns shared; two at once may collide.
    let made = until(Duration::from_secs(5), || quiet_ip(&["netns", "add", name]));
    assert!(made, "`ip netns add` works for root");
}

fn delete_namespace(name: &str) {
    quiet_ip(&["netns", "del", name]);
}

fn quiet_ip(words: &[&str]) -> bool {
    let status = Command::new("ip").env("PATH", SEARCH).args(words).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Removes what a run of this test that was killed had to leave behind.
fn sweep() {
    for name in names_in(Path::new("/run/netns")).into_iter().filter(|name| ownerless(name)) {
        for pid in pids_in(&name).unwrap_or_default().into_iter().filter_map(Pid::from_raw) {
            // An error here says that it has ended already.
            let _ = kill_process(pid, Signal::KILL);
        }
        delete_namespace(&name);
    }
    let folder = std::env::temp_dir();
    for name in names_in(&folder).into_iter().filter(|name| ownerless(name)) {
        let _ = fs::remove_dir_all(folder.join(name));
    }
}

/// True for a name that a bench made whose process is gone.
fn ownerless(name: &str) -> bool {
    let rest = name.strip_prefix(NAME).and_then(|rest| rest.strip_prefix('-'));
    let owner = rest.and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
    owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn pids_in(namespace: &str) -> io::Result<Vec<i32>> {
    let list = Command::new("ip").env("PATH", SEARCH).args(["netns", "pids", namespace]).output()?;
    let text = String::from_utf8_lossy(&list.stdout).into_owned();
    Ok(text.lines().filter_map(|line| line.trim().parse().ok()).collect())
}
