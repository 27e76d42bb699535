//! What the placements of a prompt show against their reference, in a sentence made of nothing but figures and verdicts.

use placebench_core::compare::Change;
use placebench_core::outcome::OutcomeKind;

use super::CaseView;
use super::compared::{Against, ComparedRow, ComparedView, TTFT};
use super::titles::{NAMED, invalid};
use super::words::{capital, count, list, number};

/// A placement and how long it takes against the reference.
struct Claim<'a> {
    name: &'a str,
    against: Against,
}

/// The title of the comparison. `cases` are the same placements in the same order.
pub(super) fn title(view: &ComparedView, cases: &[CaseView]) -> String {
    let mut parts = vec![speeds(view, view.lead())];
    parts.extend(invalid(cases));
    parts.extend(budgets(cases));
    parts.join("; ")
}

/// What the times to the first token show; nothing where none can be held against the reference.
pub(super) fn first_token(view: &ComparedView) -> Option<String> {
    let mut cells = view.rows.iter().filter_map(|row| row.cells.get(TTFT));
    cells.any(|cell| cell.against.is_some()).then(|| speeds(view, TTFT))
}

fn speeds(view: &ComparedView, metric: usize) -> String {
    let (rows, reference) = (view.rows.as_slice(), view.reference.as_str());
    let fastest = view.speeds_by(metric).fastest().and_then(|index| rows.get(index));
    let fastest = fastest.map(|row| row.placement.as_str());
    let per = if metric == TTFT {
        "to the first token"
    } else {
        "per token"
    };
    let claims = rows.iter().filter_map(|row| {
        let against = row.cells.get(metric)?.against?;
        let name = row.placement.as_str();
        Some(Claim { name, against })
    });
    let claims: Vec<Claim<'_>> = claims.collect();
    if claims.is_empty() {
        return unrelated(rows, reference, metric, per);
    }
    if claims.len() > NAMED {
        return summed_up(&claims, reference, per, fastest);
    }
    let of = |change: Change| -> Vec<&Claim<'_>> {
        let is_meant = |claim: &&Claim<'_>| claim.against.change == Some(change);
        claims.iter().filter(is_meant).collect()
    };
    let (slower, faster, same) = (of(Change::Slower), of(Change::Faster), of(Change::Same));
    let mut parts = Vec::new();
    let (first, faster): (Vec<&Claim<'_>>, Vec<&Claim<'_>>) =
        faster.into_iter().partition(|claim| fastest == Some(claim.name));
    for claim in &first {
        let much = how_much(&claim.against, per);
        let text = format!("{} is fastest: {much} than {reference}", claim.name);
        parts.push((Opening::Name, text));
    }
    if !faster.is_empty() {
        let all = takes(&faster, per);
        let text = match first.is_empty() {
            true => format!("faster than {reference}: {all}"),
            false => format!("also faster: {all}"),
        };
        parts.push((Opening::Word, text));
    }
    if !same.is_empty() {
        let verb = if same.len() == 1 { "takes" } else { "take" };
        // What is called the same is so within the margin.
        let margin = same.iter().map(|claim| claim.against.margin).fold(1.0, f64::max);
        let names = list(&same.iter().map(|claim| claim.name.to_owned()).collect::<Vec<_>>());
        let margin = percent(margin);
        let text = format!("{names} {verb} as long {per} as {reference}, within {margin}");
        parts.push((Opening::Name, text));
    }
    if !slower.is_empty() {
        let all = takes(&slower, per);
        parts.push(if fastest == Some(reference) {
            (Opening::Name, format!("{reference} is fastest: {all}"))
        } else if first.is_empty() && faster.is_empty() {
            (Opening::Word, format!("slower than {reference}: {all}"))
        } else {
            (Opening::Word, format!("slower: {all}"))
        });
    }
    for (change, word) in [
        (Change::Unclear, "unclear"),
        (Change::NoVerdict, "too few pairs for a verdict"),
    ] {
        let claims = of(change);
        if !claims.is_empty() {
            let text = format!("{word} against {reference}: {}", takes(&claims, per));
            parts.push((Opening::Word, text));
        }
    }
    sentence(&parts)
}

