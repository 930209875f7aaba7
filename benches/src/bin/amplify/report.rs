//! The tables.

use crate::{Result, attacks::Attack, measure::Cost, servers::Kind};

/// Cost below which a difference does not matter: ns or bytes for each byte, or descriptors for each KiB.
const LEAST: f64 = 0.5;

type Row = (Attack, Vec<Result<Option<Cost>>>);

/// Returns the cost in one line, to show the progress.
pub(crate) fn line(cost: &Result<Option<Cost>>) -> String {
    match cost {
        Ok(Some(cost)) => format!(
            "{} bytes, {} ns a byte, {} KiB, {} descriptors",
            cost.bytes,
            number(cost.cpu),
            cost.memory >> 10,
            cost.descriptors
        ),
        Ok(None) => "not applicable".into(),
        Err(error) => error.to_string(),
    }
}

/// Prints a table of CPU time with the bounds, one of memory, and one of descriptors.
pub(crate) fn print(kinds: &[Kind], rows: &[Row]) {
    let names = kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(" | ");
    let rules = "---|".repeat(kinds.len());
    println!(
        "| CPU time, ns a byte | {names} | a peer is better | bound | shown by |\n|---|{rules}---|---|---|"
    );
    for (Attack { name, bound, shown, .. }, costs) in rows {
        let figure = |cost: &Cost| cost.cpu;
        println!(
            "| {name} | {} | {} | {bound} | {shown} |",
            cells(costs, figure),
            losses(kinds, costs, figure)
        );
    }
    print_table("memory, bytes a byte", kinds, rows, 0.0, |cost| cost.memory as f64 / cost.bytes as f64);
    print_table("descriptors, for each KiB", kinds, rows, 0.05, |cost| {
        cost.descriptors as f64 * 1024.0 / cost.bytes as f64
    });
}

/// Prints the rows that have a figure of at least `least`.
fn print_table(title: &str, kinds: &[Kind], rows: &[Row], least: f64, figure: fn(&Cost) -> f64) {
    let names = kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(" | ");
    println!(
        "\n| {title} | bytes sent | {names} | a peer is better |\n|---|---|{}---|",
        "---|".repeat(kinds.len())
    );
    for (attack, costs) in rows {
        let measured = || costs.iter().flatten().flatten();
        if measured().any(|cost| figure(cost) >= least) {
            let bytes = measured().map(|cost| cost.bytes).max().unwrap_or_default();
            let (cells, losses) = (cells(costs, figure), losses(kinds, costs, figure));
            println!("| {} | {} | {cells} | {losses} |", attack.name, grouped(bytes));
        }
    }
}

fn cells(costs: &[Result<Option<Cost>>], figure: impl Fn(&Cost) -> f64) -> String {
    let cell = |cost: &Result<Option<Cost>>| match cost {
        Ok(Some(cost)) => number(figure(cost)),
        Ok(None) => "–".into(),
        Err(_) => "failed".into(),
    };
    costs.iter().map(cell).collect::<Vec<_>>().join(" | ")
}

/// Returns the adapters that cost at least a fifth more than the best peer, if the cost matters at all.
fn losses(kinds: &[Kind], costs: &[Result<Option<Cost>>], figure: impl Fn(&Cost) -> f64) -> String {
    let figures = |ours: bool| {
        let both = kinds.iter().zip(costs).filter(move |(kind, _)| kind.is_ours() == ours);
        both.filter_map(|(kind, cost)| Some((kind.name(), figure(cost.as_ref().ok()?.as_ref()?))))
    };
    let best = figures(false).map(|(_, figure)| figure).min_by(f64::total_cmp).unwrap_or(f64::INFINITY);
    let worse = figures(true).filter(|&(_, figure)| figure > LEAST && figure > best * 1.2);
    let worse = worse.map(|(name, figure)| match best > 0.0 {
        true => format!("{name} × {:.1}", figure / best),
        false => name.to_owned(),
    });
    worse.collect::<Vec<_>>().join(", ")
}

/// Formats a number with three digits at most.
fn number(figure: f64) -> String {
    match figure {
        ..0.005 => "0".into(),
        ..1.0 => format!("{figure:.2}"),
        ..10.0 => format!("{figure:.1}"),
        _ => grouped(figure.round() as u64),
    }
}

/// Formats a number with commas between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group).into_owned());
    groups.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_have_commas() {
        let figures = [0.0, 0.004, 0.25, 3.44, 12.4, 999.6, 1_234_567.0];
        assert_eq!(figures.map(number), ["0", "0", "0.25", "3.4", "12", "1,000", "1,234,567"]);
    }

    #[test]
    fn an_adapter_is_a_loser_if_it_costs_a_fifth_more_than_the_best_peer() {
        let cost = |cpu| Ok(Some(Cost { bytes: 1, cpu, memory: 0, descriptors: 0 }));
        let loss = |costs: [f64; 4]| losses(&Kind::ALL, &costs.map(cost), |cost| cost.cpu);
        assert_eq!(loss([11.0, 12.6, 30.0, 10.0]), "`ws-smol` × 1.3");
        assert_eq!(loss([20.0, 9.0, 10.0, 30.0]), "`ws-std` × 2.0");
        assert_eq!(loss([0.4, 0.4, 0.1, 0.1]), "");
        let without_peers = [cost(9.0), cost(9.0), Ok(None), Ok(None)];
        assert_eq!(losses(&Kind::ALL, &without_peers, |cost| cost.cpu), "");
    }
}
