//! `simulate`: that its expectation is the one worked out by hand, that its draws are those of a
//! service, and how it ends.
use std::io::Read as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::program::{Run, command};
use crate::service::{CONFIG, Service};

fn simulate(words: &str) -> Run {
    Run::new(command(["simulate"].into_iter().chain(words.split_whitespace())).output().unwrap())
}

fn items(found: &Value) -> &Vec<Value> {
    found["items"].as_array().unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

#[track_caller]
fn near(found: &Value, expected: f64) {
    assert!((number(found) - expected).abs() < 1e-6 * expected, "{found} is not {expected}");
}

/// After a million draws all limited items of the sample are surely sold out, and mud and log share
/// the rest as 7 to 5. An item runs out when those with fewer units for their weight are gone: by
/// then the others have come beside it as their weights say.
#[test]
fn the_sample_comes_as_worked_out_on_paper() {
    let found = simulate("--draws 1000000 --seed 7 -o json").good().json();
    let rest = f64::from(1_000_000 - 100 - 1000 - 10_000 - 100_000);
    let counts = [100.0, 1000.0, 10_000.0, 100_000.0, rest * 70.0 / 120.0, rest * 50.0 / 120.0];
    let chances = [10.0, 20.0, 30.0, 40.0, 70.0, 50.0].map(|weight: f64| weight / 220.0);
    let ends = [2200.0, 10_600.0, 1100.0 + 190_000.0 / 3.0, 411_100.0];
    for (place, item) in items(&found).iter().enumerate() {
        near(&item["expected"]["count"], counts[place]);
        near(&item["chance"], chances[place]);
        let simulated = number(&item["simulated"]["count"]);
        let expected = &item["expected"];
        assert!(number(&expected["low"]) <= simulated && simulated <= number(&expected["high"]));
        let Some(end) = ends.get(place) else {
            assert_eq!(item["runs_out"], Value::Null);
            continue;
        };
        let expected = &item["runs_out"]["expected"];
        assert!((number(&expected["draw"]) - end).abs() < 1e-3, "{expected} is not {end}");
        let simulated = number(&item["runs_out"]["simulated"]["draw"]);
        assert!(number(&expected["low"]) <= simulated && simulated <= number(&expected["high"]));
        assert_eq!(item["simulated"]["left"], 0.0);
    }
    // Two halves of what is certain, so their difference is that of a fair coin.
    let deviation = (rest * 7.0 / 12.0 * 5.0 / 12.0).sqrt();
    near(&items(&found)[4]["expected"]["deviation"], deviation);
    assert!(number(&items(&found)[4]["sigmas"]).abs() < 4.0);
    assert!(number(&found["p_value"]) > 1e-4, "{found}");
}

#[test]
fn a_seed_makes_it_the_same_again() {
    let once = simulate("--draws 20000 --seed 7 --runs 3").good();
    assert_eq!(simulate("--draws 20000 --seed 7 --runs 3").good().stdout, once.stdout);
    assert_ne!(simulate("--draws 20000 --seed 8 --runs 3").good().stdout, once.stdout);
    // A seed that was taken at random is told, so that it can be repeated.
    let random = simulate("--draws 20000 -o json").good();
    let seed = random.json()["seed"].as_str().unwrap().to_owned();
    let again = simulate(&format!("--draws 20000 --seed {seed} -o json")).good();
    assert_eq!(again.stdout, random.stdout);
}

/// A service in test mode has the same secret, so it awards exactly what was simulated before.
#[test]
fn a_service_awards_what_was_simulated() {
    let service = Service::start(CONFIG);
    let seed = CONFIG.split('"').nth(1).unwrap();
    let words = format!("simulate --config rewardpool.yaml -n 30000 --seed {seed} -o json");
    let simulated = service.run(&words).good().json();
    for _ in 0..3 {
        service.run("draw -n 10000").good();
    }
    let state = service.run("state -o json").good().json();
    for (found, item) in items(&simulated).iter().zip(items(&state)) {
        assert_eq!(found["item_id"], item["item_id"]);
        assert_eq!(found["simulated"]["count"], number(&item["awarded"]), "{found} {item}");
    }
}

#[test]
fn what_is_left_is_simulated_from_a_service_and_from_its_files() {
    let service = Service::start(CONFIG);
    service.run("draw -n 900").good();
    service.run("pool retire-item gold").good();
    service.run("pool pause").good();
    let addr = service.address.clone();
    let words = "simulate -n 5000 --seed 1 -o json";
    let running = service.run(&format!("{words} --addr {addr}")).good().json();
    let names: Vec<&str> = items(&running).iter().map(|i| i["item_id"].as_str().unwrap()).collect();
    assert_eq!(names, ["diamond", "mud"], "a retired item is not drawn");
    let left = number(&items(&running)[0]["quantity"]);
    assert!((1.0..100.0).contains(&left), "{running}");
    let text = service.run(&format!("simulate -n 5 --addr {addr}")).good().stdout;
    assert!(text.starts_with(&format!("pool default as it is left in {addr}: ")), "{text}");
    let stopped = service.stop();
    assert_eq!(stopped.run(words).good().json(), running);
}

#[test]
fn wrong_wishes_are_refused() {
    for (words, code, told) in [
        ("--draws 0", 64, "0 is not in 1..=1000000000000"),
        ("--seed x", 64, "a seed is a number below 2^64, or 64 hexadecimal digits"),
        ("--config a.yaml --dir", 64, "cannot be used with"),
        ("--config a.yaml --addr a:1", 64, "name only one of --config, --dir and --addr"),
        ("--config no/such.yaml", 78, "the configuration cannot be read"),
        (
            "--pool summer",
            1,
            "UNKNOWN_POOL: there is no pool \"summer\"\nhint: choose one with --pool: default",
        ),
    ] {
        let run = simulate(words).expect(code);
        assert!(run.stderr.contains(told), "{run:?}");
    }
}

/// Ctrl-C, as a terminal sends it. What was drawn until then is printed.
#[test]
fn ending_it_early_prints_what_there_is() {
    let mut command =
        command(["simulate", "--draws", "1000000000000", "--seed", "1", "-o", "json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    // Signals are heard before the first draw: a process that has a handler for SIGINT has begun.
    let has_handler = || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        u64::from_str_radix(caught.trim(), 16).unwrap() & 0b10 != 0
    };
    while !has_handler() {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::yield_now();
    }
    let sent = Command::new("kill").args(["-INT", &pid.to_string()]).status().unwrap();
    assert!(sent.success());
    let (mut stdout, mut stderr) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let found: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(found["interrupted"], true);
    let drawn = number(&found["draws"]);
    let counted: f64 = items(&found).iter().map(|item| number(&item["simulated"]["count"])).sum();
    assert_eq!(drawn.to_bits(), counted.to_bits());
    let told: Value = serde_json::from_str(&stderr).unwrap();
    assert_eq!(told["error"]["reason"], "INTERRUPTED");
}

/// As many items as fit into a large configuration: the table of moments is used.
#[test]
fn large_catalogues_are_simulated() {
    let line = |n: u32| {
        let (units, weight) = (n * n % 701, n % 9);
        format!("    - {{ item_id: item-{n}, quantity: {units}, weight: {weight} }}\n")
    };
    let items: String = (1..=6000).map(line).collect();
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("large.yaml");
    std::fs::write(&file, format!("pool:\n  catalog:\n{items}")).unwrap();
    let words = format!("--config {} --draws 600000 --seed 3 -o json", file.display());
    let found = simulate(&words).good().json();
    let sum = |part: &str| -> f64 {
        self::items(&found).iter().map(|item| number(&item[part]["count"])).sum()
    };
    assert!((sum("expected") - 600_000.0).abs() < 0.01, "{}", sum("expected"));
    assert_eq!(sum("simulated").to_bits(), 600_000.0_f64.to_bits());
    let inside = self::items(&found).iter().filter(|item| {
        let (expected, count) = (&item["expected"], number(&item["simulated"]["count"]));
        number(&expected["low"]) <= count && count <= number(&expected["high"])
    });
    assert!(inside.count() > 5900);
    assert!(number(&found["p_value"]) > 1e-4, "{}", found["p_value"]);
}
