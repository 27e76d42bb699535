//! Values of scenario files that may be written in more than one way.
//!
//! They check themselves while they are read, so that a mistake is reported where it stands.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use toml::Spanned;

use crate::device::DeviceId;
use crate::record::AgreementRule;
use crate::units::Bytes;

/// A size: `"96MiB"` (spelling as in Accelerate: `GiB MiB KiB GB MB KB`) or a number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(schema_with = "size_schema")]
pub struct Size(pub Bytes);

fn size_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "description": "a size such as \"96MiB\" or \"2GB\", or a number of bytes",
        "oneOf": [{ "type": "string" }, { "type": "integer", "minimum": 0 }],
    })
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SizeVisitor;
        impl Visitor<'_> for SizeVisitor {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as \"96MiB\" or a number of bytes")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                let bytes = crate::planner::parse_size(text).map_err(|error| E::custom(error.to_string()))?;
                match bytes.whole_bytes() {
                    u64::MAX => Err(E::custom(format!("`{text}` is too large for a size"))),
                    bytes => Ok(Size(Bytes(bytes))),
                }
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Size, E> {
                let bytes =
                    u64::try_from(number).map_err(|_| E::custom(format!("a size cannot be negative: {number}")))?;
                Ok(Size(Bytes(bytes)))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Size, E> {
                Ok(Size(Bytes(number)))
            }
        }
        deserializer.deserialize_any(SizeVisitor)
    }
}

/// A duration: `"20s"`, `"500ms"`, `"5m"`, or a number of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(schema_with = "period_schema")]
pub struct Period(pub Duration);

fn period_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "description": "a duration such as \"20s\", \"500ms\" or \"5m\", or a number of seconds",
        "oneOf": [{ "type": "string" }, { "type": "number", "exclusiveMinimum": 0 }],
    })
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PeriodVisitor;

        impl PeriodVisitor {
            fn check<E: de::Error>(duration: Duration) -> Result<Period, E> {
                if duration.is_zero() {
                    return Err(E::custom("a duration must be longer than zero"));
                }
                Ok(Period(duration))
            }
        }

        impl Visitor<'_> for PeriodVisitor {
            type Value = Period;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as \"20s\" or a number of seconds")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Period, E> {
                let duration = humantime::parse_duration(text).map_err(|error| {
                    E::custom(format!("`{text}` is no duration such as \"20s\" or \"5m\": {error}"))
                })?;
                Self::check(duration)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Period, E> {
                let seconds = u64::try_from(number).map_err(|_| E::custom("a duration cannot be negative"))?;
                Self::check(Duration::from_secs(seconds))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Period, E> {
                let duration = Duration::try_from_secs_f64(number).map_err(|error| E::custom(error.to_string()))?;
                Self::check(duration)
            }
        }
        deserializer.deserialize_any(PeriodVisitor)
    }
}

/// The name of a device: `"sim:0"`, `"cpu"`, or a number for a CUDA device.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(schema_with = "device_schema")]
pub struct DeviceName(pub DeviceId);

fn device_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "description": "cpu, disk, cuda:N, metal:N, or a logical device such as sim:0; a number N means cuda:N",
        "oneOf": [{ "type": "string" }, { "type": "integer", "minimum": 0 }],
    })
}

impl<'de> Deserialize<'de> for DeviceName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl Visitor<'_> for NameVisitor {
            type Value = DeviceName;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a device such as \"cuda:0\", \"cpu\" or \"sim:0\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<DeviceName, E> {
                DeviceId::new(text)
                    .map(DeviceName)
                    .map_err(|error| E::custom(error.to_string()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<DeviceName, E> {
                self.visit_str(&number.to_string())
            }
        }
        deserializer.deserialize_any(NameVisitor)
    }
}

/// A device map: a strategy or device as a string or number, or a table of module path to device.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
#[schemars(schema_with = "device_map_schema")]
pub enum DeviceMapValue {
    /// A strategy name or a device.
    Word(String),
    /// Module path (or range) to device, in the order of the file.
    Table(Named<DeviceName>),
}

fn device_map_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "description": "auto, balanced, balanced_low_0, sequential, a device, or a table of module path (or model.layers.A-B) to device",
        "oneOf": [
            { "type": "string" },
            { "type": "integer", "minimum": 0 },
            { "type": "object", "additionalProperties": { "oneOf": [{ "type": "string" }, { "type": "integer", "minimum": 0 }] } },
        ],
    })
}

