//! A whole run over gRPC: against a service that is made for it, or against one that runs already.
use std::net::SocketAddr;
use std::sync::Arc;

use rewardpool_client::Access;
use rewardpool_proto::v1::GetStateRequest;
use rewardpool_proto::v1::reward_pool_client::RewardPoolClient;
use serde_json::{Value, json};

use crate::engine::{selector_name, storage_name};
use crate::error::Error;
use crate::grpc::{self, GrpcPlan, GrpcRun, Way};
use crate::listener;
use crate::machine::{Machine, Observer, Trust};
use crate::report::{self, Kind, Parameters, Report};
use crate::service::{Service, ServicePlan};
use crate::watch::{Phase, Watch};

/// What the load is laid on.
#[derive(Clone, Debug)]
pub enum Target {
    /// A service that runs already. Its draws are real.
    Running {
        /// Its URL.
        url: String,
        /// What is shown to it.
        access: Access,
    },
    /// A service that is started for the run and ends with it.
    Temporary(ServicePlan),
}

/// Lays the load on a service, and reports.
///
/// # Errors
/// When the plan is out of bounds, the service does not run, or it does not answer. Requests that
/// fail are counted in the report.
pub fn bench(target: &Target, plan: &GrpcPlan, watch: &Arc<Watch>) -> Result<Report, Error> {
    plan.check()?;
    watch.enter(Phase::Preparing);
    match target {
        Target::Running { url: address, access } => {
            let machine = Machine::of(None);
            let (found, is_here) = find_service(address);
            let way = Way { address, access };
            let seen = Seen::begin(way, plan, found.as_slice())?;
            let (run, mut trust, draws) = seen.load(way, plan, &machine, watch)?;
            if found.is_none() && is_here {
                trust.doubt("the CPU time of the service cannot be told from that of others");
            }
            let parameters = parameters(plan, json!({ "target": address }));
            Ok(finish(parameters, (run, trust, draws), machine, watch))
        }
        Target::Temporary(service_plan) => {
            let service = Service::start(service_plan)?;
            let machine = Machine::of(Some(service.directory()));
            let way = Way { address: service.address(), access: &Access::default() };
            let seen = Seen::begin(way, plan, &[service.id()])?;
            let (run, trust, draws) = seen.load(way, plan, &machine, watch)?;
            let log = service.stop(run.tally.draws)?;
            let parameters = parameters(plan, service_parameters(service_plan));
            let mut report = finish(parameters, (run, trust, draws), machine, watch);
            report.log = Some(log);
            Ok(report)
        }
    }
}

/// The process that serves an address, when it is on this machine and may be seen; and whether it
/// is on this machine.
fn find_service(address: &str) -> (Option<u32>, bool) {
    let host = address.trim_start_matches("http://").trim_start_matches("https://");
    let host = host.trim_end_matches('/');
    let local: Option<SocketAddr> = host.replace("localhost", "127.0.0.1").parse().ok();
    match local.filter(|address| address.ip().is_loopback()) {
        Some(address) => (listener::process_of(address.port()), true),
        None => (None, false),
    }
}

/// The service before the load.
struct Seen {
    draws: u64,
    observer: Observer,
}

impl Seen {
    fn begin(way: Way<'_>, plan: &GrpcPlan, children: &[u32]) -> Result<Self, Error> {
        Ok(Self { draws: pool_draws(way, &plan.pool)?, observer: Observer::begin(children) })
    }

    /// Lays the load on, and gives the draws that the service counted meanwhile.
    fn load(
        self,
        way: Way<'_>,
        plan: &GrpcPlan,
        machine: &Machine,
        watch: &Arc<Watch>,
    ) -> Result<(GrpcRun, Trust, u64), Error> {
        let run = grpc::run_by(way, plan, watch)?;
        let trust = self.observer.end(machine);
        watch.enter(Phase::Finishing);
        let draws = pool_draws(way, &plan.pool)?.saturating_sub(self.draws);
        Ok((run, trust, draws))
    }
}

fn finish(
    parameters: Parameters,
    (run, mut trust, service_draws): (GrpcRun, Trust, u64),
    machine: Machine,
    watch: &Watch,
) -> Report {
    let is_open = parameters.get("rate").is_some_and(|rate| !rate.is_null());
    if run.unsent > 0 {
        trust.doubt(format!(
            "{} requests that were due could not be sent: the rate is too high for so many in \
             flight",
            run.unsent
        ));
    }
    let told = report::Run {
        kind: Kind::Grpc,
        parameters,
        machine,
        trust,
        interrupted: watch.is_stopped(),
        elapsed: run.elapsed,
    };
    let mut report = Report::new(told, &run.tally);
    report.unsent = is_open.then_some(run.unsent);
    report.service_draws = Some(service_draws);
    report
}

/// Draws of a pool since it was made.
fn pool_draws(way: Way<'_>, pool: &str) -> Result<u64, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Error::system("make a runtime"))?.block_on(async {
        let mut service = RewardPoolClient::new(grpc::connect(way).await?);
        let request = GetStateRequest { pool: pool.to_owned(), page_size: 1, ..Default::default() };
        let state = service.get_state(request).await;
        state.map(|state| state.into_inner().draws).map_err(|status| Error::Status {
            what: "the state of the pool cannot be read",
            status: Box::new(status),
        })
    })
}

/// What was asked for, by the names of the command line.
fn parameters(plan: &GrpcPlan, of_target: Value) -> Parameters {
    let of_plan = json!({
        "method": plan.method.name(),
        "pool": plan.pool,
        "count": plan.count,
        "connections": plan.connections,
        "in_flight": plan.in_flight,
        "keys": plan.with_keys,
        "rate": plan.rate,
        "seconds": plan.duration.as_secs_f64(),
        "threads": plan.threads,
    });
    report::parameters(of_plan).into_iter().chain(report::parameters(of_target)).collect()
}

fn service_parameters(plan: &ServicePlan) -> Value {
    json!({
        "target": "temporary",
        "items": plan.items,
        "selector": selector_name(plan.selector),
        "format": plan.format.to_string(),
        "storage": storage_name(plan.storage),
        "segment_bytes": plan.segment_bytes,
        "batch_draws_max": plan.batch_draws_max,
    })
}
