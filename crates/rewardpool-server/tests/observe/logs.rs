//! Goal: the log says who changed what, with an id by which client and service find the same call; it
//! is JSON for programs and lines for people. Method: a service in this process and its ring of
//! lines; then the real binary, whose standard error output is read.
use std::process::Command;

use rewardpool_proto::v1::update_item_request::Quantity;
use rewardpool_proto::v1::{
    AddItemRequest, CatalogItem, ClosePoolRequest, CreatePoolRequest, PausePoolRequest,
    ResumePoolRequest, RetireItemRequest, TakeSnapshotRequest, UpdateItemRequest,
};
use serde_json::Value;
use tempfile::TempDir;
use tonic::{Code, Request};

use super::program::Program;
use super::running::{Running, draw};

/// The fields of the last line, by name.
fn last_line(running: &Running) -> (String, Vec<(&'static str, String)>) {
    let lines = running.log.lines();
    let line = lines.last().unwrap();
    (line.message.clone(), line.fields.clone())
}

fn field<'a>(fields: &'a [(&'static str, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(known, _)| *known == name).map(|(_, text)| text.as_str())
}

#[tokio::test]
async fn each_change_leaves_one_line_that_names_everything() {
    let running = Running::start();
    let mut admin = running.admin().await;
    let (actor, reason) = ("ann".to_owned(), "second shipment".to_owned());
    let item_id = "gold".to_owned();
    let update = UpdateItemRequest {
        item_id: item_id.clone(),
        quantity: Some(Quantity::Add(50)),
        weight: Some(3),
        actor: actor.clone(),
        reason: reason.clone(),
        ..Default::default()
    };
    let mut request = Request::new(update.clone());
    request.metadata_mut().insert("x-request-id", "ticket-17".parse().unwrap());
    let answer = admin.update_item(request).await.unwrap();
    assert_eq!(answer.metadata().get("x-request-id").unwrap(), "ticket-17");
    let (message, fields) = last_line(&running);
    assert_eq!(message, "item updated");
    let lsn = answer.into_inner().lsn.to_string();
    let expected = [
        ("method", "/rewardpool.v1.PoolAdmin/UpdateItem"),
        ("id", "ticket-17"),
        ("pool", "default"),
        ("item", "gold"),
        ("change", "quantity +50, weight 3"),
        ("actor", "ann"),
        ("reason", "second shipment"),
        ("lsn", &lsn),
    ];
    for (name, text) in expected {
        assert_eq!(field(&fields, name), Some(text), "{name}: {fields:?}");
    }
    assert!(field(&fields, "peer").unwrap().starts_with("127.0.0.1:"), "{fields:?}");

    let unknown = UpdateItemRequest { item_id: "copper".into(), ..update };
    assert_eq!(admin.update_item(unknown).await.unwrap_err().code(), Code::NotFound);
    let (message, fields) = last_line(&running);
    assert_eq!(message, "item updated: refused");
    assert_eq!(field(&fields, "refused"), Some("UNKNOWN_ITEM"));
    assert_eq!((field(&fields, "item"), field(&fields, "lsn")), (Some("copper"), None));
}

#[tokio::test]
async fn every_kind_of_change_is_told() {
    let running = Running::start();
    let mut admin = running.admin().await;
    let pool = "new".to_owned();
    let item = |item_id: &str, quantity| CatalogItem {
        item_id: item_id.into(),
        weight: Some(2),
        quantity: Some(quantity),
    };
    let (actor, reason) = (String::new(), String::new());
    let catalog = vec![item("a", 1)];
    let create = CreatePoolRequest { pool: pool.clone(), catalog, ..Default::default() };
    admin.create_pool(create).await.unwrap();
    let (pool, added) = (pool.clone(), Some(item("b", -1)));
    let item_id = "a".to_owned();
    let (a, r) = (actor.clone(), reason.clone());
    let add = AddItemRequest { pool: pool.clone(), item: added, actor: a, reason: r };
    admin.add_item(add).await.unwrap();
    let (a, r) = (actor.clone(), reason.clone());
    let retire = RetireItemRequest { pool: pool.clone(), item_id, actor: a, reason: r };
    admin.retire_item(retire).await.unwrap();
    let (p, a, r) = (pool.clone(), actor.clone(), reason.clone());
    admin.pause_pool(PausePoolRequest { pool: p, actor: a, reason: r }).await.unwrap();
    let (p, a, r) = (pool.clone(), actor.clone(), reason.clone());
    admin.resume_pool(ResumePoolRequest { pool: p, actor: a, reason: r }).await.unwrap();
    admin.close_pool(ClosePoolRequest { pool, actor, reason }).await.unwrap();
    admin.take_snapshot(TakeSnapshotRequest {}).await.unwrap();
    // Draws leave none.
    running.draws().await.draw(draw(1)).await.unwrap();
    let lines = running.log.lines();
    let told: Vec<(&str, Option<&str>)> = lines
        .iter()
        .filter(|line| field(&line.fields, "method").is_some())
        .map(|line| (line.message.as_str(), field(&line.fields, "pool")))
        .collect();
    let new = Some("new");
    let expected = [
        ("pool created", new),
        ("item added", new),
        ("item retired", new),
        ("pool paused", new),
        ("pool resumed", new),
        ("pool closed", new),
        ("snapshot taken", None),
    ];
    assert_eq!(told, expected);
    let added = lines.iter().find(|line| line.message == "item added").unwrap();
    assert_eq!(field(&added.fields, "change"), Some("quantity -1, weight 2"));
    assert_eq!(field(&added.fields, "actor"), None);
}

#[tokio::test]
async fn every_answer_has_an_id() {
    let running = Running::start();
    let mut draws = running.draws().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let answer = draws.draw(draw(1)).await.unwrap();
        ids.push(answer.metadata().get("x-request-id").unwrap().to_str().unwrap().to_owned());
    }
    let refused = draws.draw(draw(0)).await.unwrap_err();
    ids.push(refused.metadata().get("x-request-id").unwrap().to_str().unwrap().to_owned());
    let mut request = Request::new(draw(1));
    request.metadata_mut().insert("x-request-id", "not an id".parse().unwrap());
    let answer = draws.draw(request).await.unwrap();
    ids.push(answer.metadata().get("x-request-id").unwrap().to_str().unwrap().to_owned());
    for (place, id) in ids.iter().enumerate() {
        assert_eq!(id.len(), 16, "{id}");
        assert!(!ids[..place].contains(id), "{ids:?}");
    }
    let mut request = Request::new(tokio_stream::iter([draw(1)]));
    request.metadata_mut().insert("x-request-id", "stream-1".parse().unwrap());
    let answer = draws.draw_stream(request).await.unwrap();
    assert_eq!(answer.metadata().get("x-request-id").unwrap(), "stream-1");
}

#[test]
fn a_program_reads_json() {
    let place = TempDir::new().unwrap();
    let mut program = Program::start(place.path(), &[], &[]);
    let lines = program.lines_to("listening");
    // The first is for people, before the log is begun.
    for line in &lines[1..] {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["level"], "INFO");
        assert!(line["target"].as_str().unwrap().starts_with("rewardpool"), "{line}");
        assert!(line["timestamp"].is_string() && line["message"].is_string(), "{line}");
    }
    let recovered: Value = serde_json::from_str(&lines[1]).unwrap();
    assert_eq!((&recovered["message"], &recovered["lsn"]), (&"recovered".into(), &0.into()));
}

