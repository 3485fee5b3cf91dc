//! A real service over gRPC on this machine, each row beside an echo of the same messages.
//!
//! The load generator shares the CPUs with the service, so only the ratio of two rows of one run
//! says something about the service.
#![expect(clippy::print_stdout, reason = "the output of the program")]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use hdrhistogram::Histogram;
use rewardpool_proto::v1::reward_pool_client::RewardPoolClient;
use rewardpool_proto::v1::{DrawRequest, draw_stream_response::Answer};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::table::{float, per_second, rate, row};

const PATIENCE: Duration = Duration::from_secs(20);

/// How the load is laid on.
struct Shape {
    name: &'static str,
    connections: usize,
    in_flight: usize,
    count: i32,
    is_unary: bool,
}

const SHAPES: [Shape; 6] = [
    Shape { name: "unary, 1 in flight", connections: 1, in_flight: 1, count: 1, is_unary: true },
    Shape { name: "stream, 1 in flight", connections: 1, in_flight: 1, count: 1, is_unary: false },
    Shape {
        name: "stream, 64 connections x 1",
        connections: 64,
        in_flight: 1,
        count: 1,
        is_unary: false,
    },
    Shape {
        name: "stream, 8 x 64, singles",
        connections: 8,
        in_flight: 64,
        count: 1,
        is_unary: false,
    },
    Shape {
        name: "stream, 8 x 16, count 100",
        connections: 8,
        in_flight: 16,
        count: 100,
        is_unary: false,
    },
    Shape { name: "unary, 8 x 32", connections: 8, in_flight: 32, count: 1, is_unary: true },
];

pub(crate) fn run(seconds: u64, binary: &Path, items: u64) -> anyhow::Result<ExitCode> {
    let directory = tempfile::tempdir_in(".")?;
    let config = directory.path().join("config.yaml");
    std::fs::write(&config, config_text(items))?;
    let mut service = Command::new(binary);
    service.args(["serve", "--config"]).arg(&config).arg("--working-dir");
    service.arg(directory.path().join("data"));
    let service = Running::start(service, binary)?;
    let myself = std::env::current_exe()?;
    let mut echo = Command::new(&myself);
    echo.arg("echo");
    let echo = Running::start(echo, &myself)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let duration = Duration::from_secs(seconds);
    println!("Durable draws over gRPC, load generator on the same CPUs. The limit is an echo.");
    row(&["shape", "draws", "echo", "ratio", "p50/p99 us", "echo p50/p99"]);
    for shape in &SHAPES {
        let limit = runtime.block_on(load(&echo.address, shape, duration))?;
        let ours = runtime.block_on(load(&service.address, shape, duration))?;
        row(&[
            shape.name,
            &rate(ours.per_second),
            &rate(limit.per_second),
            &format!("{:.2}", ours.per_second / limit.per_second),
            &ours.micros(),
            &limit.micros(),
        ]);
    }
    Ok(ExitCode::SUCCESS)
}

fn config_text(items: u64) -> String {
    let items: Vec<_> = (0..items)
        .map(|n| format!("    - {{ item_id: item-{n}, quantity: -1, weight: {} }}", n + 1))
        .collect();
    format!("pool:\n  catalog:\n{}\n", items.join("\n"))
}

/// A process that listens; killed when it is dropped.
struct Running {
    process: Child,
    address: String,
}

impl Running {
    fn start(mut command: Command, program: &Path) -> anyhow::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        command.args(["--listen", &address]).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().with_context(|| format!("start {}", program.display()))?;
        Ok(Self { process, address: format!("http://{address}") })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

struct Measured {
    per_second: f64,
    latency: Histogram<u64>,
}

impl Measured {
    fn micros(&self) -> String {
        let at = |quantile| float(self.latency.value_at_quantile(quantile)) / 1000.0;
        format!("{:.0}/{:.0}", at(0.5), at(0.99))
    }
}

async fn load(address: &str, shape: &Shape, duration: Duration) -> anyhow::Result<Measured> {
    let until = Instant::now() + duration;
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..shape.connections {
        let channel = connect(address).await?;
        let (in_flight, count) = (shape.in_flight, shape.count);
        if shape.is_unary {
            for _ in 0..in_flight {
                clients.spawn(unary(channel.clone(), count, until));
            }
        } else {
            clients.spawn(stream(channel, count, in_flight, until));
        }
    }
    let begun = Instant::now();
    let mut latency = Histogram::new(3)?;
    let mut answers = 0;
    while let Some(client) = clients.join_next().await {
        let client = client??;
        answers += client.len();
        latency.add(&client)?;
    }
    let draws = answers * u64::try_from(shape.count)?;
    Ok(Measured { per_second: per_second(draws, begun.elapsed()), latency })
}

async fn unary(channel: Channel, count: i32, until: Instant) -> anyhow::Result<Histogram<u64>> {
    let mut pool = RewardPoolClient::new(channel);
    let mut latency = Histogram::new(3)?;
    while Instant::now() < until {
        let sent = Instant::now();
        pool.draw(DrawRequest { count, ..Default::default() }).await?;
        latency.record(u64::try_from(sent.elapsed().as_nanos())?)?;
    }
    Ok(latency)
}

async fn stream(
    channel: Channel,
    count: i32,
    in_flight: usize,
    until: Instant,
) -> anyhow::Result<Histogram<u64>> {
    let mut pool = RewardPoolClient::new(channel);
    let mut latency = Histogram::new(3)?;
    let (sender, requests) = mpsc::channel(in_flight);
    let request = || DrawRequest { count, ..Default::default() };
    let mut sent = std::collections::VecDeque::new();
    for _ in 0..in_flight {
        sender.send(request()).await?;
        sent.push_back(Instant::now());
    }
    let mut answers = pool.draw_stream(ReceiverStream::new(requests)).await?.into_inner();
    while !sent.is_empty() {
        let answer = answers.message().await?.context("the stream ended early")?;
        let Some(Answer::Draw(_)) = answer.answer else { bail!("a draw was refused") };
        let now = Instant::now();
        let since = sent.pop_front().context("more answers than requests")?;
        latency.record(u64::try_from((now - since).as_nanos())?)?;
        if now < until {
            sender.send(request()).await?;
            sent.push_back(now);
        }
    }
    Ok(latency)
}

async fn connect(address: &str) -> anyhow::Result<Channel> {
    let begun = Instant::now();
    loop {
        match Channel::from_shared(address.to_owned())?.tcp_nodelay(true).connect().await {
            Ok(channel) => return Ok(channel),
            Err(error) if begun.elapsed() > PATIENCE => bail!("{address}: {error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}
