//! The load under which faults happen: clients that draw one by one, on a stream and without keys,
//! change the catalogue and read, until their connection breaks.
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use rewardpool_proto::v1::PoolStatus;
use tokio::task::JoinHandle;

use crate::client::{Client, DrawOp};
use crate::dice::Dice;
use crate::service::Setup;

/// Requests that are in flight on the stream.
const IN_FLIGHT: usize = 16;

/// Clients at work. Each gives the draws whose outcome it does not know when its connection breaks.
pub(crate) type Clients = Vec<JoinHandle<Vec<DrawOp>>>;

/// Puts four clients to work.
pub(crate) async fn begin(
    setup: &Setup,
    address: &str,
    round: u64,
    acknowledged: &Arc<AtomicU64>,
    dice: &mut Dice,
) -> Result<Clients, tonic::transport::Error> {
    let mut tasks = Vec::new();
    for number in 0..4 {
        let client = Client::connect(address, &setup.recorder, number).await?;
        let client = client.counting(acknowledged);
        let (prefix, dice) = (format!("{round}-{number}"), dice.split());
        tasks.push(tokio::spawn(async move {
            let load = Load { client, prefix, serial: 0, dice };
            match number {
                0 => load.draw_one_by_one().await,
                1 => load.draw_on_a_stream().await,
                2 => load.draw_without_keys().await,
                _ => load.change_and_read().await,
            }
        }));
    }
    Ok(tasks)
}

/// Asks for what nobody knows the outcome of, by the search for it or by a retry, and once more.
pub(crate) async fn ask_again(setup: &Setup, address: &str, unknown: Vec<DrawOp>, dice: &mut Dice) {
    let mut client = Client::connect(address, &setup.recorder, 9).await.unwrap();
    for draw in unknown.iter().filter(|draw| draw.is_keyed) {
        if dice.percent(30) {
            let op = format!("find-{}", draw.op);
            client.find_draw(&op, &draw.pool, &draw.op).await;
        }
        client.draw(draw).await;
        if dice.percent(30) {
            client.draw(draw).await;
        }
    }
}

/// One client at work, until the connection breaks.
struct Load {
    client: Client,
    prefix: String,
    serial: u64,
    dice: Dice,
}

impl Load {
    fn op(&mut self) -> String {
        self.serial += 1;
        format!("{}-{}", self.prefix, self.serial)
    }

    fn next_draw(&mut self) -> DrawOp {
        let count = match self.dice.below(20) {
            0 => 20 + self.dice.below(60),
            _ => 1 + self.dice.below(8),
        };
        let pool = if self.dice.percent(15) { "spare" } else { "main" };
        let draw = DrawOp::keyed(self.op(), pool, u32::try_from(count).unwrap());
        DrawOp { all_or_nothing: self.dice.percent(10), ..draw }
    }

    async fn draw_one_by_one(mut self) -> Vec<DrawOp> {
        loop {
            let draw = self.next_draw();
            if self.client.draw(&draw).await.is_unknown() {
                return vec![draw];
            }
            // A retry that nobody needs.
            if self.dice.percent(3) && self.client.draw(&draw).await.is_unknown() {
                return vec![draw];
            }
        }
    }

    async fn draw_on_a_stream(mut self) -> Vec<DrawOp> {
        loop {
            let mut left = 50 + self.dice.below(500);
            let mut client = self.client.clone();
            let next = || {
                left = left.checked_sub(1)?;
                Some(self.next_draw())
            };
            let unknown = client.draw_stream(IN_FLIGHT, next).await;
            if !unknown.is_empty() {
                return unknown;
            }
        }
    }

    async fn draw_without_keys(mut self) -> Vec<DrawOp> {
        loop {
            let draw = DrawOp { is_keyed: false, ..self.next_draw() };
            if self.client.draw(&draw).await.is_unknown() {
                return vec![draw];
            }
        }
    }

    async fn change_and_read(mut self) -> Vec<DrawOp> {
        let (mut drawn, mut added): (Vec<DrawOp>, Vec<String>) = Default::default();
        loop {
            let (op, choice) = (self.op(), self.dice.below(100));
            let client = &mut self.client;
            let told = match choice {
                0..40 => {
                    let pool = *self.dice.one_of(&["main", "spare"]);
                    client.read_pool(&op, pool).await
                }
                40..60 => {
                    let units = i64::try_from(self.dice.below(40)).unwrap() - 8;
                    let item = *self.dice.one_of(&["ticket", "coupon"]);
                    client.add_units(&op, "spare", item, units).await
                }
                60..66 => {
                    let weight = 5 + self.dice.below(60);
                    client.update_item(&op, "main", "silver", None, Some(weight)).await
                }
                66 => {
                    let item = format!("item {op}");
                    let told = client.add_item(&op, "spare", &item, (3, 5)).await;
                    added.push(item);
                    told
                }
                67 if !added.is_empty() => {
                    let item = added.swap_remove(0);
                    client.retire_item(&op, "spare", &item).await
                }
                68..76 => {
                    let status = *self.dice.one_of(&[PoolStatus::Paused, PoolStatus::Active]);
                    client.set_status(&op, "spare", status).await
                }
                76..82 => client.take_snapshot(&op).await,
                82..90 if !drawn.is_empty() => {
                    let draw = self.dice.one_of(&drawn);
                    client.find_draw(&op, &draw.pool, &draw.op).await
                }
                _ => {
                    let draw = self.next_draw();
                    let told = self.client.draw(&draw).await;
                    if told.is_unknown() {
                        return vec![draw];
                    }
                    drawn.push(draw);
                    told
                }
            };
            if told.is_unknown() {
                return Vec::new();
            }
        }
    }
}

/// Two pools: one with plenty, one that runs out. Segments are as small as they may be.
pub(crate) fn config(format: &str, storage: &str) -> String {
    format!(
        "pools:
  - id: main
    catalog:
      - {{ item_id: diamond, quantity: 50, weight: 10 }}
      - {{ item_id: gold, quantity: 5000, weight: 20 }}
      - {{ item_id: silver, quantity: 1000000, weight: 30 }}
      - {{ item_id: mud, quantity: -1, weight: 40 }}
  - id: spare
    catalog:
      - {{ item_id: ticket, quantity: 300, weight: 1 }}
      - {{ item_id: coupon, quantity: 500, weight: 3 }}
wal: {{ max_file_size_kb: 64, formatter: {format}, storage: {storage} }}
log: {{ format: json }}
"
    )
}
