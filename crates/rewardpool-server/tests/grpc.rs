//! Goal: what the `.proto` files promise is what a client gets, refusals and restarts included.
//! Method: run a real service on a thread of this process, on a fresh directory and a free port, and
//! talk to it with the generated clients. Each refusal is checked by status and reason, and all pools
//! are read before and after it: nothing may have changed but the position in the log.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::path::Path;
use std::thread::JoinHandle;

use rewardpool_engine::inspect;
use rewardpool_proto::seed;
use rewardpool_proto::seed::reward_pool_service_client::RewardPoolServiceClient;
use rewardpool_proto::v1::pool_admin_client::PoolAdminClient;
use rewardpool_proto::v1::reward_pool_client::RewardPoolClient;
use rewardpool_proto::v1::update_item_request::Quantity;
use rewardpool_proto::v1::{
    AddItemRequest, CatalogItem, ClosePoolRequest, CreatePoolRequest, DrawMode, DrawRequest,
    DrawResponse, GetDrawRequest, GetStateRequest, GetStateResponse, GetStatusRequest,
    ListPoolsRequest, PausePoolRequest, PoolStatus, PoolSummary, ResumePoolRequest,
    RetireItemRequest, SetQuantity, TakeSnapshotRequest, UpdateItemRequest, draw_stream_response,
};
use rewardpool_server::config::Config;
use rewardpool_server::serve::{ServeError, Service};
use tokio::sync::oneshot;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Pools for every kind of refusal.
const POOLS: &str = "pools:
  - id: default
    catalog:
      - { item_id: gold, quantity: 1000, weight: 10 }
      - { item_id: mud, quantity: -1, weight: 90 }
      - { item_id: old, quantity: 5, weight: 5 }
  - { id: few, catalog: [{ item_id: ticket, quantity: 3, weight: 1 }] }
  - { id: keyless, idempotency: { max_keys: 0 }, catalog: [{ item_id: a, quantity: 9, weight: 1 }] }
  - { id: paused, catalog: [{ item_id: a, quantity: 9, weight: 1 }] }
  - { id: closed, catalog: [{ item_id: a, quantity: 9, weight: 1 }] }
";

/// A service in this process.
struct Running {
    address: String,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<(), ServeError>>,
}

impl Running {
    fn start(directory: &Path, pools: &str) -> Self {
        let text = format!("{pools}grpc:\n  listen_address: 127.0.0.1:0\n");
        let mut config = Config::parse(Path::new("test.yaml"), &text).unwrap();
        directory.clone_into(&mut config.working_dir);
        let service = Service::open(&config).unwrap();
        let address = format!("http://{}", service.address().unwrap());
        let (stop, stopped) = oneshot::channel();
        let run = move || service.run(async { drop(stopped.await) });
        let thread = std::thread::Builder::new().name("service".to_owned()).spawn(run).unwrap();
        Self { address, stop, thread }
    }

    async fn clients(&self) -> Clients {
        let channel = Channel::from_shared(self.address.clone()).unwrap().connect().await.unwrap();
        Clients {
            draws: RewardPoolClient::new(channel.clone()),
            admin: PoolAdminClient::new(channel.clone()),
            seed: RewardPoolServiceClient::new(channel.clone()),
            channel,
        }
    }

    /// Waits beside the runtime, so that the clients notice the stop.
    async fn stop(self) {
        self.stop.send(()).unwrap();
        let ended = tokio::task::spawn_blocking(|| self.thread.join().unwrap()).await.unwrap();
        ended.unwrap();
    }
}

struct Clients {
    draws: RewardPoolClient<Channel>,
    admin: PoolAdminClient<Channel>,
    seed: RewardPoolServiceClient<Channel>,
    channel: Channel,
}

impl Clients {
    async fn draw(&mut self, request: DrawRequest) -> DrawResponse {
        self.draws.draw(request).await.unwrap().into_inner()
    }

    async fn state(&mut self, pool: &str) -> GetStateResponse {
        let request = GetStateRequest { pool: pool.into(), ..Default::default() };
        self.draws.get_state(request).await.unwrap().into_inner()
    }

    /// All that draws and changes can alter, which the position in the log is not: markers raise it.
    async fn everything(&mut self) -> (Vec<PoolSummary>, Vec<GetStateResponse>) {
        let list = self.draws.list_pools(ListPoolsRequest::default()).await.unwrap().into_inner();
        let mut states = Vec::new();
        for summary in &list.pools {
            states.push(GetStateResponse { lsn: 0, ..self.state(&summary.pool).await });
        }
        (list.pools, states)
    }

