//! Goal: a person or a script that uses the program gets the right output, exit code and advice.
//! Method: the real program is run, against files, against nothing, and against a service inside
//! this process whose answers are fixed.
#![expect(clippy::unwrap_used, reason = "a test may end by it, in its own functions too")]

use std::fs;
use std::io::{self, Read as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rewardpool_proto::v1::pool_admin_server::{PoolAdmin, PoolAdminServer};
use rewardpool_proto::v1::reward_pool_server::{RewardPool, RewardPoolServer};
use rewardpool_proto::v1::*;
use serde_json::{Value, json};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt as _};

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rewardpool"));
    command.args(arguments).stdin(Stdio::null());
    for variable in ["REWARDPOOL_ADDR", "REWARDPOOL_POOL", "REWARDPOOL_TIMEOUT", "COLUMNS"] {
        command.env_remove(variable);
    }
    command
}

/// What a run of the program left behind.
#[derive(Debug)]
struct Run {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Run {
    fn new(output: Output) -> Self {
        Self {
            code: output.status.code().expect("the program is not killed"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        assert_eq!(self.stderr.is_empty(), code == 0, "{self:?}");
        self
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).expect("stdout is one JSON value")
    }
}

fn run(arguments: &[&str]) -> Run {
    Run::new(command(arguments).output().unwrap())
}

fn configs(name: &str) -> String {
    format!("{}/tests/configs/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn path_text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// All commands, those of groups included.
const COMMANDS: &[&str] = &[
    "",
    "serve",
    "follow",
    "promote",
    "tui",
    "draw",
    "state",
    "update",
    "pool",
    "pool ls",
    "pool create",
    "pool add-item",
    "pool retire-item",
    "pool pause",
    "pool resume",
    "pool close",
    "snapshot",
    "snapshot take",
    "snapshot ls",
    "snapshot show",
    "status",
    "wal",
    "wal ls",
    "wal cat",
    "wal tail",
    "wal verify",
    "verify",
    "backup",
    "restore",
    "health",
    "config",
    "config init",
    "config check",
    "config diff",
    "simulate",
    "token",
    "token new",
    "token ls",
    "token revoke",
    "bench",
    "bench engine",
    "bench grpc",
    "bench recovery",
    "bench compare",
    "completions",
    "man",
];

fn words<'a>(command: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    command.split_whitespace().chain(more.iter().copied()).collect()
}

#[test]
fn the_help_of_every_command_has_an_example_of_it() {
    for command in COMMANDS {
        for flag in ["--help", "-h"] {
            let help = run(&words(command, &[flag])).expect(0).stdout;
            let (_, examples) = help.split_once("Example").expect(command);
            let last = command.split_whitespace().last().unwrap_or("rewardpool");
            assert!(examples.contains(last), "{command}: {help}");
        }
    }
}

/// A command that is added without an example must not escape the test above.
#[test]
fn every_listed_command_is_known_here() {
    for group in COMMANDS {
        let help = run(&words(group, &["-h"])).stdout;
        let Some((_, rest)) = help.split_once("Commands:\n") else { continue };
        for line in rest.lines().take_while(|line| !line.is_empty()) {
            let name = line.split_whitespace().next().unwrap();
            let full = format!("{group} {name}");
            assert!(name == "help" || COMMANDS.contains(&full.trim()), "{full}");
        }
    }
}

#[test]
fn the_version_is_printed() {
    let version = run(&["--version"]).expect(0).stdout;
    assert_eq!(version, format!("rewardpool {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_usage_is_64() {
    let wrong: &[&[&str]] = &[
        &["sell"],
        &["draw", "-n", "0"],
        &["draw", "-n", "10001"],
        &["draw", "-n", "-1"],
        &["draw", "--key", ""],
        &["draw", "--colour"],
        &["draw", "-o", "xml"],
        &["draw", "--addr", "https://a"],
        &["draw", "--client-key", "k"],
        &["token"],
        &["token", "new", "--name", "a"],
        &["token", "new", "--name", "a b", "--role", "admin"],
        &["token", "new", "--name", "a", "--role", "king"],
        &["token", "new", "--name", "a", "--role", "admin", "--expires", "soon"],
        &["token", "revoke"],
        &["update", "gold"],
        &["update", "--weight", "1"],
        &["update", "gold", "--weight", "-1"],
        &["update", "gold", "--weight", "9223372036854775808"],
        &["update", "gold", "--quantity", "many"],
        &["update", "gold", "--quantity", "+1", "--expected-version", "3"],
        &["pool"],
        &["pool", "close"],
        &["pool", "add-item", "gold", "--quantity", "-1", "--weight", "1"],
        &["wal", "cat", "three"],
        &["serve", "--listen", "nowhere"],
        &["state", "--dir", ".", "--addr", "http://127.0.0.1:1"],
    ];
    for arguments in wrong {
        let run = run(arguments).expect(64);
        assert!(run.stdout.is_empty(), "{run:?}");
        let is_told = run.stderr.starts_with("error: ") || run.stderr.contains("Usage: ");
        assert!(is_told, "{run:?}");
    }
}

#[test]
fn a_right_configuration_is_told_in_numbers() {
    let file = configs("valid/seed.yaml");
    let table = run(&["config", "check", &file]).expect(0).stdout;
    let row = table.lines().last().unwrap();
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(cells, ["default", "6", "111100", "2", "220"]);
    let value = run(&["config", "check", &file, "-o", "json"]).expect(0).json();
    assert_eq!(value["max_file_size_kb"], 512);
    let pool = json!({
        "id": "default", "item_count": 6, "units": 111_100, "unlimited_items": 2,
        "total_weight": 220,
    });
    assert_eq!(value["pools"], json!([pool]));
}

#[test]
fn a_wrong_configuration_is_78_with_line_and_column() {
    let file = configs("invalid/numbers.yaml");
    for arguments in [
        &["config", "check", &file][..],
        &["serve", "--config", &file],
        &["pool", "create", "--file", &file],
    ] {
        let run = run(arguments).expect(78);
        let place = format!("{file}:3:31: pool.catalog[0].quantity");
        assert!(run.stderr.starts_with(&place), "{run:?}");
        assert!(run.stderr.contains("15 faults\nhint: "), "{run:?}");
    }
    run(&["config", "check", "no/such/file.yaml"]).expect(78);
}

#[test]
fn a_new_configuration_is_right_and_never_overwrites() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new.yaml");
    let file = path_text(&path);
    run(&["config", "init", file]).expect(0);
    run(&["config", "check", file]).expect(0);
    fs::write(&path, "mine").unwrap();
    let again = run(&["config", "init", file]).expect(74);
    assert!(again.stderr.contains("\nhint: "), "{again:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
}

#[test]
fn the_default_name_is_in_the_current_directory() {
    let directory = tempfile::tempdir().unwrap();
    let output = command(&["config", "init"]).current_dir(&directory).output().unwrap();
    let run = Run::new(output).expect(0);
    assert!(run.stdout.contains("rewardpool serve --config rewardpool.yaml"), "{run:?}");
    assert!(directory.path().join("rewardpool.yaml").is_file());
}

#[test]
fn without_a_service_every_client_is_69_with_a_hint() {
    let seed = configs("valid/seed.yaml");
    let clients: &[&[&str]] = &[
        &["draw"],
        &["state"],
        &["update", "gold", "--quantity", "-5"],
        &["pool", "ls"],
        &["pool", "create", "--file", &seed],
        &["pool", "add-item", "gold", "--quantity", "5", "--weight", "1"],
        &["pool", "retire-item", "gold"],
        &["pool", "pause"],
        &["pool", "resume"],
        &["pool", "close", "summer"],
        &["snapshot", "take"],
        &["status"],
    ];
    // Nobody else gets the port while it is bound, and nobody answers there.
    let bound = silent_socket();
    let address = bound.local_addr().unwrap().to_string();
    for arguments in clients {
        let run = Run::new(command(arguments).env("REWARDPOOL_ADDR", &address).output().unwrap());
        let run = run.expect(69);
        assert!(run.stdout.is_empty(), "{run:?}");
        let told = format!("error: no service answers at http://{address}: ");
        assert!(run.stderr.starts_with(&told), "{run:?}");
        assert!(run.stderr.contains("\nhint: start one with `rewardpool serve`"), "{run:?}");
    }
}

/// A bound socket that does not listen: connections to it are refused.
fn silent_socket() -> tokio::net::TcpSocket {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    socket
}

#[test]
fn a_directory_that_is_not_there_is_74() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    for arguments in
        ["state", "wal ls", "wal cat", "wal verify", "snapshot ls", "snapshot show", "verify"]
    {
        let run = run(&words(arguments, &["--dir", path_text(&missing)])).expect(74);
        assert!(run.stderr.contains("missing: "), "{run:?}");
        assert!(run.stderr.contains("--dir"), "{run:?}");
        assert!(!missing.exists(), "looking changes nothing");
    }
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly_as_sigpipe_does() {
    let file = configs("valid/seed.yaml");
    for arguments in [&["--help"][..], &["config", "check", &file], &["--version"]] {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let run = Run::new(command(arguments).stdout(writer).output().unwrap());
        assert_eq!((run.code, &*run.stderr), (141, ""), "{run:?}");
    }
}

#[test]
fn a_connection_that_breaks_is_69_and_leaves_the_outcome_open() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    for (arguments, advice) in [
        (&["draw"][..], "it may have been drawn"),
        (&["draw", "--key", "k"], "repeat it with the same --key"),
        (&["update", "gold", "--quantity", "+5"], "a change may have been made or not"),
    ] {
        let mut child = command(arguments)
            .env("REWARDPOOL_ADDR", &address)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut connection, _) = listener.accept().unwrap();
        // The preface of HTTP/2: the client believes that it is connected.
        connection.read_exact(&mut [0; 24]).unwrap();
        drop(connection);
        // A client that tries once more is left alone as well.
        listener.set_nonblocking(true).unwrap();
        while child.try_wait().unwrap().is_none() {
            drop(listener.accept());
            std::thread::yield_now();
        }
        listener.set_nonblocking(false).unwrap();
        let run = Run::new(child.wait_with_output().unwrap()).expect(69);
        assert!(run.stderr.contains(advice), "{run:?}");
    }
}

/// A service whose answers depend only on the request.
struct Fixed;

const VERSION: u64 = 7;

fn refusal(code: Code, reason: &str) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, "rewardpool", []);
    Status::with_error_details(code, format!("told as {reason}"), details)
}

/// The name of the pool chooses how the service refuses.
fn refuse_by_name(pool: &str) -> Result<(), Status> {
    match pool {
        "paused" => Err(refusal(Code::FailedPrecondition, "POOL_PAUSED")),
        "stopping" => Err(refusal(Code::Unavailable, "STOPPING")),
        "unknown-outcome" => Err(refusal(Code::Unavailable, "OUTCOME_UNKNOWN")),
        "slow" => Err(Status::deadline_exceeded("too slow")),
        "rude" => Err(Status::invalid_argument("\u{1b}[31mred")),
        _ => Ok(()),
    }
}

fn item(item_id: &str, quantity: i64) -> ItemState {
    ItemState {
        item_id: item_id.into(),
        weight: 1,
        quantity,
        awarded: 2,
        granted: if quantity < 0 { -1 } else { quantity + 2 },
        retired: false,
        drawable: true,
    }
}

#[tonic::async_trait]
impl RewardPool for Fixed {
    type DrawStreamStream = tokio_stream::Empty<Result<DrawStreamResponse, Status>>;
    type WatchStateStream = tokio_stream::Empty<Result<WatchStateResponse, Status>>;

