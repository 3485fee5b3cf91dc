//! Every method as everybody.
use prost::Message as _;
use prost_types::FileDescriptorSet;
use rewardpool_client::{Access, Authorized, Token};
use rewardpool_proto::FILE_DESCRIPTOR_SET;
use rewardpool_proto::v1::DrawStreamResponse;
use rewardpool_proto::v1::draw_stream_response::Answer;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Status};

use super::fixture::{Authority, Plan, Running, access, person};

const READER: &[&str] = &["reader", "admin"];
const DRAWER: &[&str] = &["drawer", "admin"];
const ADMIN: &[&str] = &["admin"];
const ANYONE: &[&str] = &["reader", "drawer", "admin"];

/// Who may call what, and whether it is about one pool. Written down anew, and not taken from the
/// service.
const EXPECTED: &[(&str, &[&str], bool)] = &[
    ("/rewardpool.RewardPoolService/GetState", READER, true),
    ("/rewardpool.RewardPoolService/Draw", DRAWER, true),
    ("/rewardpool.v1.RewardPool/Draw", DRAWER, true),
    ("/rewardpool.v1.RewardPool/DrawStream", DRAWER, true),
    ("/rewardpool.v1.RewardPool/GetDraw", DRAWER, true),
    ("/rewardpool.v1.RewardPool/GetState", READER, true),
    ("/rewardpool.v1.RewardPool/ListPools", READER, false),
    ("/rewardpool.v1.RewardPool/WatchState", READER, true),
    ("/rewardpool.v1.PoolAdmin/CreatePool", ADMIN, true),
    ("/rewardpool.v1.PoolAdmin/UpdateItem", ADMIN, true),
    ("/rewardpool.v1.PoolAdmin/AddItem", ADMIN, true),
    ("/rewardpool.v1.PoolAdmin/RetireItem", ADMIN, true),
    ("/rewardpool.v1.PoolAdmin/PausePool", ADMIN, true),
    ("/rewardpool.v1.PoolAdmin/ResumePool", ADMIN, true),
    ("/rewardpool.v1.PoolAdmin/ClosePool", ADMIN, true),
    ("/rewardpool.v1.PoolAdmin/TakeSnapshot", ADMIN, false),
    ("/rewardpool.v1.PoolAdmin/Backup", ADMIN, false),
    ("/rewardpool.v1.PoolAdmin/GetStatus", ADMIN, false),
    ("/rewardpool.v1.PoolAdmin/WatchLog", ADMIN, false),
    ("/rewardpool.v1.WalStream/Subscribe", ADMIN, false),
    ("/rewardpool.v1.WalStream/Promote", ADMIN, false),
    ("/grpc.health.v1.Health/Watch", ANYONE, true),
];

/// The methods of the published descriptors.
fn methods() -> Vec<String> {
    let mut paths = Vec::new();
    for encoded in [FILE_DESCRIPTOR_SET, tonic_health::pb::FILE_DESCRIPTOR_SET] {
        for file in FileDescriptorSet::decode(encoded).unwrap().file {
            for service in &file.service {
                let name = |method: &prost_types::MethodDescriptorProto| {
                    format!("/{}.{}/{}", file.package(), service.name(), method.name())
                };
                paths.extend(service.method.iter().map(name));
            }
        }
    }
    paths
}

#[test]
fn no_method_is_forgotten() {
    let mut methods = methods();
    methods.retain(|path| path != "/grpc.health.v1.Health/Check");
    assert_eq!(methods.len(), EXPECTED.len());
    for path in methods {
        assert!(EXPECTED.iter().any(|(expected, ..)| *expected == path), "{path}");
    }
}

#[tokio::test]
async fn everybody_may_do_what_they_may_and_nothing_else_without_encryption() {
    Box::pin(matrix(None)).await;
}

#[tokio::test]
async fn everybody_may_do_what_they_may_and_nothing_else_with_encryption() {
    Box::pin(matrix(Some(&Authority::new()))).await;
}

