//! `config diff` against a real service: what it tells, its exit codes, and that the commands that it
//! shows make the difference go away.
use serde_json::{Value, json};

use crate::program::{Run, command};
use crate::service::{CONFIG, Service};

/// The file of the service, changed.
const CHANGED: &str = "\
pools:
  - id: default
    catalog:
      - { item_id: diamond, quantity: 150, weight: 12 }
      - { item_id: gold, quantity: -1, weight: 20 }
      - { item_id: mud, quantity: 5000, weight: 70 }
      - { item_id: \"10 % off, it's new\", quantity: 7, weight: 1 }
      - { item_id: -n, quantity: -1, weight: 1 }
  - id: summer
    catalog: [{ item_id: ticket, quantity: 50, weight: 1 }]
";

#[test]
fn nothing_differs_after_draws_and_everything_does_by_its_kind() {
    let service = Service::start(CONFIG);
    service.run("draw -n 1000").good();
    let same = service.run("config diff").good();
    assert_eq!(same.stdout, "the service is as rewardpool.yaml says\n");
    let expected = json!({ "file": "rewardpool.yaml", "same": true, "pools": [], "commands": [] });
    assert_eq!(service.run("config diff -o json").good().json(), expected);

    service.write("new.yaml", CHANGED);
    let run = service.run("config diff new.yaml -o json").expect(1);
    assert_eq!(run.stderr, "");
    let found = run.json();
    assert_eq!(found["same"], false);
    let kinds = |value: &Value, name: &str| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let each = value.as_array().unwrap().iter();
        each.map(|part| (text(&part[name]), text(&part["difference"]))).collect()
    };
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    };
    let pools = pairs(&[("default", "changed"), ("summer", "new")]);
    assert_eq!(kinds(&found["pools"], "pool"), pools);
    let items = &found["pools"][0]["items"];
    let expected = pairs(&[
        ("diamond", "changed"),
        ("gold", "changed"),
        ("mud", "changed"),
        ("10 % off, it's new", "new"),
        ("-n", "new"),
    ]);
    assert_eq!(kinds(items, "item_id"), expected);
    assert_eq!(items[0]["weight"], json!({ "running": 10, "file": 12 }));
    assert_eq!(
        (&items[0]["quantity"]["granted"], &items[0]["quantity"]["file"]),
        (&json!(100), &json!(150))
    );
    assert_eq!(items[1]["weight"], Value::Null);
}

/// Each line under "These commands" is given to a shell, as a person would.
#[test]
fn the_commands_that_are_shown_make_the_difference_go_away() {
    let service = Service::start(CONFIG);
    service.run("draw -n 1000").good();
    service.write("new.yaml", CHANGED);
    let told = service.run("config diff new.yaml").expect(1);
    let commands: Vec<&str> = told
        .stdout
        .lines()
        .skip_while(|line| *line != "These commands make it so:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .collect();
    assert_eq!(commands.len(), 6, "{told:?}");
    let mut path = std::ffi::OsString::from(
        std::path::Path::new(env!("CARGO_BIN_EXE_rewardpool")).parent().unwrap(),
    );
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap());
    for line in commands {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", line]).env("PATH", &path).env("REWARDPOOL_ADDR", &service.address);
        Run::new(shell.current_dir(service.home.path()).output().unwrap()).good();
    }
    service.run("config diff new.yaml").good();
    let state = service.run("state --pool default -o json").good().json();
    assert_eq!(state["draws"], 1000);
    for item in state["items"].as_array().unwrap() {
        if item["granted"] != -1 {
            let units = |name: &str| item[name].as_u64().unwrap();
            assert_eq!(units("granted"), units("quantity") + units("awarded"), "{item}");
        }
    }
}

#[test]
fn what_a_person_must_decide_is_only_told() {
    let service = Service::start(CONFIG);
    service.run("draw -n 1000").good();
    service.run("pool retire-item gold --reason over").good();
    service.run("pool pause").good();
    let file = "pool:\n  catalog:\n    - { item_id: gold, quantity: 1000, weight: 20 }\n    \
                - { item_id: diamond, quantity: 1, weight: 10 }\n";
    service.write("less.yaml", file);
    let told = service.run("config diff less.yaml").expect(1).stdout;
    for line in [
        "default           status   paused  active",
        "default  gold     item    retired    1000",
        "default  diamond  granted     100       1",
        "default  mud      item  unlimited       -",
        "  pool default is paused; `rewardpool pool resume default` lets it draw again",
        "  gold is retired, which cannot be undone; use another name in the file",
        "  mud is not in the file; `rewardpool pool retire-item` takes an item out for ever",
        "and the file grants 1",
    ] {
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let is_told = told.lines().any(|told| words(told).contains(&words(line)));
        assert!(is_told, "{line}\n{told}");
    }
    assert!(!told.contains("These commands"), "{told}");
    assert_eq!(
        service.run("config diff less.yaml -o json").expect(1).json()["commands"],
        json!([])
    );
    let none = service.write("none.yaml", "pools: []\n");
    let found = service.run(&format!("config diff {} -o json", none.display())).expect(1).json();
    assert_eq!(found["pools"][0]["difference"], "missing");
    assert_eq!(found["pools"][0]["status"], "POOL_STATUS_PAUSED");
}

#[test]
fn a_directory_is_compared_as_the_service_was() {
    let service = Service::start(CONFIG);
    service.run("draw -n 1000").good();
    service.write("new.yaml", CHANGED);
    let running = service.run("config diff new.yaml -o json").expect(1);
    let stopped = service.stop();
    stopped.run("config diff").good();
    assert_eq!(stopped.run("config diff new.yaml -o json").expect(1).json(), running.json());
}

#[test]
fn what_cannot_be_compared_is_not_taken_for_a_difference() {
    let home = tempfile::tempdir().unwrap();
    let run = |words: &str| {
        Run::new(command(words.split_whitespace()).current_dir(home.path()).output().unwrap())
    };
    let missing = run("config diff").expect(78);
    assert!(missing.stderr.contains("rewardpool.yaml: the configuration cannot be read"));
    run("config init").expect(0);
    run("config diff --dir").expect(74);
    run("config diff --dir . --addr 127.0.0.1:1").expect(64);
    // Nobody answers at the discard port of this machine.
    run("config diff --addr 127.0.0.1:9").expect(69);
}

/// More items than one page of the protocol holds.
#[test]
fn large_pools_are_compared_page_by_page() {
    let pool = |last: &str| {
        let items = (0..12_000).map(|number| {
            format!("    - {{ item_id: item-{number}, quantity: {number}, weight: 1 }}\n")
        });
        format!("pool:\n  catalog:\n{}{last}", items.collect::<String>())
    };
    let last = "    - { item_id: last, quantity: 5, weight: 1 }\n";
    let service = Service::start(&format!("{}log: {{ format: json }}\n", pool(last)));
    service.run("config diff").good();
    service.write("new.yaml", &pool(&last.replace("quantity: 5", "quantity: 6")));
    let found = service.run("config diff new.yaml -o json").expect(1).json();
    let items = found["pools"][0]["items"].as_array().unwrap();
    assert_eq!(items.len(), 1);
    let units = json!({ "granted": 5, "awarded": 0, "file": 6 });
    assert_eq!((&items[0]["item_id"], &items[0]["quantity"]), (&json!("last"), &units));
    assert_eq!(found["commands"], json!([["rewardpool", "update", "last", "--quantity", "+1"]]));
}