    async fn draw(&self, request: Request<DrawRequest>) -> Result<Response<DrawResponse>, Status> {
        let request = request.into_inner();
        refuse_by_name(&request.pool)?;
        if request.mode() == DrawMode::AllOrNothing {
            return Err(refusal(Code::FailedPrecondition, "INSUFFICIENT_STOCK"));
        }
        let outcomes = (0..u32::try_from(request.count).unwrap()).map(|i| i % 3).collect();
        Ok(Response::new(DrawResponse {
            first_request_id: 41,
            item_ids: vec!["gold".into(), "rock".into()],
            outcomes,
            replayed: !request.idempotency_key.is_empty(),
        }))
    }

    async fn draw_stream(
        &self,
        _: Request<Streaming<DrawRequest>>,
    ) -> Result<Response<Self::DrawStreamStream>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn get_state(
        &self,
        request: Request<GetStateRequest>,
    ) -> Result<Response<GetStateResponse>, Status> {
        let request = request.into_inner();
        refuse_by_name(&request.pool)?;
        let (items, next_page_token) = match &*request.page_token {
            "" => (vec![item("gold", 3)], "second".to_owned()),
            _ => (vec![item("log", -1)], String::new()),
        };
        Ok(Response::new(GetStateResponse {
            pool: "default".into(),
            status: PoolStatus::Active.into(),
            lsn: 12,
            catalog_version: VERSION,
            last_request_id: 4,
            draws: 4,
            awards: 4,
            empties: 0,
            total_weight: 2,
            items,
            next_page_token,
            item_count: 2,
            freshness: None,
        }))
    }