impl<'de> Deserialize<'de> for DeviceMapValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MapVisitor;
        impl<'de> Visitor<'de> for MapVisitor {
            type Value = DeviceMapValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a strategy such as \"auto\", a device such as \"cuda:0\", or a table of module path to device",
                )
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<DeviceMapValue, E> {
                Ok(DeviceMapValue::Word(text.to_owned()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<DeviceMapValue, E> {
                Ok(DeviceMapValue::Word(number.to_string()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<DeviceMapValue, A::Error> {
                Named::read(map).map(DeviceMapValue::Table)
            }
        }
        deserializer.deserialize_any(MapVisitor)
    }
}

/// How many devices must be used: one number for all placements, or a table by placement.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
#[schemars(schema_with = "devices_used_schema")]
pub enum DevicesUsed {
    /// For every placement.
    All(u32),
    /// By placement.
    ByPlacement(Named<u32>),
}

fn devices_used_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "description": "a number for all placements, or a table of placement to number",
        "oneOf": [
            { "type": "integer", "minimum": 1 },
            { "type": "object", "additionalProperties": { "type": "integer", "minimum": 1 } },
        ],
    })
}

impl<'de> Deserialize<'de> for DevicesUsed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct UsedVisitor;
        impl<'de> Visitor<'de> for UsedVisitor {
            type Value = DevicesUsed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or a table of placement to number")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<DevicesUsed, E> {
                u32::try_from(number)
                    .map(DevicesUsed::All)
                    .map_err(|_| E::custom("not a number of devices"))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<DevicesUsed, A::Error> {
                Named::read(map).map(DevicesUsed::ByPlacement)
            }
        }
        deserializer.deserialize_any(UsedVisitor)
    }
}

/// Whether a text is compared with its snapshot, and how strictly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(schema_with = "snapshot_schema")]
pub enum SnapshotValue {
    /// It is not.
    Off,
    /// It is.
    Compared(AgreementRule),
}

impl SnapshotValue {
    /// The rule, where there is a comparison.
    #[must_use]
    pub fn rule(self) -> Option<AgreementRule> {
        match self {
            Self::Off => None,
            Self::Compared(rule) => Some(rule),
        }
    }
}

fn snapshot_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "description": "true, false, or a rule: near_tie (what true means) or exact",
        "oneOf": [{ "type": "boolean" }, { "enum": ["near_tie", "exact"] }],
    })
}

impl<'de> Deserialize<'de> for SnapshotValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SnapshotVisitor;
        impl Visitor<'_> for SnapshotVisitor {
            type Value = SnapshotValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false, \"near_tie\" or \"exact\"")
            }

            fn visit_bool<E: de::Error>(self, compared: bool) -> Result<SnapshotValue, E> {
                Ok(if compared {
                    SnapshotValue::Compared(AgreementRule::NearTie)
                } else {
                    SnapshotValue::Off
                })
            }

            fn visit_str<E: de::Error>(self, rule: &str) -> Result<SnapshotValue, E> {
                match rule {
                    "near_tie" => Ok(SnapshotValue::Compared(AgreementRule::NearTie)),
                    "exact" => Ok(SnapshotValue::Compared(AgreementRule::Exact)),
                    other => Err(E::unknown_variant(other, &["near_tie", "exact"])),
                }
            }
        }
        deserializer.deserialize_any(SnapshotVisitor)
    }
}

/// Whose planner answers a strategy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PlannerName {
    /// Accelerate 1.4.0 (and 1.15.0, which answers the same).
    Accelerate,
    /// The planner of Transformers 5.
    #[serde(rename = "transformers-5")]
    Transformers5,
}

impl From<PlannerName> for crate::planner::Dialect {
    fn from(name: PlannerName) -> Self {
        match name {
            PlannerName::Accelerate => Self::Accelerate,
            PlannerName::Transformers5 => Self::Transformers5,
        }
    }
}

/// Where the numbers of the weights come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LoadFormat {
    /// From the model's files.
    #[default]
    Auto,
    /// From a random number generator, in the shapes of the configuration.
    Dummy,
}

/// A table of named things, in the order of the file, with the place of each name.
#[derive(Debug, Clone, PartialEq)]
pub struct Named<T>(pub Vec<(Spanned<String>, T)>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Named<T> {
    /// The entries.
    pub fn iter(&self) -> impl Iterator<Item = (&Spanned<String>, &T)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// The names.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.get_ref().as_str()).collect()
    }

    fn read<'de, A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error>
    where
        T: Deserialize<'de>,
    {
        let mut entries = Vec::new();
        while let Some(name) = map.next_key::<Spanned<String>>()? {
            entries.push((name, map.next_value()?));
        }
        Ok(Self(entries))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NamedVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for NamedVisitor<T> {
            type Value = Named<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Named<T>, A::Error> {
                Named::read(map)
            }
        }
        deserializer.deserialize_map(NamedVisitor(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("TableOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let value = generator.subschema_for::<T>();
        schemars::json_schema!({ "type": "object", "additionalProperties": value })
    }
}
