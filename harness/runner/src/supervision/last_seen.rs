//! Where a worker is when it is looked at: of ranks, the one the others wait for.

use std::time::{Duration, Instant};

use placebench_core::breadcrumb::Breadcrumb;
use placebench_core::outcome::ranks::behind;
use placebench_core::outcome::{LastSeen, Phase, RankSeen};

use super::Supervision;
use crate::breadcrumb::BreadcrumbPage;
use crate::sys;

impl Supervision {
    /// Where the worker is: the breadcrumb where it keeps one, else what it last said.
    pub(super) fn last_seen(&self, page: &BreadcrumbPage, now: Instant) -> LastSeen {
        let said = self.transcript.phase();
        let Some(crumb) = page.read() else {
            let silent = now.saturating_duration_since(self.spawned + self.watchdog.last_progress());
            return LastSeen {
                phase: Some(said),
                token: self.transcript.tokens_under_way(),
                place: None,
                for_s: Some(silent.as_secs_f64()),
                last_token_before_s: None,
                ranks: Vec::new(),
            };
        };
        let ranks = self.ranks_seen(page);
        // Whoever speaks for the ranks waits for all of them: what holds them up is where the last of them is.
        let slowest = behind(&ranks).first().map(|rank| (*rank).clone());
        let standing = match &slowest {
            Some(rank) => rank.for_s,
            None => standing(&crumb),
        };
        let silent = self.last_token.map(|at| at.elapsed().as_secs_f64());
        // A token is stamped when it comes in, which may be a moment after the step that follows it has begun.
        let before = silent
            .zip(standing)
            .map(|(silent, standing)| (silent - standing).max(0.0));
        let last = LastSeen {
            phase: Some(crumb.phase.unwrap_or(said)),
            token: crumb.token,
            place: crumb.place.and_then(|place| self.transcript.place(place)),
            for_s: standing,
            last_token_before_s: before,
            ranks,
        };
        match slowest {
            Some(rank) => LastSeen {
                phase: rank.phase.or(last.phase),
                token: rank.token,
                place: rank.place,
                ..last
            },
            None => last,
        }
    }

    /// Where each rank is; empty where there are none, or none has got as far as to say so.
    fn ranks_seen(&self, page: &BreadcrumbPage) -> Vec<RankSeen> {
        let crumbs = (0..).zip(page.read_ranks(self.ranks));
        let seen = |(rank, crumb): (u32, Option<Breadcrumb>)| match crumb {
            None => RankSeen {
                rank,
                phase: Some(Phase::Spawn),
                ..RankSeen::default()
            },
            Some(crumb) => RankSeen {
                rank,
                phase: crumb.phase,
                generation: crumb.generation,
                token: crumb.token,
                place: crumb.place.and_then(|place| self.transcript.place_of_rank(place, rank)),
                for_s: standing(&crumb),
            },
        };
        crumbs.map(seen).collect()
    }
}

/// Seconds since the breadcrumb was last changed, where it says when that was.
fn standing(crumb: &Breadcrumb) -> Option<f64> {
    (crumb.stamp_ns > 0).then(|| {
        let nanoseconds = sys::monotonic_ns().saturating_sub(crumb.stamp_ns);
        Duration::from_nanos(nanoseconds).as_secs_f64()
    })
}
