//! Filters as values: what they mean, and how they are written.

use std::fmt;

use super::matcher::{MatcherKind, NameMatcher};
use super::subject;
use crate::record::CaseSpec;
use crate::scenario::problem::nearest;

/// What a predicate looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// The name of the case: `scenario/prompt/placement`.
    Name,
    /// Its scenario.
    Scenario,
    /// Its prompt.
    Prompt,
    /// Its placement.
    Placement,
    /// One of its tags.
    Tag,
    /// One of the devices it may use: see [`subject::devices_of`].
    Device,
    /// Its engine.
    Engine,
    /// Its model, as reports call it.
    Model,
}

impl Field {
    /// All of them, in the order in which they are explained.
    pub const ALL: [Self; 8] = [
        Self::Name,
        Self::Scenario,
        Self::Prompt,
        Self::Placement,
        Self::Tag,
        Self::Device,
        Self::Engine,
        Self::Model,
    ];

    /// The name in filters.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Scenario => "scenario",
            Self::Prompt => "prompt",
            Self::Placement => "placement",
            Self::Tag => "tag",
            Self::Device => "device",
            Self::Engine => "engine",
            Self::Model => "model",
        }
    }

    /// The field of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.as_str() == name)
    }

    /// How a matcher without a mark compares: long names by a part, as nextest does for tests, short ones as a glob, as
    /// nextest does for packages.
    #[must_use]
    pub fn default_kind(self) -> MatcherKind {
        match self {
            Self::Name | Self::Model => MatcherKind::Contains,
            _ => MatcherKind::Glob,
        }
    }

    /// What a case has there.
    #[must_use]
    pub fn values(self, case: &CaseSpec) -> Vec<String> {
        match self {
            Self::Name => vec![case.case.clone()],
            Self::Scenario => vec![case.scenario.clone()],
            Self::Prompt => vec![case.prompt.clone()],
            Self::Placement => vec![case.placement.clone()],
            Self::Tag => case.tags.clone(),
            Self::Device => subject::devices_of(case),
            Self::Engine => vec![case.engine.clone()],
            Self::Model => vec![case.model.label()],
        }
    }
}

/// A condition on one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Predicate {
    /// The field.
    pub field: Field,
    /// What one of its values must be.
    pub matcher: NameMatcher,
}

impl Predicate {
    /// Whether a case fulfils it.
    #[must_use]
    pub fn selects(&self, case: &CaseSpec) -> bool {
        self.field.values(case).iter().any(|value| self.matcher.matches(value))
    }
}

/// How an operand narrows what stands before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Narrowing {
    /// `and`, `&`: also this.
    And,
    /// `-`: but not this.
    Except,
}

/// A filter expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filterset {
    /// `all()`: every case.
    All,
    /// `none()`: no case.
    None,
    /// A condition on one field.
    Predicate(Predicate),
    /// `not`, `!`.
    Not(Box<Self>),
    /// `a and b - c`: from left to right.
    Narrowed(Box<Self>, Vec<(Narrowing, Self)>),
    /// `a or b or c`: at least one.
    Any(Vec<Self>),
}

impl Filterset {
    /// Whether it selects a case.
    #[must_use]
    pub fn selects(&self, case: &CaseSpec) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Predicate(predicate) => predicate.selects(case),
            Self::Not(inner) => !inner.selects(case),
            Self::Narrowed(first, rest) => {
                let keeps = |(how, operand): &(Narrowing, Self)| operand.selects(case) == (*how == Narrowing::And);
                first.selects(case) && rest.iter().all(keeps)
            }
            Self::Any(operands) => operands.iter().any(|operand| operand.selects(case)),
        }
    }

    /// Predicates that no case fulfils, each with a value it may have meant: most likely a slip, and in a `not` one that
    /// would go unnoticed.
    #[must_use]
    pub fn without_effect(&self, cases: &[CaseSpec]) -> Vec<(Predicate, Option<String>)> {
        let mut predicates = Vec::new();
        self.collect(&mut predicates);
        let idle = predicates
            .into_iter()
            .filter(|predicate| !cases.iter().any(|case| predicate.selects(case)));
        idle.map(|predicate| {
            let values: Vec<String> = cases.iter().flat_map(|case| predicate.field.values(case)).collect();
            let near = nearest(predicate.matcher.text(), values.iter().map(String::as_str));
            (predicate.clone(), near.map(str::to_owned))
        })
        .collect()
    }

    fn collect<'a>(&'a self, predicates: &mut Vec<&'a Predicate>) {
        match self {
            Self::All | Self::None => {}
            Self::Predicate(predicate) => predicates.push(predicate),
            Self::Not(inner) => inner.collect(predicates),
            Self::Narrowed(first, rest) => {
                first.collect(predicates);
                rest.iter().for_each(|(_, operand)| operand.collect(predicates));
            }
            Self::Any(operands) => operands.iter().for_each(|operand| operand.collect(predicates)),
        }
    }

    /// How tightly it binds: only what binds more loosely than its place needs brackets.
    fn rank(&self) -> u8 {
        match self {
            Self::Any(_) => 0,
            Self::Narrowed(..) => 1,
            Self::Not(_) => 2,
            Self::All | Self::None | Self::Predicate(_) => 3,
        }
    }

    fn write_at(&self, rank: u8, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rank() < rank {
            write!(f, "({self})")
        } else {
            write!(f, "{self}")
        }
    }
}

impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.field.as_str(), self.matcher)
    }
}

/// As it is read back by [`parse`](super::parse()), with the fewest brackets.
impl fmt::Display for Filterset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => write!(f, "all()"),
            Self::None => write!(f, "none()"),
            Self::Predicate(predicate) => write!(f, "{predicate}"),
            Self::Not(inner) => {
                write!(f, "not ")?;
                inner.write_at(2, f)
            }
            Self::Narrowed(first, rest) => {
                first.write_at(2, f)?;
                for (how, operand) in rest {
                    let word = match how {
                        Narrowing::And => "and",
                        Narrowing::Except => "-",
                    };
                    write!(f, " {word} ")?;
                    operand.write_at(2, f)?;
                }
                Ok(())
            }
            Self::Any(operands) => {
                for (index, operand) in operands.iter().enumerate() {
                    if index > 0 {
                        write!(f, " or ")?;
                    }
                    operand.write_at(1, f)?;
                }
                Ok(())
            }
        }
    }
}
