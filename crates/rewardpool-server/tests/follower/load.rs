//! Clients that draw as fast as they are answered, whatever becomes of the service, and remember what they
//! were told.
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rewardpool_proto::v1::DrawRequest;
use rewardpool_proto::v1::reward_pool_client::RewardPoolClient;
use tonic::transport::{Channel, Endpoint};

const CLIENTS: u64 = 8;

/// An answer: the key of the draw, its request id, and what it won.
pub(crate) type Told = (String, u64, Vec<String>);

/// Ends when it is dropped.
pub(crate) struct Load {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    answered: AtomicU64,
    told: Mutex<Vec<Told>>,
}

impl Load {
    pub(crate) fn on(address: &str, prefix: &str) -> Self {
        let shared = Arc::new(Shared::default());
        let channel = Endpoint::from_shared(address.to_owned()).unwrap().connect_lazy();
        let (prefix, clients) = (prefix.to_owned(), Arc::clone(&shared));
        let draw = move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let _entered = runtime.enter();
            runtime.block_on(async {
                let clients: Vec<_> = (0..CLIENTS)
                    .map(|client| {
                        let key = format!("{prefix}-{client}");
                        tokio::spawn(draw_until_over(channel.clone(), key, Arc::clone(&clients)))
                    })
                    .collect();
                for client in clients {
                    client.await.unwrap();
                }
            });
        };
        // A channel belongs to the runtime that it is first used on.
        let thread = thread::Builder::new().name("load".to_owned()).spawn(draw);
        let thread = Some(thread.unwrap());
        Self { shared, thread }
    }

    pub(crate) fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// What was told so far.
    pub(crate) fn told(&self) -> Vec<Told> {
        self.shared.told.lock().unwrap().clone()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let ended = self.thread.take().unwrap().join();
        if !thread::panicking() {
            ended.unwrap();
        }
    }
}

async fn draw_until_over(channel: Channel, prefix: String, shared: Arc<Shared>) {
    let mut client = RewardPoolClient::new(channel);
    let mut number = 0;
    while !shared.is_over.load(Ordering::Relaxed) {
        number += 1;
        let key = format!("{prefix}-{number}");
        let count = 1 + number % 3;
        let request = DrawRequest { count, idempotency_key: key.clone(), ..DrawRequest::default() };
        match client.draw(request).await {
            Ok(drawn) => {
                let drawn = drawn.into_inner();
                shared.answered.fetch_add(1, Ordering::Relaxed);
                let items = drawn.outcomes.iter().map(|outcome| format!("{outcome:?}")).collect();
                shared.told.lock().unwrap().push((key, drawn.first_request_id, items));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}
