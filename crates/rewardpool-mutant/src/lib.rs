//! Defects that the tests of the tests switch on, to show that they would be found.
//!
//! Each is a mistake that somebody could make, at the place where it would be made. Without the
//! feature `switchable` the answer to [`is_on`] is no at compile time, so that nothing of them is
//! in a program.

/// A defect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutant {
    /// Answers leave before their batch is written.
    AnswerBeforeSync,
    /// Answers leave before their batch is written, which happens when there is nothing else to
    /// do, as in a store that syncs once in a while.
    AnswerAndWriteLater,
    /// The checksums of batches are not compared.
    NoChecksum,
    /// A sync that failed is tried again, and then believed.
    RetrySync,
    /// A new segment's name is not synced.
    NoDirectorySync,
    /// A snapshot is made visible before it is synced.
    SnapshotNotSynced,
    /// What a torn batch left behind the end of the log stays there.
    NoTailRepair,
    /// Files that a new snapshot will make superfluous are removed before it is durable.
    PruneBeforeSnapshot,
    /// The salt of a segment is not compared.
    SaltIgnored,
    /// Whatever cannot be read is taken for the end of the log.
    DamageIsEnd,
    /// The end of the log is not written again by a start.
    NoRewrite,
    /// The number of draws before a snapshot is forgotten.
    IdReuse,
    /// A directory without its mark is set up again.
    SetUpAgain,
    /// A segment for which there was not enough room is used all the same.
    PartialSegment,
    /// Zeros are taken for the end of the log, whatever follows them.
    ZerosAreEnd,
    /// A batch is not asked for its position.
    PositionIgnored,
    /// The hash of a snapshot is not compared.
    SnapshotNotHashed,
    /// A draw that is refused for want of space leaves its record behind.
    RecordLeftAfterRefusal,
    /// The secret of a pool is written after the log is committed to it.
    SecretAfterLog,
    /// That a segment was closed, so that another must follow, is not noticed.
    ClosingIgnored,
    /// A segment that was made but never begun stays when the log goes on without it.
    NeverBegunKept,
}

/// Whether this defect is switched on.
#[cfg(not(feature = "switchable"))]
#[inline]
pub const fn is_on(_mutant: Mutant) -> bool {
    false
}

#[cfg(feature = "switchable")]
pub use switch::{is_on, switch_on};

#[cfg(feature = "switchable")]
mod switch {
    //! One defect at a time: of a thread, for tests in one process, or of a process.
    use std::cell::Cell;
    use std::sync::LazyLock;

    use super::Mutant;

    thread_local! {
        static OF_THREAD: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// The defect that the variable `REWARDPOOL_MUTANT` names: those that a test of the whole
    /// program uses.
    static OF_PROCESS: LazyLock<Option<Mutant>> = LazyLock::new(|| {
        let name = std::env::var("REWARDPOOL_MUTANT").ok()?;
        let known = [Mutant::AnswerBeforeSync, Mutant::AnswerAndWriteLater];
        let named = known.into_iter().find(|mutant| format!("{mutant:?}") == name);
        Some(named.expect("REWARDPOOL_MUTANT names a mutant of the whole program"))
    });

    /// Switches a defect on for this thread, or all off.
    pub fn switch_on(mutant: Option<Mutant>) {
        OF_THREAD.set(mutant);
    }

    /// Whether this defect is switched on.
    pub fn is_on(mutant: Mutant) -> bool {
        OF_THREAD.get() == Some(mutant) || *OF_PROCESS == Some(mutant)
    }
}