    async fn set_status(&mut self, pool: &str, status: PoolStatus) -> Result<(), Status> {
        let (pool, actor, reason) = (pool.to_owned(), String::new(), String::new());
        let admin = &mut self.admin;
        match status {
            PoolStatus::Active => {
                admin.resume_pool(ResumePoolRequest { pool, actor, reason }).await.map(drop)
            }
            PoolStatus::Paused => {
                admin.pause_pool(PausePoolRequest { pool, actor, reason }).await.map(drop)
            }
            PoolStatus::Closed => {
                admin.close_pool(ClosePoolRequest { pool, actor, reason }).await.map(drop)
            }
            PoolStatus::Unspecified => unreachable!("no test asks for it"),
        }
    }

    async fn seed_draws(&mut self, counts: &[i32]) -> Vec<seed::DrawResponse> {
        let requests: Vec<_> = counts.iter().map(|&count| seed::DrawRequest { count }).collect();
        let answers = self.seed.draw(tokio_stream::iter(requests)).await.unwrap();
        collect(answers.into_inner()).await
    }
}

async fn collect<T>(mut stream: tonic::Streaming<T>) -> Vec<T> {
    let mut all = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        all.push(message);
    }
    all
}

fn draw(pool: &str, count: i32) -> DrawRequest {
    DrawRequest { pool: pool.into(), count, ..Default::default() }
}

fn keyed(pool: &str, count: i32, key: &str) -> DrawRequest {
    DrawRequest { idempotency_key: key.into(), ..draw(pool, count) }
}

fn all_or_nothing(request: DrawRequest) -> DrawRequest {
    DrawRequest { mode: DrawMode::AllOrNothing.into(), ..request }
}

fn item(item_id: &str, quantity: i64, weight: u64) -> CatalogItem {
    CatalogItem { item_id: item_id.into(), weight: Some(weight), quantity: Some(quantity) }
}

fn create(pool: &str, catalog: Vec<CatalogItem>) -> CreatePoolRequest {
    CreatePoolRequest { pool: pool.into(), catalog, ..Default::default() }
}

fn update(pool: &str, item_id: &str, quantity: Quantity) -> UpdateItemRequest {
    let quantity = Some(quantity);
    UpdateItemRequest { pool: pool.into(), item_id: item_id.into(), quantity, ..Default::default() }
}

fn weigh(pool: &str, item_id: &str, weight: u64) -> UpdateItemRequest {
    let (pool, item_id) = (pool.into(), item_id.into());
    UpdateItemRequest { pool, item_id, weight: Some(weight), ..Default::default() }
}

fn set(quantity: Option<i64>, expected_version: u64) -> Quantity {
    Quantity::Set(SetQuantity { quantity, expected_version })
}

fn add(pool: &str, item: Option<CatalogItem>) -> AddItemRequest {
    AddItemRequest { pool: pool.into(), item, ..Default::default() }
}

fn retire(pool: &str, item_id: &str) -> RetireItemRequest {
    RetireItemRequest { pool: pool.into(), item_id: item_id.into(), ..Default::default() }
}

fn find(pool: &str, key: &str) -> GetDrawRequest {
    GetDrawRequest { pool: pool.into(), idempotency_key: key.into() }
}

fn page(pool: &str, page_size: i32, page_token: &str) -> GetStateRequest {
    GetStateRequest { pool: pool.into(), page_size, page_token: page_token.into() }
}

/// Names of the outcomes, in order.
fn names(answer: &DrawResponse) -> Vec<Option<&str>> {
    let name = |&outcome: &u32| {
        (outcome as usize).checked_sub(1).map(|index| answer.item_ids[index].as_str())
    };
    answer.outcomes.iter().map(name).collect()
}

