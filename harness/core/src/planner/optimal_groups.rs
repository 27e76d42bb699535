//! Devices that may change places without changing any cost.

use super::predict_rates::{DeviceRates, LinkRates, Rates};
use crate::units::Bytes;

/// Devices that are alike in speed, budget and links: which of them is used makes no difference, only how many.
#[derive(Debug, Clone)]
pub(super) struct Group {
    /// Positions in the list of devices, ascending.
    pub(super) members: Vec<usize>,
    pub(super) rates: DeviceRates,
    pub(super) budget: Option<Bytes>,
}

/// All links of a list of devices, by position.
pub(super) struct Links {
    count: usize,
    rates: Vec<LinkRates>,
}

impl Links {
    pub(super) fn new<D: PartialEq>(devices: &[(D, Option<Bytes>)], rates: &Rates<D>) -> Self {
        let links = devices
            .iter()
            .flat_map(|(from, _)| devices.iter().map(|(to, _)| rates.link(from, to)));
        Self {
            count: devices.len(),
            rates: links.collect(),
        }
    }

    /// The link between two devices at these positions.
    pub(super) fn between(&self, from: usize, to: usize) -> Option<LinkRates> {
        self.rates.get(from * self.count + to).copied()
    }

    /// True where exchanging two devices leaves every link as it was.
    fn are_symmetric(&self, a: usize, b: usize) -> bool {
        let others = (0..self.count).filter(|&other| other != a && other != b);
        self.between(a, b) == self.between(b, a)
            && others.into_iter().all(|other| {
                self.between(a, other) == self.between(b, other) && self.between(other, a) == self.between(other, b)
            })
    }

    /// The link from one group to another; within a group, between two of its members.
    pub(super) fn between_groups(&self, from: &Group, to: &Group) -> Option<LinkRates> {
        let first = *from.members.first()?;
        let other = to.members.iter().copied().find(|&member| member != first)?;
        self.between(first, other)
    }
}

/// Sorts devices into groups, in the order of their first members.
pub(super) fn groups<D: PartialEq>(devices: &[(D, Option<Bytes>)], rates: &Rates<D>, links: &Links) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (position, (device, budget)) in devices.iter().enumerate() {
        let own = rates.device(device);
        // Exchanging a with b and b with c exchanges a with c, so one member speaks for its group.
        let alike = groups.iter_mut().find(|group| {
            let first = group.members.first();
            group.rates == own
                && group.budget == *budget
                && first.is_some_and(|&first| links.are_symmetric(first, position))
        });
        match alike {
            Some(group) => group.members.push(position),
            None => groups.push(Group {
                members: vec![position],
                rates: own,
                budget: *budget,
            }),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::predict_rates::Link;

    fn members(devices: &[(u8, Option<Bytes>)], rates: &Rates<u8>) -> Vec<Vec<usize>> {
        let links = Links::new(devices, rates);
        let groups = groups(devices, rates, &links);
        groups.into_iter().map(|group| group.members).collect()
    }

    #[test]
    fn only_devices_alike_in_everything_are_grouped() {
        let budget = |bytes| Some(Bytes(bytes));
        let devices = [
            (0, budget(8)),
            (1, budget(8)),
            (2, budget(9)),
            (3, budget(8)),
            (4, None),
        ];
        let mut rates = Rates::default();
        assert_eq!(members(&devices, &rates), [vec![0, 1, 3], vec![2], vec![4]]);
        rates.devices.push((
            1,
            DeviceRates {
                flops_per_s: 1.0,
                ..rates.default_device
            },
        ));
        assert_eq!(members(&devices, &rates), [vec![0, 3], vec![1], vec![2], vec![4]]);
    }

    #[test]
    fn links_decide_too() {
        let devices = [(0, None), (1, None), (2, None), (3, None)];
        let mut rates = Rates::default();
        let fast = LinkRates {
            latency_s: 0.0,
            ..rates.default_link
        };
        let link = |from, to| Link { from, to, rates: fast };
        // Two pairs that are bridged: within a pair devices may change places, a pair's with the other's may not.
        rates.links = vec![link(0, 1), link(1, 0), link(2, 3), link(3, 2)];
        assert_eq!(members(&devices, &rates), [vec![0, 1], vec![2, 3]]);
        rates.links.pop();
        assert_eq!(members(&devices, &rates), [vec![0, 1], vec![2], vec![3]]);
    }
}
