//! When the writer's thread gets a processor: before all ordinary threads, where that is permitted.
//!
//! A commit is a few microseconds of work around a wait for the disk. On a machine that is busy with
//! other things an ordinary thread then waits several milliseconds for its turn, and every caller
//! waits with it; a thread with the real-time policy `SCHED_FIFO` goes on at once.
//!
//! Such a thread must not run for long, because on its processor nothing ordinary runs meanwhile.
//! The writer waits for the disk in every commit, after at most `batch_draws_max` draws and a
//! command, and waits for requests, which only ordinary threads make, so it comes to an end of its
//! work when they get no processor. It has the lowest of the real-time priorities, so that the
//! system's own threads come first, and the kernel leaves a share of each second (5 % unless it is
//! set up otherwise) to ordinary threads, whatever real-time threads do.
//!
//! It has a price where callers want the same processors, and no others are free: the writer then
//! interrupts them for the first request that they hand over, so its batches are smaller and there
//! are fewer draws in a second. Where nothing but the service and its callers runs, `Normal` is the
//! faster one.
//!
//! There is one thing that the writer could wait for without sleeping: a thread that was
//! interrupted in the few nanoseconds in which it puts a submission into the mailbox. Another
//! processor takes that thread over; where there is none, the writer stays an ordinary thread.
use std::fmt;
use std::io;
use std::thread::available_parallelism;

use crate::config::Scheduling;

/// The lowest real-time priority.
const PRIORITY: i32 = 1;

/// How the writer's thread is scheduled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheduled {
    /// Before all ordinary threads: `SCHED_FIFO` with priority 1.
    Fifo,
    /// Like any other thread.
    Normal(Why),
}

/// Why the writer's thread is an ordinary one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// It should be.
    Configured,
    /// The process may use one processor only.
    OneProcessor,
    /// The system does not permit anything else.
    Refused(io::ErrorKind),
}

impl Scheduled {
    /// The name in answers: `fifo` or `normal`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fifo => "fifo",
            Self::Normal(_) => "normal",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configured => f.write_str("it is configured so"),
            Self::OneProcessor => f.write_str("there is only one processor"),
            Self::Refused(kind) => write!(f, "{kind}"),
        }
    }
}

/// Schedules the calling thread. What cannot be had is done without.
pub(crate) fn schedule_this_thread(wanted: Scheduling) -> Scheduled {
    match wanted {
        Scheduling::Normal => Scheduled::Normal(Why::Configured),
        Scheduling::Fifo if available_parallelism().is_ok_and(|count| count.get() < 2) => {
            Scheduled::Normal(Why::OneProcessor)
        }
        Scheduling::Fifo => match become_first() {
            Ok(()) => Scheduled::Fifo,
            Err(error) => Scheduled::Normal(Why::Refused(error.kind())),
        },
    }
}

/// `struct sched_param` of the kernel, which is shorter than that of some C libraries.
#[repr(C)]
struct SchedParam {
    sched_priority: libc::c_int,
}

/// Threads that this one starts are ordinary ones. The kernel is asked itself, because the function
/// of this name in musl, with which static programs are built, always fails.
fn become_first() -> io::Result<()> {
    let parameters = SchedParam { sched_priority: PRIORITY };
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    let this_thread: libc::pid_t = 0;
    // SAFETY: the call takes a thread, a policy and a pointer to parameters of the kernel's layout,
    // which live until it returns.
    let result = unsafe {
        libc::syscall(libc::SYS_sched_setscheduler, this_thread, policy, &raw const parameters)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel says of the calling thread.
    fn policy() -> i32 {
        // SAFETY: 0 is the calling thread.
        unsafe { libc::sched_getscheduler(0) }
    }

    #[test]
    fn the_thread_is_scheduled_as_is_told() {
        assert_eq!(schedule_this_thread(Scheduling::Normal), Scheduled::Normal(Why::Configured));
        assert_eq!(policy(), libc::SCHED_OTHER);
        match schedule_this_thread(Scheduling::Fifo) {
            Scheduled::Fifo => {
                assert_eq!(policy(), libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK);
                // Or the runner of the tests would wait behind it.
                let child = std::thread::scope(|scope| scope.spawn(policy).join());
                assert_eq!(child.unwrap(), libc::SCHED_OTHER);
            }
            Scheduled::Normal(why) => {
                assert_ne!(why, Why::Configured);
                assert_eq!(policy(), libc::SCHED_OTHER);
            }
        }
    }
}
