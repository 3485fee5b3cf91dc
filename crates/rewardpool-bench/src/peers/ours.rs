//! The service, by its program and over TCP, as its users have it.
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use rewardpool_load::{GrpcPlan, Method, Watch, grpc};
use rewardpool_proto::v1::reward_pool_client::RewardPoolClient;
use rewardpool_proto::v1::{GetStateRequest, GetStateResponse};
use tempfile::TempDir;

use super::process::{Server, output, tied};
use super::report::OURS;
use super::{Account, Figure, Item, Load, Options, System};
use crate::table::{float, per_second};

pub(crate) struct Service {
    /// Ends before its directory is removed.
    _server: Server,
    _directory: TempDir,
    address: String,
    items: Vec<Item>,
    answered: u64,
}

/// What is measured.
pub(crate) fn version(binary: &Path) -> anyhow::Result<String> {
    Ok(output(Command::new(binary).arg("--version"))?.trim().to_owned())
}

impl Service {
    /// With the sample's defaults and this catalogue.
    pub(crate) fn start(options: &Options, items: &[Item]) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir_in(&options.directory)?;
        let config = directory.path().join("config.yaml");
        let line = |item: &Item| {
            let units = item.units.map_or_else(|| "-1".to_owned(), |units| units.to_string());
            let Item { name, weight, .. } = item;
            format!("    - {{ item_id: \"{name}\", quantity: {units}, weight: {weight} }}\n")
        };
        let lines: String = items.iter().map(line).collect();
        std::fs::write(&config, format!("pool:\n  catalog:\n{lines}"))?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = tied(&options.binary, None);
        command.args(["serve", "--listen", &address.to_string(), "--config"]).arg(&config);
        command.arg("--working-dir").arg(directory.path().join("data"));
        let server = Server::start(&mut command, || TcpStream::connect(address).is_ok())?;
        Ok(Self {
            _server: server,
            _directory: directory,
            address: format!("http://{address}"),
            items: items.to_vec(),
            answered: 0,
        })
    }

    fn state(&self) -> anyhow::Result<GetStateResponse> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut pool = RewardPoolClient::connect(self.address.clone()).await?;
            let mut whole: Option<GetStateResponse> = None;
            let mut page_token = String::new();
            loop {
                let asked = std::mem::take(&mut page_token);
                let request = GetStateRequest { page_token: asked, ..GetStateRequest::default() };
                let page = pool.get_state(request).await?.into_inner();
                page_token.clone_from(&page.next_page_token);
                match &mut whole {
                    Some(whole) => whole.items.extend(page.items),
                    None => whole = Some(page),
                }
                if page_token.is_empty() {
                    return Ok(whole.expect("at least one page was read"));
                }
            }
        })
    }
}

impl System for Service {
    fn name(&self) -> String {
        OURS.to_owned()
    }

    fn takes(&self, _: Load) -> bool {
        true
    }

    fn measure(&mut self, load: Load, duration: Duration) -> anyhow::Result<Figure> {
        let plan = GrpcPlan {
            method: Method::Stream,
            count: u16::try_from(load.count)?,
            connections: u16::try_from(load.clients)?,
            in_flight: u16::try_from(load.in_flight)?,
            duration,
            ..GrpcPlan::default()
        };
        let run = grpc::run(&self.address, &plan, &Arc::new(Watch::new()))?;
        ensure!(run.tally.failed() == 0, "requests failed: {:?}", run.tally.errors);
        self.answered += run.tally.draws;
        let latency = run.tally.latency.nanoseconds();
        Ok(Figure {
            draws_per_second: per_second(run.tally.draws, run.elapsed),
            p50_us: float(latency.value_at_quantile(0.5)) / 1000.0,
            p99_us: float(latency.value_at_quantile(0.99)) / 1000.0,
        })
    }

    fn items(&self) -> &[Item] {
        &self.items
    }

    fn account(&mut self) -> anyhow::Result<Account> {
        let state = self.state()?;
        Ok(Account {
            left: state.items.iter().map(|item| u64::try_from(item.quantity).ok()).collect(),
            awarded: state.items.iter().map(|item| item.awarded).collect(),
            empties: state.empties,
            answered: self.answered,
            unanswered_max: 0,
        })
    }
}
