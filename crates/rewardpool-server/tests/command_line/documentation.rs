//! `docs/cli.md` against the program: whatever is printed stands there with its type, and whatever
//! stands there is printed. Method: the tables of the page are read, every command is run, and each
//! field is looked up.
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::program::{Run, command, path_text};
use crate::service::{CONFIG, Service};

/// Commands that print no JSON value of their own.
const WITHOUT_JSON: &[&str] = &["serve", "follow", "tui", "completions"];

/// Commands that print what another one prints.
const SAME: &[(&str, &str)] = &[
    ("pool add-item", "update"),
    ("pool retire-item", "update"),
    ("pool pause", "update"),
    ("pool resume", "update"),
    ("pool close", "update"),
    ("wal verify", "verify"),
    ("wal tail", "wal cat"),
    ("bench engine", "bench"),
    ("bench grpc", "bench"),
    ("bench recovery", "bench"),
];

/// The table of a command, and its examples.
#[derive(Debug, Default)]
struct Section {
    fields: BTreeMap<String, Type>,
    examples: Vec<Value>,
}

/// What stands in the column `type`.
#[derive(Clone, Debug)]
struct Type {
    name: String,
    or_null: bool,
    or_absent: bool,
}

impl Type {
    fn parse(text: &str) -> Self {
        let (name, or_null) = text.strip_suffix(" or null").map_or((text, false), |n| (n, true));
        let (name, or_absent) =
            name.strip_suffix(" or absent").map_or((name, false), |n| (n, true));
        let known = ["string", "integer", "number", "boolean", "list", "object", "any"];
        assert!(known.contains(&name), "there is no type {text:?}");
        Self { name: name.to_owned(), or_null, or_absent }
    }

    fn takes(&self, value: &Value) -> bool {
        match &*self.name {
            "string" => value.is_string(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            "list" => value.is_array(),
            "object" => value.is_object(),
            _ => true,
        }
    }
}

/// The sections of the page, by the command in their heading.
fn page() -> BTreeMap<String, Section> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md");
    let text = fs::read_to_string(path).unwrap();
    let mut sections: BTreeMap<String, Section> = BTreeMap::new();
    let mut section = None;
    let mut example = None;
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            let name = heading.trim_matches('`');
            let name = name.strip_prefix("rewardpool ").unwrap_or(name);
            section = heading.starts_with('`').then(|| name.to_owned());
        } else if line.starts_with("## ") {
            section = None;
        }
        let Some(name) = &section else { continue };
        let section = sections.entry(name.clone()).or_default();
        if line == "```json" {
            example = Some(String::new());
        } else if line == "```" {
            let text = example.take().unwrap();
            section.examples.push(serde_json::from_str(&text).expect(name));
        } else if let Some(text) = &mut example {
            text.push_str(line);
        } else if let Some(row) = line.strip_prefix("| `") {
            let (field, rest) = row.split_once("` | ").expect(line);
            let (kind, meaning) = rest.split_once(" | ").expect(line);
            assert!(meaning.trim_end_matches('|').trim().len() > 1, "{line}");
            let before = section.fields.insert(field.to_owned(), Type::parse(kind));
            assert!(before.is_none(), "{name}: {field} stands twice");
        }
    }
    assert!(sections.len() > 15, "the page is not read");
    sections
}

/// Looks up every field of a value, and notes which of the table were seen.
struct Check<'a> {
    name: &'a str,
    section: &'a Section,
    seen: BTreeSet<String>,
    faults: Vec<String>,
}

impl<'a> Check<'a> {
    fn new(name: &'a str, section: &'a Section) -> Self {
        Self { name, section, seen: BTreeSet::new(), faults: Vec::new() }
    }