/// Status and reason of a refusal.
type Refused = (Code, &'static str);

const INVALID: Refused = (Code::InvalidArgument, "INVALID_ARGUMENT");

fn missing(reason: &'static str) -> Refused {
    (Code::NotFound, reason)
}

fn exists(reason: &'static str) -> Refused {
    (Code::AlreadyExists, reason)
}

fn failed(reason: &'static str) -> Refused {
    (Code::FailedPrecondition, reason)
}

/// A call that is to be refused.
enum Call {
    Draw(DrawRequest),
    Find(GetDrawRequest),
    State(GetStateRequest),
    Create(CreatePoolRequest),
    Update(UpdateItemRequest),
    Add(AddItemRequest),
    Retire(RetireItemRequest),
    SetStatus(&'static str, PoolStatus),
}

impl Call {
    async fn send(self, clients: &mut Clients) -> Result<(), Status> {
        let Clients { draws, admin, .. } = clients;
        match self {
            Self::Draw(request) => draws.draw(request).await.map(drop),
            Self::Find(request) => draws.get_draw(request).await.map(drop),
            Self::State(request) => draws.get_state(request).await.map(drop),
            Self::Create(request) => admin.create_pool(request).await.map(drop),
            Self::Update(request) => admin.update_item(request).await.map(drop),
            Self::Add(request) => admin.add_item(request).await.map(drop),
            Self::Retire(request) => admin.retire_item(request).await.map(drop),
            Self::SetStatus(pool, status) => clients.set_status(pool, status).await,
        }
    }
}

/// Sends each call and checks its status, its reason, the named field, and that nothing changed.
async fn refuse_all(clients: &mut Clients, cases: Vec<(&str, Call, Refused)>) {
    let before = clients.everything().await;
    for (name, call, (code, reason)) in cases {
        let Err(status) = call.send(clients).await else { panic!("{name}: was not refused") };
        let details = status.get_error_details();
        let found = details.error_info().map(|info| (info.domain.as_str(), info.reason.as_str()));
        assert_eq!(status.code(), code, "{name}: {status}");
        assert_eq!(found, Some(("rewardpool", reason)), "{name}: {status}");
        assert_eq!(details.bad_request().is_some(), code == Code::InvalidArgument, "{name}");
        assert_eq!(clients.everything().await, before, "{name}: something changed");
    }
}

/// A service with all of [`POOLS`] in the state that their names say.
async fn start_pools(directory: &Path) -> (Running, Clients) {
    let service = Running::start(directory, POOLS);
    let mut clients = service.clients().await;
    clients.set_status("paused", PoolStatus::Paused).await.unwrap();
    clients.set_status("closed", PoolStatus::Closed).await.unwrap();
    clients.admin.retire_item(retire("", "old")).await.unwrap();
    (service, clients)
}

#[tokio::test]
async fn refused_draws_have_their_status_and_change_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (service, mut clients) = start_pools(directory.path()).await;
    clients.draw(keyed("", 3, "known")).await;
    let long = "k".repeat(65);
    let beyond = all_or_nothing(keyed("few", 4, "beyond"));
    let reused_mode = all_or_nothing(keyed("", 3, "known"));
    let cases = vec![
        ("count 0", Call::Draw(draw("", 0)), INVALID),
        ("count -5", Call::Draw(draw("", -5)), INVALID),
        ("count 10001", Call::Draw(draw("", 10_001)), INVALID),
        ("count unset", Call::Draw(DrawRequest::default()), INVALID),
        ("mode", Call::Draw(DrawRequest { mode: 9, ..draw("", 1) }), INVALID),
        ("unknown pool", Call::Draw(draw("nowhere", 1)), missing("UNKNOWN_POOL")),
        ("bad pool name", Call::Draw(draw("No Where", 1)), INVALID),
        ("65 bytes of key", Call::Draw(keyed("", 1, &long)), INVALID),
        ("key, other count", Call::Draw(keyed("", 4, "known")), exists("KEY_REUSED")),
        ("key, other mode", Call::Draw(reused_mode), exists("KEY_REUSED")),
        ("keyless pool", Call::Draw(keyed("keyless", 1, "k")), failed("KEYS_OFF")),
        ("beyond the stock", Call::Draw(beyond), failed("INSUFFICIENT_STOCK")),
        // A refused draw leaves no key behind.
        ("key of a refused draw", Call::Find(find("few", "beyond")), missing("UNKNOWN_KEY")),
        ("paused pool", Call::Draw(draw("paused", 1)), failed("POOL_PAUSED")),
        ("closed pool", Call::Draw(draw("closed", 1)), failed("POOL_CLOSED")),
        ("unknown key", Call::Find(find("", "unknown")), missing("UNKNOWN_KEY")),
        ("key of another pool", Call::Find(find("few", "known")), missing("UNKNOWN_KEY")),
        ("no key to find", Call::Find(find("", "")), INVALID),
        ("page size 5001", Call::State(page("", 5001, "")), INVALID),
        ("page size -1", Call::State(page("", -1, "")), INVALID),
        ("page token", Call::State(page("", 1, "x")), INVALID),
        ("page token beyond", Call::State(page("", 1, "4")), INVALID),
    ];
    refuse_all(&mut clients, cases).await;
    let awarded = clients.draw(all_or_nothing(draw("few", 3))).await;
    assert_eq!(names(&awarded), [Some("ticket"); 3], "the refused draw took nothing");
    service.stop().await;
}

#[tokio::test]
async fn refused_changes_have_their_status_and_change_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (service, mut clients) = start_pools(directory.path()).await;
    clients.draw(draw("", 10)).await;
    let version = clients.state("").await.catalog_version;
    let largest = u64::try_from(i64::MAX).unwrap();
    let plus = |pool, item, units| Call::Update(update(pool, item, Quantity::Add(units)));
    let set_gold = |to, version| Call::Update(update("", "gold", set(to, version)));
    let plus_item = |pool, item| Call::Add(add(pool, Some(item)));
    let new_pool = |pool, catalog| Call::Create(create(pool, catalog));
    let nothing = UpdateItemRequest { item_id: "gold".into(), ..Default::default() };
    let control = UpdateItemRequest { actor: "a\nb".into(), ..weigh("", "gold", 1) };
    let one = || vec![item("a", 1, 1)];
    let twice = vec![item("a", 1, 1), item("a", 2, 2)];
    let heavy = vec![item("a", 1, largest), item("b", 1, 1)];
    let bare = CatalogItem { weight: None, ..item("new", 1, 1) };
    let stale = (Code::Aborted, "VERSION_MISMATCH");
    // The weight alone would be right: one change is done as a whole or not at all.
    let half = UpdateItemRequest { weight: Some(1), ..update("", "gold", Quantity::Add(-1001)) };
    let cases = vec![
        ("unknown item", plus("", "none", 1), missing("UNKNOWN_ITEM")),
        ("unknown pool", plus("nowhere", "gold", 1), missing("UNKNOWN_POOL")),
        ("weights overflow", Call::Update(weigh("", "gold", largest)), failed("TOTAL_WEIGHT")),
        ("weight 2^63", Call::Update(weigh("", "gold", largest + 1)), INVALID),
        ("below zero", plus("", "gold", -1001), failed("QUANTITY_RANGE")),
        ("lowest", plus("", "gold", i64::MIN), failed("QUANTITY_RANGE")),
        ("above all", plus("", "gold", i64::MAX), failed("QUANTITY_RANGE")),
        ("half of it right", Call::Update(half), failed("QUANTITY_RANGE")),
        ("add to unlimited", plus("", "mud", 1), failed("QUANTITY_UNLIMITED")),
        ("stale version", set_gold(Some(1), version - 1), stale),
        ("version to come", set_gold(Some(1), version + 1), stale),
        ("set without quantity", set_gold(None, version), INVALID),
        ("set below -1", set_gold(Some(-2), version), INVALID),
        ("no change", Call::Update(nothing), INVALID),
        ("control character", Call::Update(control), INVALID),
        ("retired item", plus("", "old", 1), failed("RETIRED_ITEM")),
        ("retired again", Call::Retire(retire("", "old")), failed("RETIRED_ITEM")),
        ("retire unknown", Call::Retire(retire("", "none")), missing("UNKNOWN_ITEM")),
        ("closed pool", plus("closed", "a", 1), failed("POOL_CLOSED")),
        ("add to closed", plus_item("closed", item("b", 1, 1)), failed("POOL_CLOSED")),
        ("resume closed", Call::SetStatus("closed", PoolStatus::Active), failed("POOL_CLOSED")),
        ("close without name", Call::SetStatus("", PoolStatus::Closed), INVALID),
        ("item exists", plus_item("", item("mud", 1, 1)), exists("ITEM_EXISTS")),
        ("name of a retired item", plus_item("", item("old", 1, 1)), exists("ITEM_EXISTS")),
        ("heavy item", plus_item("", item("new", 1, largest)), failed("TOTAL_WEIGHT")),
        ("item unset", Call::Add(add("", None)), INVALID),
        ("item without weight", plus_item("", bare), INVALID),
        ("duplicate pool", new_pool("few", one()), exists("POOL_EXISTS")),
        ("name of a closed pool", new_pool("closed", one()), exists("POOL_EXISTS")),
        ("duplicate item", new_pool("new", twice), INVALID),
        ("heavy catalogue", new_pool("new", heavy), INVALID),
        ("empty catalogue", new_pool("new", vec![]), INVALID),
        ("no name", new_pool("", one()), INVALID),
    ];
    refuse_all(&mut clients, cases).await;
    service.stop().await;
}

