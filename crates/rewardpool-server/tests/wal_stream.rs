//! Goal: a subscriber gets every durable record once and in order, can go on after a break, learns
//! what is gone, and what it was sent is what the stopped log holds. Method: the real program as the
//! service and as `wal tail`, under load, with small segments.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rewardpool_load::service::Process;
use rewardpool_proto::v1::pool_admin_client::PoolAdminClient;
use rewardpool_proto::v1::reward_pool_client::RewardPoolClient;
use rewardpool_proto::v1::subscribe_response::Part;
use rewardpool_proto::v1::wal_stream_client::WalStreamClient;
use rewardpool_proto::v1::{
    BatchPart, DrawRequest, GetStatusRequest, SubscribeRequest, SubscribeResponse,
    TakeSnapshotRequest,
};
use tempfile::TempDir;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;

const PATIENCE: Duration = Duration::from_secs(30);

/// A directory, and the service on it while it runs.
struct Place {
    directory: TempDir,
    process: Option<Process>,
}

impl Place {
    fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let config = "pool:
  catalog:
    - { item_id: gold, quantity: 4000, weight: 1 }
    - { item_id: silver, quantity: -1, weight: 2 }
wal: { max_file_size_kb: 64 }
log: { level: info, format: json }
drain_timeout: 100ms
";
        fs::write(directory.path().join("config.yaml"), config).unwrap();
        let mut place = Self { directory, process: None };
        place.start_again();
        place
    }

    fn start_again(&mut self) {
        let mut command = rewardpool(&["serve", "--until-stdin-ends", "--listen", "127.0.0.1:0"]);
        command.arg("--config").arg(self.directory.path().join("config.yaml"));
        command.arg("--working-dir").arg(self.data());
        self.process = Some(Process::start(command).unwrap());
    }

    fn stop(&mut self) {
        self.process = None;
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn address(&self) -> &str {
        self.process.as_ref().unwrap().address()
    }

    async fn channel(&self) -> Channel {
        Channel::from_shared(self.address().to_owned()).unwrap().connect().await.unwrap()
    }

    async fn draw(&self, count: i32, times: usize) {
        let mut client = RewardPoolClient::new(self.channel().await);
        for _ in 0..times {
            client.draw(DrawRequest { count, ..Default::default() }).await.unwrap();
        }
    }

    async fn take_snapshot(&self) {
        let mut client = PoolAdminClient::new(self.channel().await);
        client.take_snapshot(TakeSnapshotRequest {}).await.unwrap();
    }

    async fn durable_lsn(&self) -> u64 {
        let mut client = PoolAdminClient::new(self.channel().await);
        client.get_status(GetStatusRequest {}).await.unwrap().into_inner().durable_lsn
    }

    async fn subscribe(
        &self,
        request: SubscribeRequest,
    ) -> Result<Streaming<SubscribeResponse>, Status> {
        let mut client = WalStreamClient::new(self.channel().await);
        client.subscribe(request).await.map(tonic::Response::into_inner)
    }

    fn tail(&self, arguments: &[&str]) -> Command {
        let mut command = rewardpool(&["wal", "tail"]);
        command.args(["--addr", self.address()]).args(arguments);
        command
    }

    /// What the log of the stopped service holds.
    fn cat(&self) -> Vec<String> {
        let mut command = rewardpool(&["wal", "cat", "--dir"]);
        lines(&command.arg(self.data()).output().unwrap())
    }
}

fn rewardpool(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rewardpool"));
    command.args(arguments).env_remove("REWARDPOOL_ADDR").stdin(Stdio::null());
    command
}

#[track_caller]
fn lines(output: &Output) -> Vec<String> {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap().lines().map(str::to_owned).collect()
}

/// A program that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Waits until the file has so many lines.
fn wait_for_lines(file: &Path, count: usize) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = fs::read_to_string(file).unwrap();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let found: Vec<String> = whole.lines().map(str::to_owned).collect();
        if found.len() >= count {
            return found;
        }
        assert!(Instant::now() < deadline, "{} of {count} lines came", found.len());
        std::thread::sleep(Duration::from_millis(5));
    }
}

async fn batches(mut stream: Streaming<SubscribeResponse>) -> (Vec<BatchPart>, Option<Status>) {
    let mut found = Vec::new();
    loop {
        let next = tokio::time::timeout(PATIENCE, stream.message()).await.unwrap();
        match next {
            Ok(Some(message)) => {
                if let Some(Part::Batch(batch)) = message.part {
                    let end = batch.first_lsn + u64::from(batch.count) - 1;
                    assert!(end <= message.durable_lsn, "only what is durable leaves");
                    found.push(batch);
                }
            }
            Ok(None) => return (found, None),
            Err(status) => return (found, Some(status)),
        }
    }
}

fn request(from_lsn: u64) -> SubscribeRequest {
    SubscribeRequest { from_lsn, follow: false, snapshot: false, copy: false }
}