    fn value(&mut self, path: &str, value: &Value) {
        let fields = &self.section.fields;
        let parent = path.rsplit_once('.').map_or("", |(parent, _)| parent);
        let any = if parent.is_empty() { "*".to_owned() } else { format!("{parent}.*") };
        let kind = fields.get_key_value(path).or_else(|| fields.get_key_value(&any));
        let kind = kind.filter(|_| !path.is_empty());
        let has_children = fields.keys().any(|field| {
            let rest = field.strip_prefix(path);
            rest.is_some_and(|rest| rest.starts_with(['.', '[']))
        });
        match kind {
            Some((field, kind)) => {
                self.seen.insert(field.clone());
                if kind.name == "any" {
                    return;
                }
                if !(kind.takes(value) || (kind.or_null && value.is_null())) {
                    self.faults.push(format!("{path} is {value}, not {kind:?}"));
                }
            }
            None if path.is_empty() || has_children => {}
            None => self.faults.push(format!("{path} does not stand there: {value}")),
        }
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    self.value(&path, value);
                }
                self.complete(path, value);
            }
            Value::Array(list) => {
                for value in list {
                    self.value(&format!("{path}[]"), value);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// An object has all fields that the table gives it.
    fn complete(&mut self, path: &str, object: &Value) {
        let begin = if path.is_empty() { String::new() } else { format!("{path}.") };
        for (field, kind) in &self.section.fields {
            let Some(rest) = field.strip_prefix(&begin) else { continue };
            let is_direct = !rest.is_empty() && !rest.contains(['.', '[', '*']);
            if is_direct && !kind.or_absent && object.get(rest).is_none() {
                self.faults.push(format!("{field} is not in {object}"));
            }
        }
    }

    #[track_caller]
    fn finish(mut self) {
        for field in self.section.fields.keys().filter(|field| !field.ends_with('*')) {
            if !self.seen.contains(field) {
                self.faults.push(format!("{field} was never printed"));
            }
        }
        assert!(self.faults.is_empty(), "{}: {:#?}", self.name, self.faults);
    }
}

/// Compares what runs of a command printed with its section, of which the examples are part.
#[track_caller]
fn compare(page: &BTreeMap<String, Section>, name: &str, values: &[Value]) {
    let section = page.get(name).unwrap_or_else(|| panic!("there is no section of {name}"));
    for example in &section.examples {
        let mut check = Check::new(name, section);
        check.value("", example);
        assert!(check.faults.is_empty(), "the example of {name}: {:#?}", check.faults);
    }
    let mut check = Check::new(name, section);
    for value in values {
        check.value("", value);
    }
    check.finish();
}

#[test]
fn every_command_stands_on_the_page() {
    let page = page();
    let home = tempfile::tempdir().unwrap();
    let words = ["man", "--dir", path_text(home.path()), "-o", "json"];
    let files = Run::new(command(words).output().unwrap()).good().json();
    let names: BTreeSet<String> = files["files"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|file| {
            let name = Path::new(file.as_str().unwrap()).file_stem().unwrap().to_str().unwrap();
            name.strip_prefix("rewardpool-").map(str::to_owned)
        })
        .collect();
    let is_group = |name: &String| names.iter().any(|other| other.starts_with(&format!("{name}-")));
    let pages = page.keys().map(String::as_str);
    let known: BTreeSet<String> = pages
        .chain(SAME.iter().map(|(name, _)| *name))
        .chain(WITHOUT_JSON.iter().copied())
        .map(|name| name.replace(' ', "-"))
        .collect();
    let missing: Vec<&String> =
        names.iter().filter(|name| !is_group(name) && !known.contains(*name)).collect();
    assert!(missing.is_empty(), "docs/cli.md has no section of {missing:?}");
    for (_, same) in SAME {
        assert!(page.contains_key(*same), "{same}");
    }
}

#[test]
fn what_a_service_answers_is_as_documented() {
    let (page, service) = (page(), Service::start(CONFIG));
    let json = |words: &str| service.run(&format!("{words} -o json")).good().json();
    compare(&page, "draw", &[json("draw -n 3 --key k"), json("draw --key k --lookup")]);
    compare(&page, "state", &[json("state"), json("state --sort odds --limit 1")]);
    compare(&page, "status", &[json("status")]);
    compare(&page, "health", &[json("health")]);
    compare(&page, "backup", &[json("backup all.tar")]);
    service.write(
        "summer.yaml",
        "pools: [{ id: summer, catalog: [{ item_id: a, quantity: 1, weight: 1 }] }]",
    );
    compare(&page, "pool create", &[json("pool create --file summer.yaml")]);
    let changes = [
        "update gold --pool default --quantity +1",
        "pool add-item b --pool summer --quantity 1 --weight 1",
        "pool retire-item b --pool summer",
        "pool pause summer",
        "pool resume summer",
        "pool close summer",
    ];
    compare(&page, "update", &changes.map(json));
    compare(&page, "pool ls", &[json("pool ls")]);
    compare(&page, "snapshot take", &[json("snapshot take")]);
}

#[test]
fn what_is_told_of_tokens_is_as_documented() {
    let (page, service) = (page(), Service::start(CONFIG));
    let json = |words: &str| service.run(&format!("{words} -o json")).good().json();
    let new = [
        "token new --name a --role drawer --role reader --pool summer --expires 90d",
        "token new --name b --role admin --draws-per-second 5 --streams 2",
        "token new --name c --role reader --certificate c.example",
    ];
    compare(&page, "token new", &new.map(json));
    compare(&page, "token ls", &[json("token ls")]);
    compare(&page, "token revoke", &[json("token revoke a")]);
}

#[test]
fn what_is_told_of_a_configuration_is_as_documented() {
    let (page, service) = (page(), Service::start(CONFIG));
    let run = |words: &str| service.run(&format!("{words} -o json"));
    compare(&page, "config init", &[run("config init new.yaml").good().json()]);
    service.write("off.yaml", "pools: []\ngrpc: { enabled: false }\n");
    let checks = ["config check", "config check off.yaml"].map(|words| run(words).good().json());
    compare(&page, "config check", &checks);
    let items =
        "{ item_id: diamond, quantity: 7, weight: 3 }, { item_id: new, quantity: 1, weight: 1 }";
    let pools =
        format!("pools: [{{ id: default, catalog: [{items}] }}, {{ id: b, catalog: [{items}] }}]");
    service.write("other.yaml", &pools);
    let differences =
        ["off.yaml", "other.yaml"].map(|file| run(&format!("config diff {file}")).expect(1).json());
    compare(&page, "config diff", &differences);
    compare(
        &page,
        "config diff",
        &[&differences[..], &[run("config diff").good().json()]].concat(),
    );
    let simulations = ["-n 10 --seed 1", "-n 30000 --runs 2"]
        .map(|words| run(&format!("simulate {words}")).good().json());
    compare(&page, "simulate", &simulations);
    let refused = run("draw --pool nothing").expect(1);
    service.write("wrong.yaml", "pool: 1\n");
    let wrong = run("config check wrong.yaml").expect(78);
    let errors = [refused, wrong].map(|run| serde_json::from_str(&run.stderr).unwrap());
    compare(&page, "error", &errors);
}

#[test]
fn what_is_told_of_files_is_as_documented() {
    let (page, service) = (page(), Service::start(CONFIG));
    service.run("draw -n 100 --key k").good();
    service.run("snapshot take").good();
    let stopped = service.stop();
    let json = |words: &str| stopped.run(&format!("{words} -o json")).good().json();
    compare(&page, "wal ls", &[json("wal ls")]);
    compare(&page, "snapshot ls", &[json("snapshot ls")]);
    compare(&page, "snapshot show", &[json("snapshot show")]);
    let records = stopped.run("wal cat").good().stdout;
    let records: Vec<Value> = records.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    compare(&page, "wal cat", &records);
    let good = json("verify");
    let backup = stopped.run("backup all.tar -o json").good();
    compare(&page, "backup", &[backup.json()]);
    let restore = |words: &str| {
        let words = format!("restore all.tar {words} -o json");
        let mut command = command(words.split_whitespace());
        Run::new(command.current_dir(stopped.home.path()).output().unwrap()).good().json()
    };
    compare(&page, "restore", &[restore("--dry-run"), restore("--dir again")]);
    for name in ["wal.000", "secret.0"] {
        fs::write(stopped.directory().join(name), "none").unwrap();
    }
    let bad = stopped.run("verify -o json").expect(65).json();
    assert!(bad["records"].is_null(), "{bad}");
    compare(&page, "verify", &[good, bad]);
}

#[test]
fn what_is_measured_and_made_is_as_documented() {
    let page = page();
    let home = tempfile::tempdir().unwrap();
    let run = |words: &str| {
        let mut command = command(words.split_whitespace());
        let run = Run::new(command.args(["-o", "json"]).current_dir(home.path()).output().unwrap());
        run.good().json()
    };
    let reports = [
        "bench engine --seconds 0.1 --items 10 --save engine.json",
        "bench recovery --draws 1000 --repeats 1 --save recovery.json",
        "bench grpc --seconds 0.1 --rate 500 --save grpc.json",
    ]
    .map(run);
    compare(&page, "bench", &reports);
    run("bench engine --seconds 0.1 --items 20 --save other.json");
    compare(&page, "bench compare", &[run("bench compare engine.json other.json")]);
    compare(&page, "man", &[run("man --dir pages")]);
}

/// The check itself finds what is wrong.
#[test]
fn a_page_that_rots_is_noticed() {
    let page = page();
    let section = &page["draw"];
    let faults = |text: &str| {
        let mut check = Check::new("draw", section);
        check.value("", &serde_json::from_str(text).unwrap());
        check.faults.len()
    };
    let good = r#"{ "first_request_id": 1, "item_ids": ["a"], "outcomes": [1], "replayed": true }"#;
    assert_eq!(faults(good), 0);
    assert_eq!(faults(&good.replace("true", "1")), 1, "another type");
    assert_eq!(faults(&good.replace("true", "null")), 1, "null");
    assert_eq!(faults(&good.replace("[1]", "[1.5]")), 1, "another type in a list");
    assert_eq!(faults(&good.replace("replayed", "again")), 2, "another name");
    let mut check = Check::new("draw", section);
    check.value("", &serde_json::from_str(&good.replace("[1]", "[]")).unwrap());
    assert!(!check.seen.contains("outcomes[]"));
}
