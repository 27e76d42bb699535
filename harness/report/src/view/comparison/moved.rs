//! Which modules are on another device than before.

use placebench_core::units::Bytes;
use serde::Serialize;

use crate::view::words::{count, line};

/// Ranges that a sentence names.
const NAMED: usize = 3;

/// A module, its device and its bytes there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModulePlace {
    /// Dotted path.
    pub module: String,
    /// Its device.
    pub device: String,
    /// Bytes of its tensors; absent where it was only planned.
    pub bytes: Option<Bytes>,
}

/// Where the modules of a case are on both sides, in order of execution.
#[derive(Debug, Clone)]
pub struct Maps<'a> {
    /// The case.
    pub case: &'a str,
    /// Of the base.
    pub base: Vec<ModulePlace>,
    /// Of the new side.
    pub new: Vec<ModulePlace>,
}

/// What moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MovedView {
    /// How much moved, and where to.
    pub sentence: String,
    /// Consecutive modules that moved alike.
    pub rows: Vec<MovedRow>,
    /// Devices of both sides, in the order in which modules meet them.
    #[serde(skip)]
    pub devices: Vec<String>,
    /// For each module of either side its name, and its devices by their position; absent on a side that lacks it.
    #[serde(skip)]
    pub modules: Vec<(String, Option<usize>, Option<usize>)>,
}

/// Consecutive modules that moved alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MovedRow {
    /// The first, and the last where there are several.
    pub modules: String,
    /// How many.
    pub number: usize,
    /// Bytes of their tensors; empty where not known.
    pub size: String,
    /// Where they were.
    pub base: String,
    /// Where they are.
    pub new: String,
}

/// What moved; nothing where nothing did, or where a side is not known.
#[must_use]
pub fn moved(maps: &Maps<'_>) -> Option<MovedView> {
    if maps.base.is_empty() || maps.new.is_empty() {
        return None;
    }
    let mut devices: Vec<String> = Vec::new();
    let all = union(maps);
    let mut position = |device: &str| match devices.iter().position(|known| known == device) {
        Some(at) => at,
        None => {
            devices.push(device.to_owned());
            devices.len() - 1
        }
    };
    let modules: Vec<(String, Option<usize>, Option<usize>)> = all
        .iter()
        .map(|(base, new)| {
            let name = base.or(*new).map_or("", |place| place.module.as_str());
            let base = base.map(|place| position(&place.device));
            let new = new.map(|place| position(&place.device));
            (line(name), base, new)
        })
        .collect();
    let mut rows: Vec<(MovedRow, usize, Option<u64>, String)> = Vec::new();
    for (index, ((name, base, new), (was, is))) in modules.iter().zip(&all).enumerate() {
        if base == new {
            continue;
        }
        let device = |at: &Option<usize>| {
            at.and_then(|at| devices.get(at))
                .map_or_else(|| "nowhere".to_owned(), |device| line(device))
        };
        let (base, new) = (device(base), device(new));
        let bytes = is.or(*was).and_then(|place| place.bytes).map(|bytes| bytes.0);
        match rows.last_mut() {
            Some((row, last, sum, end)) if *last + 1 == index && row.base == base && row.new == new => {
                (row.number, *last) = (row.number + 1, index);
                *sum = sum.zip(bytes).map(|(sum, more)| sum.saturating_add(more));
                end.clone_from(name);
            }
            _ => {
                let row = MovedRow {
                    modules: name.clone(),
                    number: 1,
                    size: String::new(),
                    base,
                    new,
                };
                rows.push((row, index, bytes, name.clone()));
            }
        }
    }
    let total: usize = rows.iter().map(|(row, ..)| row.number).sum();
    let bytes: Option<u64> = rows.iter().map(|(_, _, bytes, _)| *bytes).sum();
    let rows: Vec<MovedRow> = rows
        .into_iter()
        .map(|(row, _, bytes, end)| finish(row, bytes, &end))
        .collect();
    (total > 0).then(|| MovedView {
        sentence: sentence(&rows, total, modules.len(), bytes),
        rows,
        devices: devices.iter().map(|device| line(device)).collect(),
        modules,
    })
}