    async fn list_pools(
        &self,
        request: Request<ListPoolsRequest>,
    ) -> Result<Response<ListPoolsResponse>, Status> {
        let (pool, next_page_token) = match &*request.into_inner().page_token {
            "" => ("spring", "second"),
            _ => ("autumn", ""),
        };
        let pools = vec![PoolSummary { pool: pool.into(), ..PoolSummary::default() }];
        let next_page_token = next_page_token.into();
        let pool_count = 2;
        Ok(Response::new(ListPoolsResponse { pools, next_page_token, pool_count, freshness: None }))
    }

    async fn get_draw(&self, _: Request<GetDrawRequest>) -> Result<Response<DrawResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn watch_state(
        &self,
        _: Request<WatchStateRequest>,
    ) -> Result<Response<Self::WatchStateStream>, Status> {
        Err(Status::unimplemented("not needed"))
    }
}

#[tonic::async_trait]
impl PoolAdmin for Fixed {
    type WatchLogStream = tokio_stream::Empty<Result<LogEvent, Status>>;

    async fn watch_log(
        &self,
        _: Request<WatchLogRequest>,
    ) -> Result<Response<Self::WatchLogStream>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    type BackupStream = tokio_stream::Empty<Result<BackupChunk, Status>>;

    async fn create_pool(
        &self,
        request: Request<CreatePoolRequest>,
    ) -> Result<Response<CreatePoolResponse>, Status> {
        let request = request.into_inner();
        if request.pool == "second" {
            return Err(refusal(Code::AlreadyExists, "POOL_EXISTS"));
        }
        assert_eq!(request.catalog[0].quantity, Some(-1));
        assert_eq!(request.key_limits.unwrap().window_ms, Some(86_400_000));
        Ok(Response::new(CreatePoolResponse { lsn: 1, catalog_version: 1 }))
    }

