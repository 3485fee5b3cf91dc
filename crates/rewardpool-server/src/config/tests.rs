//! Goal: a right file gives exactly what it says, and a wrong one is refused with a message that
//! leads to the fault. Method: a folder of right files, and one of wrong files with the expected
//! message beside each. With `REWRITE=1` the expected messages are written anew, for a review.
use std::collections::BTreeSet;

use proptest::prelude::*;
use rewardpool_core::command::KeyLimits;
use rewardpool_core::quantity::Quantity;
use rewardpool_core::selector::SelectorKind;

use super::*;

const MINIMAL: &str = "pool: { catalog: [{ item_id: a, quantity: 1, weight: 1 }] }\n";

fn folder(name: &str) -> PathBuf {
    FilePath::new(env!("CARGO_MANIFEST_DIR")).join("tests/configs").join(name)
}

fn files(name: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder(name)).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort();
    assert!(!paths.is_empty());
    paths
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(FilePath::new("test.yaml"), text)
}

#[test]
fn right_files_are_accepted() {
    for path in files("valid") {
        if let Err(error) = Config::load(&path) {
            panic!("{error}");
        }
    }
}

#[test]
fn wrong_files_are_refused_with_the_expected_message() {
    let mut different = Vec::new();
    for path in files("invalid") {
        let name = FilePath::new(path.file_name().unwrap());
        let text = fs::read_to_string(&path).unwrap();
        let Err(error) = Config::parse(name, &text) else { panic!("{name:?} is accepted") };
        let (message, expected_path) = (format!("{error}\n"), path.with_extension("expected"));
        if std::env::var_os("REWRITE").is_some() {
            fs::write(&expected_path, &message).unwrap();
        }
        let expected = fs::read_to_string(&expected_path).unwrap_or_default();
        if message != expected {
            different.push(format!("expected:\n{expected}got:\n{message}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn the_sample_states_the_defaults() {
    let mut minimal = parse(MINIMAL).unwrap();
    let sample = Config::built_in();
    assert_ne!(minimal.pools[0].spec.catalog, sample.pools[0].spec.catalog);
    minimal.pools[0].spec.catalog = sample.pools[0].spec.catalog.clone();
    assert_eq!(minimal, sample);
    assert_eq!(sample.pools[0].spec.keys, KeyLimits::default());
    assert_eq!(sample.pools[0].spec.selector, SelectorKind::default());
}

#[test]
fn the_sample_has_every_option() {
    let words: BTreeSet<&str> =
        Config::sample().split(|c: char| !c.is_ascii_lowercase() && c != '_').collect();
    for (section, keys) in keys::SECTIONS {
        for key in *keys {
            assert!(words.contains(key), "{section}: {key}");
        }
    }
}

/// The commented lines of the sample are options too: they are accepted once they are options.
#[test]
fn the_commented_options_of_the_sample_work() {
    let text = Config::sample()
        .replace("  # seed:", "  seed:")
        .replace("test_mode: false", "test_mode: true");
    assert!(parse(&text).unwrap().pools[0].seed.is_some());
    let (before, after) = Config::sample().split_once("\npool:").unwrap();
    let (_, after) = after.split_once("\n# pools:").unwrap();
    let (pools, after) = after.split_once("\n\n").unwrap();
    let pools = pools.replace("\n# ", "\n");
    let config = parse(&format!("{before}\npools:{pools}\n\n{after}")).unwrap();
    assert_eq!(config.pools[0].spec.id.as_str(), "summer");
}

#[test]
fn the_file_of_the_first_service_means_the_same() {
    let config = Config::load(&folder("valid").join("seed.yaml")).unwrap();
    let items: Vec<(&str, i64, u64)> = config.pools[0]
        .spec
        .catalog
        .items()
        .iter()
        .map(|item| (item.id.as_str(), item.quantity.to_number(), item.weight))
        .collect();
    let expected = [
        ("diamond", 100, 10),
        ("gold", 1000, 20),
        ("silver", 10_000, 30),
        ("rock", 100_000, 40),
        ("mud", -1, 70),
        ("log", -1, 50),
    ];
    assert_eq!(items, expected);
    assert_eq!(config.pools[0].spec.id.as_str(), "default");
    let wal = WalConfig {
        segment_bytes: 512 * 1024,
        mailbox_capacity: 512,
        format: RecordFormat::StringLine,
        storage: StorageKind::File,
        batch_draws_max: 200,
        scheduling: Scheduling::Normal,
        kept_bytes: 1 << 30,
    };
    assert_eq!(config.wal, wal);
    assert!(config.grpc.enabled);
    assert_eq!(config.grpc.listen_address, "127.0.0.1:50051".parse().unwrap());
}

#[test]
fn every_option_is_read() {
    let config = Config::load(&folder("valid").join("every-option.yaml")).unwrap();
    let expected = Config {
        working_dir: "/var/lib/rewardpool".into(),
        pools: config.pools.clone(),
        wal: WalConfig {
            segment_bytes: 4 << 30,
            mailbox_capacity: 1_000_000,
            format: RecordFormat::Json,
            storage: StorageKind::Mmap,
            batch_draws_max: 1,
            scheduling: Scheduling::Fifo,
            kept_bytes: 1 << 40,
        },
        grpc: GrpcConfig {
            enabled: false,
            listen_address: "[::]:0".parse().unwrap(),
            insecure: true,
            limits: GrpcLimits {
                connections: 1_000_000,
                connections_per_address: 1,
                streams: 2,
                handshake_timeout: Duration::from_millis(100),
                frame_timeout: Duration::from_secs(2),
                stream_idle_timeout: Duration::from_hours(24),
                write_timeout: Duration::from_hours(1),
                idle_timeout: Duration::from_secs(3),
                age_max: Duration::from_hours(168),
                age_grace: Duration::from_secs(4),
                keepalive_interval: Duration::from_secs(5),
                keepalive_timeout: Duration::from_secs(6),
                header_bytes: 1024,
                request_bytes: 1_048_576,
                admin_request_bytes: 67_108_864,
                response_bytes: 65_536,
                pending_resets: 7,
                local_resets: 8,
            },
            backup_secrets: true,
            admin_listen_address: Some("127.0.0.1:50052".parse().unwrap()),
            tls: Some(TlsConfig {
                certificate: "tls.crt".into(),
                key: "tls.key".into(),
                client_ca: Some("clients.crt".into()),
            }),
        },
        auth: AuthConfig {
            tokens_file: Some("tokens.yaml".into()),
            quotas: QuotaConfig {
                draws_per_second: Some(1000),
                draws_burst: Some(20_000),
                streams: Some(1_000_000),
            },
            quotas_by_address: true,
        },
        metrics: MetricsConfig {
            enabled: true,
            listen_address: "0.0.0.0:9100".parse().unwrap(),
            insecure: true,
            items_max: 1_000_000,
        },
        log: LogConfig { level: tracing::Level::TRACE, format: LogFormat::Json, directives: None },
        drain_timeout: Duration::from_millis(1500),
        test_mode: true,
    };
    assert_eq!(config, expected);
    let [spring, autumn] = &config.pools[..] else { panic!("{} pools", config.pools.len()) };
    assert_eq!(spring.spec.selector, SelectorKind::PrefixSum);
    let keys = KeyLimits { window_ms: 172_800_000, keys_max: 0, outcomes_max: 10_000 };
    assert_eq!(spring.spec.keys, keys);
    assert_eq!(spring.seed, Some(Seed([0xab; 32])));
    assert_eq!(spring.spec.catalog.items()[1].quantity, Quantity::Unlimited);
    assert_eq!(spring.spec.catalog.items()[1].id.as_str(), "10 % off: once");
    assert_eq!((autumn.spec.id.as_str(), &autumn.seed), ("autumn", &None));
}

#[test]
fn a_secret_is_not_shown() {
    let shown = format!("{:?}", Seed([7; 32]));
    assert_eq!(shown, "Seed(…)");
}

#[test]
fn a_missing_file_is_named() {
    let error = Config::load(FilePath::new("no/such.yaml")).unwrap_err();
    assert!(matches!(error, ConfigError::Read { .. }));
    assert!(error.to_string().starts_with("no/such.yaml: the configuration cannot be read: "));
}

#[test]
fn faults_have_their_position_as_fields() {
    let Err(ConfigError::Invalid { faults, .. }) = parse("pool:\n  catalog: 5\n") else { panic!() };
    let expected = Position { line: 2, column: 12 };
    assert_eq!(faults.iter().map(|fault| fault.position).collect::<Vec<_>>(), [expected]);
}

proptest! {
    /// Whatever is in a file, it is refused with a position inside of it, or accepted: never a
    /// panic. The texts are the sample with a piece of it taken out and something else put there.
    #[test]
    fn broken_texts_are_refused_or_accepted(
        start in 0..Config::sample().len(),
        length in 0_usize..40,
        other in "[ -~\n\t\u{80}-\u{ff}]{0,12}",
    ) {
        let sample = Config::sample().as_bytes();
        let mut bytes = sample[..start].to_vec();
        bytes.extend_from_slice(other.as_bytes());
        bytes.extend_from_slice(&sample[sample.len().min(start + length)..]);
        let text = String::from_utf8(bytes).unwrap();
        if let Err(ConfigError::Invalid { faults, .. }) = parse(&text) {
            let lines = u64::try_from(text.lines().count()).unwrap() + 1;
            prop_assert!(!faults.is_empty());
            for fault in faults {
                prop_assert!((1..=lines).contains(&fault.position.line), "{fault:?}");
                prop_assert!(!fault.message.is_empty());
            }
        }
    }
}
