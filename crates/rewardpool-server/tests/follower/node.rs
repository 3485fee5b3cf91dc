//! Processes that lead or follow, and what they have on disk.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rewardpool_engine::inspect;
use rewardpool_load::service::Process;
use rewardpool_proto::v1::pool_admin_client::PoolAdminClient;
use rewardpool_proto::v1::reward_pool_client::RewardPoolClient;
use rewardpool_proto::v1::{
    Freshness, GetStateRequest, GetStateResponse, GetStatusRequest, GetStatusResponse,
};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

const CONFIG: &str = "
pool:
  catalog:
    - { item_id: gold, quantity: 4000, weight: 1 }
    - { item_id: silver, quantity: -1, weight: 2 }
    - { item_id: nothing, quantity: -1, weight: 7 }
wal: { max_file_size_kb: 64 }
log: { level: info, format: json }
drain_timeout: 100ms
";

/// A service, its directory, and where it listens in all its lives.
pub(crate) struct Node {
    home: PathBuf,
    pub(crate) data: PathBuf,
    leader: Option<String>,
    listen: String,
    process: Option<Process>,
}

impl Node {
    fn new(home: &Path, name: &str, leader: Option<String>) -> Self {
        fs::write(home.join("config.yaml"), CONFIG).unwrap();
        let (data, listen) = (home.join(name), "127.0.0.1:0".to_owned());
        Self { home: home.to_owned(), data, leader, listen, process: None }
    }

    pub(crate) fn lead(home: &Path, name: &str) -> Self {
        let mut node = Self::new(home, name, None);
        node.start();
        node
    }

    pub(crate) fn follow(home: &Path, name: &str, leader: &str) -> Self {
        let mut node = Self::new(home, name, Some(leader.to_owned()));
        node.start();
        node
    }

    /// One that was not started, and has its directory there.
    pub(crate) fn follower_in(home: &Path, data: &Path, leader: &str) -> Self {
        let mut node = Self::new(home, "", Some(leader.to_owned()));
        data.clone_into(&mut node.data);
        node
    }

    /// From its next start on it follows this one.
    pub(crate) fn will_follow(&mut self, leader: &str) {
        self.leader = Some(leader.to_owned());
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rewardpool"));
        match &self.leader {
            None => command.arg("serve").arg("--working-dir").arg(&self.data),
            Some(leader) => command.args(["follow", "--leader", leader, "--dir"]).arg(&self.data),
        };
        command.args(["--until-stdin-ends", "--listen", &self.listen]);
        command.arg("--config").arg(self.home.join("config.yaml"));
        command
    }

    #[track_caller]
    pub(crate) fn start(&mut self) {
        let process = Process::start(self.command()).unwrap();
        process.address().strip_prefix("http://").unwrap().clone_into(&mut self.listen);
        self.process = Some(process);
    }

    /// Runs it to its end, which comes by itself.
    pub(crate) fn run(&self) -> Output {
        run_to_its_end(self.command())
    }

    pub(crate) fn stop(&mut self) {
        self.process = None;
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.as_ref().unwrap().id()
    }

    pub(crate) fn kill(&mut self) {
        let id = self.id().to_string();
        assert!(Command::new("kill").args(["-9", &id]).status().unwrap().success());
        self.process = None;
    }

    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.listen)
    }

    pub(crate) fn channel(&self) -> Channel {
        Endpoint::from_shared(self.address()).unwrap().connect_lazy()
    }

    pub(crate) async fn status(&self) -> Result<GetStatusResponse, Status> {
        let mut client = PoolAdminClient::new(self.channel());
        Ok(client.get_status(GetStatusRequest {}).await?.into_inner())
    }

    pub(crate) async fn state(&self) -> Result<GetStateResponse, Status> {
        let mut client = RewardPoolClient::new(self.channel());
        Ok(client.get_state(GetStateRequest::default()).await?.into_inner())
    }

    pub(crate) async fn lsn(&self) -> u64 {
        self.status().await.map_or(0, |status| status.durable_lsn)
    }

    pub(crate) async fn freshness(&self) -> Option<Freshness> {
        self.status().await.ok()?.replication?.freshness
    }
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < PATIENCE, "{what} does not come");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until the follower has everything, which it can have when nobody draws.
pub(crate) async fn until_equal(leader: &Node, follower: &Node) -> u64 {
    let mut equal = 0;
    until("the end of the leader's log", async || {
        let (theirs, ours) = (leader.lsn().await, follower.lsn().await);
        equal = ours;
        // The leader writes a marker when it has nothing to do.
        sleep(Duration::from_millis(20));
        theirs == ours && ours > 0 && leader.lsn().await == ours
    })
    .await;
    equal
}

/// Every byte that the follower's directory has written is one of the leader's (I14). Both are stopped.
/// Gives the number of bytes.
#[track_caller]
pub(crate) fn assert_prefix(leader: &Path, follower: &Path) -> usize {
    let mut compared = 0;
    for segment in inspect::segments(follower).unwrap() {
        // Each removes old segments in its own time.
        let Ok(theirs) = fs::read(leader.join(&segment.name)) else { continue };
        let ours = fs::read(follower.join(&segment.name)).unwrap();
        let used = usize::try_from(segment.used_bytes).unwrap();
        assert!(ours[..used] == theirs[..used], "{} differs", segment.name);
        compared += used;
    }
    assert!(compared > 0, "the two have no segment in common");
    compared
}

/// Both directories hold the same state at the same LSN. Both are stopped.
#[track_caller]
pub(crate) fn assert_same_state(leader: &Path, follower: &Path) -> u64 {
    let (theirs, ours) = (inspect::verify(leader).unwrap(), inspect::verify(follower).unwrap());
    assert_eq!(theirs.last_lsn, ours.last_lsn);
    assert_eq!(
        theirs.state_sha256, ours.state_sha256,
        "the states differ at LSN {}",
        ours.last_lsn
    );
    ours.last_lsn
}

/// Runs a service that ends by itself; its standard input stays open meanwhile.
pub(crate) fn run_to_its_end(mut command: Command) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let open = child.stdin.take();
    let output = child.wait_with_output().unwrap();
    drop(open);
    output
}

pub(crate) fn rewardpool(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rewardpool"));
    command.args(arguments).env_remove("REWARDPOOL_ADDR").stdin(Stdio::null());
    command.output().unwrap()
}