    async fn update_item(
        &self,
        request: Request<UpdateItemRequest>,
    ) -> Result<Response<UpdateItemResponse>, Status> {
        let request = request.into_inner();
        let added = match request.quantity {
            Some(update_item_request::Quantity::Add(units)) => units,
            Some(update_item_request::Quantity::Set(set)) if set.expected_version != VERSION => {
                return Err(refusal(Code::Aborted, "VERSION_MISMATCH"));
            }
            Some(update_item_request::Quantity::Set(set)) => 1000 + set.quantity.unwrap(),
            None => 0,
        };
        // What was asked for comes back as a number.
        let lsn = u64::try_from(5000 + added).unwrap() + request.weight.unwrap_or(0) * 10_000;
        Ok(Response::new(UpdateItemResponse { lsn, catalog_version: VERSION + 1 }))
    }

    async fn add_item(
        &self,
        request: Request<AddItemRequest>,
    ) -> Result<Response<AddItemResponse>, Status> {
        let request = request.into_inner();
        let item = request.item.unwrap();
        assert_eq!((item.quantity, item.weight), (Some(-1), Some(9)));
        assert_eq!((&*request.actor, &*request.reason), ("ann", "more"));
        Ok(Response::new(AddItemResponse { lsn: 3, catalog_version: 4 }))
    }

    async fn retire_item(
        &self,
        _: Request<RetireItemRequest>,
    ) -> Result<Response<RetireItemResponse>, Status> {
        Err(refusal(Code::NotFound, "UNKNOWN_ITEM"))
    }

