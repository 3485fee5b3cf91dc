//! The table on the terminal.
#![expect(clippy::print_stdout, reason = "the output of the program")]

use super::{Figure, OTHERS_MAX, Report};

/// Prints the names of the columns.
pub(crate) fn print_head() {
    let line = ["#", "figure", "goal", "limit", "reached", "ratio", ""];
    println!("{}", columns(line.map(str::to_owned)));
}

/// Prints one line, as soon as it is measured.
pub(crate) fn print_line(figure: &Figure) {
    println!("{}", columns(cells(figure)));
    if !figure.note.is_empty() {
        println!("     {}", figure.note);
    }
}

/// Prints what is missed and what cannot be trusted.
pub(crate) fn print_summary(report: &Report) {
    let missed: Vec<_> = report.figures.iter().filter(|figure| !figure.is_met()).collect();
    println!("{} of {} figures met", report.figures.len() - missed.len(), report.figures.len());
    let doubtful = report.figures.iter().filter(|figure| !figure.is_trusted()).count();
    if doubtful > 0 {
        println!(
            "NOT TO BE TRUSTED: others used more than {:.0} % of the CPUs during {doubtful} of them",
            100.0 * OTHERS_MAX,
        );
    }
}

/// The cells of a line: row, figure, goal, limit, reached, ratio, verdict.
pub(super) fn cells(figure: &Figure) -> [String; 7] {
    let line = figure.line();
    let goals: Vec<_> = line.goals.iter().map(|goal| goal.text(line.unit)).collect();
    let verdict = if figure.is_met() { "met" } else { "MISSED" };
    let doubt = if figure.is_trusted() { "" } else { " ?" };
    [
        figure.row.to_string(),
        line.what.to_owned(),
        goals.join(", "),
        figure.limit.map_or_else(String::new, |limit| line.unit.text(limit)),
        line.unit.text(figure.reached),
        figure.ratio().map_or_else(String::new, |ratio| format!("{ratio:.2}")),
        format!("{verdict}{doubt}"),
    ]
}

fn columns(cells: [String; 7]) -> String {
    let [row, what, goals, limit, reached, ratio, verdict] = cells;
    let line =
        format!("{row:>2}  {what:<52} {goals:<38} {limit:>9} {reached:>9} {ratio:>6}  {verdict}");
    line.trim_end().to_owned()
}