#[tokio::test]
async fn a_stream_answers_every_request_in_order_without_gaps() {
    let directory = tempfile::tempdir().unwrap();
    let (service, mut clients) = start_pools(directory.path()).await;
    let first = clients.draw(keyed("", 2, "known")).await;
    let request = |index: i32| match index % 10 {
        1 => (draw("", 0), Err(INVALID)),
        3 => (draw("paused", 2), Err(failed("POOL_PAUSED"))),
        5 => (keyed("", 3, "known"), Err(exists("KEY_REUSED"))),
        7 => (draw("nowhere", 1), Err(missing("UNKNOWN_POOL"))),
        9 => (keyed("", 2, "known"), Ok(true)),
        _ => (draw("", 1 + index % 7), Ok(false)),
    };
    let requests: Vec<_> = (0..1000).map(request).collect();
    let sent: Vec<_> = requests.iter().map(|(request, _)| request.clone()).collect();
    let answers = clients.draws.draw_stream(tokio_stream::iter(sent)).await.unwrap();
    let answers = collect(answers.into_inner()).await;
    assert_eq!(answers.len(), requests.len());
    let mut next_id = first.first_request_id + 2;
    for (index, ((request, expected), answer)) in requests.iter().zip(answers).enumerate() {
        match (answer.answer.unwrap(), expected) {
            (draw_stream_response::Answer::Draw(draw), Ok(true)) => {
                assert_eq!(draw, DrawResponse { replayed: true, ..first.clone() }, "{index}");
            }
            (draw_stream_response::Answer::Draw(draw), Ok(false)) => {
                assert!(!draw.replayed, "{index}");
                assert_eq!(draw.first_request_id, next_id, "{index}");
                assert_eq!(draw.outcomes.len(), usize::try_from(request.count).unwrap(), "{index}");
                next_id += u64::try_from(request.count).unwrap();
            }
            (draw_stream_response::Answer::Refusal(refusal), Err(expected)) => {
                let found = (Code::from(refusal.code), refusal.reason.as_str());
                assert_eq!(found, *expected, "{index}");
                assert!(!refusal.message.is_empty(), "{index}");
            }
            (answer, expected) => panic!("{index}: {expected:?} expected, not {answer:?}"),
        }
    }
    let state = clients.state("").await;
    assert_eq!(state.last_request_id, next_id - 1);
    assert_eq!(state.draws, next_id - 1);
    service.stop().await;
}