    async fn pause_pool(
        &self,
        _: Request<PausePoolRequest>,
    ) -> Result<Response<PausePoolResponse>, Status> {
        Ok(Response::new(PausePoolResponse { lsn: 5, catalog_version: 6 }))
    }

    async fn resume_pool(
        &self,
        _: Request<ResumePoolRequest>,
    ) -> Result<Response<ResumePoolResponse>, Status> {
        Ok(Response::new(ResumePoolResponse { lsn: 6, catalog_version: 6 }))
    }

    async fn close_pool(
        &self,
        request: Request<ClosePoolRequest>,
    ) -> Result<Response<ClosePoolResponse>, Status> {
        assert_eq!(request.into_inner().pool, "summer");
        Ok(Response::new(ClosePoolResponse { lsn: 7, catalog_version: 6 }))
    }

    async fn take_snapshot(
        &self,
        _: Request<TakeSnapshotRequest>,
    ) -> Result<Response<TakeSnapshotResponse>, Status> {
        let (file, sha256) = ("snapshot.1".into(), vec![0xab; 32].into());
        Ok(Response::new(TakeSnapshotResponse { lsn: 8, file, bytes: 100, sha256 }))
    }

    async fn get_status(
        &self,
        _: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        Ok(Response::new(GetStatusResponse { durable_lsn: 9, ..GetStatusResponse::default() }))
    }

    async fn backup(
        &self,
        request: Request<BackupRequest>,
    ) -> Result<Response<Self::BackupStream>, Status> {
        if request.get_ref().secrets() == BackupSecrets::Required {
            return Err(refusal(Code::FailedPrecondition, "SECRETS_NOT_SERVED"));
        }
        Ok(Response::new(tokio_stream::empty()))
    }
}

/// Runs the fixed service while the program is run against it.
struct Service {
    address: String,
    _runtime: tokio::runtime::Runtime,
}

impl Service {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        let server = tonic::transport::Server::builder()
            .add_service(RewardPoolServer::new(Fixed))
            .add_service(PoolAdminServer::new(Fixed))
            .serve_with_incoming(incoming);
        drop(runtime.spawn(server));
        Self { address, _runtime: runtime }
    }

    fn run(&self, arguments: &[&str]) -> Run {
        run(&[arguments, &["--addr", &self.address]].concat())
    }
}

#[test]
fn draws_are_printed_for_people_and_for_programs() {
    let service = Service::start();
    let few = service.run(&["draw", "-n", "3"]).expect(0).stdout;
    assert_eq!(few, "REQUEST  ITEM\n     41  (empty)\n     42  gold\n     43  rock\n");
    let many = service.run(&["draw", "-n", "10000"]).expect(0).stdout;
    assert_eq!(
        many,
        "ITEM     COUNT\n(empty)   3334\ngold      3333\nrock      3333\n\
         10000 draws, numbered from 41\n"
    );
    let value = service.run(&["draw", "-n", "2", "--key", "k", "-o", "json"]).expect(0).json();
    let expected = json!({
        "first_request_id": 41, "item_ids": ["gold", "rock"], "outcomes": [0, 1], "replayed": true,
    });
    assert_eq!(value, expected);
}

#[test]
fn the_state_is_read_page_by_page() {
    let service = Service::start();
    let value = service.run(&["state", "-o", "json"]).expect(0).json();
    assert_eq!(value["items"][0]["item_id"], "gold");
    assert_eq!(value["items"][1]["quantity"], -1);
    assert_eq!(value["items"].as_array().unwrap().len(), 2);
    let table = service.run(&["state"]).expect(0).stdout;
    assert!(table.contains("log   unlimited  unlimited        2       1  50.0000\n"), "{table}");
    let pools = service.run(&["pool", "ls", "-o", "json"]).expect(0).json();
    assert_eq!(pools["pool_count"], 2);
    assert_eq!(pools["pools"][1]["pool"], "autumn");
}

