//! A part of the cases for one machine of several.
//!
//! What is dealt out are comparison groups ([`groups_of`]), never single cases: a placement that is compared with another
//! one must run beside it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::subject::groups_of;
use crate::record::CaseSpec;

/// How groups are dealt out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionKind {
    /// In turn, in the order of the suite: shards are as even as they can be, but one new group moves others.
    Slice,
    /// By a hash of the group's name: a group stays in its shard whatever else comes or goes.
    Hash,
}

/// One shard of several: `slice:1/4`, `hash:1/4`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Partition {
    /// How groups are dealt out.
    pub kind: PartitionKind,
    /// This shard, from 1.
    pub index: u32,
    /// All shards.
    pub count: u32,
}

impl Partition {
    /// Whether each of the cases is in this shard.
    #[must_use]
    pub fn takes(&self, cases: &[CaseSpec]) -> Vec<bool> {
        let groups = groups_of(cases);
        let mut order: Vec<&str> = Vec::new();
        let mut positions = std::collections::HashMap::new();
        for group in &groups {
            positions.entry(group.as_str()).or_insert_with(|| {
                order.push(group);
                order.len() as u64 - 1
            });
        }
        let count = u64::from(self.count);
        let shard = |group: &String| match self.kind {
            PartitionKind::Slice => positions.get(group.as_str()).copied().unwrap_or(0) % count,
            PartitionKind::Hash => hash(group) % count,
        };
        groups
            .iter()
            .map(|group| shard(group) + 1 == u64::from(self.index))
            .collect()
    }
}

/// FNV-1a with 64 bits, stirred once more by the finaliser of SplitMix64 so that its low bits may be used alone. Part of
/// what shards mean: it must not change.
fn hash(text: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in text.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            PartitionKind::Slice => "slice",
            PartitionKind::Hash => "hash",
        };
        write!(f, "{kind}:{}/{}", self.index, self.count)
    }
}

impl FromStr for Partition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no partition: write slice:1/4 or hash:1/4");
        let (kind, rest) = text.split_once(':').ok_or_else(wrong)?;
        let kind = match kind {
            "slice" => PartitionKind::Slice,
            "hash" => PartitionKind::Hash,
            _ => return Err(wrong()),
        };
        let (index, count) = rest.split_once('/').ok_or_else(wrong)?;
        let number = |digits: &str| {
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse::<u32>().ok().filter(|_| plain).ok_or_else(wrong)
        };
        let (index, count) = (number(index)?, number(count)?);
        if index == 0 || index > count {
            return Err(format!("`{text}`: shards are counted from 1 to {count}"));
        }
        Ok(Self { kind, index, count })
    }
}

impl TryFrom<String> for Partition {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Partition> for String {
    fn from(partition: Partition) -> Self {
        partition.to_string()
    }
}
