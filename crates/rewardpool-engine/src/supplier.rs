//! Makes segments ahead of need, on its own thread: filling 64 MiB with zeros takes tens of
//! milliseconds, which no draw should wait for.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use rewardpool_wal::storage::Storage;
use rewardpool_wal::{Error, Prepared, SEGMENT_BYTES_MIN};

use crate::error::EngineError;
use crate::request::Refusal;

/// How often a full disk is tried again.
const RETRY: Duration = Duration::from_millis(200);
/// How often a writer that waits for a segment looks whether the disk is full.
const GLANCE: Duration = Duration::from_millis(5);

/// The writer's end. One segment is ready or on its way; two only after an order was replaced.
pub(crate) struct Supply {
    orders: Sender<usize>,
    prepared: Receiver<Prepared>,
    disk_is_full: Arc<AtomicBool>,
    ready: Option<Prepared>,
    /// Bytes of the segment that was ordered and not yet received.
    ordered: Option<usize>,
    /// Makes segments when they are waited for, where there are no threads.
    inline: Option<Supplier>,
}

/// The thread's end.
pub(crate) struct Supplier {
    storage: Arc<dyn Storage>,
    orders: Receiver<usize>,
    prepared: Sender<Prepared>,
    disk_is_full: Arc<AtomicBool>,
    failures: Sender<EngineError>,
    /// Bytes of an order that a full disk did not let it meet, where there are no threads.
    unmet: Option<usize>,
}

pub(crate) fn supply(
    storage: Arc<dyn Storage>,
    failures: Sender<EngineError>,
) -> (Supply, Supplier) {
    let (order_sender, orders) = crossbeam_channel::bounded(2);
    let (prepared_sender, prepared) = crossbeam_channel::bounded(2);
    let disk_is_full = Arc::new(AtomicBool::new(false));
    let supplier = Supplier {
        storage,
        orders,
        prepared: prepared_sender,
        disk_is_full: Arc::clone(&disk_is_full),
        failures,
        unmet: None,
    };
    let supply = Supply {
        orders: order_sender,
        prepared,
        disk_is_full,
        ready: None,
        ordered: None,
        inline: None,
    };
    (supply, supplier)
}

impl Supply {
    /// Orders a segment of this length, unless one is ready or on its way.
    pub(crate) fn order(&mut self, bytes: usize) {
        if self.ready.is_none() && self.ordered.is_none() {
            self.send_order(bytes);
        }
    }

    /// Takes a segment of at least `least` bytes, waiting for it to be made. The usual length is
    /// `bytes`; a longer one is made when it must be.
    ///
    /// # Errors
    /// [`Refusal::OutOfSpace`] while the disk is full; the order stands.
    pub(crate) fn take(&mut self, bytes: usize, least: usize) -> Result<Prepared, Refusal> {
        loop {
            if let Some(ready) = self.ready.take() {
                if ready.bytes() >= least {
                    return Ok(ready);
                }
                // Too short for this record.
                drop(ready);
            }
            let wanted = bytes.max(least);
            // On a full disk an order for more than is needed now may never be met.
            let is_full = self.is_out_of_space();
            let misfits = |ordered| ordered < least || (is_full && ordered > wanted);
            let is_new = self.ordered.is_none_or(misfits);
            if is_new {
                self.send_order(wanted);
            }
            // What is known to be out of reach is refused at once, or reads would wait behind it.
            let patience = if is_full && !is_new { Duration::ZERO } else { GLANCE };
            match self.receive(patience) {
                Ok(prepared) => {
                    self.ordered = self.ordered.filter(|&ordered| ordered > prepared.bytes());
                    self.ready = Some(prepared);
                }
                Err(RecvTimeoutError::Timeout) if self.is_out_of_space() => {
                    return Err(Refusal::OutOfSpace);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Refusal::Stopping),
            }
        }
    }

    fn receive(&mut self, patience: Duration) -> Result<Prepared, RecvTimeoutError> {
        if self.inline.is_none() {
            return self.prepared.recv_timeout(patience);
        }
        self.make_inline();
        self.prepared.try_recv().map_err(|error| match error {
            TryRecvError::Empty => RecvTimeoutError::Timeout,
            TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
        })
    }

    /// From now on segments are made by the thread that waits for them.
    #[cfg(feature = "simulation")]
    pub(crate) fn set_inline(&mut self, supplier: Supplier) {
        self.inline = Some(supplier);
    }

    /// Makes what is on order, or finds the disk full or broken. Only without a thread.
    pub(crate) fn make_inline(&mut self) {
        if let Some(supplier) = &mut self.inline
            && !supplier.step()
        {
            self.inline = None;
        }
    }

    /// What [`Supply::is_out_of_space`] tells, for other threads.
    pub(crate) fn disk_is_full(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.disk_is_full)
    }

    /// Whether the last attempt to make a segment found the disk full.
    pub(crate) fn is_out_of_space(&self) -> bool {
        self.disk_is_full.load(Ordering::Acquire)
    }

    fn send_order(&mut self, bytes: usize) {
        // As long as it will be, or an order would seem too short for what it brings.
        let bytes = bytes.max(SEGMENT_BYTES_MIN);
        self.ordered = Some(bytes);
        // When the thread is gone, so is the other channel, which `take` notices.
        let _heard = self.orders.send(bytes).is_ok();
    }
}

impl Supplier {
    /// Works until the writer's end is dropped or the disk fails.
    pub(crate) fn run(&self) {
        while let Ok(bytes) = self.orders.recv() {
            match self.make(bytes) {
                Ok(Some(prepared)) => {
                    if self.prepared.send(prepared).is_err() {
                        return;
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    drop(self.failures.try_send(error.into()));
                    return;
                }
            }
        }
    }

    /// Makes a segment of the length that was ordered last. `None` when the writer is gone.
    fn make(&self, ordered: usize) -> Result<Option<Prepared>, Error> {
        let mut bytes = self.orders.try_iter().last().unwrap_or(ordered);
        loop {
            if let Some(prepared) = self.attempt(bytes)? {
                return Ok(Some(prepared));
            }
            match self.orders.recv_timeout(RETRY) {
                Ok(newer) => bytes = newer,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
            }
        }
    }

    /// Tries once to make a segment. `None` when the disk is full.
    fn attempt(&self, bytes: usize) -> Result<Option<Prepared>, Error> {
        match Prepared::create(Arc::clone(&self.storage), bytes) {
            Ok(prepared) => {
                self.disk_is_full.store(false, Ordering::Release);
                Ok(Some(prepared))
            }
            Err(error) if error.is_out_of_space() => {
                if !self.disk_is_full.swap(true, Ordering::AcqRel) {
                    tracing::error!(bytes, "the disk is full, draws are refused until it is not");
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// What `run` does between two waits. `false` when it would end.
    fn step(&mut self) -> bool {
        self.unmet = self.orders.try_iter().last().or(self.unmet);
        let Some(bytes) = self.unmet else { return true };
        match self.attempt(bytes) {
            Ok(Some(prepared)) => {
                self.unmet = None;
                self.prepared.send(prepared).is_ok()
            }
            Ok(None) => true,
            Err(error) => {
                drop(self.failures.try_send(error.into()));
                false
            }
        }
    }
}