#[tokio::test]
async fn the_first_interface_serves_its_clients() {
    const STOCK: i64 = 5_000_000_000;
    let directory = tempfile::tempdir().unwrap();
    let pools = format!(
        "pool:\n  catalog:\n    - {{ item_id: z, quantity: {STOCK}, weight: 0 }}\n    \
         - {{ item_id: old, quantity: 1, weight: 0 }}\n    \
         - {{ item_id: a, quantity: 12, weight: 7 }}\n    \
         - {{ item_id: m, quantity: -1, weight: 0 }}\n"
    );
    let service = Running::start(directory.path(), &pools);
    let mut clients = service.clients().await;
    clients.admin.retire_item(retire("", "old")).await.unwrap();
    let state = clients.seed.get_state(seed::GetStateRequest {}).await.unwrap().into_inner();
    let item = |id: &str, quantity, probability| seed::RewardItem {
        item_id: id.into(),
        quantity,
        probability,
    };
    assert_eq!(state.items, [item("z", STOCK, 0), item("a", 12, 7), item("m", -1, 0)]);

    // One each for the first three, then the rest of the stock, then nothing.
    let answers = clients.seed_draws(&[0, -5, 1, 10]).await;
    assert_eq!(answers.len(), 13);
    for (id, answer) in (1..).zip(&answers) {
        let (item_id, error) = if id <= 12 { ("a", "") } else { ("", "reward pool is empty") };
        let expected =
            seed::DrawResponse { request_id: id, item_id: item_id.into(), error: error.into() };
        assert_eq!(*answer, expected);
    }

    // More than one command may hold is split, and refused draws are told one by one.
    let answers = clients.seed_draws(&[25_000]).await;
    let ids: Vec<u64> = answers.iter().map(|answer| answer.request_id).collect();
    assert_eq!(ids, (14..14 + 25_000).collect::<Vec<_>>());
    clients.set_status("default", PoolStatus::Paused).await.unwrap();
    let answers = clients.seed_draws(&[3]).await;
    assert_eq!(answers.len(), 3);
    for answer in answers {
        assert_eq!((answer.request_id, answer.item_id.as_str()), (0, ""));
        assert!(answer.error.contains("the pool is paused"), "{}", answer.error);
    }
    service.stop().await;
    let mut lines = Vec::new();
    inspect::cat(directory.path(), None, &mut lines).unwrap();
    let records = String::from_utf8(lines).unwrap();
    let records = records.lines().map(|line| serde_json::from_str(line).unwrap());
    let draws = records.filter(|record: &serde_json::Value| record["type"] == "draw");
    let lengths: Vec<_> = draws.map(|record| record["items"].as_array().unwrap().len()).collect();
    assert_eq!(lengths, [1, 1, 1, 10, 10_000, 10_000, 5_000], "each part has its own record");
}