fn finish(row: MovedRow, bytes: Option<u64>, end: &str) -> MovedRow {
    let short = |name: &str| name.strip_prefix("model.").unwrap_or(name).to_owned();
    let first = match row.modules.as_str() {
        "" => "the whole model".to_owned(),
        name => short(name),
    };
    MovedRow {
        modules: if row.number > 1 {
            format!("{first} – {}", short(end))
        } else {
            first
        },
        size: bytes.map(|bytes| Bytes(bytes).to_string()).unwrap_or_default(),
        ..row
    }
}

fn sentence(rows: &[MovedRow], moved: usize, all: usize, bytes: Option<u64>) -> String {
    let size = bytes.map(|bytes| format!(", {}", Bytes(bytes))).unwrap_or_default();
    let named: Vec<String> = rows
        .iter()
        .take(NAMED)
        .map(|row| format!("{} from {} to {}", row.modules, row.base, row.new))
        .collect();
    let more = match rows.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    format!(
        "{moved} of {} moved{size}: {}{more}",
        count(all, "module", "modules"),
        named.join("; ")
    )
}

type Both<'a> = (Option<&'a ModulePlace>, Option<&'a ModulePlace>);

/// The modules of both sides in the order of the new one; those that only the base has follow the module they followed there.
fn union<'a>(maps: &'a Maps<'_>) -> Vec<Both<'a>> {
    let in_base = |name: &str| maps.base.iter().find(|place| place.module == name);
    let mut all: Vec<Both<'a>> = maps.new.iter().map(|new| (in_base(&new.module), Some(new))).collect();
    let mut after: Option<&str> = None;
    for base in &maps.base {
        if !maps.new.iter().any(|new| new.module == base.module) {
            let name = |(base, new): &Both<'a>| new.or(*base).map_or("", |place| place.module.as_str());
            let at = after
                .and_then(|after| all.iter().position(|both| name(both) == after))
                .map_or(0, |at| at + 1);
            all.insert(at, (Some(base), None));
        }
        after = Some(&base.module);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(list: &[(&str, &str)]) -> Vec<ModulePlace> {
        let place = |(module, device): &(&str, &str)| ModulePlace {
            module: (*module).into(),
            device: (*device).into(),
            bytes: Some(Bytes(1024)),
        };
        list.iter().map(place).collect()
    }

    #[test]
    fn neighbours_that_move_alike_are_one_range() {
        let base = places(&[
            ("model.layers.0", "a"),
            ("model.layers.1", "a"),
            ("model.layers.2", "a"),
            ("lm_head", "b"),
        ]);
        let new = places(&[
            ("model.layers.0", "a"),
            ("model.layers.1", "b"),
            ("model.layers.2", "b"),
            ("lm_head", "b"),
        ]);
        let view = moved(&Maps {
            case: "c",
            base: base.clone(),
            new,
        })
        .unwrap();
        assert_eq!(
            view.sentence,
            "2 of 4 modules moved, 2.00 KiB: layers.1 – layers.2 from a to b"
        );
        assert_eq!(view.rows.len(), 1);
        assert_eq!(
            moved(&Maps {
                case: "c",
                base: base.clone(),
                new: base
            }),
            None
        );
    }

    #[test]
    fn a_module_that_is_gone_keeps_its_place() {
        let base = places(&[("x", "a"), ("y", "a"), ("z", "a")]);
        let new = places(&[("x", "a"), ("z", "a"), ("w", "b")]);
        let view = moved(&Maps { case: "c", base, new }).unwrap();
        let names: Vec<&str> = view.modules.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, ["x", "y", "z", "w"]);
        assert_eq!(
            view.sentence,
            "2 of 4 modules moved, 2.00 KiB: y from a to nowhere; w from nowhere to b"
        );
        assert_eq!(
            moved(&Maps {
                case: "c",
                base: Vec::new(),
                new: places(&[("x", "a")])
            }),
            None
        );
    }
}
