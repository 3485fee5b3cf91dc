//! Single calls: one task for each request in flight.
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Instant;

use rewardpool_client::Authorized;
use tonic::Request;
use tonic::client::Grpc;

use super::client::{Client, reason};
use super::codec::Told;
use super::schedule::Next;

/// Calls one after another until the run is over or the connection breaks.
pub(super) async fn run(client: Arc<Client>, slot: usize, channel: Authorized) {
    let mut grpc = Grpc::new(channel);
    let mut now = client.begun;
    while let Some(since) = next(&client, slot, now).await {
        if grpc.ready().await.is_err() {
            client.count(Instant::now(), |tally| tally.fail("UNAVAILABLE", 1));
            return;
        }
        let answer = grpc.unary(Request::new(client.ask()), client.path(), client.codec()).await;
        now = Instant::now();
        match answer {
            Ok(answer) => {
                let told: Told = answer.into_inner();
                client.count(now, |tally| {
                    tally.draws += u64::from(told.draws);
                    tally.empties += u64::from(told.empties);
                    if told.draws == u32::from(client.plan.count) {
                        tally.requests += 1;
                        tally.latency.record(now - since, 1);
                    } else {
                        tally.fail("WRONG_COUNT", 1);
                    }
                });
            }
            Err(status) => {
                let (reason, is_decided) = reason(&status);
                client.count(now, |tally| tally.fail(&reason, 1));
                if !is_decided || reason == "STOPPING" {
                    return;
                }
            }
        }
    }
}

/// Waits until the next request may be sent, and gives the moment from which its latency counts;
/// `None` when the run is over. `now` is the moment of the last answer.
async fn next(client: &Client, slot: usize, now: Instant) -> Option<Instant> {
    let Some(schedule) = &client.schedule else {
        return (!client.is_over(now)).then_some(now);
    };
    match poll_fn(|context| schedule.poll_next(slot, context)).await {
        Next::Due(moment) => {
            let now = Instant::now();
            client.count(now, |tally| tally.send_delay.record(now - moment, 1));
            Some(moment)
        }
        Next::Over => None,
    }
}
