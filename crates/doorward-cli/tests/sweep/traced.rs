//! Runs a program call by call (ptrace): counts its system calls, kills it before any of them, or lets one fail.

use nix::libc::{SYS_exit_group, c_long};
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// What becomes of the program.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    /// Nothing happens to it.
    Runs,
    /// It is killed before its n-th call, which never begins. The first is 1.
    Killed(usize),
    /// The n-th of these calls does not happen, and says this error.
    Fails { call: c_long, nth: usize, errno: i32 },
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Run {
    /// None if it was killed.
    pub(crate) exit: Option<i32>,
    /// The system calls that it began, in order.
    pub(crate) calls: Vec<c_long>,
    /// Whether its fate met it.
    pub(crate) met: bool,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Stops until somebody watches, then becomes the program.
const BEGIN: &str = "kill -STOP $$; exec \"$@\"";
const WHOLE_GROUP: WaitPidFlag = WaitPidFlag::__WALL;

/// Runs a program with this fate. `folder` is for what it says.
pub(crate) fn run(program: &Command, folder: &Path, fate: Fate) -> Run {
    looked_at(program, folder, fate, &mut |_, _| {})
}

/// The same, with a look before each call: at the process, and at the call.
pub(crate) fn looked_at(program: &Command, folder: &Path, fate: Fate, look: Look<'_>) -> Run {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let places = ["out", "err"].map(|name| folder.join(format!("{name}-{number}")));
    let [out, err] = places.each_ref().map(|place| File::create(place).unwrap());
    let mut command = Command::new("/bin/sh");
    command.args(["-c", BEGIN, "sh"]).arg(program.get_program()).args(program.get_args());
    command.env_clear().current_dir(program.get_current_dir().unwrap());
    command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    // A group of its own, so that waiting for it takes no other child of ours.
    command.process_group(0).stdin(Stdio::null()).stdout(out).stderr(err);
    let leader = Pid::from_raw(command.spawn().unwrap().id().cast_signed());
    let stopped = waitpid(leader, Some(WaitPidFlag::WUNTRACED)).unwrap();
    assert_eq!(stopped, WaitStatus::Stopped(leader, Signal::SIGSTOP));
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_EXITKILL;
    ptrace::seize(leader, options).unwrap();
    kill(leader, Signal::SIGCONT).unwrap();
    let mut watch = Watch { look, leader, fate, calls: Vec::new(), met: false, begun: false, pending: None };
    let exit = watch.watch_its_end();
    let [out, err] = places.map(|place| {
        let text = fs::read(&place).unwrap();
        fs::remove_file(&place).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    });
    Run { exit, calls: watch.calls, met: watch.met, out, err }
}

pub(crate) type Look<'a> = &'a mut dyn FnMut(Pid, c_long);

struct Watch<'a> {
    look: Look<'a>,
    leader: Pid,
    fate: Fate,
    calls: Vec<c_long>,
    met: bool,
    /// The shell has become the program.
    begun: bool,
    /// The thread whose call did not happen, and the error that it is to see.
    pending: Option<(Pid, i32)>,
}

impl Watch<'_> {
    fn watch_its_end(&mut self) -> Option<i32> {
        let group = Pid::from_raw(-self.leader.as_raw());
        loop {
            match waitpid(group, Some(WHOLE_GROUP)).unwrap() {
                WaitStatus::Exited(pid, exit) if pid == self.leader => return Some(exit),
                WaitStatus::Signaled(pid, ..) if pid == self.leader => return None,
                WaitStatus::PtraceSyscall(pid) => {
                    if self.begun && is_entry(pid) {
                        self.entered(pid);
                    } else if let Some((thread, errno)) = self.pending
                        && thread == pid
                    {
                        set_result(pid, -i64::from(errno));
                        self.pending = None;
                    }
                    self.go_on(pid, None);
                }
                WaitStatus::PtraceEvent(pid, _, event) => {
                    self.begun |= event == ptrace::Event::PTRACE_EVENT_EXEC as i32;
                    self.go_on(pid, None);
                }
                WaitStatus::Stopped(pid, signal) => self.go_on(pid, Some(signal)),
                _ => {}
            }
        }
    }

    fn entered(&mut self, pid: Pid) {
        let call = call_of(pid);
        self.calls.push(call);
        (self.look)(pid, call);
        match self.fate {
            Fate::Killed(at) if at == self.calls.len() => {
                self.met = true;
                kill(self.leader, Signal::SIGKILL).unwrap();
            }
            Fate::Fails { call: wanted, nth, errno }
                if call == wanted && self.calls.iter().filter(|one| **one == wanted).count() == nth =>
            {
                self.met = true;
                set_call(pid, -1);
                self.pending = Some((pid, errno));
            }
            _ => {}
        }
    }

    fn go_on(&self, pid: Pid, signal: Option<Signal>) {
        let gone = if self.begun { ptrace::syscall(pid, signal) } else { ptrace::cont(pid, signal) };
        // Killed meanwhile: its end is waited for.
        assert!(matches!(gone, Ok(()) | Err(nix::errno::Errno::ESRCH)), "{gone:?}");
    }
}

fn is_entry(pid: Pid) -> bool {
    ptrace::syscall_info(pid).is_ok_and(|info| info.op == nix::libc::PTRACE_SYSCALL_INFO_ENTRY)
}

/// What a call that begins is about, where that is an open file: its handle is the first word.
pub(crate) fn file_of(pid: Pid) -> Option<std::path::PathBuf> {
    let handle = ptrace::getregs(pid).ok()?.rdi;
    Some(format!("/proc/{pid}/fd/{handle}").into())
}

/// Which call begins.
fn call_of(pid: Pid) -> c_long {
    // Whoever is gone made none.
    ptrace::getregs(pid).map_or(SYS_exit_group, |regs| regs.orig_rax.cast_signed())
}

fn set_call(pid: Pid, call: c_long) {
    let mut regs = ptrace::getregs(pid).unwrap();
    regs.orig_rax = call.cast_unsigned();
    ptrace::setregs(pid, regs).unwrap();
}

fn set_result(pid: Pid, result: i64) {
    let mut regs = ptrace::getregs(pid).unwrap();
    regs.rax = result.cast_unsigned();
    ptrace::setregs(pid, regs).unwrap();
}