#[tokio::test]
async fn a_pool_lives_from_its_creation_to_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let service = Running::start(directory.path(), "pools: []\n");
    let mut clients = service.clients().await;
    let status = clients.draws.draw(draw("", 1)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "there is no pool that was meant: {status}");

    let catalog = vec![item("gold", 10, 1), item("rock", 10, 0)];
    let created = clients.admin.create_pool(create("life", catalog)).await.unwrap().into_inner();
    assert!(created.lsn > 0);
    let mut version = created.catalog_version;
    // The only pool needs no name.
    assert_eq!(names(&clients.draw(draw("", 2)).await), [Some("gold"); 2]);
    clients.admin.create_pool(create("other", vec![item("a", 1, 1)])).await.unwrap();

    let mut check_version = |found: u64| {
        version += 1;
        assert_eq!(found, version);
        version
    };
    let added = clients.admin.add_item(add("life", Some(item("mud", -1, 5)))).await.unwrap();
    check_version(added.into_inner().catalog_version);
    let retired = clients.admin.retire_item(retire("life", "mud")).await.unwrap();
    check_version(retired.into_inner().catalog_version);
    let changed = clients.admin.update_item(update("life", "gold", Quantity::Add(-3))).await;
    let known = check_version(changed.unwrap().into_inner().catalog_version);
    let request = UpdateItemRequest {
        weight: Some(4),
        actor: "tester".into(),
        reason: "a test".into(),
        ..update("life", "rock", set(Some(7), known))
    };
    let changed = clients.admin.update_item(request).await.unwrap();
    check_version(changed.into_inner().catalog_version);
    let changed = clients.admin.update_item(weigh("life", "gold", 0)).await.unwrap();
    check_version(changed.into_inner().catalog_version);
    // A draw does not change the version.
    assert_eq!(names(&clients.draw(draw("life", 1)).await), [Some("rock")]);

    let state = clients.state("life").await;
    assert_eq!(state.catalog_version, version);
    assert_eq!((state.draws, state.awards, state.empties, state.total_weight), (3, 3, 0, 4));
    assert_eq!((state.item_count, state.status()), (3, PoolStatus::Active));
    let items = state.items.iter();
    let items: Vec<_> = items
        .map(|item| (item.item_id.as_str(), item.weight, item.quantity, item.awarded, item.granted))
        .collect();
    assert_eq!(items, [("gold", 0, 5, 2, 7), ("rock", 4, 6, 1, 7), ("mud", 5, -1, 0, -1)]);
    let marks: Vec<_> = state.items.iter().map(|item| (item.retired, item.drawable)).collect();
    assert_eq!(marks, [(false, false), (false, true), (true, false)]);

    pages_are_the_whole(&mut clients, &state).await;
    for status in [PoolStatus::Paused, PoolStatus::Active, PoolStatus::Closed] {
        clients.set_status("life", status).await.unwrap();
        let state = clients.state("life").await;
        assert_eq!((state.status(), state.catalog_version), (status, version));
        assert_eq!(clients.draws.draw(draw("life", 1)).await.is_ok(), status == PoolStatus::Active);
    }

    let taken = clients.admin.take_snapshot(TakeSnapshotRequest {}).await.unwrap().into_inner();
    let file = std::fs::metadata(directory.path().join(&taken.file)).unwrap();
    assert_eq!((file.len(), taken.sha256.len()), (taken.bytes, 32));
    let status = clients.admin.get_status(GetStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.storage.as_str(), status.format.as_str()), ("file", "binary"));
    assert_eq!((status.pools, status.last_request_id, status.segments), (2, 4, 2));
    assert!(status.durable_lsn >= taken.lsn && taken.lsn >= created.lsn);
    assert!(status.conservation_ok);
    service.stop().await;
}