/// `auto 12 % longer per token (8 to 17 %), manual 5 % longer (2 to 8 %)`.
fn takes(claims: &[&Claim<'_>], per: &str) -> String {
    let words = |(index, claim): (usize, &&Claim<'_>)| {
        let per = if index == 0 { per } else { "" };
        format!("{} {}", claim.name, how_much(&claim.against, per))
    };
    let all: Vec<String> = claims.iter().enumerate().map(words).collect();
    all.join(", ")
}

/// Many placements: how many are what, and the extremes.
fn summed_up(claims: &[Claim<'_>], reference: &str, per: &str, fastest: Option<&str>) -> String {
    let words = [
        (Change::Slower, "slower"),
        (Change::Faster, "faster"),
        (Change::Same, "the same"),
        (Change::Unclear, "unclear"),
        (Change::NoVerdict, "without a verdict"),
    ];
    let counted = words.iter().filter_map(|(change, word)| {
        let number = claims
            .iter()
            .filter(|claim| claim.against.change == Some(*change))
            .count();
        (number > 0).then(|| format!("{number} {word}"))
    });
    let counted: Vec<String> = counted.collect();
    let by_ratio = |a: &&Claim<'_>, b: &&Claim<'_>| a.against.ratio.total_cmp(&b.against.ratio);
    let (Some(least), Some(most)) = (claims.iter().min_by(by_ratio), claims.iter().max_by(by_ratio)) else {
        return String::new();
    };
    let times = |claim: &Claim<'_>| format!("{} × ({})", number(claim.against.ratio), claim.name);
    let fastest = fastest.map_or_else(String::new, |name| format!("{name} is fastest; "));
    format!(
        "{fastest}{} against {reference} {per}: {}, from {} to {}",
        count(claims.len(), "placement", "placements"),
        counted.join(", "),
        times(least),
        times(most)
    )
}

/// Nothing can be held against the reference: who has a speed at all.
fn unrelated(rows: &[ComparedRow], reference: &str, metric: usize, per: &str) -> String {
    let measured: Vec<(&str, &str)> = (rows.iter())
        .filter_map(|row| Some((row.placement.as_str(), row.cells.get(metric)?.value.measured()?)))
        .collect();
    match measured.as_slice() {
        [] => "No placement has a speed".to_owned(),
        [(name, value)] if rows.len() == 1 => format!("{name} takes {value} {per}"),
        [(name, value)] => format!("Only {name} has a speed: {value} {per}"),
        several => {
            let has_base = several.iter().any(|(name, _)| *name == reference);
            match has_base {
                true => format!(
                    "{} have a speed, which cannot be compared",
                    count(several.len(), "placement", "placements")
                ),
                false => format!("{reference} has no speed to compare with"),
            }
        }
    }
}

/// `12 % longer per token (8 to 17 %)`.
fn how_much(against: &Against, per: &str) -> String {
    let Against { ratio, interval, .. } = *against;
    let per = if per.is_empty() {
        String::new()
    } else {
        format!(" {per}")
    };
    if ratio >= 2.0 {
        let range = interval.map_or_else(String::new, |interval| {
            format!(" ({:.1} to {:.1})", interval.low, interval.high)
        });
        return format!("{ratio:.1} times as long{per}{range}");
    }
    let is_longer = ratio >= 1.0;
    let change = |ratio: f64| if is_longer { ratio - 1.0 } else { 1.0 - ratio } * 100.0;
    let word = if is_longer { "longer" } else { "less time" };
    let range = interval.map_or_else(String::new, |interval| {
        let (from, to) = match is_longer {
            true => (interval.low, interval.high),
            false => (interval.high, interval.low),
        };
        format!(" ({} to {} %)", rounded(change(from)), rounded(change(to)))
    });
    format!("{} % {word}{per}{range}", rounded(change(ratio)))
}

fn percent(ratio: f64) -> String {
    format!("{} %", rounded((ratio - 1.0) * 100.0))
}

/// One decimal below ten, none above; never `-0`.
fn rounded(percent: f64) -> String {
    let decimals = if percent.abs() < 9.95 { 1 } else { 0 };
    let text = format!("{percent:.decimals$}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0".into() } else { text.to_owned() }
}

/// Who keeps within the budgets, where someone does not.
fn budgets(cases: &[CaseView]) -> Option<String> {
    let is_over = |case: &&CaseView| {
        case.outcome_kind == Some(OutcomeKind::OutOfMemory)
            || case
                .memory
                .iter()
                .any(|device| device.utilisation().is_some_and(|share| share > 1.0))
    };
    let is_within = |case: &&CaseView| {
        let is_known = case.memory.iter().any(|device| device.utilisation().is_some());
        is_known && !is_over(case) && case.outcome_kind == Some(OutcomeKind::Completed)
    };
    let names = |is_meant: &dyn Fn(&&CaseView) -> bool| -> Vec<String> {
        let meant = cases.iter().filter(|case| is_meant(case));
        meant.map(|case| case.placement.clone()).collect()
    };
    let (over, within) = (names(&is_over), names(&is_within));
    match (over.len(), within.as_slice()) {
        (0, _) => None,
        // Whoever has no figure may be either.
        (over, [only]) if over + 1 == cases.len() => Some(format!("within budget only {only}")),
        (n, _) if n > NAMED => Some(format!("{n} placements over budget")),
        _ => Some(format!("over budget {}", list(&over))),
    }
}

/// How a part of a sentence begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opening {
    /// With a name, which stays as it is.
    Name,
    /// With a word of ours, which is capital at the beginning.
    Word,
}

/// The parts as one sentence.
fn sentence(parts: &[(Opening, String)]) -> String {
    let texts: Vec<&str> = parts.iter().map(|(_, text)| text.as_str()).collect();
    let text = texts.join("; ");
    match parts.first() {
        Some((Opening::Word, _)) => capital(&text),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use placebench_core::statistics::Interval;

    fn against(ratio: f64, interval: Option<(f64, f64)>) -> Against {
        Against {
            ratio,
            interval: interval.map(|(low, high)| Interval { low, high }),
            pairs: 8,
            floor: 1.02,
            margin: 1.02,
            change: None,
        }
    }

    #[test]
    fn ratios_become_words_of_time() {
        let words = |ratio, interval| how_much(&against(ratio, interval), "per token");
        assert_eq!(words(1.12, Some((1.08, 1.17))), "12 % longer per token (8 to 17 %)");
        assert_eq!(
            words(0.88, Some((0.8, 0.951))),
            "12 % less time per token (4.9 to 20 %)"
        );
        assert_eq!(words(1.03, Some((0.99, 1.07))), "3 % longer per token (-1 to 7 %)");
        assert_eq!(
            words(3.04, Some((2.9, 3.26))),
            "3.0 times as long per token (2.9 to 3.3)"
        );
        assert_eq!(words(1.0, None), "0 % longer per token");
    }
}
