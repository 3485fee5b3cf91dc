//! The result of a run, and a comparison, for people.
use rewardpool_load::report::{Kind, Latency, rate};
use rewardpool_load::{Comparison, Figure, Report};
use serde_json::Value;

use crate::cli::output::{self, Align, Table};

/// A run, with the comparison when there is one.
pub(super) fn run(report: &Report, compared: Option<&Comparison>) -> String {
    let asked: Vec<String> = report
        .parameters
        .iter()
        .filter(|(_, value)| !matches!(value, Value::Null | Value::Bool(false)) && **value != "")
        .map(|(name, value)| format!("{name} {}", plain(value)))
        .collect();
    let head = format!("{}: {}\n\n", report.kind.name(), asked.join(", "));
    let mut text = head + &fields(report);
    let latencies = [
        ("request", report.latency_us),
        ("commit", report.commit_us),
        ("send delay", report.send_delay_us),
    ];
    if latencies.iter().any(|(_, latency)| latency.is_some()) {
        text.push('\n');
        text.push_str(&latency_table(&latencies).render());
    }
    if let Some(compared) = compared {
        text.push('\n');
        text.push_str(&comparison(compared));
    }
    text
}

fn fields(report: &Report) -> String {
    let is_replay = report.kind == Kind::Recovery;
    let what = if is_replay { "draws replayed" } else { "draws" };
    let mut fields = vec![
        (what, format!("{} in {:.3} s", report.draws, report.seconds)),
        ("draws a second", rate(report.draws_per_second)),
        (if is_replay { "records" } else { "requests" }, report.requests.to_string()),
    ];
    if report.empties > 0 {
        fields.push(("empty draws", report.empties.to_string()));
    }
    if let Some(replay) = &report.recovery {
        let speed = replay.bytes_per_second / 1e6;
        fields.push(("log", format!("{} bytes, {speed:.1} MB/s", replay.log_bytes)));
        fields.push(("fill", format!("{:.3} s", replay.fill_seconds)));
        let each: Vec<String> = replay.load_seconds.iter().map(|s| format!("{s:.3}")).collect();
        fields.push(("load", format!("{} s", each.join(", "))));
        fields.push(("start", format!("{:.3} s", replay.start_seconds)));
    }
    if let Some(log) = &report.log {
        let (bytes, draws) = (log.bytes_per_draw, log.draws_per_commit);
        fields.push(("log a draw", format!("{bytes:.2} bytes")));
        fields.push(("draws a commit", format!("{draws:.1}")));
    }
    if let Some(draws) = report.service_draws {
        fields.push(("service counted", format!("{draws} draws")));
    }
    if let Some(unsent) = report.unsent {
        fields.push(("due and not sent", unsent.to_string()));
    }
    let none = report.errors.is_empty();
    fields.push(("errors", if none { "none".to_owned() } else { errors(report) }));
    if report.interrupted {
        fields.push(("ended early", "yes".to_owned()));
    }
    let machine = &report.machine;
    let on = format!("{}, {} CPUs, Linux {}", machine.cpu, machine.cpus, machine.kernel);
    fields.push(("machine", format!("{on}, {}", machine.filesystem)));
    let trust = &report.trust;
    let used = format!(
        "this run used {:.1} % of the CPUs, others {:.1} %",
        trust.own_cpu_percent, trust.others_cpu_percent
    );
    let verdict = if trust.trusted { "yes".to_owned() } else { trust.reasons.join("; ") };
    fields.push(("cpu", used));
    fields.push(("trusted", if trust.trusted { verdict } else { format!("NO: {verdict}") }));
    output::fields(fields)
}

/// The reasons of the requests that failed.
pub(super) fn errors(report: &Report) -> String {
    let each = report.errors.iter().map(|(reason, times)| format!("{times} {reason}"));
    each.collect::<Vec<_>>().join(", ")
}

fn latency_table(latencies: &[(&str, Option<Latency>)]) -> Table<6> {
    let mut table = Table::new([
        ("MICROSECONDS", Align::Left),
        ("P50", Align::Right),
        ("P90", Align::Right),
        ("P99", Align::Right),
        ("P99.9", Align::Right),
        ("MAX", Align::Right),
    ]);
    for (name, latency) in latencies {
        let Some(latency) = latency else { continue };
        let [p50, p90, p99, p99_9, max] = latency.figures().map(|(_, us)| number(us));
        table.push([(*name).to_owned(), p50, p90, p99, p99_9, max]);
    }
    table
}

/// Two runs side by side.
pub(super) fn comparison(compared: &Comparison) -> String {
    let mut table = Table::new([
        ("FIGURE", Align::Left),
        ("OLD", Align::Right),
        ("NEW", Align::Right),
        ("RATIO", Align::Right),
        ("", Align::Left),
    ]);
    for figure in &compared.figures {
        let ratio = figure.ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.3}"));
        let judged = judgement(figure).to_owned();
        table.push([figure.name.clone(), number(figure.old), number(figure.new), ratio, judged]);
    }
    let mut text = table.render();
    for difference in &compared.differences {
        let (old, new) = (plain(&difference.old), plain(&difference.new));
        text.extend(["differs: ", &difference.name, " was ", &old, ", is ", &new, "\n"]);
    }
    for warning in &compared.warnings {
        text.extend(["warning: ", warning, "\n"]);
    }
    text
}

/// Whether a figure became better, beyond what is rounded away.
fn judgement(figure: &Figure) -> &'static str {
    let more = if figure.more_is_better { "better" } else { "worse" };
    let less = if figure.more_is_better { "worse" } else { "better" };
    match figure.ratio {
        Some(ratio) if ratio < 0.9995 => less,
        Some(ratio) if ratio < 1.0005 => "",
        _ => more,
    }
}

/// With as many decimals as can be told apart.
fn number(value: f64) -> String {
    if value >= 1000.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "unset".to_owned(),
        Value::Bool(is) => if *is { "yes" } else { "no" }.to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use rewardpool_load::Difference;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_comparison_says_what_became_better_and_what_differs() {
        let figure = |name: &str, old, new, ratio, more_is_better| Figure {
            name: name.to_owned(),
            old,
            new,
            ratio,
            more_is_better,
        };
        let compared = Comparison {
            figures: vec![
                figure("draws_per_second", 2000.0, 4000.0, Some(2.0), true),
                figure("latency_us.p50", 10.0, 20.0, Some(2.0), false),
                figure("latency_us.p99", 10.0, 10.0, Some(1.0), false),
                figure("latency_us.max", 0.0, 1.5, None, false),
            ],
            differences: vec![Difference {
                name: "parameters.rate".to_owned(),
                old: Value::Null,
                new: json!(10),
            }],
            warnings: vec!["the old run was ended early".to_owned()],
        };
        assert_eq!(
            comparison(&compared),
            "FIGURE               OLD     NEW  RATIO\n\
             draws_per_second    2000    4000  2.000  better\n\
             latency_us.p50    10.000  20.000  2.000  worse\n\
             latency_us.p99    10.000  10.000  1.000\n\
             latency_us.max     0.000   1.500      -  worse\n\
             differs: parameters.rate was unset, is 10\n\
             warning: the old run was ended early\n"
        );
    }
}
