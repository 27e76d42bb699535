//! Mutations of files with one JSON value a line, which keep most of them JSON.
//!
//! Bytes changed at random hardly ever get past the JSON parser. These take one value of the file, anywhere in its tree, and
//! put something else there: the ends of number ranges, hostile texts, a value from elsewhere in the file.

use libfuzzer_sys::fuzzer_mutate;
use serde_json::{Number, Value};

/// In no output may this stand unescaped.
pub const MARKER: &str = "<pwned";

const TEXTS: [&str; 12] = [
    "",
    "<pwned a='1'>\"><pwned>",
    "</script><pwned>]]>--><pwned>",
    "'\"&<pwned>&lt;",
    "=cmd|' /C calc'!A0",
    "| a | b\n<pwned>\r\n\t",
    "\u{1b}[31mred\u{7}\u{0}\u{202e}\u{feff}",
    "../../../etc/passwd",
    "http://[::1",
    "cuda:4294967295",
    "model.layers.18446744073709551615",
    "\u{10ffff}\u{0301}\u{0301}\u{0301}\u{1f469}\u{200d}\u{1f469}",
];

const FLOATS: [f64; 14] = [
    0.0,
    -0.0,
    -1.0,
    0.5,
    1e-320,
    f64::MIN_POSITIVE,
    1e-9,
    1e9,
    1e18,
    3.5e38,
    -3.5e38,
    1e154,
    f64::MAX,
    f64::MIN,
];

const INTEGERS: [u64; 10] = [
    0,
    1,
    2,
    255,
    65_536,
    i32::MAX as u64,
    u32::MAX as u64,
    1 << 40,
    i64::MAX as u64,
    u64::MAX,
];

/// Changes the first `size` bytes of `data` in place; returns the new size, at most `max_size`.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut random = Random(u64::from(seed) ^ 0x9e37_79b9_7f4a_7c15);
    if random.below(4) == 0 {
        return fuzzer_mutate(data, size, max_size);
    }
    let mut lines: Vec<Vec<u8>> = data[..size].split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    for _ in 0..=random.below(3) {
        change(&mut lines, &mut random);
    }
    let changed = lines.join(&b'\n');
    if changed.is_empty() || changed.len() > max_size {
        return fuzzer_mutate(data, size, max_size);
    }
    data[..changed.len()].copy_from_slice(&changed);
    changed.len()
}

fn change(lines: &mut Vec<Vec<u8>>, random: &mut Random) {
    if lines.is_empty() {
        return;
    }
    let at = random.below(lines.len());
    match random.below(12) {
        0 => {
            let line = lines[at].clone();
            lines.insert(random.below(lines.len() + 1), line);
        }
        1 if lines.len() > 1 => drop(lines.remove(at)),
        2 => {
            let other = random.below(lines.len());
            lines.swap(at, other);
        }
        _ => {
            let donor = random.below(lines.len());
            let donor = serde_json::from_slice::<Value>(&lines[donor]).ok();
            if let Ok(mut value) = serde_json::from_slice::<Value>(&lines[at]) {
                change_value(&mut value, donor.as_ref(), random);
                if let Ok(line) = serde_json::to_vec(&value) {
                    lines[at] = line;
                }
            }
        }
    }
}

fn change_value(root: &mut Value, donor: Option<&Value>, random: &mut Random) {
    let count = count(root);
    let target = random.below(count);
    let graft = donor.filter(|_| random.below(6) == 0).map(|donor| {
        let at = random.below(self::count(donor));
        nth(donor, at).clone()
    });
    let place = nth_mut(root, target);
    if let Some(graft) = graft {
        *place = graft;
        return;
    }
    match place {
        Value::Null => *place = scalar(random),
        Value::Bool(flag) => *flag = !*flag,
        Value::Number(_) if random.below(5) > 0 => *place = number(random),
        Value::String(text) => match random.below(5) {
            0 => *text = text.repeat(1 + random.below(40)),
            1 => text.push_str(TEXTS[random.below(TEXTS.len())]),
            2 => *text = text.chars().take(random.below(4)).collect(),
            _ => *text = TEXTS[random.below(TEXTS.len())].to_owned(),
        },
        Value::Array(items) if !items.is_empty() => change_array(items, random),
        Value::Object(entries) if !entries.is_empty() => {
            let at = random.below(entries.len());
            let Some(key) = entries.keys().nth(at).cloned() else {
                return;
            };
            match random.below(4) {
                0 => drop(entries.shift_remove(&key)),
                1 => drop(entries.insert(key, Value::Null)),
                2 => drop(entries.insert(TEXTS[random.below(TEXTS.len())].to_owned(), scalar(random))),
                _ => drop(entries.insert(key, scalar(random))),
            }
        }
        other => *other = scalar(random),
    }
}

fn change_array(items: &mut Vec<Value>, random: &mut Random) {
    let at = random.below(items.len());
    match random.below(5) {
        0 => drop(items.remove(at)),
        1 => items.truncate(at),
        2 => {
            let other = random.below(items.len());
            items.swap(at, other);
        }
        3 => {
            let times = 1 + random.below(8);
            let copies = vec![items[at].clone(); times];
            items.splice(at..at, copies);
        }
        _ => items[at] = scalar(random),
    }
}

fn scalar(random: &mut Random) -> Value {
    match random.below(4) {
        0 => Value::Null,
        1 => Value::String(TEXTS[random.below(TEXTS.len())].to_owned()),
        2 => Value::Array(Vec::new()),
        _ => number(random),
    }
}

fn number(random: &mut Random) -> Value {
    match random.below(3) {
        0 => Number::from_f64(FLOATS[random.below(FLOATS.len())]).map_or(Value::Null, Value::Number),
        1 => Value::from(INTEGERS[random.below(INTEGERS.len())]),
        _ => Value::from(random.below(20)),
    }
}

/// How many values there are in the tree.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(entries) => entries.values().map(count).sum(),
        _ => 0,
    }
}

fn nth(value: &Value, at: usize) -> &Value {
    let children: Box<dyn Iterator<Item = &Value>> = match value {
        Value::Array(items) => Box::new(items.iter()),
        Value::Object(entries) => Box::new(entries.values()),
        _ => return value,
    };
    let mut left = at;
    if left == 0 {
        return value;
    }
    left -= 1;
    for child in children {
        let size = count(child);
        if left < size {
            return nth(child, left);
        }
        left -= size;
    }
    value
}

fn nth_mut(value: &mut Value, at: usize) -> &mut Value {
    if at == 0 {
        return value;
    }
    let mut left = at - 1;
    let sizes: Vec<usize> = match &*value {
        Value::Array(items) => items.iter().map(count).collect(),
        Value::Object(entries) => entries.values().map(count).collect(),
        _ => Vec::new(),
    };
    let mut child = None;
    for (index, size) in sizes.into_iter().enumerate() {
        if left < size {
            child = Some(index);
            break;
        }
        left -= size;
    }
    match (value, child) {
        (Value::Array(items), Some(index)) => nth_mut(&mut items[index], left),
        (Value::Object(entries), Some(index)) => match entries.values_mut().nth(index) {
            Some(value) => nth_mut(value, left),
            None => unreachable!("the index was found among the values"),
        },
        (value, _) => value,
    }
}

/// Marsaglia's xorshift: repeatable from the fuzzer's seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % (bound.max(1) as u64)).unwrap_or(0)
    }
}
