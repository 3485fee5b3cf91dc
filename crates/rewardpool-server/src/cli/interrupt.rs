//! How long work is ended early: Ctrl-C or SIGTERM asks it to stop, and what it has so far is printed.
use std::io;
use std::sync::mpsc::sync_channel;
use std::task::Poll;
use std::thread::Builder;

use rewardpool_server::serve;

use super::Failure;
use super::failure::exit;

/// Does this once when somebody asks the process to stop. Returns when signals are heard.
pub(crate) fn on_interrupt(stop: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let (ready, is_ready) = sync_channel(1);
    let hear = move || -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut asked = std::pin::pin!(serve::asked_to_stop());
            // A signal is heard from the first poll on.
            let first = std::future::poll_fn(|context| Poll::Ready(asked.as_mut().poll(context)));
            if let Poll::Ready(asked) = first.await {
                return asked;
            }
            ready.send(()).map_err(io::Error::other)?;
            asked.await
        })?;
        stop();
        Ok(())
    };
    // Nobody waits for this thread: it ends with the process.
    let thread = Builder::new().name("signals".to_owned()).spawn(hear);
    let is_heard = thread.map(drop).and_then(|()| is_ready.recv().map_err(io::Error::other));
    is_heard.map_err(|error| {
        let what = format!("signals cannot be heard: {error}");
        Failure::new(exit::INPUT_OUTPUT, what, "check the limits of processes and open files")
    })
}
