//! Goal: a client that pipelines as much as the window of a stream takes is no attacker, also while its
//! draws have to wait. Method: one stream with many small frames, each for many draws, and nothing is
//! read before all are sent.
use std::time::Duration;

use prost::Message as _;
use rewardpool_proto::v1::reward_pool_client::RewardPoolClient;
use rewardpool_proto::v1::{DrawRequest, GetStateRequest};
use tonic::transport::Channel;

use crate::honest::{CONFIG, Ground};
use crate::wire::{
    DATA, DRAW_STREAM, END_STREAM, INITIAL_WINDOW, WINDOW_UPDATE, Wire, frame, message, open,
};

/// More than the service decides at once.
const REQUESTS: usize = 1500;
const DRAWS: i32 = 1000;
const DRAWN: u64 = 1_500_000;
const PATIENCE: Duration = Duration::from_mins(1);
/// Room for all answers.
const WINDOW: u32 = 1 << 30;

#[test]
fn requests_that_wait_do_not_end_their_connection() {
    let ground = Ground::prepare(CONFIG);
    let request = DrawRequest { pool: "main".into(), count: DRAWS, ..DrawRequest::default() };
    let request = message(0, &request.encode_to_vec());
    let mut bytes = frame(WINDOW_UPDATE, 0, 0, &WINDOW.to_be_bytes());
    bytes.extend(open(DRAW_STREAM, 1));
    for _ in 0..REQUESTS {
        bytes.extend(frame(DATA, 0, 1, &request));
    }
    bytes.extend(frame(DATA, END_STREAM, 1, &[]));
    let seen = ground.runtime.block_on(async {
        let address = ground.address();
        let mut wire = Wire::greeted_with(address, &[(INITIAL_WINDOW, WINDOW)]).await.unwrap();
        wire.send(&bytes).await.unwrap();
        wire.read_until(PATIENCE, |seen| seen.ended == 1 || seen.closed).await
    });
    assert_eq!((seen.ended, seen.closed), (1, false), "{seen:?}");
    assert_eq!((seen.resets, seen.goaways), (vec![], vec![]));
    let state = ground.runtime.block_on(async {
        let endpoint = Channel::from_shared(format!("http://{}", ground.address())).unwrap();
        let mut client = RewardPoolClient::new(endpoint.connect().await.unwrap());
        client.get_state(GetStateRequest { pool: "main".into(), ..Default::default() }).await
    });
    assert_eq!(state.unwrap().into_inner().draws, DRAWN);
    ground.end();
}