/// Reads the pool item by item and the list pool by pool.
async fn pages_are_the_whole(clients: &mut Clients, whole: &GetStateResponse) {
    let (mut items, mut token) = (Vec::new(), String::new());
    loop {
        let found = clients.draws.get_state(page("life", 1, &token)).await.unwrap().into_inner();
        assert_eq!((found.items.len(), found.item_count), (1, whole.item_count));
        items.extend(found.items);
        token = found.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(items, whole.items);
    let mut pools = Vec::new();
    loop {
        let request = ListPoolsRequest { page_size: 1, page_token: token };
        let found = clients.draws.list_pools(request).await.unwrap().into_inner();
        assert_eq!((found.pools.len(), found.pool_count), (1, 2));
        pools.extend(found.pools.into_iter().map(|pool| pool.pool));
        token = found.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(pools, ["life", "other"]);
}

#[tokio::test]
async fn a_restart_keeps_answers_states_and_request_ids() {
    let directory = tempfile::tempdir().unwrap();
    let (service, mut clients) = start_pools(directory.path()).await;
    let mut answers = Vec::new();
    for (index, pool) in (1..).zip(["", "few", "", "few", ""]) {
        let key = format!("key-{index}");
        let answer = clients.draw(keyed(pool, index, &key)).await;
        answers.push((pool, index, key, answer));
        if index == 3 {
            // What comes before is read from the snapshot, what comes after from the log.
            clients.admin.take_snapshot(TakeSnapshotRequest {}).await.unwrap();
        }
    }
    let (everything, lsn) = (clients.everything().await, clients.state("").await.lsn);
    service.stop().await;

    let service = Running::start(directory.path(), POOLS);
    let mut clients = service.clients().await;
    assert_eq!(clients.everything().await, everything);
    for (pool, count, key, answer) in answers {
        let expected = DrawResponse { replayed: true, ..answer };
        let found = clients.draws.get_draw(find(pool, &key)).await.unwrap().into_inner();
        assert_eq!(found, expected, "{key}");
        assert_eq!(clients.draw(keyed(pool, count, &key)).await, expected, "{key}");
    }
    let state = clients.state("").await;
    assert!(state.lsn >= lsn);
    assert_eq!(state.last_request_id, 15);
    assert_eq!(clients.draw(draw("", 1)).await.first_request_id, 16);
    let status = clients.admin.get_status(GetStatusRequest {}).await.unwrap().into_inner();
    assert!(status.recovery.unwrap().snapshot_lsn > 0);
    service.stop().await;
}

#[tokio::test]
async fn health_and_reflection_tell_what_is_served() {
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

    let directory = tempfile::tempdir().unwrap();
    let service = Running::start(directory.path(), POOLS);
    let clients = service.clients().await;
    let mut health = HealthClient::new(clients.channel.clone());
    for name in ["", "rewardpool.v1.RewardPool", "rewardpool.RewardPoolService"] {
        let request = HealthCheckRequest { service: name.into() };
        let found = health.check(request).await.unwrap().into_inner();
        assert_eq!(found.status(), ServingStatus::Serving, "{name}");
    }
    let request = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..Default::default()
    };
    let mut reflection = ServerReflectionClient::new(clients.channel.clone());
    let requests = tokio_stream::iter([request]);
    let answers = reflection.server_reflection_info(requests).await.unwrap().into_inner();
    let answer = collect(answers).await.remove(0).message_response.unwrap();
    let MessageResponse::ListServicesResponse(list) = answer else { panic!("not a list") };
    let served: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    for name in
        ["rewardpool.v1.RewardPool", "rewardpool.v1.PoolAdmin", "rewardpool.RewardPoolService"]
    {
        assert!(served.contains(&name), "{name} is not in {served:?}");
    }
    service.stop().await;
}