#[test]
fn a_sign_makes_the_difference_of_an_update() {
    let service = Service::start();
    for (arguments, lsn) in [
        (&["--quantity", "+5"][..], 5005),
        (&["--quantity", "-5"], 4995),
        (&["--quantity=-5"], 4995),
        (&["--quantity", "5"], 6005),
        (&["--quantity", "unlimited", "--weight", "2"], 25_999),
        (&["--weight", "1"], 15_000),
    ] {
        let arguments = [&["update", "gold", "-o", "json"], arguments].concat();
        let value = service.run(&arguments).expect(0).json();
        assert_eq!(value, json!({ "lsn": lsn, "catalog_version": 8 }), "{arguments:?}");
    }
    let old = ["update", "gold", "--quantity", "5", "--expected-version", "6"];
    let run = service.run(&old).expect(1);
    assert!(run.stderr.starts_with("error: VERSION_MISMATCH: "), "{run:?}");
    assert!(run.stderr.contains("hint: somebody changed the catalogue"), "{run:?}");
}

#[test]
fn a_refusal_is_told_with_its_reason_and_what_to_do() {
    let service = Service::start();
    for (arguments, code, told) in [
        (
            &["draw", "--pool", "paused"][..],
            1,
            "POOL_PAUSED: told as POOL_PAUSED\nhint: `rewardpool",
        ),
        (&["draw", "--all-or-nothing"], 1, "INSUFFICIENT_STOCK: "),
        (&["pool", "retire-item", "x"], 1, "UNKNOWN_ITEM: "),
        (&["state", "--pool", "stopping"], 69, "STOPPING: told as STOPPING\nhint: nothing was"),
        (&["draw", "--pool", "stopping"], 69, "STOPPING: told as STOPPING\nhint: nothing was"),
        (&["draw", "--pool", "slow"], 69, "DEADLINE_EXCEEDED: too slow\nhint: it may have been"),
        (
            &["draw", "--pool", "unknown-outcome", "--key", "k"],
            69,
            "OUTCOME_UNKNOWN: told as OUTCOME_UNKNOWN\nhint: repeat it with the same --key",
        ),
        (&["draw", "--pool", "rude"], 1, "INVALID_ARGUMENT:  [31mred\nhint: "),
    ] {
        let run = service.run(arguments).expect(code);
        assert!(run.stderr.starts_with(&format!("error: {told}")), "{run:?}");
        assert!(run.stdout.is_empty(), "{run:?}");
    }
}

#[test]
fn pools_are_created_changed_and_closed() {
    let service = Service::start();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pools.yaml");
    let pool = |id: &str| {
        format!("  - {{ id: {id}, catalog: [{{ item_id: a, quantity: -1, weight: 1 }}] }}\n")
    };
    fs::write(&path, format!("pools:\n{}{}", pool("first"), pool("second"))).unwrap();
    let created =
        service.run(&["pool", "create", "--file", path_text(&path), "-o", "json"]).expect(1);
    let told: Value = serde_json::from_str(&created.stderr).unwrap();
    assert_eq!(told["error"]["reason"], "POOL_EXISTS");
    assert_eq!(told["error"]["message"], "told as POOL_EXISTS");
    assert_eq!(told["error"]["exit_code"], 1);
    let first = json!({ "pool": "first", "lsn": 1, "catalog_version": 1 });
    assert_eq!(created.json(), json!({ "pools": [first] }));
    let add = "pool add-item log --quantity unlimited --weight 9 --actor ann --reason more";
    assert_eq!(service.run(&words(add, &["-o", "json"])).expect(0).json()["lsn"], 3);
    for (arguments, done, lsn) in [
        ("pool pause", "the pool is paused", 5),
        ("pool resume p", "p is active", 6),
        ("pool close summer", "summer is closed", 7),
    ] {
        let told = service.run(&words(arguments, &[])).expect(0).stdout;
        assert_eq!(told, format!("{done}: catalogue version 6, lsn {lsn}\n"));
    }
}

#[test]
fn a_snapshot_is_named_and_a_broken_sum_is_65() {
    let service = Service::start();
    let taken = service.run(&["snapshot", "take", "-o", "json"]).expect(0).json();
    let sha256 = "ab".repeat(32);
    let expected = json!({ "lsn": 8, "file": "snapshot.1", "bytes": 100, "sha256": sha256 });
    assert_eq!(taken, expected);
    let status = service.run(&["status", "-o", "json"]).expect(65);
    assert_eq!(status.json()["durable_lsn"], 9);
    assert_eq!(status.json()["conservation_ok"], false);
}