async fn matrix(authority: Option<&Authority>) {
    let certificate = authority.map(|authority| authority.sign(&["127.0.0.1"]));
    let roles = ["reader", "drawer", "admin"];
    let free = roles.map(|role| person(role, role, ""));
    let bound = roles.map(|role| person(&format!("{role}-of-mine"), role, "pools: [mine]"));
    let expired = roles
        .map(|role| person(&format!("{role}-of-yore"), role, "expires: \"2020-01-01T00:00:00Z\""));
    let people: Vec<_> = free.iter().chain(&bound).chain(&expired).collect();
    let plan = Plan { people: &people, certificate: certificate.as_ref(), ..Plan::default() };
    let running = plan.start();
    let nobody = Access {
        authority: authority.map(|authority| authority.pem.clone().into_bytes()),
        ..Access::default()
    };
    let stranger = Access { token: Some(Token::generate().unwrap()), ..nobody.clone() };
    let mut pairs = 0;
    for (path, allowed, is_about_pool) in EXPECTED {
        for unknown in [&nobody, &stranger] {
            pairs += 1;
            assert_eq!(
                call(&running, unknown, path, "mine").await,
                Code::Unauthenticated,
                "{path}"
            );
        }
        for (index, role) in roles.iter().enumerate() {
            let over = access(&expired[index], authority);
            let over = call(&running, &over, path, "mine").await;
            assert_eq!(over, Code::Unauthenticated, "{path} as {role}");
            let may = allowed.contains(role);
            let free = call(&running, &access(&free[index], authority), path, "mine").await;
            assert_eq!(is_let_through(free), may, "{path} as {role}: {free:?}");
            let bound = access(&bound[index], authority);
            let own = call(&running, &bound, path, "mine").await;
            // The first service's interface has no names of pools: it means the pool `default`.
            let is_seed = path.starts_with("/rewardpool.RewardPoolService/");
            let may_own = may && *is_about_pool;
            assert_eq!(is_let_through(own), may_own, "{path} as {role} of its pool: {own:?}");
            let foreign = call(&running, &bound, path, "other").await;
            let names_pool = !is_seed && !path.starts_with("/grpc.");
            let may_foreign = may_own && !names_pool;
            assert_eq!(is_let_through(foreign), may_foreign, "{path} as {role} of another pool");
            pairs += 4;
        }
    }
    assert_eq!(pairs, EXPECTED.len() * (2 + 3 * 4));
    let check = "/grpc.health.v1.Health/Check";
    assert_eq!(call(&running, &nobody, check, "").await, Code::Ok);
    let unknown = "/rewardpool.v1.RewardPool/Steal";
    assert_eq!(call(&running, &nobody, unknown, "").await, Code::Unauthenticated);
    let admin = access(&free[2], authority);
    assert_eq!(call(&running, &admin, unknown, "").await, Code::Unimplemented);
    let unknown = "/rewardpool.v2.RewardPool/Draw";
    assert_eq!(call(&running, &nobody, unknown, "").await, Code::Unauthenticated);
}

fn is_let_through(code: Code) -> bool {
    !matches!(code, Code::PermissionDenied | Code::Unauthenticated)
}

/// Sends one message, in which field 1 is the name of a pool, and gives how it is answered.
async fn call(running: &Running, access: &Access, path: &'static str, pool: &str) -> Code {
    let channel = running.connect(access).await;
    match answer(channel, path, pool).await {
        Ok(code) => code,
        Err(status) => status.code(),
    }
}

async fn answer(channel: Authorized, path: &'static str, pool: &str) -> Result<Code, Status> {
    let mut message = Vec::new();
    let names_pool = !path.starts_with("/rewardpool.RewardPoolService/")
        && EXPECTED.iter().any(|(expected, _, is_about_pool)| *expected == path && *is_about_pool)
        && !path.starts_with("/grpc.");
    if names_pool {
        prost::encoding::string::encode(1, &pool.to_owned(), &mut message);
    }
    if path.ends_with("/Draw") || path.ends_with("/DrawStream") {
        let field = if names_pool { 2 } else { 1 };
        prost::encoding::int32::encode(field, &1, &mut message);
    }
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let request = Request::new(tokio_stream::once(message));
    let answers = grpc.streaming(request, PathAndQuery::from_static(path), Bytes).await?;
    if path.ends_with("DrawStream") {
        let message = answers.into_inner().message().await?.unwrap();
        let answer = DrawStreamResponse::decode(&message[..]).unwrap().answer.unwrap();
        if let Answer::Refusal(refusal) = answer {
            return Ok(Code::from_i32(refusal.code));
        }
    }
    Ok(Code::Ok)
}

/// Messages as they are.
#[derive(Clone, Copy)]
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        prost::bytes::BufMut::put_slice(buffer, &item);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut bytes = vec![0; prost::bytes::Buf::remaining(buffer)];
        prost::bytes::Buf::copy_to_slice(buffer, &mut bytes);
        Ok(Some(bytes))
    }
}