#[tokio::test]
async fn a_tail_prints_what_the_stopped_log_holds() {
    let mut place = Place::start();
    let printed = place.directory.path().join("tail.jsonl");
    let output = fs::File::create(&printed).unwrap();
    let tail = place.tail(&["--follow", "--from", "1"]).stdout(output).spawn().unwrap();
    let tail = Running(tail);
    for _ in 0..4 {
        place.draw(1, 40).await;
        place.draw(1000, 30).await;
        place.take_snapshot().await;
    }
    place.draw(2, 30).await;
    let durable = place.durable_lsn().await;
    let followed = wait_for_lines(&printed, usize::try_from(durable).unwrap());
    drop(tail);
    // From the middle: what is asked for and nothing before it.
    let from = durable - 20;
    let tail = lines(&place.tail(&["--from", &from.to_string()]).output().unwrap());
    let last = lines(&place.tail(&["-n", "9"]).output().unwrap());
    let gone = place.tail(&["--from", "1"]).output().unwrap();
    assert_eq!(gone.status.code(), Some(1), "{gone:?}");
    assert!(String::from_utf8(gone.stderr).unwrap().contains("LSN 1 is gone"));
    place.stop();
    let kept = place.cat();
    let place_of = |lsn: u64| usize::try_from(lsn - 1).unwrap();
    assert!(kept.len() < followed.len(), "the beginning of the log was removed");
    let common = followed.iter().position(|line| *line == kept[0]).unwrap();
    assert!(kept.starts_with(&followed[common..]), "what was followed is what is kept");
    assert_eq!(tail[..21], followed[place_of(from)..=place_of(durable)]);
    assert!(last.len() >= 9 && kept.iter().any(|line| *line == last[0]));
    for (line, lsn) in followed.iter().zip(1_u64..) {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(record["lsn"], lsn, "{line}");
    }
}

#[tokio::test]
async fn a_stream_goes_on_where_it_was_cut_off() {
    let mut place = Place::start();
    place.draw(7, 100).await;
    let mut whole: Vec<BatchPart> = Vec::new();
    for _ in 0..3 {
        let from = whole.last().map_or(1, |batch| batch.first_lsn + u64::from(batch.count));
        let stream = place.subscribe(SubscribeRequest { follow: true, ..request(from) }).await;
        let stop = async {
            place.draw(3, 50).await;
            place.stop();
        };
        let (found, ()) = tokio::join!(batches(stream.unwrap()), stop);
        let (found, status) = found;
        // The connection ends with the service, or the stream says so before.
        assert_ne!(status.map(|status| status.code()), Some(Code::DataLoss));
        whole.extend(found);
        place.start_again();
    }
    let stream = place.subscribe(SubscribeRequest { snapshot: true, ..request(1) }).await;
    let (rest, status) = batches(stream.unwrap()).await;
    assert!(status.is_none(), "{status:?}");
    let common = whole.iter().position(|batch| *batch == rest[0]).unwrap();
    assert!(rest.len() > whole.len() - common, "the last start wrote something, too");
    assert!(rest.starts_with(&whole[common..]), "a gap, or a batch twice");
    let mut next = 1;
    for batch in &whole {
        assert_eq!(batch.first_lsn, next);
        next += u64::from(batch.count);
    }
}

#[tokio::test]
async fn what_is_gone_or_not_yet_there_is_told() {
    let place = Place::start();
    for _ in 0..4 {
        place.draw(5000, 20).await;
        place.take_snapshot().await;
    }
    let gone = place.subscribe(request(1)).await.unwrap_err();
    assert_eq!(gone.code(), Code::OutOfRange);
    assert_eq!(gone.get_error_details().error_info().unwrap().reason, "GONE");
    assert!(gone.message().contains("begin with a snapshot"), "{gone}");
    let early = place.subscribe(request(place.durable_lsn().await + 1000)).await.unwrap_err();
    assert_eq!(early.code(), Code::OutOfRange);
    assert_eq!(early.get_error_details().error_info().unwrap().reason, "NEVER_WRITTEN");
    // With a snapshot it begins with the newest one, and is complete from there.
    let stream = place.subscribe(SubscribeRequest { snapshot: true, ..request(1) }).await.unwrap();
    let mut stream = stream;
    let first = stream.message().await.unwrap().unwrap();
    let Some(Part::Snapshot(snapshot)) = first.part else { panic!("{first:?}") };
    assert_eq!(snapshot.data.len() as u64, snapshot.file_bytes);
    let (found, status) = batches(stream).await;
    assert!(status.is_none(), "{status:?}");
    assert_eq!(found[0].first_lsn, snapshot.lsn + 1);
}

#[tokio::test]
async fn subscribers_that_do_not_read_hold_nobody_up() {
    let place = Place::start();
    let mut stuck = Vec::new();
    for _ in 0..8 {
        let request = SubscribeRequest { follow: true, ..request(1) };
        stuck.push(place.subscribe(request).await.unwrap());
    }
    place.draw(10_000, 60).await;
    place.take_snapshot().await;
    // They were not forgotten either: each still gets everything.
    let durable = place.durable_lsn().await;
    for mut stream in stuck {
        let mut next = 1;
        while next <= durable {
            let message = tokio::time::timeout(PATIENCE, stream.message()).await.unwrap();
            let Some(Part::Batch(batch)) = message.unwrap().unwrap().part else {
                panic!("a batch")
            };
            assert_eq!(batch.first_lsn, next);
            next += u64::from(batch.count);
        }
    }
}