#[test]
fn the_command_line_chooses_format_and_level() {
    let place = TempDir::new().unwrap();
    let mut program = Program::start(place.path(), &["--log-format", "human"], &[]);
    let lines = program.lines_to("listening");
    assert!(lines[1].contains(" INFO ") && lines[1].contains(" recovered "), "{}", lines[1]);
    assert!(!lines[1].contains('\u{1b}'), "no colours beside a terminal: {:?}", lines[1]);
    drop(program);
    // The engine says at level debug how its thread is scheduled.
    let detail = "the thread that writes the log";
    let mut program = Program::start(place.path(), &["--log-level", "debug"], &[]);
    assert!(program.lines_to("listening").iter().any(|line| line.contains(detail)));
    drop(program);
    let mut program = Program::start(place.path(), &[], &[("RUST_LOG", "rewardpool=debug")]);
    assert!(program.lines_to("listening").iter().any(|line| line.contains(detail)));
    drop(program);
    let variables = [("RUST_LOG", "rewardpool=debug")];
    let mut program = Program::start(place.path(), &["--log-level", "info"], &variables);
    assert!(!program.lines_to("listening").iter().any(|line| line.contains(detail)));
}

#[test]
fn directives_that_mean_nothing_are_refused() {
    let place = TempDir::new().unwrap();
    let ended = Command::new(env!("CARGO_BIN_EXE_rewardpool"))
        .args(["serve", "--working-dir"])
        .arg(place.path().join("data"))
        .env("RUST_LOG", "rewardpool=loud")
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(64));
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains("RUST_LOG is \"rewardpool=loud\""), "{said}");
    assert!(!place.path().join("data").exists());
}
