//! What stands between the service and those who ask: encryption, and who may do what. Both come
//! from files, which are read again when they change.
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use crate::auth::{Auth, AuthError};
use crate::config::Config;
use crate::listen::tls::{Tls, TlsError};

/// How often it is looked whether the files changed.
const REFRESH_EVERY: Duration = Duration::from_secs(1);

/// Why the service is not as safe as it shall be, and does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecurityError {
    /// The tokens file cannot be used.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Encryption and permissions, as far as they are configured.
#[derive(Clone, Default)]
pub(crate) struct Security {
    pub(crate) auth: Option<Arc<Auth>>,
    pub(crate) tls: Option<Arc<Tls>>,
}

/// Ends the thread that looks after the files when it is dropped.
pub(crate) struct Refreshing(#[expect(dead_code, reason = "held, not used")] SyncSender<()>);

impl Security {
    /// Reads the files.
    pub(crate) fn open(config: &Config) -> Result<Self, SecurityError> {
        let tls = config.grpc.tls.as_ref().filter(|_| config.grpc.enabled);
        let tls = tls.map(Tls::open).transpose()?.map(Arc::new);
        Ok(Self { auth: Auth::open(&config.auth)?, tls })
    }

    /// Reads files again when they change, on a thread of its own because the disk may be slow.
    pub(crate) fn refresh_files(&self) -> io::Result<Refreshing> {
        let (ending, ended) = sync_channel(0);
        let Self { auth, tls } = self.clone();
        // The lines of this thread go where those of the service go.
        let dispatch = tracing::dispatcher::get_default(Clone::clone);
        let refresh = move || {
            let _guard = tracing::dispatcher::set_default(&dispatch);
            while ended.recv_timeout(REFRESH_EVERY) == Err(RecvTimeoutError::Timeout) {
                if let Some(auth) = &auth {
                    auth.refresh();
                }
                if let Some(tls) = &tls {
                    tls.refresh();
                }
            }
        };
        // Nobody waits for this thread: it ends with the service.
        drop(thread::Builder::new().name("files".to_owned()).spawn(refresh)?);
        Ok(Refreshing(ending))
    }
}
